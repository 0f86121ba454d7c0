//! Init plans: uncorrelated scalar subqueries run first, and the query goes on with their values.

use super::rewrite::rewrite_expressions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use futures::future::BoxFuture;

/// Gives what stands for a subquery in the plan above: its one value (NULL without a row); for EXPLAIN, which runs
/// nothing, a name of it.
pub(crate) trait ScalarRunner: Sync {
    fn run<'a>(&'a self, plan: &'a LogicalPlan) -> BoxFuture<'a, Result<Expr>>;
}

/// Replaces each uncorrelated scalar subquery by its value, the innermost first. The same subquery written twice runs once.
///
/// # Errors
/// The runner's: a subquery failed or gave more than one row.
pub(crate) async fn replace_scalar_subqueries(plan: LogicalPlan, runner: &dyn ScalarRunner) -> Result<LogicalPlan> {
    let mut plan = plan;
    while let Some(subquery) = innermost(&plan)? {
        let value = runner.run(&subquery).await?;
        plan = substitute(plan, &subquery, &value)?;
    }
    Ok(plan)
}

/// An uncorrelated scalar subquery that has none within.
fn innermost(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let Expr::ScalarSubquery(subquery) = e
                    && found.is_none()
                    && subquery.outer_ref_columns.is_empty()
                    && !has_scalar_subquery(&subquery.subquery)?
                {
                    found = Some(subquery.subquery.as_ref().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn has_scalar_subquery(plan: &LogicalPlan) -> Result<bool> {
    Ok(innermost(plan)?.is_some())
}

fn substitute(plan: LogicalPlan, of: &LogicalPlan, value: &Expr) -> Result<LogicalPlan> {
    let replace = |expr: Expr| {
        expr.transform(|e| match &e {
            Expr::ScalarSubquery(subquery)
                if subquery.outer_ref_columns.is_empty() && subquery.subquery.as_ref() == of =>
            {
                Ok(Transformed::yes(value.clone()))
            }
            _ => Ok(Transformed::no(e)),
        })
    };
    rewrite_expressions(plan, |_| replace)
}
