//! Rules that change the expressions of plans' nodes, of which the columns keep their names.

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Changes the expressions of every node, subqueries' among them, inputs first. `of` gives, for a node, what changes one of its expressions.
///
/// # Errors
/// That function's; DataFusion's, from rebuilding the plan.
pub(super) fn rewrite_expressions<F>(plan: LogicalPlan, of: impl Fn(&LogicalPlan) -> F) -> Result<LogicalPlan>
where
    F: FnMut(Expr) -> Result<Transformed<Expr>>,
{
    plan.transform_up_with_subqueries(|node| {
        let (names, mut rewrite) = (NamePreserver::new(&node), of(&node));
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = rewrite(expr)?;
            Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
        })?;
        if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
    })
    .data()
}
