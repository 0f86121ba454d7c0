//! EXPLAIN.

use super::cursor::Cursor;
use super::distributed::Clauses;
use super::parse::statement;
use super::statement::{Explain, ExplainFormat, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::Token;

pub(super) fn parse(cursor: &mut Cursor<'_>, clauses: Clauses) -> SqlResult<Statement> {
    cursor.expect_word("EXPLAIN")?;
    let (mut analyze, mut verbose, mut format, mut costs) = (false, false, ExplainFormat::Text, true);
    // `(` begins options unless it begins a query.
    let options = *cursor.peek() == Token::LParen
        && !["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| cursor.peek_word(1, word))
        && cursor.parser.peek_nth_token_ref(1).token != Token::LParen;
    if options {
        cursor.expect_token(&Token::LParen)?;
        loop {
            let option = cursor.name()?;
            match option.text.as_str() {
                "analyze" | "analyse" => analyze = flag(cursor)?,
                "verbose" => verbose = flag(cursor)?,
                "format" => format = self::format(cursor)?,
                "costs" => costs = flag(cursor)?,
                // What they ask for is shown with ANALYZE anyway.
                "timing" | "summary" | "slicetable" | "memory" => {
                    flag(cursor)?;
                }
                "buffers" | "settings" | "wal" => {
                    if flag(cursor)? {
                        let message = format!("EXPLAIN option \"{}\" is not supported", option.text);
                        let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message);
                        return Err(error.with_hint("ANALYZE shows what was read and sent.").at(option.position));
                    }
                }
                other => {
                    let message = format!("unrecognized EXPLAIN option \"{other}\"");
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(option.position));
                }
            }
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        analyze = cursor.word("ANALYZE") || cursor.word("ANALYSE");
        verbose = cursor.word("VERBOSE");
    }
    let at = cursor.position();
    if cursor.peek_word(0, "EXPLAIN") {
        return Err(cursor.unexpected());
    }
    let statement = statement(cursor, clauses)?;
    let is_planned = matches!(
        statement,
        Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Modify(_)
            | Statement::Merge(_)
            | Statement::CreateTableAs(_)
    );
    if !is_planned {
        let message = "EXPLAIN is for queries, INSERT, UPDATE, DELETE, MERGE and CREATE TABLE AS";
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at));
    }
    Ok(Statement::Explain(Explain { analyze, verbose, format, costs, statement: Box::new(statement) }))
}

/// A boolean option's value; none is true.
fn flag(cursor: &mut Cursor<'_>) -> SqlResult<bool> {
    for (word, value) in [("TRUE", true), ("ON", true), ("FALSE", false), ("OFF", false)] {
        if cursor.word(word) {
            return Ok(value);
        }
    }
    match cursor.peek() {
        Token::Number(digits, _) if digits == "0" || digits == "1" => {
            let value = digits == "1";
            cursor.parser.advance_token();
            Ok(value)
        }
        Token::Comma | Token::RParen => Ok(true),
        _ => Err(cursor.expected("true or false")),
    }
}

fn format(cursor: &mut Cursor<'_>) -> SqlResult<ExplainFormat> {
    let at = cursor.position();
    let value = match cursor.string() {
        Some(value) => value,
        None => cursor.name()?.text,
    };
    match value.to_ascii_lowercase().as_str() {
        "text" => Ok(ExplainFormat::Text),
        "json" => Ok(ExplainFormat::Json),
        other => {
            let message = format!("unrecognized value for EXPLAIN option \"format\": \"{other}\"");
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint("It is text or json.").at(at))
        }
    }
}
