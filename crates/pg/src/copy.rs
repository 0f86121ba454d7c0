//! Rows of COPY between a table and a client: PostgreSQL's text and CSV, and its binary format.

mod binary;
mod reader;
mod values;

#[cfg(test)]
mod corpus_tests;

pub use binary::{BINARY_END, BINARY_HEAD, BinaryReader, BinaryRow};
pub use reader::CopyReader;

use std::fmt;
use thiserror::Error;

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStyle {
    pub delimiter: u8,
    /// The text of NULL: in CSV only where it is not quoted, in text before escapes are taken out.
    pub null: String,
    pub quoting: Quoting,
}

/// How a value can have a delimiter in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// The text format; None: a backslash is a character like any other.
    Backslash(Option<u8>),
    Csv {
        quote: u8,
        escape: u8,
    },
}

/// 22P04, or 22021, or 54000: rows that cannot be read; worded as PostgreSQL does.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CopyError {
    #[error("unterminated CSV quoted field")]
    OpenQuote,
    /// Not the line end of the first row, nor a part of it.
    #[error("{0} carriage return found in data")]
    Return(Unprotected),
    #[error("{0} newline found in data")]
    LineFeed(Unprotected),
    /// `\.` in text, where it is not alone on its line.
    #[error("end-of-copy marker corrupt")]
    EndMark,
    #[error("end-of-copy marker does not match previous newline style")]
    EndMarkLine,
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    Encoding,
    #[error("a row of COPY is longer than {} MiB", ROW_BYTES_MAX >> 20)]
    TooLong,
    #[error("COPY file signature not recognized")]
    Signature,
    #[error("invalid COPY file header ({0})")]
    Head(&'static str),
    #[error("unrecognized critical flags in COPY file header")]
    Flags,
    #[error("row field count is {found}, expected {expected}")]
    FieldCount { found: i16, expected: usize },
    #[error("invalid field size")]
    FieldSize,
    #[error("unexpected EOF in COPY data")]
    Cut,
    #[error("received copy data after EOF marker")]
    AfterEnd,
}

impl CopyError {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            CopyError::OpenQuote
            | CopyError::Return(_)
            | CopyError::LineFeed(_)
            | CopyError::EndMark
            | CopyError::EndMarkLine
            | CopyError::Signature
            | CopyError::Head(_)
            | CopyError::Flags
            | CopyError::FieldCount { .. }
            | CopyError::FieldSize
            | CopyError::Cut
            | CopyError::AfterEnd => "22P04",
            CopyError::Encoding => "22021",
            CopyError::TooLong => "54000",
        }
    }

    /// How it can be written instead.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CopyError::Return(Unprotected::Literal) => Some("Use \"\\r\" to represent carriage return."),
            CopyError::Return(Unprotected::Unquoted) => Some("Use quoted CSV field to represent carriage return."),
            CopyError::LineFeed(Unprotected::Literal) => Some("Use \"\\n\" to represent newline."),
            CopyError::LineFeed(Unprotected::Unquoted) => Some("Use quoted CSV field to represent newline."),
            _ => None,
        }
    }
}

/// What a line end is where none may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprotected {
    /// Of text.
    Literal,
    /// Of CSV.
    Unquoted,
}

impl fmt::Display for Unprotected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unprotected::Literal => "literal",
            Unprotected::Unquoted => "unquoted",
        })
    }
}

/// A row that a client sends is kept until its end is there.
pub const ROW_BYTES_MAX: usize = 64 << 20;

/// Values of a row; None is NULL.
pub type CopyRow = Vec<Option<String>>;

impl CopyStyle {
    /// Appends a row of values in text, and its line end. None is NULL.
    pub fn write_row<'a>(&self, row: impl IntoIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) {
        let mut row = row.into_iter().enumerate().peekable();
        while let Some((at, value)) = row.next() {
            if at > 0 {
                out.push(self.delimiter);
            }
            match (value, self.quoting) {
                (None, _) => out.extend_from_slice(self.null.as_bytes()),
                (Some(value), Quoting::Backslash(None)) => out.extend_from_slice(value),
                (Some(value), Quoting::Backslash(Some(escape))) => append_escaped(self.delimiter, escape, value, out),
                (Some(value), Quoting::Csv { quote, escape }) => {
                    let alone = at == 0 && row.peek().is_none();
                    append_quoted(self.delimiter, &self.null, (quote, escape), value, alone, out);
                }
            }
        }
        out.push(b'\n');
    }
}

/// A value of CSV, in quotes where it must be: where it would end early, or be read as NULL, or, `alone` in its row, as the end of the data.
pub fn append_quoted(
    delimiter: u8,
    null: &str,
    (quote, escape): (u8, u8),
    value: &[u8],
    alone: bool,
    out: &mut Vec<u8>,
) {
    let special = |&byte: &u8| byte == delimiter || byte == quote || matches!(byte, b'\n' | b'\r');
    if value != null.as_bytes() && !value.iter().any(special) && !(alone && value == b"\\.") {
        return out.extend_from_slice(value);
    }
    out.push(quote);
    for &byte in value {
        if byte == quote || byte == escape {
            out.push(escape);
        }
        out.push(byte);
    }
    out.push(quote);
}

/// A value of the text format, with the escape before what would end it.
pub fn append_escaped(delimiter: u8, escape: u8, value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            byte if byte == escape || byte == delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[escape, letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::reader::tests::{csv, row, rows, text};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let values = ["", "a", "\\", "\\N", "\\.", "a\tb\nc\r\x08\x0b\x0c", "\"", "a,b\"c", "é", "null"];
        let mut table: Vec<CopyRow> = values.iter().map(|value| row(&[Some(value), None])).collect();
        table.push(row(&[None, Some("x")]));
        table.push(row(&[Some("\\."), Some("y")]));
        for style in [text(), csv(), CopyStyle { null: "null".into(), ..csv() }] {
            let mut out = vec![];
            for row in &table {
                style.write_row(row.iter().map(|value| value.as_deref().map(str::as_bytes)), &mut out);
            }
            assert_eq!(rows(style.clone(), &out, 5).unwrap(), table, "{style:?}");
        }
        let mut out = vec![];
        csv().write_row([Some(b"\\.".as_slice())], &mut out);
        assert_eq!(out, b"\"\\.\"\n");
        out.clear();
        text().write_row([Some(b"a\tb".as_slice()), None], &mut out);
        assert_eq!(out, b"a\\tb\t\\N\n");
    }
}
