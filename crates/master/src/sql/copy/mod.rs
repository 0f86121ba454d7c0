//! COPY. Parsed here and not by sqlparser, which does not know `FORMAT parquet`.

mod client;
mod encoding;
mod format;
mod options;
mod reject;

pub use client::{ClientCopy, ClientFormat, ClientRows, client_copy};
pub use format::format_of_name;

use super::cursor::Cursor;
use super::query;
use super::statement::{CopyFrom, CopySource, Name, RelationName, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use options::Options;
use sqlparser::tokenizer::Token;

pub(super) fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("COPY")?;
    let source = if cursor.token(&Token::LParen) {
        let query = query::parse(cursor)?;
        cursor.expect_token(&Token::RParen)?;
        CopySource::Query(query)
    } else {
        let table = cursor.relation()?;
        CopySource::Table { table, columns: cursor.optional_name_list()? }
    };
    let at = cursor.position();
    let from = cursor.word("FROM");
    if !from && !cursor.word("TO") {
        return Err(cursor.expected("FROM or TO"));
    }
    for stream in ["STDIN", "STDOUT", "PROGRAM"] {
        if cursor.peek_word(0, stream) {
            let hint = "Name a file, a directory or a URL.";
            return Err(cursor.unsupported(format!("COPY with {stream}")).with_hint(hint));
        }
    }
    match (from, source) {
        (true, CopySource::Table { table, columns }) => {
            let sources = sources(cursor)?;
            let options = Options::parse(cursor)?;
            options.copy_from(table, columns, sources).map(Statement::CopyFrom)
        }
        (true, CopySource::Query(_)) => {
            Err(SqlError::new(SqlState::SYNTAX_ERROR, "COPY ... FROM needs a table, not a query").at(at))
        }
        (false, source) => {
            let path = place(cursor, "a path or URL in quotes")?;
            let options = Options::parse(cursor)?;
            options.copy_to(source, path).map(Statement::CopyTo)
        }
    }
}

/// `FORMAT 'csv' (options) …` of an external table at `locations`, and the columns of its PARTITION BY.
pub(super) fn external_options(
    cursor: &mut Cursor<'_>,
    table: RelationName,
    locations: Vec<String>,
    writable: bool,
) -> SqlResult<(CopyFrom, Vec<Name>)> {
    let options = Options::of_external(cursor)?;
    match writable {
        true => options.written(table, locations),
        false => Ok((options.copy_from(table, vec![], locations)?, vec![])),
    }
}

/// `'a'` or `('a', 'b')`.
fn sources(cursor: &mut Cursor<'_>) -> SqlResult<Vec<String>> {
    let what = "a path or URL in quotes";
    if !cursor.token(&Token::LParen) {
        return Ok(vec![place(cursor, what)?]);
    }
    let sources = cursor.list(|cursor| place(cursor, what))?;
    cursor.expect_token(&Token::RParen)?;
    Ok(sources)
}

fn place(cursor: &mut Cursor<'_>, what: &str) -> SqlResult<String> {
    let at = cursor.position();
    let place = cursor.string().ok_or_else(|| cursor.expected(what))?;
    if place.is_empty() {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER, "COPY needs a path or URL that is not empty").at(at));
    }
    Ok(place)
}
