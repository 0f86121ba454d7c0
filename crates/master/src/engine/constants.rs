//! Constants that only the optimizer knows to be some.

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

/// An expression without columns, as the optimizer leaves it: now() is the statement's start there, and a call that cannot be made
/// anywhere else.
///
/// # Errors
/// The optimizer's.
pub(crate) fn write_out_constants(state: &SessionState, expr: Expr) -> Result<Expr> {
    let plan = LogicalPlanBuilder::empty(true).project([expr.alias("value")])?.build()?;
    let written = state.optimize(&plan)?.expressions().into_iter().next();
    let missing = || DataFusionError::Internal("an expression was optimized away".into());
    Ok(written.ok_or_else(missing)?.unalias())
}
