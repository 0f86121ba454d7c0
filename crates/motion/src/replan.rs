//! The last planning step, on the QE itself: what only makes sense next to the data and the cores.

use crate::PacedExec;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_optimizer::topk_aggregation::TopKAggregation;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use std::collections::HashSet;
use std::sync::Arc;

/// Re-plans a slice where it runs: filters into scans for pruning, limits into operators, dynamic filters last, because
/// they are bound to the operators that fill them. Limits are pushed here and not on the master: within one slice a
/// pushed limit means what it says.
///
/// # Errors
/// DataFusion's, from rebuilding operators.
pub fn replan(plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = push_filters(plan, &FilterPushdown::new(), options)?;
    let rules: [&dyn PhysicalOptimizerRule; 5] = [
        &ProjectionPushdown::new(),
        &TopKAggregation::new(),
        &LimitPushdown::new(),
        &ProjectionPushdown::new(),
        &EnsureCooperative::new(),
    ];
    let plan = rules.into_iter().try_fold(plan, |plan, rule| rule.optimize(plan, options))?;
    let plan = push_filters(plan, &FilterPushdown::new_post_optimization(), options)?;
    plan.transform_up(yielding).data()
}

/// A join can give, or reject, any number of rows between two batches of its input: it must yield to the runtime by
/// itself, or nothing can cancel it.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let plan = if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let inputs = vec![Arc::clone(join.left()), Arc::new(PacedExec::new(Arc::clone(join.right()))) as _];
        plan.replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?
    } else if plan.downcast_ref::<HashJoinExec>().is_some() || plan.downcast_ref::<CrossJoinExec>().is_some() {
        plan
    } else {
        return Ok(Transformed::no(plan));
    };
    Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan))))
}

/// Runs a pushdown rule on the largest subtrees in which it is right. DataFusion 55.2 finds an operator's column in its
/// input by name: where an input has two columns of one name (a self join's), a filter would move to the wrong one.
fn push_filters(
    plan: Arc<dyn ExecutionPlan>,
    rule: &FilterPushdown,
    options: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.children().into_iter().all(names_are_unique) {
        return rule.optimize(plan, options);
    }
    let inputs = plan.children().into_iter().map(|input| push_filters(Arc::clone(input), rule, options));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    plan.replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// True if no operator of the tree has two columns of one name.
fn names_are_unique(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut seen = HashSet::new();
    schema.fields().iter().all(|field| seen.insert(field.name())) && plan.children().into_iter().all(names_are_unique)
}
