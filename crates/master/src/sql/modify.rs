//! UPDATE and DELETE.

use super::cursor::Cursor;
use super::insert::value;
use super::names::{self, fold};
use super::query;
use super::statement::{InsertValue, Modify, Name, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, AssignmentTarget, Expr, FromTable, SelectItem, SetExpr, TableFactor, UpdateTableFromKind};

/// `DELETE FROM t [AS a] [USING …] [WHERE …]`.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let at = cursor.position();
    let ast::Statement::Delete(delete) = cursor.run(|parser| parser.parse_statement())? else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "a DELETE was expected").at(at));
    };
    let FromTable::WithFromKeyword(from) = delete.from else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "a DELETE begins with DELETE FROM and a table").at(at));
    };
    if delete.returning.is_some() {
        return Err(unsupported("DELETE ... RETURNING").at(at));
    }
    if !delete.tables.is_empty() || delete.output.is_some() || !delete.order_by.is_empty() || delete.limit.is_some() {
        return Err(unsupported("this form of DELETE").at(at));
    }
    let [target] = from.as_slice() else { return Err(unsupported("DELETE FROM several tables").at(at)) };
    modify(cursor, at, target, None, delete.using.unwrap_or_default(), delete.selection)
}

/// `UPDATE t [AS a] SET … [FROM …] [WHERE …]`.
pub(super) fn update(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let at = cursor.position();
    let ast::Statement::Update(update) = cursor.run(|parser| parser.parse_statement())? else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "an UPDATE was expected").at(at));
    };
    if update.returning.is_some() {
        return Err(unsupported("UPDATE ... RETURNING").at(at));
    }
    if update.or.is_some() || update.output.is_some() || !update.order_by.is_empty() || update.limit.is_some() {
        return Err(unsupported("this form of UPDATE").at(at));
    }
    let from = match update.from {
        None => vec![],
        Some(UpdateTableFromKind::AfterSet(from)) => from,
        Some(UpdateTableFromKind::BeforeSet(_)) => {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "FROM comes after SET").at(at));
        }
    };
    let mut assignments = vec![];
    for assignment in update.assignments {
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
    modify(cursor, at, &update.table, Some(assignments), from, update.selection)
}

fn modify(
    cursor: &Cursor<'_>,
    at: usize,
    target: &ast::TableWithJoins,
    assignments: Option<Vec<(Name, InsertValue)>>,
    from: Vec<ast::TableWithJoins>,
    selection: Option<Expr>,
) -> SqlResult<Statement> {
    let TableFactor::Table { name, alias, args: None, sample: None, version: None, .. } = &target.relation else {
        return Err(unsupported("UPDATE or DELETE of something that is not a table").at(at));
    };
    if !target.joins.is_empty() {
        let error = SqlError::new(SqlState::SYNTAX_ERROR, "a join cannot be updated");
        return Err(error.with_hint("Name the other tables after FROM or USING.").at(at));
    }
    if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
        return Err(unsupported("new names for the columns of an updated table").at(at));
    }
    let table = names::relation(cursor.text, name)?;
    let alias = alias.as_ref().map(|alias| fold(&alias.name));
    Ok(Statement::Modify(Box::new(Modify { table, alias, assignments, from, selection })))
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
