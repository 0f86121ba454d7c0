//! Lists of IN, which DataFusion 55.2 merges: as if two values differed where their expressions do, and as if what is compared were never NULL.

use super::rewrite::rewrite_expressions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::AnalyzerRule;
use std::collections::HashSet;

/// Once types are known,
///
/// - `x IN (1, y)` becomes `x IN (1) OR x = y`: the simplifier takes the y of two lists for a value that is in the other or not;
/// - `x NOT IN (1) OR x NOT IN (2)`, lists that have nothing in common, becomes `x IS NOT NULL OR NULL`: the simplifier says true. With
///   AND and IN it says false, which becomes `x IS NULL AND NULL` where that is not a condition of a filter as a whole.
#[derive(Debug)]
pub(super) struct InLists;

impl AnalyzerRule for InLists {
    fn name(&self) -> &str {
        "in_lists"
    }

    /// # Errors
    /// DataFusion's, from rebuilding the plan.
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |node| {
            let is_filter = matches!(node, LogicalPlan::Filter(_));
            move |expr: Expr| if is_filter { condition(expr) } else { expr.transform_up(rewrite) }
        })
    }
}

/// Of a filter, where NULL is as good as false.
fn condition(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = expr else {
        return expr.transform_up(rewrite);
    };
    let (left, right) = (condition(*left)?, condition(*right)?);
    let changed = left.transformed || right.transformed;
    Ok(Transformed::new_transformed(left.data.and(right.data), changed))
}

fn rewrite(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::InList(list) if !list.list.iter().all(is_constant) && !list.expr.is_volatile() => {
            Transformed::yes(one_by_one(list))
        }
        Expr::BinaryExpr(binary) => match nothing_left(&binary) {
            Some(rewritten) => Transformed::yes(rewritten),
            None => Transformed::no(Expr::BinaryExpr(binary)),
        },
        other => Transformed::no(other),
    })
}

fn one_by_one(InList { expr: of, list, negated }: InList) -> Expr {
    let (constants, others): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(is_constant);
    let mut found: Vec<Expr> = others.into_iter().map(|other| (*of).clone().eq(other)).collect();
    if !constants.is_empty() {
        found.push(of.in_list(constants, false));
    }
    let found = any(&mut found);
    if negated { !found } else { found }
}

/// As deep as the logarithm of their number.
fn any(found: &mut [Expr]) -> Expr {
    match found {
        [] => lit(false),
        [one] => std::mem::take(one),
        several => {
            let (left, right) = several.split_at_mut(several.len() / 2);
            any(left).or(any(right))
        }
    }
}

/// What stands for two lists of which the simplifier would leave nothing.
fn nothing_left(BinaryExpr { left, op, right }: &BinaryExpr) -> Option<Expr> {
    // The right one first: chains lean to the left, and most are of one kind.
    let right_negated = is_negated(right)?;
    match op {
        Operator::Or if right_negated && is_negated(left)? => {}
        Operator::And if !right_negated || !is_negated(left)? => {}
        _ => return None,
    }
    let (left, right) = (Members::of(left)?, Members::of(right)?);
    let values = || left.values.iter().chain(&right.values);
    let mut types = values().map(ScalarValue::data_type);
    let first = types.next()?;
    if left.of != right.of || !equals_by_value(&first) || types.any(|other| other != first) {
        return None;
    }
    let is_empty = match (left.negated, right.negated) {
        (false, true) => left.values.is_subset(&right.values),
        (true, false) => right.values.is_subset(&left.values),
        _ => left.values.is_disjoint(&right.values),
    };
    let unknown = lit(ScalarValue::Boolean(None));
    is_empty.then(|| match op {
        Operator::And => left.of.clone().is_null().and(unknown),
        _ => left.of.clone().is_not_null().or(unknown),
    })
}

/// A condition on one expression: to be one of some values, or none of them.
struct Members<'a> {
    of: &'a Expr,
    values: HashSet<ScalarValue>,
    negated: bool,
}

impl<'a> Members<'a> {
    fn of(expr: &'a Expr) -> Option<Self> {
        match expr {
            Expr::InList(InList { expr, list, negated }) => {
                let values = list.iter().map(constant).collect::<Option<_>>()?;
                Some(Members { of: expr, values, negated: *negated })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::NotEq), right }) => {
                let (of, value) = match constant(right) {
                    Some(value) => (left, value),
                    None => (right, constant(left)?),
                };
                Some(Members { of, values: HashSet::from([value]), negated: *op == Operator::NotEq })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (mut left, right) = (Members::of(left)?, Members::of(right)?);
                let negated = *op == Operator::And;
                if left.of != right.of || left.negated != negated || right.negated != negated {
                    return None;
                }
                left.values.extend(right.values);
                Some(left)
            }
            Expr::Not(inner) => {
                let inner = Members::of(inner)?;
                Some(Members { negated: !inner.negated, ..inner })
            }
            _ => None,
        }
    }
}

/// As [`Members`] would have it, from the leftmost of a chain.
fn is_negated(mut expr: &Expr) -> Option<bool> {
    let mut negated = false;
    loop {
        match expr {
            Expr::InList(list) => return Some(negated ^ list.negated),
            Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) => return Some(negated),
            Expr::BinaryExpr(BinaryExpr { op: Operator::NotEq, .. }) => return Some(!negated),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, .. }) => expr = left,
            Expr::Not(inner) => (negated, expr) = (!negated, inner),
            _ => return None,
        }
    }
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(Cast { expr, .. }) => matches!(**expr, Expr::Literal(..)),
        _ => false,
    }
}

/// Its value; None if it is no constant, or NULL.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    let value = match expr {
        Expr::Literal(value, _) => value.clone(),
        Expr::Cast(Cast { expr, field }) => match &**expr {
            Expr::Literal(value, _) => value.cast_to(field.data_type()).ok()?,
            _ => return None,
        },
        _ => return None,
    };
    (!value.is_null()).then_some(value)
}

/// Whether two values of a type are equal only if they are the same: zeros and intervals have several forms.
fn equals_by_value(data_type: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Decimal128, LargeBinary, LargeUtf8, Timestamp, Utf8, Utf8View,
    };
    data_type.is_integer()
        || matches!(
            data_type,
            Utf8 | LargeUtf8
                | Utf8View
                | Binary
                | LargeBinary
                | BinaryView
                | Boolean
                | Date32
                | Decimal128(..)
                | Timestamp(..)
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::common::tree_node::TransformedResult;
    use datafusion::logical_expr::col;

    fn rewritten(expr: Expr) -> String {
        expr.transform_up(rewrite).data().unwrap().to_string()
    }

    fn in_filter(expr: Expr) -> String {
        condition(expr).data().unwrap().to_string()
    }

    fn is_in(values: &[i64]) -> Expr {
        col("a").in_list(values.iter().map(|&value| lit(value)).collect(), false)
    }

    fn is_not_in(values: &[i64]) -> Expr {
        col("a").in_list(values.iter().map(|&value| lit(value)).collect(), true)
    }

    const FALSE_OR_NULL: &str = "a IS NULL AND Boolean(NULL)";
    const TRUE_OR_NULL: &str = "a IS NOT NULL OR Boolean(NULL)";

    #[test]
    fn lists_that_leave_nothing_keep_null() {
        assert_eq!(rewritten(is_in(&[1, 2]).and(is_in(&[3]))), FALSE_OR_NULL);
        assert_eq!(rewritten(is_in(&[1, 2]).and(is_not_in(&[1, 2, 3]))), FALSE_OR_NULL);
        assert_eq!(rewritten(is_not_in(&[1, 2]).and(is_in(&[1]))), FALSE_OR_NULL);
        assert_eq!(rewritten(is_not_in(&[1]).or(is_not_in(&[2]))), TRUE_OR_NULL);
        assert_eq!(rewritten(col("a").not_eq(lit(1i64)).or(is_not_in(&[2]))), TRUE_OR_NULL);
        assert_eq!(rewritten((!is_in(&[1])).or(!is_in(&[2]))), TRUE_OR_NULL);
        let one_or_two = col("a").eq(lit(1i64)).or(lit(2i64).eq(col("a")));
        assert_eq!(rewritten(one_or_two.and(is_in(&[3, 4]))), FALSE_OR_NULL);
    }

    #[test]
    fn others_stay() {
        for expr in [
            is_in(&[1, 2]).and(is_in(&[2])),
            is_in(&[1, 2]).and(is_not_in(&[1])),
            is_not_in(&[1, 2]).or(is_not_in(&[2])),
            is_not_in(&[1]).and(is_not_in(&[2])),
            is_in(&[1]).or(is_in(&[2])),
            is_in(&[1]).or(is_not_in(&[2])),
            is_in(&[1]).and(col("b").in_list(vec![lit(2i64)], false)),
            // Of other types: whether they are equal is not seen.
            is_in(&[1]).and(col("a").in_list(vec![lit(1i32)], false)),
            col("a").eq(lit(0.0)).and(col("a").eq(lit(-0.0))),
        ] {
            assert_eq!(rewritten(expr.clone()), expr.to_string());
        }
    }

    #[test]
    fn what_is_no_constant_is_compared_alone() {
        let list = vec![lit(1i64), col("b"), lit(2i64), col("c")];
        let found = "a = b OR a = c OR a IN ([Int64(1), Int64(2)])";
        assert_eq!(rewritten(col("a").in_list(list.clone(), false)), found);
        assert_eq!(rewritten(col("a").in_list(list, true)), format!("NOT {found}"));
        let many: Vec<Expr> = (0..10_000).map(|at| col(format!("c{at}"))).collect();
        rewritten(col("a").in_list(many, false));
    }

    #[test]
    fn a_filter_may_become_false() {
        let contradiction = is_in(&[1]).and(is_in(&[2]));
        assert_eq!(in_filter(contradiction.clone()), contradiction.to_string());
        assert!(in_filter(!contradiction).contains(FALSE_OR_NULL));
        assert_eq!(in_filter(is_not_in(&[1]).or(is_not_in(&[2])).and(col("b"))), format!("({TRUE_OR_NULL}) AND b"));
    }

    #[test]
    fn a_chain_of_one_kind_stays() {
        let chain = |one: fn(i64) -> Expr, of: fn(Expr, Expr) -> Expr| (0..500).map(one).reduce(of).unwrap();
        let equal = chain(|value| col("a").eq(lit(value)), Expr::or);
        let unequal = chain(|value| col("a").not_eq(lit(value)), Expr::and);
        assert!(!equal.clone().transform_up(rewrite).unwrap().transformed);
        assert!(!unequal.clone().transform_up(rewrite).unwrap().transformed);
        assert_eq!(rewritten(equal.and(unequal)), FALSE_OR_NULL);
    }
}
