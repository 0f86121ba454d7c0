//! SHOW, SET, RESET, ALTER SYSTEM, ANALYZE, VACUUM.

use super::backup;
use super::cursor::Cursor;
use super::statement::{AlterSystem, SetSetting, ShowTarget, Statement, TransactionStatement};
use super::transaction;
use crate::error::SqlResult;
use sqlparser::tokenizer::Token;

/// A setting's name: `search_path`, `my.setting`, or one of SQL's own phrases.
fn name(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    if cursor.words(&["TIME", "ZONE"]) {
        return Ok("timezone".into());
    }
    if cursor.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".into());
    }
    if cursor.words(&["SESSION", "AUTHORIZATION"]) {
        return Ok("session_authorization".into());
    }
    let mut name = cursor.name()?.text.to_ascii_lowercase();
    while cursor.token(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.name()?.text.to_ascii_lowercase());
    }
    Ok(name)
}

pub(super) fn show(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("SHOW")?;
    if cursor.peek_word(0, "BACKUPS") && cursor.peek_word(1, "IN") {
        return backup::show_backups(cursor);
    }
    if cursor.word("ALL") {
        return Ok(Statement::Show(ShowTarget::All));
    }
    Ok(Statement::Show(ShowTarget::Name(name(cursor)?)))
}

pub(super) fn reset(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("RESET")?;
    if cursor.word("ALL") {
        return Ok(Statement::Reset(None));
    }
    Ok(Statement::Reset(Some(name(cursor)?)))
}

pub(super) fn set(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("SET")?;
    if cursor.words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return characteristics(cursor);
    }
    if cursor.peek_word(0, "TRANSACTION") && !cursor.peek_word(1, "TO") {
        cursor.word("TRANSACTION");
        return transaction::set(cursor);
    }
    let local = cursor.word("LOCAL");
    if !local && !cursor.peek_word(1, "AUTHORIZATION") {
        cursor.word("SESSION");
    }
    // `SET ROLE r` and `SET SESSION AUTHORIZATION r` have nothing between.
    let role = cursor.peek_word(0, "ROLE");
    if role || cursor.peek_word(0, "SESSION") && cursor.peek_word(1, "AUTHORIZATION") {
        let name = name(cursor)?;
        if !cursor.token(&Token::Eq) {
            cursor.word("TO");
        }
        let none = cursor.word("DEFAULT") || role && cursor.word("NONE");
        let value = match (none, cursor.string()) {
            (true, _) => None,
            (false, Some(role)) => Some(role),
            (false, None) => Some(cursor.name()?.text),
        };
        return Ok(Statement::Set(SetSetting { local, name, value }));
    }
    let time_zone = cursor.peek_word(0, "TIME") && cursor.peek_word(1, "ZONE");
    let name = name(cursor)?;
    // `SET TIME ZONE 'UTC'` has nothing between.
    if !cursor.token(&Token::Eq) && !cursor.word("TO") && !time_zone {
        return Err(cursor.expected("TO or ="));
    }
    let value = if cursor.word("DEFAULT") { None } else { Some(cursor.list(value)?.join(", ")) };
    Ok(Statement::Set(SetSetting { local, name, value }))
}

/// What stands after ALTER SYSTEM.
pub(super) fn alter_system(cursor: &mut Cursor<'_>) -> SqlResult<AlterSystem> {
    if cursor.word("RESET") {
        return Ok(AlterSystem { name: name(cursor)?, value: None });
    }
    cursor.expect_word("SET")?;
    let name = name(cursor)?;
    if !cursor.token(&Token::Eq) && !cursor.word("TO") {
        return Err(cursor.expected("TO or ="));
    }
    let value = if cursor.word("DEFAULT") { None } else { Some(value(cursor)?) };
    Ok(AlterSystem { name, value })
}

/// One value of a setting as text: a word, a number with its sign, or a string.
fn value(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    if let Some(value) = cursor.string() {
        return Ok(value);
    }
    let sign = if cursor.token(&Token::Minus) { "-" } else { "" };
    let value = match cursor.peek() {
        Token::Number(digits, _) => format!("{sign}{digits}"),
        Token::Word(word) if sign.is_empty() => match word.quote_style {
            Some(_) => word.value.clone(),
            None => word.value.to_ascii_lowercase(),
        },
        _ => return Err(cursor.expected("a value")),
    };
    cursor.parser.advance_token();
    Ok(value)
}

/// `ISOLATION LEVEL …`, or `READ ONLY` and its contrary, for the session's transactions.
fn characteristics(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let Statement::Transaction(TransactionStatement::Set(modes)) = transaction::set(cursor)? else {
        return Err(cursor.unexpected());
    };
    let (name, value) = match (modes.isolation, modes.read_only) {
        (Some(isolation), None) => ("default_transaction_isolation", isolation.name()),
        (None, Some(read_only)) => ("default_transaction_read_only", if read_only { "on" } else { "off" }),
        _ => return Err(cursor.unsupported("SET SESSION CHARACTERISTICS with several modes at once")),
    };
    Ok(Statement::Set(SetSetting { local: false, name: name.into(), value: Some(value.into()) }))
}

pub(super) fn analyze(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.parser.advance_token();
    cursor.word("VERBOSE");
    cursor.word("ROOTPARTITION");
    if cursor.at_end() {
        return Ok(Statement::Analyze(None));
    }
    let table = cursor.relation()?;
    // All columns' statistics are kept: naming some changes nothing.
    cursor.optional_name_list()?;
    Ok(Statement::Analyze(Some(table)))
}

pub(super) fn vacuum(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("VACUUM")?;
    cursor.optional_name_list()?;
    for word in ["FULL", "FREEZE", "VERBOSE", "ANALYZE"] {
        cursor.word(word);
    }
    if cursor.at_end() {
        return Ok(Statement::Vacuum(None));
    }
    Ok(Statement::Vacuum(Some(cursor.relation()?)))
}
