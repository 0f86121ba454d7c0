//! How much of a relation a predicate leaves.

use super::estimate::{ColumnEstimate, RelationEstimate};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};
use datafusion::scalar::ScalarValue;

/// For what cannot be estimated.
const UNKNOWN: f64 = 0.25;
/// `LIKE '%x%'`.
const CONTAINS: f64 = 0.1;
/// `LIKE 'x%'`.
const PREFIX: f64 = 0.05;
/// An inequality whose bounds are unknown.
const RANGE: f64 = 1.0 / 3.0;

/// Share of rows, 0 to 1, for which `predicate` is true.
pub(super) fn selectivity(predicate: &Expr, relation: &RelationEstimate) -> f64 {
    let share = match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => both(left, right, relation),
            Operator::Or => {
                let (l, r) = (selectivity(left, relation), selectivity(right, relation));
                l + r - l * r
            }
            _ => comparison(left, *op, right, relation),
        },
        Expr::Not(inner) => 1.0 - selectivity(inner, relation),
        Expr::IsNull(_) => 0.05,
        Expr::IsNotNull(_) => 0.95,
        Expr::Like(Like { negated, pattern, .. }) => {
            let is_prefix = matches!(pattern.as_ref(), Expr::Literal(v, _) if !text_of(v).starts_with('%'));
            let share = if is_prefix { PREFIX } else { CONTAINS };
            if *negated { 1.0 - share } else { share }
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let above = comparison(expr, Operator::GtEq, low, relation);
            let below = comparison(expr, Operator::LtEq, high, relation);
            let share = (above + below - 1.0).max(above * below * 0.1);
            if *negated { 1.0 - share } else { share }
        }
        Expr::InList(list) => {
            let distinct = column_of(&list.expr).and_then(|c| relation.columns.get(c)).map(|c| c.distinct);
            let share = distinct.map_or(UNKNOWN, |d| list.list.len() as f64 / d.max(1.0));
            if list.negated { 1.0 - share } else { share }
        }
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => f64::from(u8::from(*value)),
        _ => UNKNOWN,
    };
    share.clamp(0.000_001, 1.0)
}

/// Two bounds of one column belong together; other predicates are taken for independent.
fn both(left: &Expr, right: &Expr, relation: &RelationEstimate) -> f64 {
    let (l, r) = (selectivity(left, relation), selectivity(right, relation));
    let bound = |e: &Expr| match e {
        Expr::BinaryExpr(BinaryExpr { left, op, .. }) => {
            let lower = matches!(op, Operator::Gt | Operator::GtEq);
            let upper = matches!(op, Operator::Lt | Operator::LtEq);
            (lower || upper).then(|| column_of(left).cloned().map(|c| (c, lower))).flatten()
        }
        _ => None,
    };
    match (bound(left), bound(right)) {
        (Some((a, lower_a)), Some((b, lower_b))) if a == b && lower_a != lower_b => (l + r - 1.0).max(l * r * 0.1),
        _ => l * r,
    }
}

fn comparison(left: &Expr, op: Operator, right: &Expr, relation: &RelationEstimate) -> f64 {
    let (column, op, value) = match (column_of(left), right, column_of(right), left) {
        (Some(column), Expr::Literal(value, _), _, _) => (column, op, value),
        (_, _, Some(column), Expr::Literal(value, _)) => match op.swap() {
            Some(op) => (column, op, value),
            None => return UNKNOWN,
        },
        _ => return if op == Operator::Eq { 0.1 } else { RANGE },
    };
    let Some(estimate) = relation.columns.get(column) else { return UNKNOWN };
    match op {
        Operator::Eq => 1.0 / estimate.distinct.max(1.0),
        Operator::NotEq => 1.0 - 1.0 / estimate.distinct.max(1.0),
        Operator::Lt | Operator::LtEq => below(estimate, value),
        Operator::Gt | Operator::GtEq => 1.0 - below(estimate, value),
        _ => UNKNOWN,
    }
}

/// Share of values below a bound, taking them for evenly spread.
fn below(column: &ColumnEstimate, value: &ScalarValue) -> f64 {
    match (column.min, column.max, number_of(value)) {
        (Some(min), Some(max), Some(value)) if max > min => ((value - min) / (max - min)).clamp(0.0, 1.0),
        _ => RANGE,
    }
}

/// The column under casts.
pub(super) fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Cast(cast) => column_of(&cast.expr),
        Expr::TryCast(cast) => column_of(&cast.expr),
        _ => None,
    }
}

/// A value on a line, for ranges: numbers as they are, dates and times by their count.
pub(super) fn number_of(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Date32(v) => v.map(f64::from),
        ScalarValue::Decimal64(v, _, scale) => v.map(|v| v as f64 / 10f64.powi(i32::from(*scale))),
        ScalarValue::Decimal128(v, _, scale) => v.map(|v| v as f64 / 10f64.powi(i32::from(*scale))),
        ScalarValue::TimestampMicrosecond(v, _) => v.map(|v| v as f64),
        other if other.data_type().is_numeric() => match other.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(v)) => v,
            _ => None,
        },
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> String {
    value.try_as_str().flatten().unwrap_or_default().to_owned()
}
