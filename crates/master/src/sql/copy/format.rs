//! What a file's format is, by its name and by COPY's options.

use super::options::{Slot, conflict};
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::{Codec, CopyFormat, CsvOptions, Encoding, JsonOptions, ParquetOptions, TextOptions};

/// Characters that mean something after a backslash, or begin a number: no delimiters of PostgreSQL's text format.
const NO_TEXT_DELIMITERS: &[u8] = b"\\.abcdefghijklmnopqrstuvwxyz0123456789";

/// The hint of errors about formats of files.
pub(super) const FORMATS: &str = "Use csv, text, json or parquet.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Csv,
    Text,
    Json,
    Parquet,
}

impl Kind {
    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Csv => "CSV",
            Kind::Text => "text",
            Kind::Json => "JSON",
            Kind::Parquet => "Parquet",
        }
    }

    /// Of FORMAT's value.
    ///
    /// # Errors
    /// 22023; without a position.
    pub fn of(format: &str) -> SqlResult<Kind> {
        match format.to_ascii_lowercase().as_str() {
            "csv" => Ok(Kind::Csv),
            "text" => Ok(Kind::Text),
            "json" | "jsonl" | "ndjson" => Ok(Kind::Json),
            "parquet" => Ok(Kind::Parquet),
            other => {
                let message = format!("COPY format \"{other}\" not recognized");
                Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(FORMATS))
            }
        }
    }
}

/// A name's last extension, below that of a compression, in lower case.
fn extension(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let (stem, extension) = last.rsplit_once('.').unwrap_or((last, ""));
    let extension = match Codec::by_name(last) {
        Codec::None => extension,
        _ => stem.rsplit_once('.').map_or("", |(_, extension)| extension),
    };
    extension.to_ascii_lowercase()
}

pub(super) fn kind_of_name(name: &str) -> Option<Kind> {
    match extension(name).as_str() {
        "parquet" | "pq" | "parq" => Some(Kind::Parquet),
        "json" | "jsonl" | "ndjson" => Some(Kind::Json),
        "csv" | "tsv" | "tbl" => Some(Kind::Csv),
        _ => None,
    }
}

/// The format, with its defaults, that a file's name says: `.csv`, `.tsv` (tabs), `.tbl` (`|`), `.json`, `.jsonl`, `.ndjson`,
/// `.parquet`, `.pq`, `.parq`, each with or without the extension of a compression. None: it says nothing.
pub fn format_of_name(name: &str) -> Option<CopyFormat> {
    Some(match kind_of_name(name)? {
        Kind::Csv => CopyFormat::Csv(CsvOptions { delimiter: csv_delimiter(name), ..CsvOptions::default() }),
        Kind::Text => CopyFormat::Text(TextOptions::default()),
        Kind::Json => CopyFormat::Json(JsonOptions::default()),
        Kind::Parquet => CopyFormat::Parquet(ParquetOptions::default()),
    })
}

fn csv_delimiter(name: &str) -> u8 {
    match extension(name).as_str() {
        "tbl" => b'|',
        "tsv" => b'\t',
        _ => b',',
    }
}

/// The options that a format may have, as they were written.
#[derive(Default)]
pub(super) struct FormatOptions {
    pub header: Slot<bool>,
    pub delimiter: Slot<String>,
    pub quote: Slot<String>,
    pub escape: Slot<String>,
    pub null: Slot<String>,
    pub encoding: Slot<Encoding>,
    /// Each file's first line end tells how its lines end, whichever was written.
    pub newline: Slot<()>,
}

impl FormatOptions {
    /// Whether one was written that belongs to a format.
    pub fn is_any(&self) -> bool {
        self.first().is_some()
    }

    /// One that was written that belongs to a format, and where.
    pub fn first(&self) -> Option<(&'static str, usize)> {
        self.names().into_iter().flatten().next()
    }

    /// What was written, with positions; but not the encoding UTF-8, which every format has.
    fn names(&self) -> [Option<(&'static str, usize)>; 7] {
        fn at<T>(name: &'static str, slot: &Slot<T>) -> Option<(&'static str, usize)> {
            slot.as_ref().map(|(_, position)| (name, *position))
        }
        let is_other = self.encoding.as_ref().is_some_and(|(encoding, _)| *encoding != Encoding::Utf8);
        [
            at("HEADER", &self.header),
            at("DELIMITER", &self.delimiter),
            at("QUOTE", &self.quote),
            at("ESCAPE", &self.escape),
            at("NULL", &self.null),
            if is_other { at("ENCODING", &self.encoding) } else { None },
            at("NEWLINE", &self.newline),
        ]
    }

    /// `name` is the file's, for defaults.
    ///
    /// # Errors
    /// 0A000 for an option that the format does not have; 22023 for values that contradict each other.
    pub fn format(self, kind: Kind, name: &str) -> SqlResult<CopyFormat> {
        match kind {
            Kind::Csv => self.csv(csv_delimiter(name)),
            Kind::Text => self.text(),
            Kind::Json | Kind::Parquet => match self.names().into_iter().flatten().next() {
                Some((option, position)) => {
                    let message = format!("COPY {option} cannot be used with {}", kind.name());
                    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(position))
                }
                None if kind == Kind::Json => Ok(CopyFormat::Json(JsonOptions::default())),
                None => Ok(CopyFormat::Parquet(ParquetOptions::default())),
            },
        }
    }

    fn csv(self, delimiter_default: u8) -> SqlResult<CopyFormat> {
        let delimiter = byte("delimiter", &self.delimiter)?.unwrap_or(delimiter_default);
        let quote = byte("quote", &self.quote)?.unwrap_or(b'"');
        let escape = byte("escape", &self.escape)?.unwrap_or(quote);
        let (null, null_at) = self.null.unwrap_or_default();
        let (delimiter_at, quote_at) = (position(&self.delimiter), position(&self.quote));
        check_no_newline("delimiter", delimiter, delimiter_at)?;
        check_no_newline("quote", quote, quote_at)?;
        if delimiter == quote {
            return invalid("COPY delimiter and quote must be different", delimiter_at.or(quote_at));
        }
        check_null(&null, null_at, delimiter)?;
        if null.as_bytes().contains(&quote) {
            return invalid("CSV quote character must not appear in the NULL specification", Some(null_at));
        }
        let header = self.header.is_some_and(|(header, _)| header);
        let encoding = self.encoding.map_or(Encoding::Utf8, |(encoding, _)| encoding);
        Ok(CopyFormat::Csv(CsvOptions { header, delimiter, quote, escape, null, encoding }))
    }

    fn text(self) -> SqlResult<CopyFormat> {
        if let Some((_, at)) = self.quote {
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "COPY quote available only in CSV mode").at(at));
        }
        let default = TextOptions::default();
        let delimiter = byte("delimiter", &self.delimiter)?.unwrap_or(default.delimiter);
        let delimiter_at = position(&self.delimiter);
        let escape = match &self.escape {
            None => default.escape,
            Some((off, _)) if off.eq_ignore_ascii_case("off") => None,
            Some(_) => byte("escape", &self.escape)?,
        };
        check_no_newline("delimiter", delimiter, delimiter_at)?;
        if NO_TEXT_DELIMITERS.contains(&delimiter) {
            let message = format!("COPY delimiter cannot be \"{}\"", char::from(delimiter));
            return invalid(message, delimiter_at);
        }
        if escape == Some(delimiter) {
            return invalid("COPY delimiter and escape must be different", position(&self.escape).or(delimiter_at));
        }
        if let Some(escape) = escape {
            check_no_newline("escape", escape, position(&self.escape))?;
        }
        let (null, null_at) = self.null.unwrap_or((default.null, delimiter_at.unwrap_or(1)));
        check_null(&null, null_at, delimiter)?;
        let header = self.header.is_some_and(|(header, _)| header);
        let encoding = self.encoding.map_or(Encoding::Utf8, |(encoding, _)| encoding);
        Ok(CopyFormat::Text(TextOptions { header, delimiter, escape, null, encoding }))
    }
}

fn position<T>(slot: &Slot<T>) -> Option<usize> {
    slot.as_ref().map(|(_, position)| *position)
}

fn invalid<T>(message: impl Into<String>, position: Option<usize>) -> SqlResult<T> {
    let error = SqlError::new(SqlState::INVALID_PARAMETER, message);
    Err(match position {
        Some(position) => error.at(position),
        None => error,
    })
}

fn check_no_newline(what: &str, byte: u8, at: Option<usize>) -> SqlResult<()> {
    if matches!(byte, b'\n' | b'\r') {
        return invalid(format!("COPY {what} cannot be newline or carriage return"), at);
    }
    Ok(())
}

fn check_null(null: &str, at: usize, delimiter: u8) -> SqlResult<()> {
    if null.contains(['\n', '\r']) {
        return invalid("COPY null representation cannot use newline or carriage return", Some(at));
    }
    if null.as_bytes().contains(&delimiter) {
        return invalid("COPY delimiter character must not appear in the NULL specification", Some(at));
    }
    Ok(())
}

fn byte(what: &str, option: &Slot<String>) -> SqlResult<Option<u8>> {
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

/// How the files are compressed, of what COMPRESSION said.
///
/// # Errors
/// 22023 where Parquet is read: its compression is inside.
pub(super) fn codec_to_read(compression: &Slot<Option<Codec>>, kind: Kind) -> SqlResult<Option<Codec>> {
    match compression {
        Some((Some(codec), at)) if kind == Kind::Parquet && *codec != Codec::None => {
            Err(conflict("COMPRESSION", "Parquet files that are read").at(*at))
        }
        Some((codec, _)) => Ok(*codec),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_name() {
        for (name, kind) in [
            ("/a/b.csv", Some(Kind::Csv)),
            ("/a/b.CSV.gz", Some(Kind::Csv)),
            ("/a/b.tbl.zst", Some(Kind::Csv)),
            ("s3://b/*.parquet", Some(Kind::Parquet)),
            ("s3://b/x.ndjson.lz4", Some(Kind::Json)),
            ("/a.parquet/b", None),
            ("/a/b.gz", None),
            ("/a/b.txt", None),
            ("/a/", None),
            ("", None),
        ] {
            assert_eq!(kind_of_name(name), kind, "{name}");
        }
        assert_eq!(csv_delimiter("x.TSV.gz"), b'\t');
        assert!(matches!(format_of_name("x.tbl.gz"), Some(CopyFormat::Csv(csv)) if csv.delimiter == b'|'));
    }
}
