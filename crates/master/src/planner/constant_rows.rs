//! Rows that a statement brings along, as INSERT … VALUES does.

use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use std::sync::{Arc, LazyLock};

/// What is left to do where there is nothing to choose: constants are computed, `now()` among them.
static SIMPLIFY: LazyLock<Optimizer> =
    LazyLock::new(|| Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]));

/// DataFusion's logical optimiser; of rows that are all in the plan only the rule that has something to do. The others, about thirty of them, were
/// 7 % of the CPU of a single-row INSERT.
///
/// # Errors
/// The optimiser's.
pub(super) fn optimize(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    if !brings_its_rows(plan)? {
        return state.optimize(plan);
    }
    let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    SIMPLIFY.optimize(analyzed, state, |_, _| {})
}

/// Whether a plan computes values of its own rows, and nothing else.
fn brings_its_rows(plan: &LogicalPlan) -> Result<bool> {
    let is_plain = match plan {
        LogicalPlan::Values(_) => return has_no_subquery(plan),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => has_no_subquery(plan)?,
        _ => false,
    };
    match plan.inputs()[..] {
        [input] if is_plain => brings_its_rows(input),
        _ => Ok(false),
    }
}

fn has_no_subquery(plan: &LogicalPlan) -> Result<bool> {
    let is_subquery = |expression: &Expr| {
        Ok(matches!(
            expression,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        ))
    };
    for expression in plan.expressions() {
        if expression.exists(is_subquery)? {
            return Ok(false);
        }
    }
    Ok(true)
}
