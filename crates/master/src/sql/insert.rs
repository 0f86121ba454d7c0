//! INSERT. sqlparser's own has no OVERRIDING, and no conflict targets but columns.

use super::assign::{self, value};
use super::cursor::Cursor;
use super::statement::{ConflictAction, ConflictTarget, Insert, InsertSource, Name, OnConflict, Overriding, Statement};
use super::{query, returning};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::ast::{self, SetExpr};
use sqlparser::tokenizer::Token;

/// `INSERT INTO t [AS a] [(…)] [OVERRIDING …] {DEFAULT VALUES | query} [ON CONFLICT …] [RETURNING …]`.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("INSERT")?;
    cursor.expect_word("INTO")?;
    let table = cursor.relation()?;
    let alias = if cursor.word("AS") { Some(cursor.name()?.text) } else { None };
    let (columns, overriding, source) = if cursor.words(&["DEFAULT", "VALUES"]) {
        (vec![], None, InsertSource::DefaultValues)
    } else {
        let columns = if is_query(cursor) { vec![] } else { cursor.optional_name_list()? };
        (columns, overriding(cursor)?, source(cursor)?)
    };
    let on_conflict = on_conflict(cursor)?;
    let returning = returning::parse(cursor)?;
    Ok(Statement::Insert(Insert { table, alias, columns, overriding, source, on_conflict, returning }))
}

/// True if the parenthesis at the cursor, if it is one, begins a query and not a list of columns.
fn is_query(cursor: &Cursor<'_>) -> bool {
    let nested = |n: usize| cursor.parser.peek_nth_token_ref(n).token == Token::LParen;
    let begins = ["SELECT", "WITH", "TABLE"].iter().any(|word| cursor.peek_word(1, word));
    nested(0) && (begins || nested(1) || cursor.peek_word(1, "VALUES") && nested(2))
}

/// `OVERRIDING {SYSTEM | USER} VALUE`, also of MERGE.
pub(super) fn overriding(cursor: &mut Cursor<'_>) -> SqlResult<Option<Overriding>> {
    if !cursor.word("OVERRIDING") {
        return Ok(None);
    }
    let overriding = if cursor.word("SYSTEM") {
        Overriding::System
    } else if cursor.word("USER") {
        Overriding::User
    } else {
        return Err(cursor.expected("SYSTEM or USER"));
    };
    cursor.expect_word("VALUE")?;
    Ok(Some(overriding))
}

fn source(cursor: &mut Cursor<'_>) -> SqlResult<InsertSource> {
    let at = cursor.position();
    let query = cursor.run(|parser| parser.parse_query())?;
    query::check(&query).map_err(|error| error.at(at))?;
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
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length").at(at));
    }
    let rows = values.rows.into_iter().map(|row| row.content.into_iter().map(value).collect());
    Ok(InsertSource::Values(rows.collect()))
}

fn on_conflict(cursor: &mut Cursor<'_>) -> SqlResult<Option<OnConflict>> {
    let at = cursor.position();
    if !cursor.words(&["ON", "CONFLICT"]) {
        return Ok(None);
    }
    let target = if cursor.words(&["ON", "CONSTRAINT"]) {
        ConflictTarget::Constraint(cursor.name()?)
    } else if *cursor.peek() == Token::LParen {
        ConflictTarget::Columns(conflict_columns(cursor)?)
    } else {
        ConflictTarget::Any
    };
    cursor.expect_word("DO")?;
    if cursor.word("NOTHING") {
        return Ok(Some(OnConflict { target, action: ConflictAction::Nothing }));
    }
    cursor.expect_word("UPDATE")?;
    cursor.expect_word("SET")?;
    let assignments = assign::parse(cursor)?;
    let selection = if cursor.word("WHERE") { Some(query::expression(cursor)?) } else { None };
    if matches!(target, ConflictTarget::Any) {
        let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
        let error = SqlError::new(SqlState::SYNTAX_ERROR, message);
        return Err(error.with_hint("For example, ON CONFLICT (column_name).").at(at));
    }
    Ok(Some(OnConflict { target, action: ConflictAction::Update { assignments, selection } }))
}

/// `(a, b)`: there are no indexes of expressions, none of a part of the rows, and one collation.
fn conflict_columns(cursor: &mut Cursor<'_>) -> SqlResult<Vec<Name>> {
    let unsupported = |cursor: &Cursor<'_>| Err(cursor.unsupported("ON CONFLICT with more than names of columns"));
    cursor.expect_token(&Token::LParen)?;
    if *cursor.peek() == Token::LParen {
        return unsupported(cursor);
    }
    let columns = cursor.list(Cursor::name)?;
    if !cursor.token(&Token::RParen) {
        return if cursor.at_end() { Err(cursor.expected(")")) } else { unsupported(cursor) };
    }
    if cursor.peek_word(0, "WHERE") {
        return Err(cursor.unsupported("ON CONFLICT (...) WHERE"));
    }
    Ok(columns)
}
