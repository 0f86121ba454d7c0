//! UPDATE and DELETE.

use super::assign;
use super::cursor::Cursor;
use super::names::{self, fold};
use super::query;
use super::statement::{Modify, RelationName, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, FromTable, TableFactor, UpdateTableFromKind};

/// `DELETE FROM t [AS a] [USING …] [WHERE …] [RETURNING …]`.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let at = cursor.position();
    let ast::Statement::Delete(delete) = cursor.run(|parser| parser.parse_statement())? else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "a DELETE was expected").at(at));
    };
    let FromTable::WithFromKeyword(tables) = delete.from else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "a DELETE begins with DELETE FROM and a table").at(at));
    };
    if !delete.tables.is_empty() || delete.output.is_some() || !delete.order_by.is_empty() || delete.limit.is_some() {
        return Err(unsupported("this form of DELETE").at(at));
    }
    let [table] = tables.as_slice() else { return Err(unsupported("DELETE FROM several tables").at(at)) };
    let (table, alias) = target(cursor, at, table)?;
    let from = delete.using.unwrap_or_default();
    let (selection, returning) = (delete.selection, delete.returning);
    checked(Modify { with: None, table, alias, assignments: None, from, selection, returning }, at)
}

/// `UPDATE t [AS a] SET … [FROM …] [WHERE …] [RETURNING …]`.
pub(super) fn update(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let at = cursor.position();
    let ast::Statement::Update(update) = cursor.run(|parser| parser.parse_statement())? else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "an UPDATE was expected").at(at));
    };
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
    let assignments = Some(assign::assignments(cursor, update.assignments, at)?);
    let (table, alias) = target(cursor, at, &update.table)?;
    let (selection, returning) = (update.selection, update.returning);
    checked(Modify { with: None, table, alias, assignments, from, selection, returning }, at)
}

/// The table that is changed, and its alias.
fn target(cursor: &Cursor<'_>, at: usize, target: &ast::TableWithJoins) -> SqlResult<(RelationName, Option<String>)> {
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
    Ok((names::relation(cursor.text, name)?, alias.as_ref().map(|alias| fold(&alias.name))))
}

fn checked(modify: Modify, at: usize) -> SqlResult<Statement> {
    query::check_inside(&modify.from)
        .and_then(|()| query::check_inside(&modify.selection))
        .and_then(|()| query::check_inside(&modify.returning))
        .map_err(|error| error.at(at))?;
    Ok(Statement::Modify(Box::new(modify)))
}

fn unsupported(what: &str) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
}
