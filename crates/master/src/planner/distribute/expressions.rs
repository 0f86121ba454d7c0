//! Questions about physical expressions.

use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_plan::expressions::{BinaryExpr, Column};
use std::sync::Arc;

/// The column that the expression is, if it is nothing more.
pub(crate) fn column_of(expression: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expression.downcast_ref::<Column>().map(Column::index)
}

/// True if equal inputs can give different results (`random()`): such an expression must not run on several copies of
/// the same row.
pub(crate) fn is_volatile(expression: &Arc<dyn PhysicalExpr>) -> bool {
    datafusion::physical_expr_common::physical_expr::is_volatile(expression)
}

/// How many conjuncts say that a column equals a value.
pub(crate) fn pinned(predicate: &Arc<dyn PhysicalExpr>) -> usize {
    let is_equality = |conjunct: &&Arc<dyn PhysicalExpr>| {
        conjunct.downcast_ref::<BinaryExpr>().is_some_and(|binary| *binary.op() == Operator::Eq)
    };
    split_conjunction(predicate).iter().filter(|conjunct| is_equality(conjunct)).count()
}
