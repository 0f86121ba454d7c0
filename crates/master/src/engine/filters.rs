//! DataFusion's push-down of filters, where it is right.

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule of 55.2 takes a condition without columns for one of grouping columns, and pushes it below an aggregate that has a row also of no
/// input: `false`, which a union's literal may make of a condition, then gives that row.
#[derive(Debug, Default)]
pub(super) struct Filters {
    inner: PushDownFilter,
}

impl OptimizerRule for Filters {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if filters_a_row_of_nothing(&plan) { Ok(Transformed::no(plan)) } else { self.inner.rewrite(plan, config) }
    }
}

/// Whether it is a filter right above such an aggregate; filters between are merged by the rule.
fn filters_a_row_of_nothing(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    match filter.input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => has_a_row_of_nothing(aggregate),
        input => filters_a_row_of_nothing(input),
    }
}

/// Without grouping, or with `()` among the sets.
fn has_a_row_of_nothing(aggregate: &Aggregate) -> bool {
    let has_empty_set = |expr: &Expr| match expr {
        Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_)) => true,
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().any(Vec::is_empty),
        _ => false,
    };
    aggregate.group_expr.is_empty() || aggregate.group_expr.iter().any(has_empty_set)
}
