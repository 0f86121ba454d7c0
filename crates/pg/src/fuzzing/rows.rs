//! Rows of COPY FROM STDIN, in pieces of any size.

use crate::copy::{
    BINARY_END, BINARY_HEAD, BinaryReader, BinaryRow, CopyError, CopyReader, CopyRow, CopyStyle, Quoting,
};

/// Styles of [`lines`].
pub const LINE_STYLES: usize = 5;

/// Of the table that lines go into: the values of a row that are cut.
const COLUMNS: usize = 4;

/// What rows in text have: PostgreSQL's two styles, and what users make of them.
fn style(which: usize) -> CopyStyle {
    let csv = |quote, escape| Quoting::Csv { quote, escape };
    let (delimiter, null, quoting) = match which % LINE_STYLES {
        0 => (b'\t', "\\N", Quoting::Backslash(Some(b'\\'))),
        1 => (b',', "", csv(b'"', b'"')),
        2 => (b';', "null", csv(b'\'', b'\\')),
        3 => (b'|', "^N", Quoting::Backslash(Some(b'^'))),
        _ => (b'\t', "\\N", Quoting::Backslash(None)),
    };
    CopyStyle { delimiter, null: null.into(), quoting }
}

/// Reads lines that come in pieces; the lengths are taken from the iterator, and the rest comes at once when it ends. Gives how many rows
/// there were, and why there are no more.
///
/// # Panics
/// When rows are not the same after they were written and read again.
pub fn lines(which: usize, bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> (usize, Option<CopyError>) {
    let style = style(which);
    let (rows, error) = read_lines(&style, bytes, pieces);
    // Without escapes not all values can be written.
    if style.quoting != Quoting::Backslash(None) {
        let mut written = vec![];
        for row in &rows {
            style.write_row(row.iter().map(|value| value.as_deref().map(str::as_bytes)), &mut written);
        }
        assert_eq!(read_lines(&style, &written, []), (rows.clone(), None), "{style:?}");
    }
    (rows.len(), error)
}

fn read_lines(
    style: &CopyStyle,
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
) -> (Vec<CopyRow>, Option<CopyError>) {
    let (mut reader, mut rows) = (CopyReader::new(style.clone(), COLUMNS), vec![]);
    for piece in cut(bytes, pieces) {
        reader.push(piece);
        loop {
            match reader.next_row() {
                Ok(Some(row)) => {
                    assert!((1..=COLUMNS + 1).contains(&row.len()), "{row:?}");
                    rows.push(row);
                }
                Ok(None) => break,
                Err(error) => return (rows, Some(error)),
            }
        }
    }
    match reader.finish() {
        Ok(last) => {
            rows.extend(last);
            assert_eq!(reader.rows(), rows.len() as u64);
            (rows, None)
        }
        Err(error) => (rows, Some(error)),
    }
}

/// As [`lines`], of rows in binary with so many columns.
///
/// # Panics
/// As [`lines`].
pub fn binary_rows(
    columns: usize,
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
) -> (usize, Option<CopyError>) {
    let (rows, error) = read_binary(columns, bytes, pieces);
    let mut written = BINARY_HEAD.to_vec();
    for row in &rows {
        assert_eq!(row.len(), columns);
        written.extend((columns as i16).to_be_bytes());
        for value in row {
            match value {
                None => written.extend((-1i32).to_be_bytes()),
                Some(value) => {
                    written.extend((value.len() as i32).to_be_bytes());
                    written.extend_from_slice(value);
                }
            }
        }
    }
    written.extend(BINARY_END);
    assert_eq!(read_binary(columns, &written, []), (rows.clone(), None));
    (rows.len(), error)
}

fn read_binary(
    columns: usize,
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
) -> (Vec<BinaryRow>, Option<CopyError>) {
    let (mut reader, mut rows) = (BinaryReader::new(columns), vec![]);
    for piece in cut(bytes, pieces) {
        reader.push(piece);
        loop {
            match reader.next_row() {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => break,
                Err(error) => return (rows, Some(error)),
            }
        }
    }
    let error = reader.finish().err();
    (rows, error)
}

fn cut(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut pieces) = (bytes, pieces.into_iter());
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(pieces.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = after;
        Some(piece)
    })
}
