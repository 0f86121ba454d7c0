//! Comparisons of rows, `(a, b) = (c, d)`, as comparisons of their columns: DataFusion compares structs, for which NULL is a value.

use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::calls_sequence;
use crate::sql::walk_mut;
use sqlparser::ast::{self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, VisitorMut};
use std::ops::ControlFlow;

/// Columns of a row that is compared: each is written out several times by `<` and its like.
const COLUMNS_MAX: usize = 64;

/// Writes out every comparison of rows, and IS NULL of one.
///
/// # Errors
/// 42601 for rows of different lengths; 0A000 for `t.* IS NULL`, and for rows compared by another operator; 54001.
pub(super) fn compare_rows(statement: &mut ast::Statement) -> SqlResult<()> {
    match walk_mut(statement, &mut Rows) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rows;

impl VisitorMut for Rows {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match written_out(expr) {
            Ok(None) => {}
            Ok(Some(columns)) => *expr = Expr::Nested(Box::new(columns)),
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn written_out(expr: &Expr) -> SqlResult<Option<Expr>> {
    match expr {
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) => compared(&left, op, &right).map(Some),
            _ => Ok(None),
        },
        Expr::InList { expr, list, negated } => {
            let Some(left) = row(expr) else { return Ok(None) };
            let equal = |other: &Expr| match row(other) {
                Some(right) => compared(&left, &BinaryOperator::Eq, &right),
                None => Err(SqlError::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions")),
            };
            let equal = list.iter().map(equal).collect::<SqlResult<Vec<_>>>()?;
            let Some(any) = all(equal, BinaryOperator::Or) else { return Ok(None) };
            Ok(Some(if *negated { not(any) } else { any }))
        }
        Expr::IsNull(inner) => match row(inner) {
            Some(columns) => Ok(all(columns.into_iter().map(|c| Expr::IsNull(Box::new(c))), BinaryOperator::And)),
            None => refuse_wildcard(inner),
        },
        Expr::IsNotNull(inner) => match row(inner) {
            Some(columns) => Ok(all(columns.into_iter().map(|c| Expr::IsNotNull(Box::new(c))), BinaryOperator::And)),
            None => refuse_wildcard(inner),
        },
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => match (row(left), row(right)) {
            (Some(left), Some(right)) => {
                same_length(&left, &right)?;
                let distinct = left.into_iter().zip(right).map(|(a, b)| Expr::IsDistinctFrom(Box::new(a), Box::new(b)));
                let any = all(distinct, BinaryOperator::Or);
                let negated = matches!(expr, Expr::IsNotDistinctFrom(..));
                Ok(any.map(|any| if negated { not(any) } else { any }))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn refuse_wildcard(expr: &Expr) -> SqlResult<Option<Expr>> {
    match expr {
        Expr::QualifiedWildcard(..) | Expr::Wildcard(_) => {
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "IS NULL of a whole row is not supported")
                .with_hint("Name its columns: (a, b) IS NULL."))
        }
        Expr::Nested(inner) => refuse_wildcard(inner),
        _ => Ok(None),
    }
}

/// The columns of `(a, b)` and `row(a, b)`.
fn row(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(columns) => Some(columns.clone()),
        Expr::Nested(inner) => row(inner),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let column = |argument: &FunctionArg| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            };
            list.args.iter().map(column).collect()
        }
        _ => None,
    }
}

fn same_length(left: &[Expr], right: &[Expr]) -> SqlResult<()> {
    if left.len() != right.len() || left.is_empty() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"));
    }
    if left.len() > COLUMNS_MAX {
        let message = format!("rows of more than {COLUMNS_MAX} columns are compared");
        return Err(SqlError::new(SqlState::TOO_COMPLEX, message));
    }
    Ok(())
}

fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> SqlResult<Expr> {
    if let Some(name) = left.iter().chain(right).find_map(calls_sequence) {
        let message = format!("{name} in a row that is compared is not supported");
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    same_length(left, right)?;
    let pairs = || left.iter().zip(right);
    let each = |op: &BinaryOperator, join| all(pairs().map(|(a, b)| binary(a, op.clone(), b)), join);
    let written = match op {
        BinaryOperator::Eq => each(op, BinaryOperator::And),
        BinaryOperator::NotEq => each(op, BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::Gt => in_order(left, op, op, right),
        BinaryOperator::LtEq => in_order(left, &BinaryOperator::Lt, op, right),
        BinaryOperator::GtEq => in_order(left, &BinaryOperator::Gt, op, right),
        other => {
            let message = format!("rows are not compared by {other}");
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
    };
    written.ok_or_else(|| crate::error::internal("a row without columns"))
}

/// `a < c OR (a = c AND b <= d)`: the first columns that differ decide.
fn in_order(left: &[Expr], strict: &BinaryOperator, last: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    let mut pairs = left.iter().zip(right).rev();
    let (a, b) = pairs.next()?;
    let rest = binary(a, last.clone(), b);
    Some(pairs.fold(rest, |rest, (a, b)| {
        let equal = binary(&binary(a, BinaryOperator::Eq, b), BinaryOperator::And, &Expr::Nested(Box::new(rest)));
        binary(&binary(a, strict.clone(), b), BinaryOperator::Or, &Expr::Nested(Box::new(equal)))
    }))
}

fn all(parts: impl IntoIterator<Item = Expr>, op: BinaryOperator) -> Option<Expr> {
    let nested = parts.into_iter().map(|part| Expr::Nested(Box::new(part)));
    nested.reduce(|left, right| binary(&left, op.clone(), &right))
}

fn binary(left: &Expr, op: BinaryOperator, right: &Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right.clone()) }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: ast::UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn written(condition: &str) -> Result<String, SqlState> {
        let text = format!("SELECT 1 FROM t WHERE {condition}");
        let sql::Statement::Query(mut query) = sql::parse(&text).unwrap() else { panic!("{text} is a query") };
        compare_rows(&mut query).map_err(|e| e.state)?;
        Ok(query.to_string().split_once("WHERE ").unwrap().1.to_owned())
    }

    #[test]
    fn rows_are_compared_column_by_column() {
        for (condition, wanted) in [
            ("(a, b) = (c, 1)", "((a = c) AND (b = 1))"),
            ("row(a, b) <> (c, 1)", "((a <> c) OR (b <> 1))"),
            ("(a, b) <= (c, d)", "(a < c OR (a = c AND (b <= d)))"),
            ("(a, b) NOT IN ((1, 2))", "(NOT (((a = 1) AND (b = 2))))"),
            ("(a, b) IS NULL", "((a IS NULL) AND (b IS NULL))"),
            ("row(a) IS NOT NULL", "((a IS NOT NULL))"),
        ] {
            assert_eq!(written(condition).unwrap(), wanted, "{condition}");
        }
        assert_eq!(written("a = b AND c IN (1, 2)").unwrap(), "a = b AND c IN (1, 2)");
        assert_eq!(written("(a, b) = (1, 2, 3)"), Err(SqlState::SYNTAX_ERROR));
        assert_eq!(written("t.* IS NOT NULL"), Err(SqlState::FEATURE_NOT_SUPPORTED));
    }
}
