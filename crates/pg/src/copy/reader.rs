//! Cuts text and CSV into rows.

use super::values::{check_text, csv_row, text_row};
use super::{CopyError, CopyRow, CopyStyle, Quoting, ROW_BYTES_MAX, Unprotected};

/// What stands alone on a line after the last row of text.
const END_MARK: &[u8] = b"\\.";

/// How lines end; the first one outside quotes and not after an escape tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newline {
    Lf,
    CrLf,
    Cr,
}

impl Newline {
    fn last_byte(self) -> u8 {
        match self {
            Newline::Lf | Newline::CrLf => b'\n',
            Newline::Cr => b'\r',
        }
    }
}

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
    newline: Option<Newline>,
    /// A row `\.` has come: what follows is passed over.
    has_ended: bool,
    rows: u64,
    /// On which line the last row begins that was given or is wrong, and on which the next one does.
    line: u64,
    next_line: u64,
}

/// Where a row ends, and where the next one begins.
struct RowEnd {
    end: usize,
    next: usize,
}

/// What the search for a row's end has found.
enum Found {
    Row(RowEnd),
    EndMark,
    /// More is needed to tell.
    Nothing,
}

impl CopyReader {
    /// Of rows with so many values; one that has more is given with one more, whatever follows it.
    pub fn new(style: CopyStyle, columns: usize) -> Self {
        CopyReader {
            style,
            values_max: columns + 1,
            buffer: vec![],
            start: 0,
            looked_at: 0,
            in_quotes: false,
            newline: None,
            has_ended: false,
            rows: 0,
            line: 0,
            next_line: 1,
        }
    }

    /// Rows that were given.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number, from 1, of the line on which the last row begins that was given, or is wrong.
    pub fn line(&self) -> u64 {
        self.line
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
        self.row(false)
    }

    /// The last row, if it could not be told that it is whole: the client sends no more.
    ///
    /// # Errors
    /// As [`CopyReader::next_row`].
    pub fn finish(&mut self) -> Result<Option<CopyRow>, CopyError> {
        self.row(true)
    }

    /// `last`: nothing follows the buffer.
    fn row(&mut self, last: bool) -> Result<Option<CopyRow>, CopyError> {
        if self.has_ended || (last && self.start == self.buffer.len()) {
            return Ok(None);
        }
        let line = self.next_line;
        let row = self.cut(last);
        if !matches!(row, Ok(None)) {
            self.line = line;
        }
        row
    }

    fn cut(&mut self, last: bool) -> Result<Option<CopyRow>, CopyError> {
        let RowEnd { end, next } = match self.find_end(last)? {
            Found::Row(row) => row,
            Found::EndMark => return Ok(self.end_here()),
            Found::Nothing if self.buffer.len() - self.start > ROW_BYTES_MAX => return Err(CopyError::TooLong),
            Found::Nothing => return Ok(None),
        };
        let line = &self.buffer[self.start..end];
        // Older programs than psql 18 send this after the last row of CSV, where it is a value like any other. As the last line of more
        // than one column it can be no row.
        let may_be_mark = matches!(self.style.quoting, Quoting::Csv { .. }) && self.values_max > 2 && line == END_MARK;
        if may_be_mark && next == self.buffer.len() {
            self.looked_at = self.start;
            return Ok(if last { self.end_here() } else { None });
        }
        check_text(line)?;
        let row = match self.style.quoting {
            Quoting::Backslash(escape) => text_row(line, &self.style, self.values_max, escape)?,
            Quoting::Csv { quote, escape } => csv_row(line, &self.style, self.values_max, quote, escape)?,
        };
        let line_end = self.newline.unwrap_or(Newline::Lf).last_byte();
        let lines = self.buffer[self.start..next].iter().filter(|byte| **byte == line_end).count() as u64;
        self.next_line += lines;
        (self.start, self.looked_at) = (next, next);
        self.rows += 1;
        Ok(Some(row))
    }

    /// What comes is passed over.
    fn end_here<T>(&mut self) -> Option<T> {
        self.has_ended = true;
        self.buffer = vec![];
        (self.start, self.looked_at) = (0, 0);
        None
    }

    /// Goes on where the last search has ended.
    fn find_end(&mut self, last: bool) -> Result<Found, CopyError> {
        let mut at = self.looked_at;
        while let Some(&byte) = self.buffer.get(at) {
            let next = self.buffer.get(at + 1).copied();
            at += match (self.style.quoting, byte) {
                (Quoting::Backslash(Some(escape)), byte) if byte == escape => match next {
                    Some(b'.') if at > self.start => return Err(CopyError::EndMark),
                    Some(b'.') => match self.is_alone(at + END_MARK.len(), last)? {
                        true => return Ok(Found::EndMark),
                        false => break,
                    },
                    None if !last => break,
                    _ => 2,
                },
                (Quoting::Csv { quote, escape }, byte) if self.in_quotes && byte == escape && escape != quote => {
                    match next {
                        None if !last => break,
                        Some(next) if next == quote || next == escape => 2,
                        _ => 1,
                    }
                }
                // A doubled quote ends and begins at once.
                (Quoting::Csv { quote, .. }, byte) if byte == quote => {
                    self.in_quotes = !self.in_quotes;
                    1
                }
                (_, b'\n' | b'\r') if !self.in_quotes => {
                    if byte == b'\r' && next.is_none() && !last && self.newline.is_none_or(|n| n == Newline::CrLf) {
                        break;
                    }
                    let bytes = self.line_end(byte, next)?;
                    return Ok(Found::Row(RowEnd { end: at, next: at + bytes }));
                }
                _ => 1,
            };
        }
        // An escape that nothing follows is passed over with what it would have taken.
        self.looked_at = at.min(self.buffer.len());
        if !last {
            return Ok(Found::Nothing);
        }
        match self.in_quotes {
            true => Err(CopyError::OpenQuote),
            false => Ok(Found::Row(RowEnd { end: self.buffer.len(), next: self.buffer.len() })),
        }
    }

    /// How many bytes the line end has of which `byte` is the first.
    fn line_end(&mut self, byte: u8, next: Option<u8>) -> Result<usize, CopyError> {
        let newline = match (self.newline, byte, next) {
            (None | Some(Newline::CrLf), b'\r', Some(b'\n')) => Newline::CrLf,
            (None | Some(Newline::Cr), b'\r', _) => Newline::Cr,
            (None | Some(Newline::Lf), b'\n', _) => Newline::Lf,
            (_, b'\r', _) => return Err(CopyError::Return(self.unprotected())),
            _ => return Err(CopyError::LineFeed(self.unprotected())),
        };
        self.newline = Some(newline);
        Ok(if newline == Newline::CrLf { 2 } else { 1 })
    }

    /// Whether a line end stands at `at`, after the mark of the data's end; false while that cannot be told.
    fn is_alone(&self, at: usize, last: bool) -> Result<bool, CopyError> {
        match (self.newline, &self.buffer[at..]) {
            (None | Some(Newline::Lf), [b'\n', ..])
            | (None | Some(Newline::Cr), [b'\r', ..])
            | (Some(Newline::CrLf), [b'\r', b'\n', ..]) => Ok(true),
            (_, []) | (Some(Newline::CrLf), [b'\r']) if !last => Ok(false),
            (Some(Newline::Lf), [b'\r', ..]) | (Some(Newline::Cr), [b'\n', ..]) => Err(CopyError::EndMarkLine),
            (Some(Newline::CrLf), [b'\n', ..] | [b'\r', b'\r', ..]) => Err(CopyError::EndMarkLine),
            _ => Err(CopyError::EndMark),
        }
    }

    fn unprotected(&self) -> Unprotected {
        match self.style.quoting {
            Quoting::Backslash(_) => Unprotected::Literal,
            Quoting::Csv { .. } => Unprotected::Unquoted,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::copy) fn text() -> CopyStyle {
        CopyStyle { delimiter: b'\t', null: "\\N".into(), quoting: Quoting::Backslash(Some(b'\\')) }
    }

    pub(in crate::copy) fn csv() -> CopyStyle {
        CopyStyle { delimiter: b',', null: String::new(), quoting: Quoting::Csv { quote: b'"', escape: b'"' } }
    }

    /// Rows of what comes in pieces of so many bytes.
    pub(in crate::copy) fn rows(style: CopyStyle, sent: &[u8], piece: usize) -> Result<Vec<CopyRow>, CopyError> {
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

    pub(in crate::copy) fn row(values: &[Option<&str>]) -> CopyRow {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn text_has_escapes() {
        let sent = b"1\ta\\tb\t\\N\n2\t\\\\N\t\\x41\\101\\\nc\n\\N\t\t";
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
        let sent = b"1,\"a,\"\"b\"\"\n\",\r\n\"\",c\"d\"e,\"x\"\r\n,,3";
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
    fn a_backslash_and_a_dot_end_text() {
        let rows = |sent: &[u8]| rows(text(), sent, 1);
        for end in ["\\.\n", "\\.\r\n", "\\.\r"] {
            let newline = end.trim_start_matches("\\.");
            assert_eq!(rows(format!("1{newline}{end}2\n").as_bytes()).unwrap(), [row(&[Some("1")])], "{end:?}");
            assert_eq!(rows(&[end.as_bytes(), b"\xff"].concat()).unwrap(), [] as [CopyRow; 0]);
        }
        assert_eq!(rows(b"").unwrap(), [] as [CopyRow; 0]);
        for wrong in ["\\.", "\\.x\n", "1\\.\n", "1\t\\.\n", "1\n\\. \n", "1\r\n\\.\r"] {
            assert_eq!(rows(wrong.as_bytes()), Err(CopyError::EndMark), "{wrong:?}");
        }
        for wrong in ["1\n\\.\r\n", "1\r\n\\.\n", "1\r\\.\n", "1\r\n\\.\r\r"] {
            assert_eq!(rows(wrong.as_bytes()), Err(CopyError::EndMarkLine), "{wrong:?}");
        }
    }

    #[test]
    fn in_csv_it_is_a_value_unless_it_can_be_no_row() {
        let point = || row(&[Some("\\.")]);
        for piece in 1..9 {
            let three = |sent: &[u8]| rows(csv(), sent, piece).unwrap();
            assert_eq!(three(b"1,,\n\\.\n"), [row(&[Some("1"), None, None])]);
            assert_eq!(three(b"1\r\n\\.\r\n2"), [row(&[Some("1")]), point(), row(&[Some("2")])]);
            assert_eq!(three(b"\\.,\n"), [row(&[Some("\\."), None])]);
            assert_eq!(three(b"\"\\.\"\n"), [point()]);
            let mut one = CopyReader::new(csv(), 1);
            one.push(b"\\.\n");
            assert_eq!((one.next_row(), one.finish()), (Ok(Some(point())), Ok(None)));
        }
    }

    #[test]
    fn all_lines_end_as_the_first_one() {
        use Unprotected::{Literal, Unquoted};
        for (sent, of_text, of_csv) in [
            ("a\nb\r\n", CopyError::Return(Literal), CopyError::Return(Unquoted)),
            ("a\nb\rc\n", CopyError::Return(Literal), CopyError::Return(Unquoted)),
            ("a\r\nb\n", CopyError::LineFeed(Literal), CopyError::LineFeed(Unquoted)),
            ("a\r\nb\rc\r\n", CopyError::Return(Literal), CopyError::Return(Unquoted)),
            ("a\r\nb\r", CopyError::Return(Literal), CopyError::Return(Unquoted)),
            ("a\rb\r\n", CopyError::LineFeed(Literal), CopyError::LineFeed(Unquoted)),
        ] {
            for piece in 1..=sent.len() {
                assert_eq!(rows(text(), sent.as_bytes(), piece).unwrap_err(), of_text, "{sent:?} {piece}");
                assert_eq!(rows(csv(), sent.as_bytes(), piece).unwrap_err(), of_csv, "{sent:?} {piece}");
            }
            assert!(of_text.hint().is_some() && of_csv.hint().is_some());
        }
        let want = [row(&[Some("a")]), row(&[Some("")]), row(&[Some("b")])];
        for (sent, piece) in [("a\r\rb\r", 1), ("a\r\rb", 5), ("a\r\n\r\nb\r\n", 1), ("a\n\nb\n", 2)] {
            assert_eq!(rows(text(), sent.as_bytes(), piece).unwrap(), want, "{sent:?}");
        }
        let quoted = [row(&[Some("\r\n\n\r")]), row(&[Some("x")])];
        assert_eq!(rows(csv(), b"\"\r\n\n\r\"\rx\r", 1).unwrap(), quoted);
    }

    #[test]
    fn rows_have_the_numbers_of_their_first_lines() {
        let lines = |style: CopyStyle, sent: &[u8]| {
            let mut reader = CopyReader::new(style, 1);
            let mut lines = vec![];
            for byte in sent {
                reader.push(&[*byte]);
                while let Ok(Some(_)) = reader.next_row() {
                    lines.push(reader.line());
                }
            }
            let error = reader.finish().map(|row| lines.extend(row.map(|_| reader.line()))).err();
            (lines, error, reader.line())
        };
        assert_eq!(lines(csv(), b"a\n\"b\n\n\"\nc\n"), (vec![1, 2, 5], None, 5));
        assert_eq!(lines(csv(), b"a\r\n\"b\r\n\"\r\nc"), (vec![1, 2, 4], None, 4));
        assert_eq!(lines(csv(), b"a\r\"b\r\"\rc\r"), (vec![1, 2, 4], None, 4));
        assert_eq!(lines(csv(), b"a\n\"b\n"), (vec![1], Some(CopyError::OpenQuote), 2));
        assert_eq!(lines(text(), b"a\\\nb\nc\n\\.\nx"), (vec![1, 3], None, 3));
        assert_eq!(lines(text(), b"a\n\xff"), (vec![1], Some(CopyError::Encoding), 2));
        let mut reader = CopyReader::new(text(), 1);
        reader.push(b"1\n");
        reader.push(&vec![b'x'; ROW_BYTES_MAX + 1]);
        assert!(reader.next_row().unwrap().is_some());
        assert_eq!((reader.next_row(), reader.line()), (Err(CopyError::TooLong), 2));
    }

    #[test]
    fn a_backslash_that_nothing_follows_is_nothing() {
        for piece in [1, 9] {
            assert_eq!(rows(text(), b"a\\", piece).unwrap(), [row(&[Some("a")])]);
            assert_eq!(rows(text(), b"1\n\\", piece).unwrap(), [row(&[Some("1")]), row(&[Some("")])]);
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
        assert_eq!(rows(text(), b"\\xe2\x82\xac\n", 1), Err(CopyError::Encoding));
        let mut reader = CopyReader::new(text(), 1);
        reader.push(&vec![b'x'; ROW_BYTES_MAX + 1]);
        assert_eq!(reader.next_row(), Err(CopyError::TooLong));
    }
}
