//! Cuts text into records and fields without looking at types.

use super::end_mark::{EndMark, end_mark};
use super::escaped::escaped_field;
use super::specials::Specials;
use super::{Dialect, Form, LineEnds};
use crate::limits::{BATCH_ROWS, RECORD_FIELDS_MAX};
use memchr::{memchr2, memchr3};
use std::borrow::Cow;

/// A field as a piece of the text: its start, and its length with its [`Kind`] in the top two bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    start: u32,
    tagged_len: u32,
}

/// How a field's piece becomes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The piece; NULL if it is the NULL text.
    Plain = 0,
    /// The piece, which was between quotes: never NULL.
    Quoted = 1,
    /// The piece holds its quotes and escapes.
    Raw = 2,
}

const LEN_BITS: u32 = 30;

impl Field {
    pub(super) fn new(start: usize, end: usize, kind: Kind) -> Self {
        Field { start: start as u32, tagged_len: (end - start) as u32 | (kind as u32) << LEN_BITS }
    }

    fn len(self) -> usize {
        (self.tagged_len & ((1 << LEN_BITS) - 1)) as usize
    }

    fn kind(self) -> Kind {
        match self.tagged_len >> LEN_BITS {
            0 => Kind::Plain,
            1 => Kind::Quoted,
            _ => Kind::Raw,
        }
    }

    fn is_empty_plain(self) -> bool {
        self.tagged_len == 0
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len()
    }

    /// The value in `text`, whose first byte has the offset `base`; None is NULL.
    #[inline(always)]
    pub(crate) fn value<'a>(self, text: &'a str, base: usize, dialect: &Dialect) -> Option<Cow<'a, str>> {
        let start = self.start as usize - base;
        let piece = &text[start..start + self.len()];
        match self.kind() {
            Kind::Plain if piece == dialect.null => None,
            Kind::Plain | Kind::Quoted => Some(Cow::Borrowed(piece)),
            Kind::Raw => dialect.unquote(piece).map(Cow::Owned),
        }
    }
}

/// What is wrong with a record's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The record ends before the column at this position.
    Missing(usize),
    Extra,
    /// What follows is not known to be data.
    OpenQuote,
    /// The mark of the data's end is wrong, as the message says; what follows is not known to be data.
    EndMark(&'static str),
    /// Not the file's line end, nor a part of it.
    Return,
    LineFeed,
    /// Digits after escapes name bytes that are no text.
    Bytes,
}

impl Malformed {
    /// Whether nothing after the record is known to be data.
    pub(super) fn ends_data(self) -> bool {
        matches!(self, Malformed::OpenQuote | Malformed::EndMark(_))
    }
}

/// Records of one batch. Offsets are in the text that they were cut from.
#[derive(Debug)]
pub(crate) struct Records {
    columns: usize,
    rows_max: usize,
    /// Column by column, [`Records::stride`] each: typing reads one column at a time.
    fields: Vec<Field>,
    starts: Vec<u32>,
    /// The first record that has the wrong shape; those before it are whole.
    pub malformed: Option<(usize, Malformed)>,
    /// The next line says that the data end: `\\.` in PostgreSQL's text.
    pub at_end_mark: bool,
}

impl Records {
    /// Room for [`BATCH_ROWS`] records, or fewer where that would be more than [`RECORD_FIELDS_MAX`] fields.
    pub(crate) fn new(columns: usize) -> Self {
        let rows_max = (RECORD_FIELDS_MAX / columns.max(1)).clamp(1, BATCH_ROWS);
        let mut records = Records {
            columns,
            rows_max,
            fields: Vec::new(),
            starts: Vec::with_capacity(rows_max),
            malformed: None,
            at_end_mark: false,
        };
        records.fields = vec![Field { start: 0, tagged_len: 0 }; columns * records.stride()];
        records
    }

    /// Fields from one column to the next: a cache line more than the rows, or all columns of a row would share a set
    /// of the cache.
    fn stride(&self) -> usize {
        self.rows_max + 8
    }

    pub(crate) fn clear(&mut self) {
        self.starts.clear();
        self.malformed = None;
        self.at_end_mark = false;
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.starts.len() == self.rows_max
    }

    /// Offset of the first record; None without any.
    pub(crate) fn first(&self) -> Option<usize> {
        self.starts.first().map(|&start| start as usize)
    }

    pub(crate) fn start(&self, row: usize) -> usize {
        self.starts[row] as usize
    }

    /// One column's fields, top down.
    pub(crate) fn column(&self, column: usize) -> &[Field] {
        let at = column * self.stride();
        &self.fields[at..at + self.starts.len()]
    }

    /// Row and, unless it is between fields, column of the byte at `offset`.
    pub(crate) fn locate(&self, offset: usize) -> (usize, Option<usize>) {
        let row = self.starts.partition_point(|&start| start as usize <= offset).saturating_sub(1);
        (row, (0..self.columns).find(|&column| self.column(column)[row].range().contains(&offset)))
    }

    /// Drops the records that are not `good`.
    pub(crate) fn retain(&mut self, good: &[bool]) {
        let (rows, stride) = (self.starts.len(), self.stride());
        assert_eq!(good.len(), rows, "each record is good or not");
        let kept: Vec<usize> = (0..rows).filter(|&row| good[row]).collect();
        for column in self.fields.chunks_mut(stride) {
            kept.iter().enumerate().for_each(|(to, &from)| column[to] = column[from]);
        }
        kept.iter().enumerate().for_each(|(to, &from)| self.starts[to] = self.starts[from]);
        self.starts.truncate(kept.len());
    }

    /// The first `bytes` bytes of the text are dropped.
    pub(crate) fn shift(&mut self, bytes: usize) {
        let (bytes, rows, stride) = (bytes as u32, self.starts.len(), self.stride());
        self.starts.iter_mut().for_each(|start| *start -= bytes);
        for column in self.fields.chunks_mut(stride) {
            column[..rows].iter_mut().for_each(|field| field.start -= bytes);
        }
    }
}

/// A column's values.
pub(crate) struct Values<'a> {
    pub fields: std::slice::Iter<'a, Field>,
    pub text: &'a str,
    /// The offset of `text`'s first byte.
    pub base: usize,
    pub dialect: &'a Dialect,
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<Cow<'a, str>>;

    // Typing a column is one loop over this.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        self.fields.next().map(|field| field.value(self.text, self.base, self.dialect))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Cuts records from `text` at `at` into `out` until it is full, the next begins at or after `limit`, or is not whole;
/// where the next begins is returned. `last`: nothing follows `text`.
pub(crate) fn cut(
    dialect: &Dialect,
    ends: LineEnds,
    text: &[u8],
    at: usize,
    limit: usize,
    last: bool,
    out: &mut Records,
) -> usize {
    let is_mark = |at: usize| end_mark(dialect, ends, &text[at..], last);
    let limit = limit.min(text.len());
    match dialect.form {
        Form::Csv { quote, escape } => {
            let mut specials = Specials::new(text, [dialect.delimiter, ends.byte(), quote]);
            let field = |start| {
                let special = specials.next_from(start);
                csv_field(dialect.delimiter, (quote, escape), ends, text, (start, special), last)
            };
            cut_records(is_mark, field, at, limit, out)
        }
        Form::Text { escape } => {
            let field = |start| escaped_field(dialect.delimiter, escape, ends, text, start, last);
            cut_records(is_mark, field, at, limit, out)
        }
    }
}

/// The same. `is_mark` tells what a record begins with, `field` cuts the field that begins at an offset; None: it is not whole.
#[inline(always)]
fn cut_records(
    is_mark: impl Fn(usize) -> Result<EndMark, Malformed>,
    mut field: impl FnMut(usize) -> Result<Option<Cut>, Malformed>,
    mut at: usize,
    limit: usize,
    out: &mut Records,
) -> usize {
    while !out.is_full() && at < limit {
        let record = match is_mark(at) {
            Ok(EndMark::No) => cut_record(&mut field, at, out),
            Ok(EndMark::Unknown) => Ok(None),
            Ok(EndMark::Yes) => {
                out.at_end_mark = true;
                break;
            }
            Err(malformed) => Err(malformed),
        };
        match record {
            Ok(Some(next)) => {
                out.starts.push(at as u32);
                at = next;
            }
            Ok(None) => break,
            Err(malformed) => {
                out.malformed = Some((at, malformed));
                break;
            }
        }
    }
    at
}

/// Where the record at `at` ends, however many fields and stray line ends it has; None if it is not whole.
///
/// # Errors
/// Those after which nothing is known to be data.
pub(crate) fn skip_record(
    dialect: &Dialect,
    ends: LineEnds,
    text: &[u8],
    mut at: usize,
    last: bool,
) -> Result<Option<usize>, Malformed> {
    let ends = ends.taking_strays();
    loop {
        match next_field(dialect, ends, text, at, last)? {
            None => return Ok(None),
            Some(Cut { next, ends_record: true, .. }) => return Ok(Some(next)),
            Some(Cut { next, .. }) => at = next,
        }
    }
}

/// The fields of the record at `at`, however many, and where it ends; None if it is not whole, or says that the data end.
pub(crate) fn record_fields(
    dialect: &Dialect,
    ends: LineEnds,
    text: &[u8],
    mut at: usize,
    last: bool,
) -> Result<Option<(Vec<Field>, usize)>, Malformed> {
    if end_mark(dialect, ends, &text[at..], last)? != EndMark::No {
        return Ok(None);
    }
    let mut fields = vec![];
    loop {
        let Some(cut) = next_field(dialect, ends, text, at, last)? else { return Ok(None) };
        if cut.is_no_text {
            return Err(Malformed::Bytes);
        }
        fields.push(cut.field);
        if cut.ends_record {
            return Ok(Some((fields, cut.next)));
        }
        at = cut.next;
    }
}

/// A field, and what is after it.
pub(super) struct Cut {
    pub field: Field,
    pub next: usize,
    pub ends_record: bool,
    /// See [`Malformed::Bytes`].
    pub is_no_text: bool,
}

#[inline(always)]
fn cut_record(
    mut field: impl FnMut(usize) -> Result<Option<Cut>, Malformed>,
    start: usize,
    out: &mut Records,
) -> Result<Option<usize>, Malformed> {
    let (columns, stride, mut slot) = (out.columns, out.stride(), out.starts.len());
    let (mut at, mut count) = (start, 0);
    loop {
        let Some(cut) = field(at)? else { return Ok(None) };
        let Cut { field: piece, next, ends_record, is_no_text } = cut;
        if is_no_text {
            return Err(Malformed::Bytes);
        }
        if count < columns {
            out.fields[slot] = piece;
            slot += stride;
        } else if count > columns || !ends_record || !piece.is_empty_plain() {
            // One empty field after the last delimiter is how some programs end their lines.
            return Err(Malformed::Extra);
        }
        count += 1;
        if ends_record {
            return if count < columns { Err(Malformed::Missing(count)) } else { Ok(Some(next)) };
        }
        at = next;
    }
}

/// The field at `start`; None if it is not whole.
#[inline]
fn next_field(
    dialect: &Dialect,
    ends: LineEnds,
    text: &[u8],
    start: usize,
    last: bool,
) -> Result<Option<Cut>, Malformed> {
    match dialect.form {
        Form::Csv { quote, escape } => {
            let special = memchr3(dialect.delimiter, ends.byte(), quote, &text[start..]).map(|offset| start + offset);
            csv_field(dialect.delimiter, (quote, escape), ends, text, (start, special), last)
        }
        Form::Text { escape } => escaped_field(dialect.delimiter, escape, ends, text, start, last),
    }
}

/// The field of CSV at `start`, whose first delimiter, line end or quote is at `special`.
#[inline(always)]
fn csv_field(
    delimiter: u8,
    (quote, escape): (u8, u8),
    ends: LineEnds,
    text: &[u8],
    (start, special): (usize, Option<usize>),
    last: bool,
) -> Result<Option<Cut>, Malformed> {
    let (end, next, ends_record) = match special {
        Some(end) => {
            let byte = text[end];
            if byte == delimiter {
                ends.check(&text[start..end])?;
                (end, end + 1, false)
            } else if byte == ends.byte() {
                (ends.value_end(text, start, end)?, end + 1, true)
            } else {
                ends.check(&text[start..end])?;
                return quoted_field(delimiter, (quote, escape), ends, text, (start, end), last);
            }
        }
        None if last => {
            ends.check(&text[start..])?;
            (text.len(), text.len(), true)
        }
        None => return Ok(None),
    };
    Ok(Some(Cut { field: Field::new(start, end, Kind::Plain), next, ends_record, is_no_text: false }))
}

/// A field whose first quote is at `open`.
fn quoted_field(
    delimiter: u8,
    (quote, escape): (u8, u8),
    ends: LineEnds,
    text: &[u8],
    (start, open): (usize, usize),
    last: bool,
) -> Result<Option<Cut>, Malformed> {
    // One pair of quotes around all of the field and no escape in it: the piece between them is the value.
    let mut simple = open == start;
    let line_end = ends.byte();
    let mut at = open + 1;
    loop {
        // Inside quotes.
        let close = loop {
            let Some(offset) = memchr2(quote, escape, &text[at..]) else {
                return if last { Err(Malformed::OpenQuote) } else { Ok(None) };
            };
            let special = at + offset;
            match text.get(special + 1) {
                // Whether this is an escape is in the next block.
                None if !last => return Ok(None),
                Some(&next) if text[special] == escape && (next == quote || next == escape) => {
                    simple = false;
                    at = special + 2;
                }
                _ if text[special] == quote => break special,
                _ => at = special + 1,
            }
        };
        // Outside again.
        let (end, next, ends_record) = match memchr3(delimiter, line_end, quote, &text[close + 1..]) {
            None if !last => return Ok(None),
            None => {
                ends.check(&text[close + 1..])?;
                (text.len(), text.len(), true)
            }
            Some(offset) => {
                let end = close + 1 + offset;
                match text[end] {
                    byte if byte == delimiter => {
                        ends.check(&text[close + 1..end])?;
                        (end, end + 1, false)
                    }
                    byte if byte == line_end => (ends.value_end(text, close + 1, end)?, end + 1, true),
                    _ => {
                        ends.check(&text[close + 1..end])?;
                        simple = false;
                        at = end + 1;
                        continue;
                    }
                }
            }
        };
        let field = if simple && end == close + 1 {
            Field::new(start + 1, close, Kind::Quoted)
        } else {
            Field::new(start, end, Kind::Raw)
        };
        return Ok(Some(Cut { field, next, ends_record, is_no_text: false }));
    }
}
