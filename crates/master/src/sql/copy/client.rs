//! COPY between a table and the client: FROM STDIN, TO STDOUT. Protocols that carry rows ask for it; the others' parser refuses it.

use super::options::Options;
use crate::error::SqlResult;
use crate::sql::cursor::{Cursor, is_word, may_begin_with, tokenize};
use crate::sql::guard;
use crate::sql::limits::STATEMENT_BYTES_MAX;
use crate::sql::statement::{Name, RelationName};
use crate::sql::text::Text;
use damson_cluster::{CsvOptions, TextOptions};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// `COPY t FROM STDIN`, `COPY {t | (query)} TO STDOUT`.
#[derive(Clone, Debug)]
pub struct ClientCopy {
    pub rows: ClientRows,
    pub format: ClientFormat,
}

/// How rows travel; as text, if nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFormat {
    Text(TextOptions),
    Csv(CsvOptions),
    /// PostgreSQL's binary format.
    Binary,
}

/// Which rows go to the client, or come from it.
#[derive(Clone, Debug)]
pub enum ClientRows {
    /// Columns empty: all of them, in both.
    From {
        table: RelationName,
        columns: Vec<Name>,
    },
    To {
        table: RelationName,
        columns: Vec<Name>,
    },
    /// The query's text.
    OfQuery(String),
}

/// None for every other statement, and for what is none.
///
/// # Errors
/// 0A000 for formats and options that a client's rows do not have; those of the options.
pub fn client_copy(sql: &str) -> Option<SqlResult<ClientCopy>> {
    // What is too long or too deep is told by the parser that all statements have.
    if sql.len() > STATEMENT_BYTES_MAX || !may_begin_with(sql, &["COPY"]) {
        return None;
    }
    let text = Text::new(sql);
    let mut tokens = tokenize(&text).ok()?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    while tokens.pop_if(|token| token.token == Token::SemiColon).is_some() {}
    if !is_word(&tokens.first()?.token, "COPY") {
        return None;
    }
    guard::check(&tokens).ok()?;
    // Of a query only the text counts here.
    let (query, after) = match tokens.get(1)?.token {
        Token::LParen => {
            let end = closing(&tokens, 1)?;
            let (start, end_byte) = (text.byte(tokens[1].span.start) + 1, text.byte(tokens[end].span.start));
            (Some(sql.get(start..end_byte)?.to_owned()), end + 1)
        }
        _ => (None, 1),
    };
    let mut cursor = Cursor::new(&text, tokens.split_off(after));
    let rows = match query {
        Some(query) => cursor.words(&["TO", "STDOUT"]).then_some(ClientRows::OfQuery(query))?,
        None => {
            let (table, columns) = (cursor.relation().ok()?, cursor.optional_name_list().ok()?);
            if cursor.words(&["FROM", "STDIN"]) {
                ClientRows::From { table, columns }
            } else {
                cursor.words(&["TO", "STDOUT"]).then_some(ClientRows::To { table, columns })?
            }
        }
    };
    Some(with_options(&mut cursor, rows))
}

fn with_options(cursor: &mut Cursor<'_>, rows: ClientRows) -> SqlResult<ClientCopy> {
    let format = Options::parse(cursor)?.of_client()?;
    cursor.end()?;
    Ok(ClientCopy { rows, format })
}

/// The parenthesis that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return Some(at),
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;

    fn copy(sql: &str) -> ClientCopy {
        client_copy(sql).expect(sql).expect(sql)
    }

    #[test]
    fn rows_of_clients_are_text_unless_they_say() {
        let plain = copy("COPY s.t (a, \"B\") FROM STDIN;");
        assert_eq!(plain.format, ClientFormat::Text(TextOptions::default()));
        let ClientRows::From { table, columns } = plain.rows else { panic!("a table") };
        assert_eq!((table.name.as_str(), columns.len(), columns[1].text.as_str()), ("t", 2, "B"));
        let csv = copy("copy t from stdin with (format csv, header, delimiter '|')");
        let want = CsvOptions { header: true, delimiter: b'|', ..CsvOptions::default() };
        assert_eq!(csv.format, ClientFormat::Csv(want));
        let old = copy("COPY t FROM STDIN DELIMITER ';'");
        assert_eq!(old.format, ClientFormat::Text(TextOptions { delimiter: b';', ..TextOptions::default() }));
        for binary in ["COPY t FROM STDIN (FORMAT 'BINARY')", "COPY t TO STDOUT WITH BINARY", "copy t to stdout binary"]
        {
            assert_eq!(copy(binary).format, ClientFormat::Binary, "{binary}");
        }
        let query = copy("COPY (SELECT (1) AS \"é)\") TO STDOUT CSV");
        assert!(matches!(query.rows, ClientRows::OfQuery(query) if query == "SELECT (1) AS \"é)\""));
        assert!(matches!(copy("COPY t TO STDOUT").rows, ClientRows::To { .. }));
    }

    #[test]
    fn what_clients_cannot_have_is_refused() {
        for sql in
            ["COPY t FROM '/f'", "COPY t TO '/f'", "SELECT 1", "COPY (SELECT 1) FROM STDIN", "COPY t FROM STDOUT"]
        {
            assert!(client_copy(sql).is_none(), "{sql}");
        }
        for (sql, state) in [
            ("COPY t FROM STDIN (FORMAT parquet)", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN (FORMAT csv, COMPRESSION gzip)", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN LOG ERRORS SEGMENT REJECT LIMIT 5", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t TO STDOUT (SINGLE_FILE)", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN (FORMAT csv) WHERE a > 1", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN CSV WHERE a > 1", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN (FORMAT csv, FORCE_NULL (a))", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN CSV FORCE NOT NULL a", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN (ENCODING 'LATIN1')", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN (HEADER MATCH)", SqlState::FEATURE_NOT_SUPPORTED),
            ("COPY t FROM STDIN (NOTHING)", SqlState::SYNTAX_ERROR),
            ("COPY t FROM STDIN (FORMAT binary, DELIMITER ',')", SqlState::SYNTAX_ERROR),
            ("COPY t TO STDOUT BINARY CSV", SqlState::SYNTAX_ERROR),
        ] {
            assert_eq!(client_copy(sql).expect(sql).unwrap_err().state, state, "{sql}");
        }
    }
}
