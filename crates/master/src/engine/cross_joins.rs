//! DataFusion's elimination of cross joins, where it is right.

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule of 55.2 loses a join's key that is an expression over several tables (`z.b = x.a + y.a`): such plans are left to
/// [`crate::planner::JoinOrder`], which joins in any order without it.
#[derive(Debug, Default)]
pub(super) struct CrossJoins {
    inner: EliminateCrossJoin,
}

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if has_expression_key(&plan)? { Ok(Transformed::no(plan)) } else { self.inner.rewrite(plan, config) }
    }
}

fn has_expression_key(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
            found |= join.on.iter().any(|(left, right)| !is_column(left) || !is_column(right));
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
