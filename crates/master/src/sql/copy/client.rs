//! COPY between a table and the client: FROM STDIN, TO STDOUT. Protocols that carry rows ask for it; the others' parser refuses it.

use super::options::Options;
use super::{CopySource, source_and_direction};
use crate::error::SqlResult;
use crate::sql::cursor::{Cursor, is_word, tokenize};
use crate::sql::guard;
use crate::sql::limits::STATEMENT_BYTES_MAX;
use crate::sql::text::Text;
use damson_cluster::CopyFormat;
use sqlparser::tokenizer::Token;

/// `COPY t FROM STDIN`, `COPY {t | (query)} TO STDOUT`.
#[derive(Clone, Debug)]
pub struct ClientCopy {
    pub is_from: bool,
    /// A table, if it is FROM.
    pub source: CopySource,
    /// Text, which is what is not said, or CSV.
    pub format: CopyFormat,
}

/// None for every other statement, and for what is none.
///
/// # Errors
/// 0A000 for formats and options that a client's rows do not have; those of the options.
pub fn client_copy(sql: &str) -> Option<SqlResult<ClientCopy>> {
    // What is too long or too deep is told by the parser that all statements have.
    if sql.len() > STATEMENT_BYTES_MAX {
        return None;
    }
    let text = Text::new(sql);
    let mut tokens = tokenize(&text).ok()?;
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    if first.is_none_or(|token| !is_word(&token.token, "COPY")) {
        return None;
    }
    guard::check(&tokens).ok()?;
    while matches!(tokens.last().map(|token| &token.token), Some(Token::SemiColon | Token::Whitespace(_))) {
        tokens.pop();
    }
    let mut cursor = Cursor::new(&text, tokens);
    if !cursor.word("COPY") {
        return None;
    }
    let (source, is_from) = source_and_direction(&mut cursor).ok()?;
    let is_table = matches!(source, CopySource::Table { .. });
    let is_client = cursor.word(if is_from { "STDIN" } else { "STDOUT" });
    (is_client && (is_table || !is_from)).then(|| {
        let at = cursor.position();
        let format = Options::parse(&mut cursor)?.of_client()?;
        cursor.end()?;
        match format {
            CopyFormat::Csv(_) | CopyFormat::Text(_) => Ok(ClientCopy { is_from, source, format }),
            CopyFormat::Json(_) | CopyFormat::Parquet(_) => Err(super::options::not_for_clients("FORMAT", at)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;
    use damson_cluster::{CsvOptions, TextOptions};

    fn copy(sql: &str) -> ClientCopy {
        client_copy(sql).expect(sql).expect(sql)
    }

    #[test]
    fn rows_of_clients_are_text_unless_they_say() {
        let plain = copy("COPY s.t (a, \"B\") FROM STDIN;");
        assert!(plain.is_from && plain.format == CopyFormat::Text(TextOptions::default()));
        let CopySource::Table { table, columns } = plain.source else { panic!("a table") };
        assert_eq!((table.name.as_str(), columns.len(), columns[1].text.as_str()), ("t", 2, "B"));
        let csv = copy("copy t from stdin with (format csv, header, delimiter '|')");
        let want = CsvOptions { header: true, delimiter: b'|', ..CsvOptions::default() };
        assert_eq!(csv.format, CopyFormat::Csv(want));
        let old = copy("COPY t FROM STDIN DELIMITER ';'");
        assert_eq!(old.format, CopyFormat::Text(TextOptions { delimiter: b';', ..TextOptions::default() }));
        let query = copy("COPY (SELECT 1 AS x) TO STDOUT CSV");
        assert!(!query.is_from && matches!(query.source, CopySource::Query(_)));
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
            ("COPY t FROM STDIN (NOTHING)", SqlState::SYNTAX_ERROR),
        ] {
            assert_eq!(client_copy(sql).expect(sql).unwrap_err().state, state, "{sql}");
        }
    }
}
