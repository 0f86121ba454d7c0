//! `SET a = 1, (b, c) = (2, DEFAULT)`, of UPDATE, ON CONFLICT and MERGE.

use super::cursor::Cursor;
use super::set_returning::refuse_sets;
use super::statement::{InsertValue, Name};
use super::{names, query};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, AssignmentTarget, Expr, SelectItem, SetExpr};
use sqlparser::parser::Parser;

/// The list at the cursor, behind SET.
///
/// # Errors
/// 42601, 0A000.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Vec<(Name, InsertValue)>> {
    let at = cursor.position();
    let list = cursor.run(|parser| parser.parse_comma_separated(Parser::parse_assignment))?;
    assignments(cursor, list, at)
}

/// Each column with its value. Errors that have no place of their own are at `at`.
///
/// # Errors
/// 42601, 0A000.
pub(super) fn assignments(
    cursor: &Cursor<'_>,
    list: Vec<ast::Assignment>,
    at: usize,
) -> SqlResult<Vec<(Name, InsertValue)>> {
    query::check_inside(&list)
        .and_then(|()| list.iter().try_for_each(|assignment| refuse_sets(&assignment.value, "UPDATE")))
        .map_err(|error| error.at(at))?;
    let mut assignments = vec![];
    for assignment in list {
        match assignment.target {
            AssignmentTarget::ColumnName(column) => {
                assignments.push((column_name(cursor, &column, at)?, value(assignment.value)));
            }
            AssignmentTarget::Tuple(columns) => {
                let values = row_values(assignment.value, columns.len()).map_err(|error| error.at(at))?;
                for (column, value) in columns.iter().zip(values) {
                    assignments.push((column_name(cursor, column, at)?, value));
                }
            }
        }
    }
    Ok(assignments)
}

/// A value of VALUES or SET.
pub(super) fn value(expression: Expr) -> InsertValue {
    match &expression {
        Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("DEFAULT") => {
            InsertValue::Default
        }
        _ => InsertValue::Expr(expression),
    }
}

fn column_name(cursor: &Cursor<'_>, column: &ast::ObjectName, at: usize) -> SqlResult<Name> {
    match column.0.as_slice() {
        [ast::ObjectNamePart::Identifier(ident)] => names::name(cursor.text, ident),
        _ => {
            let error = SqlError::new(SqlState::SYNTAX_ERROR, format!("\"{column}\" is not a column's name"));
            Err(error.with_hint("SET names columns without their table.").at(at))
        }
    }
}

/// The values of `(a, b) = …`, a row or a subquery.
fn row_values(row: Expr, columns: usize) -> SqlResult<Vec<InsertValue>> {
    let values: Vec<InsertValue> = match row {
        Expr::Tuple(values) => values.into_iter().map(value).collect(),
        Expr::Nested(only) => vec![value(*only)],
        Expr::Subquery(query) => {
            query::check(&query)?;
            one_column_each(&query)?
        }
        _ => return Err(unsupported("SET of several columns to something that is neither a row nor a subquery")),
    };
    if values.len() != columns {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "number of columns does not match number of values"));
    }
    Ok(values)
}

/// The subquery once for each of its columns.
fn one_column_each(query: &ast::Query) -> SqlResult<Vec<InsertValue>> {
    let unsupported = || unsupported("this subquery as the value of several columns");
    let SetExpr::Select(select) = query.body.as_ref() else { return Err(unsupported()) };
    let is_plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    // Each column would be asked of another row.
    if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return Err(unsupported());
    }
    if select.distinct.is_some() || !select.projection.iter().all(is_plain) {
        return Err(unsupported());
    }
    let column = |item: &SelectItem| {
        let mut query = query.clone();
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![item.clone()];
        }
        InsertValue::Expr(Expr::Subquery(Box::new(query)))
    };
    Ok(select.projection.iter().map(column).collect())
}

fn unsupported(what: &str) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
}
