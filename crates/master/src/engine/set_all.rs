//! INTERSECT ALL and EXCEPT ALL: DataFusion binds them as semi and anti joins, which forget how often a row occurs.

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};
use std::sync::Arc;

/// The number of a row among its equals.
const OCCURRENCE: &str = "\0occurrence";

/// Numbers equal rows on both sides and joins by that number too, so that each row on the right takes one on the left.
/// Works on the binder's output: nothing else makes such a join there. A left side that is DISTINCT needs no numbers.
///
/// # Errors
/// DataFusion's, from rebuilding the plan.
pub(crate) fn count_occurrences(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) && !matches!(*join.left, LogicalPlan::Distinct(_)) => {
            Ok(Transformed::yes(numbered(join)?))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
}

fn numbered(join: Join) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let (left, left_number) = with_number(join.left)?;
    let (right, right_number) = with_number(join.right)?;
    let mut on = join.on;
    on.push((left_number, right_number));
    let (left_keys, right_keys): (Vec<_>, Vec<_>) = on.into_iter().unzip();
    let joined =
        LogicalPlanBuilder::from(left).join_with_expr_keys(right, join.join_type, (left_keys, right_keys), None)?;
    let mut joined = joined.build()?;
    if let LogicalPlan::Join(join) = &mut joined {
        join.null_equality = NullEquality::NullEqualsNull;
    }
    LogicalPlanBuilder::from(joined).project(columns)?.build()
}

/// The plan with a last column that numbers equal rows.
fn with_number(plan: Arc<LogicalPlan>) -> Result<(LogicalPlan, Expr)> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let name = number.schema_name().to_string();
    let windowed = LogicalPlanBuilder::new_from_arc(plan).window([number])?;
    let number = Expr::Column(Column::new_unqualified(name)).alias(OCCURRENCE);
    let numbered = windowed.project(columns.into_iter().chain([number]))?.build()?;
    Ok((numbered, Expr::Column(Column::new_unqualified(OCCURRENCE))))
}
