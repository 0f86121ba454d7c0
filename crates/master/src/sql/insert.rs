//! INSERT.

use super::cursor::Cursor;
use super::statement::{Insert, InsertSource, InsertValue, Statement};
use super::{names, query};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, Expr, SetExpr, TableObject};

pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let at = cursor.position();
    let ast::Statement::Insert(insert) = cursor.run(|parser| parser.parse_statement())? else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "an INSERT was expected").at(at));
    };
    let unsupported =
        |what: &str| Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).at(at));
    if !insert.into || insert.overwrite || insert.or.is_some() || insert.has_table_keyword {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "an INSERT begins with INSERT INTO and a table").at(at));
    }
    if insert.on.is_some() {
        return unsupported("INSERT ... ON CONFLICT");
    }
    if insert.returning.is_some() {
        return unsupported("INSERT ... RETURNING");
    }
    if insert.partitioned.is_some() || !insert.assignments.is_empty() || insert.settings.is_some() {
        return unsupported("this form of INSERT");
    }
    let TableObject::TableName(object) = &insert.table else {
        return unsupported("INSERT into something that is not a table");
    };
    let table = names::relation(cursor.text, object)?;
    let mut columns = Vec::with_capacity(insert.columns.len());
    for column in &insert.columns {
        match column.0.as_slice() {
            [ast::ObjectNamePart::Identifier(ident)] => columns.push(names::name(cursor.text, ident)?),
            _ => {
                let message = format!("\"{column}\" is not a column's name");
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(table.position));
            }
        }
    }
    let source = match insert.source {
        None => InsertSource::DefaultValues,
        Some(query) => source(query).map_err(|error| error.at(at))?,
    };
    Ok(Statement::Insert(Insert { table, columns, source }))
}

fn source(query: Box<ast::Query>) -> SqlResult<InsertSource> {
    query::check(&query)?;
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && matches!(query.body.as_ref(), SetExpr::Values(_));
    if !plain {
        return Ok(InsertSource::Query(Box::new(ast::Statement::Query(query))));
    }
    let SetExpr::Values(values) = *query.body else { return Ok(InsertSource::DefaultValues) };
    let width = values.rows.first().map_or(0, |row| row.content.len());
    if values.rows.iter().any(|row| row.content.len() != width) {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
    }
    let rows = values.rows.into_iter().map(|row| row.content.into_iter().map(value).collect());
    Ok(InsertSource::Values(rows.collect()))
}

pub(super) fn value(expression: Expr) -> InsertValue {
    match &expression {
        Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("DEFAULT") => {
            InsertValue::Default
        }
        _ => InsertValue::Expr(expression),
    }
}
