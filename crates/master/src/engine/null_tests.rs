//! NULL in comparisons that DataFusion 55.2 merges with others.

use super::rewrite::rewrite_expressions;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};

/// On the binder's output:
///
/// - `x IN (…, NULL)` becomes `x IN (…) OR NULL`, and NOT IN its negation: the simplifier intersects lists as if NULL were a
///   value;
/// - `a IS NOT DISTINCT FROM b` becomes `a = b OR (a IS NULL AND b IS NULL)` in a plan that has plain equalities between
///   columns too: a join has one rule of NULL for all its keys.
///
/// # Errors
/// DataFusion's, from rebuilding the plan.
pub(crate) fn write_out_nulls(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mixed = mentions(&plan, Operator::IsNotDistinctFrom)? && has_equality(&plan)?;
    rewrite_expressions(plan, |_| move |expr: Expr| expr.transform_up(|expr| Ok(rewrite(expr, mixed))))
}

fn rewrite(expr: Expr, mixed: bool) -> Transformed<Expr> {
    match expr {
        Expr::InList(InList { expr, list, negated }) if list.iter().any(is_null) => {
            let list: Vec<Expr> = list.into_iter().filter(|value| !is_null(value)).collect();
            let unknown = lit(ScalarValue::Boolean(None));
            let found = if list.is_empty() { unknown } else { expr.in_list(list, false).or(unknown) };
            Transformed::yes(if negated { !found } else { found })
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsNotDistinctFrom, right })
            if mixed && !left.column_refs().is_empty() && !right.column_refs().is_empty() =>
        {
            let (left, right) = (*left, *right);
            let both_null = left.clone().is_null().and(right.clone().is_null());
            Transformed::yes(left.eq(right).or(both_null))
        }
        other => Transformed::no(other),
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn mentions(plan: &LogicalPlan, operator: Operator) -> Result<bool> {
    any_binary(plan, |binary| binary.op == operator)
}

/// True if two columns are compared for equality: in a condition, or as a join's key.
fn has_equality(plan: &LogicalPlan) -> Result<bool> {
    let mut keys = false;
    plan.apply_with_subqueries(|node| {
        keys |= matches!(node, LogicalPlan::Join(join) if !join.on.is_empty());
        Ok(TreeNodeRecursion::Continue)
    })?;
    let has_column = |expr: &Expr| !expr.column_refs().is_empty();
    Ok(keys || any_binary(plan, |b| b.op == Operator::Eq && has_column(&b.left) && has_column(&b.right))?)
}

fn any_binary(plan: &LogicalPlan, is: impl Fn(&BinaryExpr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= matches!(expr, Expr::BinaryExpr(binary) if is(binary));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}
