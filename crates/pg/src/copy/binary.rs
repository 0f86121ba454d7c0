//! Rows of COPY in PostgreSQL's binary format: a head; of each row the number of its values, and of each value its length; an end.

use super::{CopyError, ROW_BYTES_MAX};
use std::ops::Range;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The signature, no flags, and the length of what else the head may have: nothing.
pub const BINARY_HEAD: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands after the last row, in the place of a number of values.
pub const BINARY_END: [u8; 2] = (-1i16).to_be_bytes();

/// The flag of rows that begin with an OID, which PostgreSQL has no more.
const HAS_OIDS: u32 = 1 << 16;

/// Values of a row; None is NULL.
pub type BinaryRow = Vec<Option<Vec<u8>>>;

/// Cuts what a client sends into rows, wherever the messages end.
#[derive(Debug)]
pub struct BinaryReader {
    columns: usize,
    buffer: Vec<u8>,
    /// Where the part begins that was not given.
    start: usize,
    part: Part,
    rows: u64,
    /// The number of the last row that was given or is wrong.
    line: u64,
}

/// Where a row's values are in the buffer; None is NULL.
type Places = Vec<Option<Range<usize>>>;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// So many bytes of the head that mean nothing here.
    Extension(usize),
    Rows,
    /// Nothing.
    End,
}

impl BinaryReader {
    /// Of rows with so many values.
    pub fn new(columns: usize) -> Self {
        BinaryReader { columns, buffer: vec![], start: 0, part: Part::Head, rows: 0, line: 0 }
    }

    /// Rows that were given.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number, from 1, of the last row that was given, or is wrong. The head is the first one's.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Takes what the client sent next.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was given is not kept.
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next row that is there to its end.
    ///
    /// # Errors
    /// What is no head, no row, or stands after the end; there is no row after it.
    pub fn next_row(&mut self) -> Result<Option<BinaryRow>, CopyError> {
        let next = self.next_part();
        self.line = self.rows + u64::from(next.is_err());
        next
    }

    /// The client sends no more. An end may be missing, but no part of a row.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(&mut self) -> Result<(), CopyError> {
        let missing = match self.part {
            Part::Head => CopyError::Signature,
            Part::Extension(_) => CopyError::Head("wrong length"),
            Part::Rows if self.start < self.buffer.len() => CopyError::Cut,
            Part::Rows | Part::End => return Ok(()),
        };
        self.line = self.rows + 1;
        Err(missing)
    }

    fn next_part(&mut self) -> Result<Option<BinaryRow>, CopyError> {
        loop {
            let rest = &self.buffer[self.start..];
            match self.part {
                Part::Head => {
                    let Some((bytes, extension)) = head(rest)? else { return Ok(None) };
                    self.start += bytes;
                    self.part = Part::Extension(extension);
                }
                Part::Extension(left) => {
                    let passed = left.min(rest.len());
                    self.start += passed;
                    if passed < left {
                        self.part = Part::Extension(left - passed);
                        return Ok(None);
                    }
                    self.part = Part::Rows;
                }
                Part::Rows if rest.starts_with(&BINARY_END) => {
                    self.start += BINARY_END.len();
                    self.part = Part::End;
                }
                Part::Rows => return self.row(),
                Part::End if rest.is_empty() => return Ok(None),
                Part::End => return Err(CopyError::AfterEnd),
            }
        }
    }

    fn row(&mut self) -> Result<Option<BinaryRow>, CopyError> {
        let Some((places, end)) = self.places()? else {
            let is_long = self.buffer.len() - self.start > ROW_BYTES_MAX;
            return if is_long { Err(CopyError::TooLong) } else { Ok(None) };
        };
        self.start = end;
        self.rows += 1;
        Ok(Some(places.into_iter().map(|place| place.map(|place| self.buffer[place].to_vec())).collect()))
    }

    /// Where the next row's values are, and where it ends; None while it is not there.
    fn places(&self) -> Result<Option<(Places, usize)>, CopyError> {
        let Some(count) = chunk(&self.buffer, self.start).map(i16::from_be_bytes) else { return Ok(None) };
        if usize::try_from(count) != Ok(self.columns) {
            return Err(CopyError::FieldCount { found: count, expected: self.columns });
        }
        let mut places = Vec::with_capacity(self.columns);
        let mut at = self.start + 2;
        for _ in 0..self.columns {
            let Some(length) = chunk(&self.buffer, at).map(i32::from_be_bytes) else { return Ok(None) };
            at += 4;
            if length == -1 {
                places.push(None);
                continue;
            }
            let length = usize::try_from(length).map_err(|_| CopyError::FieldSize)?;
            if at - self.start + length > ROW_BYTES_MAX {
                return Err(CopyError::TooLong);
            }
            if self.buffer.len() < at + length {
                return Ok(None);
            }
            places.push(Some(at..at + length));
            at += length;
        }
        Ok(Some((places, at)))
    }
}

/// How long the head is, and its extension; None while it is not there.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, CopyError> {
    let there = bytes.len().min(SIGNATURE.len());
    if bytes[..there] != SIGNATURE[..there] {
        return Err(CopyError::Signature);
    }
    let flags_at = SIGNATURE.len();
    let (Some(flags), Some(extension)) = (chunk(bytes, flags_at), chunk(bytes, flags_at + 4)) else { return Ok(None) };
    let flags = u32::from_be_bytes(flags);
    if flags & HAS_OIDS != 0 {
        return Err(CopyError::Head("WITH OIDS"));
    }
    // Of the others, those above must be understood.
    if flags >> 16 != 0 {
        return Err(CopyError::Flags);
    }
    let extension = usize::try_from(i32::from_be_bytes(extension)).map_err(|_| CopyError::Head("missing length"))?;
    Ok(Some((BINARY_HEAD.len(), extension)))
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of what comes in pieces of so many bytes.
    fn rows(sent: &[u8], piece: usize) -> Result<Vec<BinaryRow>, CopyError> {
        let mut reader = BinaryReader::new(2);
        let mut rows = vec![];
        for piece in sent.chunks(piece) {
            reader.push(piece);
            while let Some(row) = reader.next_row()? {
                rows.push(row);
            }
        }
        reader.finish()?;
        assert_eq!(reader.rows(), rows.len() as u64);
        Ok(rows)
    }

    const ROWS: &[u8] = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x02\0\0\0\0\0\0\0\x02\xff\xff";

    fn sent(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn rows_are_cut_wherever_messages_end() {
        let want = vec![vec![Some(b"a".to_vec()), None], vec![Some(vec![]), Some(b"\xff\xff".to_vec())]];
        let extended = [SIGNATURE, b"\0\0\x7f\xff\0\0\0\x03xyz"].concat();
        for head in [BINARY_HEAD.as_slice(), &extended] {
            // PostgreSQL does without an end, too.
            for end in [BINARY_END.as_slice(), b""] {
                let sent = sent(&[head, ROWS, end]);
                for piece in 1..=sent.len() {
                    assert_eq!(rows(&sent, piece).as_ref(), Ok(&want), "{piece}");
                }
            }
        }
        assert_eq!(rows(&sent(&[BINARY_HEAD, &BINARY_END]), 1), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_has_a_number() {
        for (rows, line) in [
            (ROWS.to_vec(), 2),
            (ROWS[..ROWS.len() - 1].to_vec(), 2),
            (ROWS[..5].to_vec(), 1),
            (b"\0\x03".to_vec(), 1),
            ([ROWS, b"\0\x03"].concat(), 3),
            ([ROWS, b"\0\x02\x7f\xff\xff\xff"].concat(), 3),
        ] {
            let mut reader = BinaryReader::new(2);
            reader.push(&sent(&[BINARY_HEAD, &rows]));
            while let Ok(Some(_)) = reader.next_row() {}
            let is_wrong = reader.next_row().is_err() || reader.finish().is_err();
            assert_eq!((is_wrong, reader.line()), (rows != ROWS, line), "{rows:?}");
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let head = |flags: &[u8], length: &[u8]| sent(&[SIGNATURE, flags, length]);
        let after_head = |rows: &[u8]| sent(&[BINARY_HEAD, rows]);
        for (sent, error) in [
            (b"1\ta\n".to_vec(), CopyError::Signature),
            (b"PGCOPY\n".to_vec(), CopyError::Signature),
            (vec![], CopyError::Signature),
            (head(b"\0\x01\0\0", b"\0\0\0\0"), CopyError::Head("WITH OIDS")),
            (head(b"\0\x02\0\0", b"\0\0\0\0"), CopyError::Flags),
            (head(b"\0\0\0\0", b"\xff\xff\xff\xff"), CopyError::Head("missing length")),
            (head(b"\0\0\0\0", b"\0\0\0\x02x"), CopyError::Head("wrong length")),
            (after_head(b"\0\x03"), CopyError::FieldCount { found: 3, expected: 2 }),
            (after_head(b"\xff\xfe"), CopyError::FieldCount { found: -2, expected: 2 }),
            (after_head(b"\0\x02\xff\xff\xff\xfe"), CopyError::FieldSize),
            (after_head(b"\0\x02\x7f\xff\xff\xff"), CopyError::TooLong),
            (after_head(&ROWS[..ROWS.len() - 1]), CopyError::Cut),
            (after_head(b"\xff\xff\0"), CopyError::AfterEnd),
        ] {
            for piece in [1, 64] {
                assert_eq!(rows(&sent, piece), Err(error.clone()), "{sent:?}");
            }
        }
    }
}
