//! Rows of COPY between a table and a client: PostgreSQL's text and CSV, and its binary format.

mod binary;

pub use binary::{BINARY_END, BINARY_HEAD, BinaryReader, BinaryRow};

use std::mem;
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
}

/// A row that a client sends is kept until its end is there.
pub const ROW_BYTES_MAX: usize = 64 << 20;

/// Values of a row; None is NULL.
pub type CopyRow = Vec<Option<String>>;

/// Cuts what a client sends into rows, wherever the messages end.
#[derive(Debug)]
pub struct CopyReader {
    style: CopyStyle,
    /// Of a row so many values are cut: of more, one shows that they are too many.
    values_max: usize,
    buffer: Vec<u8>,
    /// Where the row begins whose end is looked for, and what of it was looked at.
    start: usize,
    looked_at: usize,
    in_quotes: bool,
    /// A row `\.` has come: what follows is passed over.
    has_ended: bool,
    rows: u64,
}

impl CopyReader {
    /// Of rows with so many values; one that has more is given with one more, whatever follows it.
    pub fn new(style: CopyStyle, columns: usize) -> Self {
        let values_max = columns + 1;
        let (buffer, in_quotes, has_ended) = (vec![], false, false);
        CopyReader { style, values_max, buffer, start: 0, looked_at: 0, in_quotes, has_ended, rows: 0 }
    }

    /// Rows that were given, which is the number of the last one.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes what the client sent next.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.has_ended {
            return;
        }
        // What was given is not kept.
        self.buffer.drain(..self.start);
        self.looked_at -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next row that is there to its end.
    ///
    /// # Errors
    /// What is no row; there is none after it.
    pub fn next_row(&mut self) -> Result<Option<CopyRow>, CopyError> {
        if self.has_ended {
            return Ok(None);
        }
        let Some(end) = self.find_end() else {
            if self.buffer.len() - self.start > ROW_BYTES_MAX {
                return Err(CopyError::TooLong);
            }
            return Ok(None);
        };
        let start = mem::replace(&mut self.start, end + 1);
        self.looked_at = end + 1;
        self.row(start, end)
    }

    /// The last row, if it has no line end: the client sends no more.
    ///
    /// # Errors
    /// As [`CopyReader::next_row`].
    pub fn finish(&mut self) -> Result<Option<CopyRow>, CopyError> {
        if self.has_ended || self.start == self.buffer.len() {
            return Ok(None);
        }
        if self.in_quotes {
            return Err(CopyError::OpenQuote);
        }
        let start = mem::replace(&mut self.start, self.buffer.len());
        self.looked_at = self.start;
        self.row(start, self.start)
    }

    /// Where the line end is that ends the row.
    fn find_end(&mut self) -> Option<usize> {
        let mut at = self.looked_at;
        let found = loop {
            let Some(&byte) = self.buffer.get(at) else { break None };
            let takes_next = match self.style.quoting {
                Quoting::Backslash(escape) => Some(byte) == escape,
                Quoting::Csv { quote, escape } => self.in_quotes && byte == escape && escape != quote,
            };
            if takes_next {
                if at + 1 == self.buffer.len() {
                    break None;
                }
                at += 2;
                continue;
            }
            match self.style.quoting {
                // A doubled quote ends and begins at once.
                Quoting::Csv { quote, .. } if byte == quote => self.in_quotes = !self.in_quotes,
                _ if byte == b'\n' && !self.in_quotes => break Some(at),
                _ => {}
            }
            at += 1;
        };
        self.looked_at = at;
        found
    }

    fn row(&mut self, start: usize, end: usize) -> Result<Option<CopyRow>, CopyError> {
        let line = &self.buffer[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"\\." {
            self.has_ended = true;
            return Ok(None);
        }
        let row = match self.style.quoting {
            Quoting::Backslash(escape) => text_row(line, &self.style, self.values_max, escape),
            Quoting::Csv { quote, escape } => csv_row(line, &self.style, self.values_max, quote, escape),
        };
        self.rows += 1;
        row.map(Some)
    }
}

fn utf8(value: Vec<u8>) -> Result<String, CopyError> {
    let value = String::from_utf8(value).map_err(|_| CopyError::Encoding)?;
    if value.contains('\0') { Err(CopyError::Encoding) } else { Ok(value) }
}

fn text_row(line: &[u8], style: &CopyStyle, values_max: usize, escape: Option<u8>) -> Result<CopyRow, CopyError> {
    let mut row = vec![];
    let mut rest = line;
    loop {
        let (mut value, mut at) = (vec![], 0);
        let end = loop {
            let Some(&byte) = rest.get(at) else { break at };
            if byte == style.delimiter {
                break at;
            }
            at += 1;
            if Some(byte) != escape {
                value.push(byte);
                continue;
            }
            let (escaped, bytes) = unescaped(&rest[at..]);
            value.push(escaped.unwrap_or(byte));
            at += bytes;
        };
        let is_null = &rest[..end] == style.null.as_bytes();
        row.push(if is_null { None } else { Some(utf8(value)?) });
        match rest.get(end + 1..) {
            Some(after) if end < rest.len() && row.len() < values_max => rest = after,
            _ => return Ok(row),
        }
    }
}

/// What stands after a backslash: a byte, and of how many it was made. Nothing at the end of the line.
fn unescaped(after: &[u8]) -> (Option<u8>, usize) {
    let digits = |digits: &[u8], radix: u32, most: usize| {
        let count = digits.iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let value = digits[..count]
            .iter()
            .fold(0u32, |value, byte| value * radix + char::from(*byte).to_digit(radix).unwrap_or_default());
        (value as u8, count)
    };
    match after {
        [] => (None, 0),
        [b'b', ..] => (Some(8), 1),
        [b'f', ..] => (Some(12), 1),
        [b'n', ..] => (Some(b'\n'), 1),
        [b'r', ..] => (Some(b'\r'), 1),
        [b't', ..] => (Some(b'\t'), 1),
        [b'v', ..] => (Some(11), 1),
        [b'0'..=b'7', ..] => {
            let (value, count) = digits(after, 8, 3);
            (Some(value), count)
        }
        [b'x', rest @ ..] => match digits(rest, 16, 2) {
            (_, 0) => (Some(b'x'), 1),
            (value, count) => (Some(value), 1 + count),
        },
        [other, ..] => (Some(*other), 1),
    }
}

fn csv_row(line: &[u8], style: &CopyStyle, values_max: usize, quote: u8, escape: u8) -> Result<CopyRow, CopyError> {
    let mut row = vec![];
    let mut at = 0;
    loop {
        let (mut value, mut was_quoted, mut in_quotes) = (vec![], false, false);
        loop {
            let Some(&byte) = line.get(at) else {
                if in_quotes {
                    return Err(CopyError::OpenQuote);
                }
                break;
            };
            let next = line.get(at + 1).copied();
            if in_quotes && byte == escape && next.is_some_and(|next| next == quote || next == escape) {
                value.extend(next);
                at += 2;
                continue;
            }
            at += 1;
            match byte {
                byte if byte == quote => (in_quotes, was_quoted) = (!in_quotes, true),
                byte if byte == style.delimiter && !in_quotes => {
                    at -= 1;
                    break;
                }
                byte => value.push(byte),
            }
        }
        let is_null = !was_quoted && value == style.null.as_bytes();
        row.push(if is_null { None } else { Some(utf8(value)?) });
        if at == line.len() || row.len() == values_max {
            return Ok(row);
        }
        // The delimiter.
        at += 1;
    }
}

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
    use super::*;

    fn text() -> CopyStyle {
        CopyStyle { delimiter: b'\t', null: "\\N".into(), quoting: Quoting::Backslash(Some(b'\\')) }
    }

    fn csv() -> CopyStyle {
        CopyStyle { delimiter: b',', null: String::new(), quoting: Quoting::Csv { quote: b'"', escape: b'"' } }
    }

    /// Rows of what comes in pieces of so many bytes.
    fn rows(style: CopyStyle, sent: &[u8], piece: usize) -> Result<Vec<CopyRow>, CopyError> {
        let mut reader = CopyReader::new(style, 3);
        let mut rows = vec![];
        for piece in sent.chunks(piece) {
            reader.push(piece);
            while let Some(row) = reader.next_row()? {
                rows.push(row);
            }
        }
        rows.extend(reader.finish()?);
        assert_eq!(reader.rows(), rows.len() as u64);
        Ok(rows)
    }

    fn row(values: &[Option<&str>]) -> CopyRow {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn text_has_escapes() {
        let sent = b"1\ta\\tb\t\\N\n2\t\\\\N\t\\x41\\101\\\nc\r\n\\N\t\t";
        let want = [
            row(&[Some("1"), Some("a\tb"), None]),
            row(&[Some("2"), Some("\\N"), Some("AA\nc")]),
            row(&[None, Some(""), Some("")]),
        ];
        for piece in 1..=sent.len() {
            assert_eq!(rows(text(), sent, piece).unwrap(), want, "{piece}");
        }
    }

    #[test]
    fn csv_has_quotes() {
        let sent = b"1,\"a,\"\"b\"\"\n\",\n\"\",c\"d\"e,\"x\"\r\n,,3";
        let want = [
            row(&[Some("1"), Some("a,\"b\"\n"), None]),
            row(&[Some(""), Some("cde"), Some("x")]),
            row(&[None, None, Some("3")]),
        ];
        for piece in 1..=sent.len() {
            assert_eq!(rows(csv(), sent, piece).unwrap(), want, "{piece}");
        }
        let escaped = CopyStyle { quoting: Quoting::Csv { quote: b'\'', escape: b'\\' }, ..csv() };
        assert_eq!(rows(escaped, b"'it\\'s \\\\ \\n',2\n", 1).unwrap(), [row(&[Some("it's \\ \\n"), Some("2")])]);
    }

    #[test]
    fn a_backslash_and_a_dot_end_the_rows() {
        for style in [text(), csv()] {
            assert_eq!(rows(style.clone(), b"1\n\\.\n2\n", 1).unwrap(), [row(&[Some("1")])]);
            assert_eq!(rows(style, b"", 1).unwrap(), [] as [CopyRow; 0]);
        }
    }

    /// A value takes more memory than its delimiter did.
    #[test]
    fn of_a_row_that_is_too_long_one_value_shows_it() {
        for (style, delimiter) in [(text(), b'\t'), (csv(), b',')] {
            let line = [vec![delimiter; 1_000], b"\n1\n".to_vec()].concat();
            let rows = rows(style, &line, 100).unwrap();
            assert_eq!((rows[0].len(), rows[1].len()), (4, 1));
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        assert_eq!(rows(csv(), b"1,\"2\n", 3), Err(CopyError::OpenQuote));
        assert_eq!(rows(text(), b"\xff\n", 1), Err(CopyError::Encoding));
        assert_eq!(rows(text(), b"\\0\n", 1), Err(CopyError::Encoding));
        let mut reader = CopyReader::new(text(), 1);
        reader.push(&vec![b'x'; ROW_BYTES_MAX + 1]);
        assert_eq!(reader.next_row(), Err(CopyError::TooLong));
    }

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
