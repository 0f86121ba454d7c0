//! The last planning step, on the QE itself: what only makes sense next to the data and the cores.

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_optimizer::topk_aggregation::TopKAggregation;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// Re-plans a slice where it runs: filters into scans for pruning, limits into operators, dynamic filters last, because
/// they are bound to the operators that fill them. Limits are pushed here and not on the master: within one slice a
/// pushed limit means what it says.
///
/// # Errors
/// DataFusion's, from rebuilding operators.
pub fn replan(plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let rules: [&dyn PhysicalOptimizerRule; 7] = [
        &FilterPushdown::new(),
        &ProjectionPushdown::new(),
        &TopKAggregation::new(),
        &LimitPushdown::new(),
        &ProjectionPushdown::new(),
        &EnsureCooperative::new(),
        &FilterPushdown::new_post_optimization(),
    ];
    rules.into_iter().try_fold(plan, |plan, rule| rule.optimize(plan, options))
}
