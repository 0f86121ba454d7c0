//! COPY's options, in parentheses or in the old style, and what they make of a statement.

use super::client::ClientFormat;
use super::encoding::encoding;
use super::format::{FORMATS, FormatOptions, Kind, codec_to_read, kind_of_name};
use super::reject::Reject;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::bytes_of_size;
use crate::sql::cursor::Cursor;
use crate::sql::statement::{CopyFrom, CopySource, CopyTo, Name, RelationName};
use damson_cluster::{Codec, CopyFormat, Encoding, OnBadRow};
use sqlparser::tokenizer::Token;

/// What was written, and where.
pub(super) type Slot<T> = Option<(T, usize)>;

/// What was written; each with its position.
#[derive(Default)]
pub(super) struct Options {
    kind: Slot<Kind>,
    /// FORMAT binary, which only clients have.
    binary: Slot<()>,
    format: FormatOptions,
    /// None within: `auto`.
    compression: Slot<Option<Codec>>,
    secret: Slot<Name>,
    pattern: Slot<String>,
    force: Slot<bool>,
    reject: Reject,
    max_file_bytes: Slot<u64>,
    partition_by: Slot<Vec<Name>>,
    single_file: Slot<bool>,
    manifest: Slot<bool>,
}

/// 22023: two things that exclude each other; without a position.
pub(super) fn conflict(name: &str, other: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER, format!("COPY {name} cannot be used with {other}"))
}

/// 0A000: an option of files.
pub(super) fn not_for_clients(name: &str, position: usize) -> SqlError {
    let message = format!("COPY {name} is not supported with STDIN and STDOUT");
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(position)
}

fn put<T>(slot: &mut Slot<T>, value: T, position: usize) -> SqlResult<()> {
    match slot.replace((value, position)) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(position)),
    }
}

impl Options {
    /// `[WITH] (…)`, and Greenplum's tail after it; or the old style.
    pub fn parse(cursor: &mut Cursor<'_>) -> SqlResult<Self> {
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
            while !cursor.at_end() {
                if cursor.peek_word(0, "WHERE") {
                    return Err(cursor.unsupported("COPY option WHERE"));
                }
                if !options.tail(cursor)? {
                    return Err(cursor.unexpected());
                }
            }
        } else {
            while !cursor.at_end() {
                options.old_style(cursor)?;
            }
        }
        Ok(options)
    }

    /// `FORMAT 'csv' (HEADER DELIMITER '|')`, and what follows in the old style, of an external table.
    pub fn of_external(cursor: &mut Cursor<'_>) -> SqlResult<Self> {
        let mut options = Options::default();
        cursor.expect_word("FORMAT")?;
        options.kind(cursor)?;
        if cursor.token(&Token::LParen) {
            while !cursor.token(&Token::RParen) {
                options.old_style(cursor)?;
                cursor.token(&Token::Comma);
            }
        }
        while !cursor.at_end() {
            options.old_style(cursor)?;
        }
        Ok(options)
    }

    /// One of `(FORMAT csv, HEADER, …)`.
    fn named(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        if self.tail(cursor)? {
            return Ok(());
        }
        let option = cursor.name()?;
        let at = option.position;
        match option.text.as_str() {
            "format" => self.kind(cursor),
            "header" => {
                if cursor.peek_word(0, "MATCH") {
                    return Err(cursor.unsupported("HEADER MATCH"));
                }
                put(&mut self.format.header, flag(cursor)?, at)
            }
            "delimiter" => put(&mut self.format.delimiter, text(cursor)?, at),
            "quote" => put(&mut self.format.quote, text(cursor)?, at),
            "escape" => put(&mut self.format.escape, text(cursor)?, at),
            "null" => put(&mut self.format.null, text(cursor)?, at),
            "newline" => put(&mut self.format.newline, newline(cursor)?, at),
            "encoding" => self.encoding(cursor, at),
            "compression" => put(&mut self.compression, codec(cursor)?, at),
            "pattern" => put(&mut self.pattern, text(cursor)?, at),
            "secret" => put(&mut self.secret, cursor.name()?, at),
            "force" => put(&mut self.force, flag(cursor)?, at),
            "validate" => put(&mut self.reject.validate, flag(cursor)?, at),
            "log_errors" => put(&mut self.reject.log, flag(cursor)?, at),
            "reject_limit" | "segment_reject_limit" => put(&mut self.reject.limit, count(cursor)?, at),
            "reject_limit_type" | "segment_reject_limit_type" => {
                let percent = rows_or_percent(cursor)?.ok_or_else(|| cursor.expected("rows or percent"))?;
                put(&mut self.reject.percent, percent, at)
            }
            "max_file_size" => put(&mut self.max_file_bytes, file_size(cursor)?, at),
            "partition_by" => put(&mut self.partition_by, partition_columns(cursor)?, at),
            "single_file" => put(&mut self.single_file, flag(cursor)?, at),
            "manifest" => put(&mut self.manifest, flag(cursor)?, at),
            // A fresh file is never visited again: nothing is to be frozen.
            "freeze" => flag(cursor).map(|_| ()),
            "force_quote"
            | "force_null"
            | "force_not_null"
            | "default"
            | "on_error"
            | "log_verbosity"
            | "fill_missing_fields" => {
                let message = format!("COPY option {} is not supported", option.text.to_ascii_uppercase());
                Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(at))
            }
            other => {
                let message = format!("option \"{other}\" not recognized");
                Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(at))
            }
        }
    }

    /// What is written in several words in both styles; false if none of it is next.
    fn tail(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<bool> {
        let at = cursor.position();
        if cursor.words(&["LOG", "ERRORS"]) {
            if cursor.peek_word(0, "INTO") {
                let hint = "LOG ERRORS keeps them in the table's own log: gp_read_error_log shows it.";
                return Err(cursor.unsupported("LOG ERRORS INTO a table").with_hint(hint));
            }
            put(&mut self.reject.log, true, at)?;
        } else if cursor.words(&["SEGMENT", "REJECT", "LIMIT"]) || cursor.words(&["REJECT", "LIMIT"]) {
            put(&mut self.reject.limit, count(cursor)?, at)?;
            let kind_at = cursor.position();
            if let Some(percent) = rows_or_percent(cursor)? {
                put(&mut self.reject.percent, percent, kind_at)?;
            }
        } else if cursor.words(&["PARTITION", "BY"]) {
            put(&mut self.partition_by, partition_columns(cursor)?, at)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// One of `CSV HEADER DELIMITER '|'`.
    fn old_style(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        let at = cursor.position();
        if self.tail(cursor)? {
            return Ok(());
        }
        for (word, kind) in [("CSV", Kind::Csv), ("TEXT", Kind::Text), ("JSON", Kind::Json), ("PARQUET", Kind::Parquet)]
        {
            if cursor.word(word) {
                return put(&mut self.kind, kind, at);
            }
        }
        // `FORMAT 'csv'`, as Greenplum's external tables have it.
        if cursor.peek_word(0, "BINARY") || cursor.word("FORMAT") {
            self.kind(cursor)
        } else if cursor.word("HEADER") {
            put(&mut self.format.header, true, at)
        } else if cursor.word("DELIMITER") || cursor.word("DELIMITERS") {
            put(&mut self.format.delimiter, text_as(cursor)?, at)
        } else if cursor.word("NULL") {
            put(&mut self.format.null, text_as(cursor)?, at)
        } else if cursor.word("QUOTE") {
            put(&mut self.format.quote, text_as(cursor)?, at)
        } else if cursor.word("ESCAPE") {
            put(&mut self.format.escape, text_as(cursor)?, at)
        } else if cursor.word("NEWLINE") {
            cursor.word("AS");
            put(&mut self.format.newline, newline(cursor)?, at)
        } else if cursor.word("ENCODING") {
            self.encoding(cursor, at)
        } else if cursor.word("COMPRESSION") {
            put(&mut self.compression, codec(cursor)?, at)
        } else if cursor.word("PATTERN") {
            put(&mut self.pattern, text_as(cursor)?, at)
        } else if cursor.word("SECRET") {
            put(&mut self.secret, cursor.name()?, at)
        } else if cursor.word("VALIDATE") {
            put(&mut self.reject.validate, true, at)
        } else if cursor.word("FREEZE") {
            Ok(())
        } else if cursor.peek_word(0, "FORCE") && !["QUOTE", "NOT", "NULL"].iter().any(|word| cursor.peek_word(1, word))
        {
            cursor.word("FORCE");
            put(&mut self.force, true, at)
        } else if ["FORCE", "LOG", "SEGMENT", "FILL", "ON", "IGNORE", "WHERE", "OIDS"]
            .iter()
            .any(|word| cursor.peek_word(0, word))
        {
            Err(cursor.unsupported(format!("COPY option {}", cursor.peek())))
        } else {
            Err(cursor.unexpected())
        }
    }

    fn kind(&mut self, cursor: &mut Cursor<'_>) -> SqlResult<()> {
        let at = cursor.position();
        let format = word(cursor)?;
        if format.eq_ignore_ascii_case("binary") {
            return put(&mut self.binary, (), at);
        }
        put(&mut self.kind, Kind::of(&format).map_err(|error| error.at(at))?, at)
    }

    fn encoding(&mut self, cursor: &mut Cursor<'_>, at: usize) -> SqlResult<()> {
        let encoding = encoding(&text(cursor)?).map_err(|error| error.at(at))?;
        put(&mut self.format.encoding, encoding, at)
    }

    pub fn copy_from(self, table: RelationName, columns: Vec<Name>, sources: Vec<String>) -> SqlResult<CopyFrom> {
        self.refuse("FROM", &self.only_to())?;
        self.refuse_binary()?;
        let on_bad_row = self.reject.on_bad_row()?;
        let named = kind_of_names(&sources)?;
        let format_by_files = self.kind.is_none() && named.is_none() && !self.format.is_any();
        let kind = self.kind.map(|(kind, _)| kind).or(named).unwrap_or(Kind::Csv);
        let codec = codec_to_read(&self.compression, kind)?;
        let format = self.format.format(kind, &sources[0])?;
        let force = self.force.is_some_and(|(force, _)| force);
        let (pattern, secret) = (self.pattern.map(|(pattern, _)| pattern), self.secret.map(|(name, _)| name));
        Ok(CopyFrom { table, columns, sources, pattern, secret, format, format_by_files, codec, on_bad_row, force })
    }

    /// Of a writable external table, with the columns of PARTITION BY.
    ///
    /// # Errors
    /// 42P16 for what is said of reading; those of formats.
    pub fn written(self, table: RelationName, places: Vec<String>) -> SqlResult<(CopyFrom, Vec<Name>)> {
        if let Some((name, at)) = self.only_from().into_iter().flatten().next() {
            let message = format!("{name} may not be used with a writable external table");
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(at));
        }
        self.refuse_other_encodings()?;
        self.refuse_binary()?;
        let kind = self.kind.map_or(Kind::Csv, |(kind, _)| kind);
        let copy = CopyFrom {
            table,
            columns: vec![],
            pattern: None,
            secret: self.secret.map(|(name, _)| name),
            format: self.format.format(kind, &places[0])?,
            format_by_files: false,
            codec: self.compression.and_then(|(codec, _)| codec),
            on_bad_row: OnBadRow::Fail,
            force: false,
            sources: places,
        };
        Ok((copy, self.partition_by.map_or_else(Vec::new, |(columns, _)| columns)))
    }

    /// # Errors
    /// 0A000.
    fn refuse_other_encodings(&self) -> SqlResult<()> {
        match &self.format.encoding {
            Some((encoding, at)) if *encoding != Encoding::Utf8 => {
                Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "COPY TO writes UTF8 only").at(*at))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// 0A000.
    fn refuse_binary(&self) -> SqlResult<()> {
        match self.binary {
            Some(((), at)) => {
                let message = "COPY format binary is not supported for files";
                Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint(FORMATS).at(at))
            }
            None => Ok(()),
        }
    }

    /// The format of rows between the server and a client.
    ///
    /// # Errors
    /// 0A000 for what only files have; 42601 for what lines have and the binary format has not.
    pub fn of_client(self) -> SqlResult<ClientFormat> {
        let of_files = [
            self.compression.as_ref().map(|(_, at)| ("COMPRESSION", *at)),
            self.secret.as_ref().map(|(_, at)| ("SECRET", *at)),
            self.format.encoding.as_ref().filter(|(e, _)| *e != Encoding::Utf8).map(|(_, at)| ("ENCODING", *at)),
        ];
        let others = self.only_from().into_iter().chain(self.only_to()).chain(of_files);
        if let Some((name, at)) = others.flatten().next() {
            return Err(not_for_clients(name, at));
        }
        let syntax_error = |message: String, at| Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(at));
        match (self.binary, self.kind, self.format.first()) {
            (Some(_), Some((_, at)), _) => syntax_error("conflicting or redundant options".to_owned(), at),
            (Some(_), None, Some((name, at))) => syntax_error(format!("cannot specify {name} in BINARY mode"), at),
            (Some(_), None, None) => Ok(ClientFormat::Binary),
            (None, kind, _) => {
                let (kind, at) = kind.unwrap_or((Kind::Text, 0));
                match self.format.format(kind, "")? {
                    CopyFormat::Text(options) => Ok(ClientFormat::Text(options)),
                    CopyFormat::Csv(options) => Ok(ClientFormat::Csv(options)),
                    CopyFormat::Json(_) | CopyFormat::Parquet(_) => Err(not_for_clients("FORMAT", at)),
                }
            }
        }
    }

    pub fn copy_to(self, source: CopySource, path: String) -> SqlResult<CopyTo> {
        self.refuse("TO", &self.only_from())?;
        self.refuse_binary()?;
        self.refuse_other_encodings()?;
        let single_file = self.single_file.is_some_and(|(single, _)| single);
        if single_file {
            let others = [
                ("MAX_FILE_SIZE", self.max_file_bytes.as_ref().map(|(_, at)| *at)),
                ("PARTITION BY", self.partition_by.as_ref().map(|(_, at)| *at)),
                ("MANIFEST", self.manifest.filter(|(manifest, _)| *manifest).map(|(_, at)| at)),
            ];
            if let Some((name, at)) = others.into_iter().find_map(|(name, at)| Some((name, at?))) {
                return Err(conflict(name, "SINGLE_FILE").at(at));
            }
        }
        let kind = self.kind.map(|(kind, _)| kind).or(kind_of_name(&path)).unwrap_or(Kind::Csv);
        let codec = self.compression.and_then(|(codec, _)| codec);
        Ok(CopyTo {
            source,
            format: self.format.format(kind, &path)?,
            codec: if single_file && kind != Kind::Parquet { codec.or(Some(Codec::by_name(&path))) } else { codec },
            path,
            secret: self.secret.map(|(name, _)| name),
            max_file_bytes: self.max_file_bytes.map(|(bytes, _)| bytes),
            partition_by: self.partition_by.map_or_else(Vec::new, |(columns, _)| columns),
            single_file,
            manifest: self.manifest.is_some_and(|(manifest, _)| manifest),
        })
    }

    fn only_from(&self) -> [Option<(&'static str, usize)>; 3] {
        [
            self.pattern.as_ref().map(|(_, at)| ("PATTERN", *at)),
            self.force.map(|(_, at)| ("FORCE", at)),
            self.reject.first(),
        ]
    }

    fn only_to(&self) -> [Option<(&'static str, usize)>; 4] {
        [
            self.max_file_bytes.map(|(_, at)| ("MAX_FILE_SIZE", at)),
            self.partition_by.as_ref().map(|(_, at)| ("PARTITION BY", *at)),
            self.single_file.map(|(_, at)| ("SINGLE_FILE", at)),
            self.manifest.map(|(_, at)| ("MANIFEST", at)),
        ]
    }

    fn refuse(&self, direction: &str, others: &[Option<(&'static str, usize)>]) -> SqlResult<()> {
        match others.iter().flatten().next() {
            None => Ok(()),
            Some((name, at)) => Err(conflict(name, &format!("COPY {direction}")).at(*at)),
        }
    }
}

/// The format that the sources' names say.
///
/// # Errors
/// 22023 if they say different ones.
fn kind_of_names(sources: &[String]) -> SqlResult<Option<Kind>> {
    let mut named = sources.iter().filter_map(|source| kind_of_name(source));
    let Some(first) = named.next() else { return Ok(None) };
    match named.find(|kind| *kind != first) {
        None => Ok(Some(first)),
        Some(other) => {
            let message = format!("COPY reads files of one format, not {} and {}", first.name(), other.name());
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint("Load them by a COPY each."))
        }
    }
}

fn text(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    cursor.string().ok_or_else(|| cursor.expected("a text in quotes"))
}

/// `[AS] 'x'`.
fn text_as(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    cursor.word("AS");
    text(cursor)
}

/// `x` or `'x'`.
fn word(cursor: &mut Cursor<'_>) -> SqlResult<String> {
    match cursor.string() {
        Some(text) => Ok(text),
        None => Ok(cursor.name()?.text),
    }
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

/// A whole number.
fn count(cursor: &mut Cursor<'_>) -> SqlResult<u64> {
    let count = match cursor.peek() {
        Token::Number(digits, _) => digits.parse().ok(),
        Token::SingleQuotedString(text) => text.parse().ok(),
        _ => None,
    };
    let count = count.ok_or_else(|| cursor.expected("a whole number"))?;
    cursor.parser.advance_token();
    Ok(count)
}

/// True for PERCENT; None for neither.
fn rows_or_percent(cursor: &mut Cursor<'_>) -> SqlResult<Option<bool>> {
    if let Token::SingleQuotedString(kind) = cursor.peek() {
        let percent = match kind.to_ascii_lowercase().as_str() {
            "rows" => false,
            "percent" => true,
            _ => return Err(cursor.expected("rows or percent")),
        };
        cursor.parser.advance_token();
        return Ok(Some(percent));
    }
    Ok(if cursor.word("ROWS") {
        Some(false)
    } else if cursor.word("PERCENT") {
        Some(true)
    } else {
        None
    })
}

/// None: `auto`.
fn codec(cursor: &mut Cursor<'_>) -> SqlResult<Option<Codec>> {
    let at = cursor.position();
    let name = word(cursor)?;
    Ok(Some(match name.to_ascii_lowercase().as_str() {
        "auto" => return Ok(None),
        "none" | "uncompressed" => Codec::None,
        "gzip" | "gz" => Codec::Gzip,
        "zstd" | "zst" => Codec::Zstd,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        _ => {
            let error = SqlError::new(SqlState::INVALID_PARAMETER, format!("compression \"{name}\" not recognized"));
            return Err(error.at(at).with_hint("Use none, gzip, zstd, snappy, lz4 or auto."));
        }
    }))
}

/// LF, CRLF or CR.
fn newline(cursor: &mut Cursor<'_>) -> SqlResult<()> {
    let at = cursor.position();
    match text(cursor)?.to_ascii_lowercase().as_str() {
        "lf" | "crlf" | "cr" => Ok(()),
        _ => {
            let message = "invalid value for NEWLINE: it is LF, CRLF or CR";
            Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(at))
        }
    }
}

fn file_size(cursor: &mut Cursor<'_>) -> SqlResult<u64> {
    let at = cursor.position();
    let written = match cursor.peek() {
        Token::Number(digits, _) => {
            let digits = digits.clone();
            cursor.parser.advance_token();
            digits
        }
        _ => text(cursor)?,
    };
    bytes_of_size(&written).ok_or_else(|| {
        let error =
            SqlError::new(SqlState::INVALID_PARAMETER, format!("invalid value for MAX_FILE_SIZE: \"{written}\""));
        error.at(at).with_hint("It is a number of bytes, such as 1000000 or '64MB'.")
    })
}

/// # Errors
/// 42701 for a column that is named twice.
fn partition_columns(cursor: &mut Cursor<'_>) -> SqlResult<Vec<Name>> {
    let columns = cursor.name_list()?;
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|before| before.text == column.text) {
            let message = format!("column \"{}\" specified more than once", column.text);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message).at(column.position));
        }
    }
    Ok(columns)
}
