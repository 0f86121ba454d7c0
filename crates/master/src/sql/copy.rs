//! COPY. Parsed here and not by sqlparser, which does not know `FORMAT parquet`.

use super::cursor::Cursor;
use super::query;
use super::statement::{CopyFrom, CopySource, CopyTo, Statement};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::{CopyFormat, CsvOptions, ParquetOptions};
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
            return Err(cursor.unsupported(format!("COPY with {stream}")).with_hint("Name a file or a directory."));
        }
    }
    let Some(path) = cursor.string() else { return Err(cursor.expected("a path in quotes")) };
    let format = Options::parse(cursor)?.format(&path)?;
    match (from, source) {
        (true, CopySource::Table { table, columns }) => {
            Ok(Statement::CopyFrom(CopyFrom { table, columns, path, format }))
        }
        (true, CopySource::Query(_)) => {
            Err(SqlError::new(SqlState::SYNTAX_ERROR, "COPY ... FROM needs a table, not a query").at(at))
        }
        (false, source) => Ok(Statement::CopyTo(CopyTo { source, path, format })),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Csv,
    Parquet,
}

/// What was written; each with its position.
#[derive(Default)]
struct Options {
    kind: Option<(Kind, usize)>,
    header: Option<(bool, usize)>,
    delimiter: Option<(String, usize)>,
    quote: Option<(String, usize)>,
    escape: Option<(String, usize)>,
    null: Option<(String, usize)>,
}

fn put<T>(slot: &mut Option<(T, usize)>, value: T, position: usize) -> SqlResult<()> {
    match slot.replace((value, position)) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(position)),
    }
}

impl Options {
    fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Self> {
        let mut options = Options::default();
        cursor.word("WITH");
        if cursor.token(&Token::LParen) {
            loop {
                options.named(cursor)?;
                if !cursor.token(&Token::Comma) {
                    break;
                }
            }
            cursor.expect_token(&Token::RParen)?;
        } else {
            while !cursor.at_end() {
                options.old_style(cursor)?;
            }
        }
        Ok(options)
    }

    /// One of `(FORMAT csv, HEADER, …)`.
    fn named(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        let option = cursor.name()?;
        let at = option.position;
        match option.text.as_str() {
            "format" => {
                let at = cursor.position();
                let format = match cursor.string() {
                    Some(format) => format,
                    None => cursor.name()?.text,
                };
                put(&mut self.kind, kind(&format).map_err(|error| error.at(at))?, at)
            }
            "header" => {
                if cursor.peek_word(0, "MATCH") {
                    return Err(cursor.unsupported("HEADER MATCH"));
                }
                let header = flag(cursor)?;
                put(&mut self.header, header, at)
            }
            "delimiter" => put(&mut self.delimiter, text(cursor)?, at),
            "quote" => put(&mut self.quote, text(cursor)?, at),
            "escape" => put(&mut self.escape, text(cursor)?, at),
            "null" => put(&mut self.null, text(cursor)?, at),
            "encoding" => encoding(&text(cursor)?).map_err(|error| error.at(at)),
            // A fresh file is never visited again: nothing is to be frozen.
            "freeze" => flag(cursor).map(|_| ()),
            "force_quote" | "force_null" | "force_not_null" | "default" | "on_error" | "log_verbosity" => {
                let message = format!("COPY option {} is not supported", option.text.to_ascii_uppercase());
                Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at))
            }
            other => {
                let message = format!("option \"{other}\" not recognized");
                Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(at))
            }
        }
    }

    /// One of `CSV HEADER DELIMITER '|'`.
    fn old_style(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        let at = cursor.position();
        if cursor.word("CSV") {
            put(&mut self.kind, Kind::Csv, at)
        } else if cursor.word("PARQUET") {
            put(&mut self.kind, Kind::Parquet, at)
        } else if cursor.peek_word(0, "BINARY") || cursor.peek_word(0, "TEXT") || cursor.peek_word(0, "FORMAT") {
            // `FORMAT 'csv'`, as Greenplum's external tables have it.
            cursor.word("FORMAT");
            let format = match cursor.string() {
                Some(format) => format,
                None => cursor.name()?.text,
            };
            put(&mut self.kind, kind(&format).map_err(|error| error.at(at))?, at)
        } else if cursor.word("HEADER") {
            put(&mut self.header, true, at)
        } else if cursor.word("DELIMITER") || cursor.word("DELIMITERS") {
            cursor.word("AS");
            put(&mut self.delimiter, text(cursor)?, at)
        } else if cursor.word("NULL") {
            cursor.word("AS");
            put(&mut self.null, text(cursor)?, at)
        } else if cursor.word("QUOTE") {
            cursor.word("AS");
            put(&mut self.quote, text(cursor)?, at)
        } else if cursor.word("ESCAPE") {
            cursor.word("AS");
            put(&mut self.escape, text(cursor)?, at)
        } else if cursor.word("ENCODING") {
            encoding(&text(cursor)?).map_err(|error| error.at(at))
        } else if cursor.word("FREEZE") {
            Ok(())
        } else if ["FORCE", "LOG", "SEGMENT", "FILL", "NEWLINE", "ON", "IGNORE", "WHERE", "OIDS"]
            .iter()
            .any(|word| cursor.peek_word(0, word))
        {
            Err(cursor.unsupported(format!("COPY option {}", cursor.peek())))
        } else {
            Err(cursor.unexpected())
        }
    }

    /// All of it, with what is left open: by the path's extension `.parquet` is Parquet, `.tbl` is CSV with `|`, `.tsv` CSV
    /// with tabs; anything else is CSV.
    fn format(self, path: &str) -> SqlResult<CopyFormat> {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        let kind = match (self.kind, extension.as_str()) {
            (Some((kind, _)), _) => kind,
            (None, "parquet" | "pq" | "parq") => Kind::Parquet,
            (None, _) => Kind::Csv,
        };
        match kind {
            Kind::Parquet => self.parquet(),
            Kind::Csv => self.csv(&extension),
        }
    }

    fn parquet(self) -> SqlResult<CopyFormat> {
        let header = self.header.map(|(_, position)| ("HEADER", position));
        let texts =
            [("DELIMITER", self.delimiter), ("QUOTE", self.quote), ("ESCAPE", self.escape), ("NULL", self.null)];
        let texts = texts.into_iter().filter_map(|(name, value)| value.map(|(_, position)| (name, position)));
        match header.into_iter().chain(texts).next() {
            None => Ok(CopyFormat::Parquet(ParquetOptions::default())),
            Some((name, position)) => {
                let message = format!("COPY {name} cannot be used with Parquet");
                Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(position))
            }
        }
    }

    fn csv(self, extension: &str) -> SqlResult<CopyFormat> {
        let delimiter_default = match extension {
            "tbl" => b'|',
            "tsv" => b'\t',
            _ => b',',
        };
        let delimiter = byte("delimiter", &self.delimiter)?.unwrap_or(delimiter_default);
        let quote = byte("quote", &self.quote)?.unwrap_or(b'"');
        let escape = byte("escape", &self.escape)?.unwrap_or(quote);
        let (null, null_at) = self.null.unwrap_or_default();
        let invalid = |message: &str, position: Option<usize>| {
            let error = SqlError::new(SqlState::INVALID_PARAMETER, message);
            Err(match position {
                Some(position) => error.at(position),
                None => error,
            })
        };
        let delimiter_at = self.delimiter.map(|(_, position)| position);
        if delimiter == b'\n' || delimiter == b'\r' {
            return invalid("COPY delimiter cannot be newline or carriage return", delimiter_at);
        }
        if quote == b'\n' || quote == b'\r' {
            return invalid("COPY quote cannot be newline or carriage return", self.quote.map(|(_, at)| at));
        }
        if delimiter == quote {
            return invalid("COPY delimiter and quote must be different", delimiter_at);
        }
        if null.contains(['\n', '\r']) {
            return invalid("COPY null representation cannot use newline or carriage return", Some(null_at));
        }
        if null.as_bytes().contains(&delimiter) {
            return invalid("COPY delimiter character must not appear in the NULL specification", Some(null_at));
        }
        if null.as_bytes().contains(&quote) {
            return invalid("CSV quote character must not appear in the NULL specification", Some(null_at));
        }
        let header = self.header.is_some_and(|(header, _)| header);
        Ok(CopyFormat::Csv(CsvOptions { header, delimiter, quote, escape, null }))
    }
}

fn kind(format: &str) -> SqlResult<Kind> {
    match format.to_ascii_lowercase().as_str() {
        "csv" => Ok(Kind::Csv),
        "parquet" => Ok(Kind::Parquet),
        known @ ("text" | "binary") => {
            let message = format!("COPY format {known} is not supported");
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint("Use csv or parquet."))
        }
        other => {
            let message = format!("COPY format \"{other}\" not recognized");
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint("Use csv or parquet."))
        }
    }
}

fn text(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    cursor.string().ok_or_else(|| cursor.expected("a text in quotes"))
}

/// A boolean option's value; none is true.
fn flag(cursor: &mut Cursor<'_>) -> SqlResult<bool> {
    let value = match cursor.peek() {
        Token::Comma | Token::RParen => return Ok(true),
        Token::Word(word) => word.value.to_ascii_lowercase(),
        Token::Number(digits, _) => digits.clone(),
        Token::SingleQuotedString(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    let value = match value.as_str() {
        "true" | "on" | "1" => true,
        "false" | "off" | "0" => false,
        _ => return Err(cursor.expected("true or false")),
    };
    cursor.parser.advance_token();
    Ok(value)
}

fn encoding(name: &str) -> SqlResult<()> {
    if name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8") {
        return Ok(());
    }
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("encoding \"{name}\" is not supported"))
        .with_hint("Files are UTF8."))
}

fn byte(what: &str, option: &Option<(String, usize)>) -> SqlResult<Option<u8>> {
    match option {
        None => Ok(None),
        Some((text, position)) => match text.as_bytes() {
            [byte] => Ok(Some(*byte)),
            _ => {
                let message = format!("COPY {what} must be a single one-byte character");
                Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(*position))
            }
        },
    }
}
