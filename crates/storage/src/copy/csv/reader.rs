//! A file's share of records, in CSV or PostgreSQL's text, to typed batches.

use super::Dialect;
use super::records::{Malformed, Records, Values, cut, skip_record};
use crate::copy::blocks::Blocks;
use crate::copy::lines::line_at;
use crate::limits::{COPY_BLOCK_BYTES, ERROR_VALUE_BYTES_MAX, RECORD_BYTES_MAX};
use crate::text::{RowError, parse_column, type_name};
use crate::{RecordError, StorageError};
use damson_cluster::{Codec, CopyFile, CopyUnit, SourceAccess};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::Time;
use std::collections::VecDeque;
use std::sync::Arc;

/// Reads units one after the other.
pub(crate) struct CsvReader {
    dialect: Arc<Dialect>,
    schema: SchemaRef,
    units: VecDeque<CopyUnit>,
    access: SourceAccess,
    current: Option<Share>,
    records: Records,
    reservation: MemoryReservation,
    compute: Time,
}

/// The unit that is being read.
struct Share {
    blocks: Blocks,
    /// Records that begin at or after this offset are another unit's.
    end: u64,
    /// Text that is not handed on yet.
    text: Vec<u8>,
    /// The (decoded) file's offset of `text`'s first byte.
    offset: u64,
    /// Line ends before `text`'s first byte, of a file that is decoded.
    lines: u64,
    /// Where in `text` the next record begins.
    at: usize,
    end_of_file: bool,
    /// The mark and the header at the file's start are not skipped yet.
    at_file_start: bool,
}

impl CsvReader {
    pub(crate) fn new(
        dialect: Arc<Dialect>,
        schema: SchemaRef,
        units: Vec<CopyUnit>,
        access: SourceAccess,
        reservation: MemoryReservation,
        compute: Time,
    ) -> Self {
        let records = Records::new(schema.fields().len());
        CsvReader { dialect, schema, units: units.into(), access, current: None, records, reservation, compute }
    }

    /// The next rows, full batches but for a unit's last; None after the last unit.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(share) = &mut self.current else {
                match self.units.pop_front() {
                    None => {
                        self.reservation.free();
                        return Ok(None);
                    }
                    Some(CopyUnit::Records { file, codec, start, end }) => {
                        let range = (start, end);
                        self.current = Some(Share::open(&file, codec, &self.dialect, range, &self.access).await?);
                    }
                    Some(CopyUnit::RowGroups { file, .. }) => {
                        return Err(StorageError::File {
                            path: file.url,
                            message: "a unit of Parquet in a plan of text".into(),
                            sqlstate: "XX000",
                        }
                        .into());
                    }
                }
                continue;
            };
            let done = {
                let _timer = self.compute.timer();
                share.cut(&self.dialect, &mut self.records)?
            };
            if done || self.records.is_full() || self.records.malformed.is_some() {
                if self.records.rows() > 0 {
                    // A malformed record after these rows is met again, first, by the next call.
                    let batch = self.batch().await;
                    self.records.clear();
                    return batch.map(Some);
                }
                if let Some((start, malformed)) = self.records.malformed.take() {
                    return Err(self.malformed(start, malformed).await.into());
                }
                self.current = None;
                continue;
            }
            share.fill(&mut self.records).await?;
            self.reservation.try_resize(share.text.capacity() + COPY_BLOCK_BYTES)?;
        }
    }

    /// Types the records that were cut.
    async fn batch(&self) -> Result<RecordBatch> {
        let failure = {
            let _timer = self.compute.timer();
            match self.parse() {
                Ok(batch) => return Ok(batch),
                Err(failure) => failure,
            }
        };
        Err(self.failure(failure).await.into())
    }

    fn parse(&self) -> Result<RecordBatch, Failure> {
        let share = self.current.as_ref().expect("records are of a unit");
        let first = self.records.first().unwrap_or(share.at);
        let bytes = &share.text[first..share.at];
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(self.bad_byte(first + error.valid_up_to())),
        };
        if let Some(nul) = memchr::memchr(0, bytes) {
            return Err(self.bad_byte(first + nul));
        }

        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let mut worst: Option<Failure> = None;
        for (position, field) in self.schema.fields().iter().enumerate() {
            let fields = self.records.column(position).iter();
            let texts = Values { fields, text, base: first, dialect: &self.dialect };
            let failure = match parse_column(field.data_type(), texts) {
                Ok(column) if !field.is_nullable() && column.null_count() > 0 => {
                    let row = (0..column.len()).find(|&row| column.is_null(row)).unwrap_or(0);
                    columns.push(column);
                    Failure { row, column: Some(position), why: Why::Null }
                }
                Ok(column) => {
                    columns.push(column);
                    continue;
                }
                Err(RowError { row, error }) => Failure {
                    row,
                    column: Some(position),
                    why: Why::Value {
                        message: error.message(&type_name(field.data_type()).unwrap_or_default()),
                        sqlstate: error.sqlstate(),
                    },
                },
            };
            // The first record that is wrong, and its first column: as if rows were parsed one by one.
            if worst.as_ref().is_none_or(|worst| failure.row < worst.row) {
                worst = Some(failure);
            }
        }
        match worst {
            Some(failure) => Err(failure),
            None => {
                Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("columns have the schema's types"))
            }
        }
    }

    fn bad_byte(&self, offset: usize) -> Failure {
        let share = self.current.as_ref().expect("records are of a unit");
        let (row, column) = self.records.locate(offset);
        Failure { row, column, why: Why::Byte(share.text[offset]) }
    }

    async fn failure(&self, failure: Failure) -> StorageError {
        let Some(share) = &self.current else { unreachable!("records are of a unit") };
        let value = failure.column.and_then(|column| self.records.column(column).get(failure.row)).map(|field| {
            let raw = String::from_utf8_lossy(&share.text[field.range()]);
            let start = field.range().start;
            match raw {
                std::borrow::Cow::Borrowed(raw) => {
                    field.value(raw, start, &self.dialect).unwrap_or_default().into_owned()
                }
                std::borrow::Cow::Owned(raw) => raw,
            }
        });
        let name = failure.column.map(|column| self.schema.field(column).name().clone());
        let (message, sqlstate, value) = match failure.why {
            Why::Value { message, sqlstate } => (message, sqlstate, value),
            Why::Null => {
                let name = name.as_deref().unwrap_or_default();
                (format!("null value in column \"{name}\" violates not-null constraint"), "23502", None)
            }
            Why::Byte(byte) => (format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"), "22021", value),
        };
        share.error(self.records.start(failure.row), name, value, message, sqlstate).await
    }

    async fn malformed(&self, start: usize, malformed: Malformed) -> StorageError {
        let Some(share) = &self.current else { unreachable!("records are of a unit") };
        let (message, column) = match malformed {
            Malformed::Missing(column) => {
                let name = self.schema.field(column).name();
                (format!("missing data for column \"{name}\""), Some(name.clone()))
            }
            Malformed::Extra => ("extra data after last expected column".into(), None),
            Malformed::OpenQuote => ("unterminated CSV quoted field".into(), None),
        };
        // The line as the value: there is no field to show.
        let line = share.text[start..].split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        share.error(start, column, Some(line), message, "22P04").await
    }
}

/// A record that could not be typed.
struct Failure {
    row: usize,
    column: Option<usize>,
    why: Why,
}

enum Why {
    Value { message: String, sqlstate: &'static str },
    Null,
    Byte(u8),
}

impl Share {
    async fn open(
        file: &CopyFile,
        codec: Codec,
        dialect: &Dialect,
        (start, end): (u64, u64),
        access: &SourceAccess,
    ) -> Result<Self, StorageError> {
        let blocks = Blocks::open(file, codec, &dialect.encoding, (start, end), access).await?;
        Ok(Share {
            blocks,
            end,
            text: Vec::new(),
            offset: start,
            lines: 0,
            at: 0,
            end_of_file: false,
            at_file_start: start == 0,
        })
    }

    /// Cuts more records; true once this unit has no more.
    fn cut(&mut self, dialect: &Dialect, records: &mut Records) -> Result<bool, StorageError> {
        if self.at_file_start && !self.skip_start(dialect)? {
            return Ok(self.end_of_file);
        }
        let limit = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        self.at = cut(dialect, &self.text, self.at, limit, self.end_of_file, records);
        Ok(self.at >= limit || records.at_end_mark || self.end_of_file && self.at == self.text.len())
    }

    /// Skips a byte order mark and the header; false while they are not all there.
    fn skip_start(&mut self, dialect: &Dialect) -> Result<bool, StorageError> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.text.len() < MARK.len() && !self.end_of_file {
            return Ok(false);
        }
        let mut at = if self.text.starts_with(MARK) { MARK.len() } else { 0 };
        if dialect.header {
            match skip_record(dialect, &self.text, at, self.end_of_file) {
                Ok(Some(next)) => at = next,
                Ok(None) => return Ok(false),
                Err(_) => {
                    return Err(Box::new(RecordError {
                        path: self.blocks.file.file().url.clone(),
                        line: 1,
                        column: None,
                        value: None,
                        message: "unterminated CSV quoted field in the header".into(),
                        sqlstate: "22P04",
                    })
                    .into());
                }
            }
        }
        self.at = at;
        self.at_file_start = false;
        Ok(true)
    }

    /// Drops the text that is handed on and adds the next block; `records` stays valid.
    async fn fill(&mut self, records: &mut Records) -> Result<(), StorageError> {
        if self.text.len() - self.at > RECORD_BYTES_MAX {
            let message = format!("a record is longer than {RECORD_BYTES_MAX} bytes: is a quote not closed?");
            return Err(self.error(self.at, None, None, message, "22P04").await);
        }
        let (block, is_last) = self.blocks.next().await?;

        let keep = records.first().unwrap_or(self.at);
        if !self.blocks.is_plain() {
            self.lines += memchr::memchr_iter(b'\n', &self.text[..keep]).count() as u64;
        }
        self.text.drain(..keep);
        records.shift(keep);
        self.at -= keep;
        self.offset += keep as u64;

        self.text.extend_from_slice(&block);
        self.end_of_file |= is_last;
        Ok(())
    }

    /// The line, from 1, of the byte at `start` in the text.
    async fn line(&self, start: usize) -> Result<u64, StorageError> {
        match self.blocks.is_plain() {
            true => line_at(&self.blocks.file, self.offset + start as u64).await,
            false => Ok(1 + self.lines + memchr::memchr_iter(b'\n', &self.text[..start]).count() as u64),
        }
    }

    /// An error of the record at `start` in the text; counts the lines before it.
    async fn error(
        &self,
        start: usize,
        column: Option<String>,
        value: Option<String>,
        message: String,
        sqlstate: &'static str,
    ) -> StorageError {
        let line = match self.line(start).await {
            Ok(line) => line,
            Err(error) => return error,
        };
        let value = value.map(|mut value| {
            if value.len() > ERROR_VALUE_BYTES_MAX {
                value.truncate(value.floor_char_boundary(ERROR_VALUE_BYTES_MAX));
                value.push('…');
            }
            value
        });
        let path = self.blocks.file.file().url.clone();
        StorageError::Record(Box::new(RecordError { path, line, column, value, message, sqlstate }))
    }
}
