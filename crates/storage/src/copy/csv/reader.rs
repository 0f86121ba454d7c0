//! A file's share of records, in CSV or PostgreSQL's text, to typed batches.

use super::records::{Malformed, Records, Values};
use super::share::Share;
use super::{Dialect, Form};
use crate::copy::bad_rows::{BadRows, Defect, text_prefix};
use crate::copy::blocks::Blocks;
use crate::copy::column::{FileColumns, Wrong};
use crate::limits::{COPY_BATCH_BYTES, COPY_BLOCK_BYTES};
use damson_cluster::{BadRow, Newline};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::Time;
use std::borrow::Cow;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// Reads one unit.
pub(crate) struct CsvReader {
    pub(super) dialect: Arc<Dialect>,
    pub(super) columns: Arc<FileColumns>,
    pub(super) share: Share,
    pub(super) records: Records,
    /// Bad rows of the batch that is being made.
    pub(super) found: Vec<BadRow>,
    reservation: MemoryReservation,
    compute: Time,
}

/// A record that could not be typed.
#[derive(Debug)]
pub(super) struct Failure {
    pub row: usize,
    pub column: Option<usize>,
    pub why: Why,
}

#[derive(Debug)]
pub(super) enum Why {
    Value(Wrong),
    Byte(u8),
}

impl CsvReader {
    /// `blocks` are of the records that begin in `range`, start and end; `newline`: see [`CopyUnit::Records`](damson_cluster::CopyUnit::Records).
    pub(crate) fn new(
        dialect: Arc<Dialect>,
        columns: Arc<FileColumns>,
        blocks: Blocks,
        newline: Option<Newline>,
        range: (u64, u64),
        reservation: MemoryReservation,
        compute: Time,
    ) -> Self {
        let (records, share) = (Records::new(columns.len()), Share::new(blocks, newline, range));
        CsvReader { dialect, columns, share, records, found: vec![], reservation, compute }
    }

    /// The next rows, full batches but for the last; None after the last. A batch is empty where all its rows were bad.
    pub(crate) async fn next_batch(&mut self, bad: &mut BadRows) -> Result<Option<RecordBatch>> {
        loop {
            let done = {
                let _timer = self.compute.timer();
                self.share.cut(&self.dialect, &mut self.records)?
            };
            self.reservation.try_resize(self.share.text.capacity() + COPY_BLOCK_BYTES)?;
            if self.records.malformed.is_some()
                && self.batch_bytes() < COPY_BATCH_BYTES
                && self.found.len() < bad.room()
                && self.pass_over(bad.reports()).await?
            {
                continue;
            }
            let is_enough = self.records.is_full() || self.batch_bytes() >= COPY_BATCH_BYTES;
            if done || is_enough || self.records.malformed.is_some() {
                if self.records.rows() > 0 || !self.found.is_empty() {
                    // A malformed record after these rows is met again, first, by the next call.
                    let batch = self.batch(bad).await;
                    self.records.clear();
                    return batch.map(Some);
                }
                if let Some((_, malformed)) = self.records.malformed.take() {
                    let defect = self.whole_malformed(malformed).await?.defect;
                    let start = self.share.at;
                    return Err(self.share.error(start, defect).await.into());
                }
                self.reservation.free();
                return Ok(None);
            }
            self.share.fill(&mut self.records).await?;
            self.reservation.try_resize(self.share.text.capacity() + COPY_BLOCK_BYTES)?;
        }
    }

    /// Of the text that the batch keeps.
    fn batch_bytes(&self) -> usize {
        self.share.at - self.records.first().unwrap_or(self.share.at)
    }

    /// Types the records that were cut.
    async fn batch(&mut self, bad: &mut BadRows) -> Result<RecordBatch> {
        let mut parsed = self.timed_parse();
        if parsed.is_err() && !bad.fails() {
            self.sort_out().await?;
            parsed = self.timed_parse();
        }
        let batch = match parsed {
            Ok(batch) => batch,
            Err(failure) => {
                let (start, defect) = (self.records.start(failure.row), self.defect(failure));
                return Err(self.share.error(start, defect).await.into());
            }
        };
        let mut found = mem::take(&mut self.found);
        found.sort_by_key(|row| row.byte_offset);
        bad.add(batch.num_rows() as u64, found).await?;
        Ok(batch)
    }

    fn timed_parse(&self) -> Result<RecordBatch, Failure> {
        let _timer = self.compute.timer();
        self.parse()
    }

    fn parse(&self) -> Result<RecordBatch, Failure> {
        let first = self.records.first().unwrap_or(self.share.at);
        let bytes = &self.share.text[first..self.share.at];
        let text = text_prefix(bytes);
        let bad_byte = (text.len() < bytes.len()).then(|| self.bad_byte(first + text.len()));
        // What is wrong with the records before it comes first.
        let rows = bad_byte.as_ref().map_or(self.records.rows(), |failure| failure.row);

        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.wanted.len());
        let mut worst: Option<Failure> = None;
        for &position in &self.columns.wanted {
            match self.columns.rule(position).parse(self.values(position, 0..rows, text, first)) {
                Ok(column) => columns.push(column),
                // The first record that is wrong, and its first column: as if rows were parsed one by one.
                Err(wrong) if worst.as_ref().is_none_or(|worst| wrong.row < worst.row) => {
                    worst = Some(Failure { row: wrong.row, column: Some(position), why: Why::Value(wrong) });
                }
                Err(_) => {}
            }
        }
        match worst.or(bad_byte) {
            Some(failure) => Err(failure),
            None => Ok(self.columns.batch(columns, self.records.rows())),
        }
    }

    /// The texts of some rows of a column; `text` begins at `base`.
    pub(super) fn values<'a>(&'a self, column: usize, rows: Range<usize>, text: &'a str, base: usize) -> Values<'a> {
        Values { fields: self.records.column(column)[rows].iter(), text, base, dialect: &self.dialect }
    }

    pub(super) fn bad_byte(&self, offset: usize) -> Failure {
        let (row, column) = self.records.locate(offset);
        Failure { row, column, why: Why::Byte(self.share.text[offset]) }
    }

    /// What a failure is in words.
    pub(super) fn defect(&self, failure: Failure) -> Defect {
        let Failure { row, column, why } = failure;
        let field = column.and_then(|column| self.records.column(column).get(row));
        let value = field.map(|field| {
            let start = field.range().start;
            match String::from_utf8_lossy(&self.share.text[field.range()]) {
                Cow::Borrowed(raw) => field.value(raw, start, &self.dialect).unwrap_or_default().into_owned(),
                Cow::Owned(raw) => raw,
            }
        });
        let column = column.map(|column| self.columns.schema.field(column).name().clone());
        match why {
            Why::Value(Wrong { message, sqlstate, has_value, .. }) => {
                Defect { column, value: value.filter(|_| has_value), message, sqlstate }
            }
            Why::Byte(byte) => {
                let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
                Defect { column, value, message, sqlstate: "22021" }
            }
        }
    }

    /// The same for a record's shape.
    pub(super) fn malformed(&self, start: usize, malformed: Malformed) -> Defect {
        let (message, column, sqlstate) = match malformed {
            Malformed::Missing(column) => {
                let name = self.columns.schema.field(column).name();
                (format!("missing data for column \"{name}\""), Some(name.clone()), "22P04")
            }
            Malformed::Extra => ("extra data after last expected column".into(), None, "22P04"),
            Malformed::OpenQuote => ("unterminated CSV quoted field".into(), None, "22P04"),
            Malformed::EndMark(message) => (message.into(), None, "22P04"),
            Malformed::Return => (format!("{} carriage return found in data", self.unprotected()), None, "22P04"),
            Malformed::LineFeed => (format!("{} newline found in data", self.unprotected()), None, "22P04"),
            Malformed::Bytes => ("invalid byte sequence for encoding \"UTF8\"".into(), None, "22021"),
        };
        // The line as the value: there is no field to show.
        let line_end = self.share.ends().byte();
        let line = self.share.text[start..].split(|&byte| byte == line_end).next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        Defect { column, value: Some(line), message, sqlstate }
    }

    /// What a line end is in a place where none may be.
    fn unprotected(&self) -> &'static str {
        match self.dialect.form {
            Form::Csv { .. } => "unquoted",
            Form::Text { .. } => "literal",
        }
    }
}
