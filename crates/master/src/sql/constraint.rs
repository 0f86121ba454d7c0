//! PRIMARY KEY, UNIQUE, CHECK and FOREIGN KEY, of a table or of one of its columns.

use super::cursor::Cursor;
use super::expression;
use super::statement::{CheckSpec, KeySpec, Name};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

pub(super) enum Constraint {
    Key(KeySpec),
    Check(CheckSpec),
    /// Accepted, not kept, as in Greenplum.
    ForeignKey,
}

/// The table's constraint at the cursor, if there is one.
///
/// # Errors
/// 42601, 0A000.
pub(super) fn of_table(cursor: &mut Cursor<'_>) -> SqlResult<Option<Constraint>> {
    let name = name(cursor)?;
    let at = cursor.position();
    if cursor.word("PRIMARY") {
        cursor.expect_word("KEY")?;
        let columns = key_columns(cursor)?;
        return key(cursor, KeySpec { name, columns, primary: true }).map(Some);
    }
    if cursor.word("UNIQUE") {
        nulls_distinct(cursor)?;
        let columns = key_columns(cursor)?;
        return key(cursor, KeySpec { name, columns, primary: false }).map(Some);
    }
    if cursor.word("CHECK") {
        return check(cursor, name, None, at).map(Some);
    }
    if cursor.peek_word(0, "FOREIGN") {
        cursor.run(|parser| parser.parse_optional_table_constraint())?;
        cursor.words(&["NOT", "VALID"]);
        return Ok(Some(Constraint::ForeignKey));
    }
    let using = cursor.peek_word(1, "USING") || cursor.parser.peek_nth_token_ref(1).token == Token::LParen;
    if cursor.peek_word(0, "EXCLUDE") && using {
        return Err(cursor.unsupported("EXCLUDE"));
    }
    match name {
        None => Ok(None),
        Some(_) => Err(cursor.expected("PRIMARY KEY, UNIQUE, CHECK or FOREIGN KEY")),
    }
}

/// The constraint at the cursor of a column that was just named, if there is one that is more than NULL or NOT NULL;
/// `name` was written before it.
///
/// # Errors
/// 42601, 0A000.
pub(super) fn of_column(cursor: &mut Cursor<'_>, name: Option<&Name>, column: &Name) -> SqlResult<Option<Constraint>> {
    let at = cursor.position();
    let name = name.cloned();
    if cursor.words(&["PRIMARY", "KEY"]) {
        return key(cursor, KeySpec { name, columns: vec![column.clone()], primary: true }).map(Some);
    }
    if cursor.word("UNIQUE") {
        nulls_distinct(cursor)?;
        return key(cursor, KeySpec { name, columns: vec![column.clone()], primary: false }).map(Some);
    }
    if cursor.word("CHECK") {
        return check(cursor, name, Some(column.clone()), at).map(Some);
    }
    if cursor.peek_word(0, "REFERENCES") {
        cursor.run(|parser| parser.parse_optional_column_option())?;
        return Ok(Some(Constraint::ForeignKey));
    }
    Ok(None)
}

/// `CONSTRAINT name`, if it is next.
pub(super) fn name(cursor: &mut Cursor<'_>) -> SqlResult<Option<Name>> {
    if cursor.word("CONSTRAINT") { cursor.name().map(Some) } else { Ok(None) }
}

fn nulls_distinct(cursor: &mut Cursor<'_>) -> SqlResult<()> {
    if cursor.peek_word(0, "NULLS") && cursor.peek_word(1, "NOT") {
        return Err(cursor.unsupported("UNIQUE NULLS NOT DISTINCT"));
    }
    cursor.words(&["NULLS", "DISTINCT"]);
    Ok(())
}

fn key_columns(cursor: &mut Cursor<'_>) -> SqlResult<Vec<Name>> {
    if cursor.peek_word(0, "USING") {
        return Err(cursor.unsupported("USING INDEX"));
    }
    cursor.name_list()
}

fn key(cursor: &mut Cursor<'_>, key: KeySpec) -> SqlResult<Constraint> {
    for clause in ["INCLUDE", "WITH", "USING"] {
        if cursor.peek_word(0, clause) {
            return Err(cursor.unsupported(format!("{clause} of a key")));
        }
    }
    attributes(cursor)?;
    Ok(Constraint::Key(key))
}

/// What stands behind CHECK, which stands at `position`.
fn check(cursor: &mut Cursor<'_>, name: Option<Name>, column: Option<Name>, position: usize) -> SqlResult<Constraint> {
    cursor.expect_token(&Token::LParen)?;
    let parsed = cursor.run(|parser| parser.parse_expr())?;
    cursor.expect_token(&Token::RParen)?;
    let expression = expression::check_text(&parsed).map_err(|error| error.at(position))?;
    // There is no inheritance, so NO INHERIT says nothing.
    cursor.words(&["NO", "INHERIT"]);
    attributes(cursor)?;
    Ok(Constraint::Check(CheckSpec { name, expression, column, position }))
}

/// When a constraint is checked: at once, and always.
fn attributes(cursor: &mut Cursor<'_>) -> SqlResult<()> {
    const REFUSED: [&[&str]; 4] =
        [&["DEFERRABLE"], &["INITIALLY", "DEFERRED"], &["NOT", "VALID"], &["NOT", "ENFORCED"]];
    const USUAL: [&[&str]; 3] = [&["NOT", "DEFERRABLE"], &["INITIALLY", "IMMEDIATE"], &["ENFORCED"]];
    loop {
        let at = cursor.position();
        if let Some(words) = REFUSED.into_iter().find(|words| cursor.words(words)) {
            let message = format!("a constraint that is {} is not supported", words.join(" "));
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at));
        }
        if !USUAL.into_iter().any(|words| cursor.words(words)) {
            return Ok(());
        }
    }
}
