//! A file's share of JSON objects, one a line, to typed batches.

use super::blocks::Blocks;
use super::lines::line_at;
use crate::limits::{BATCH_ROWS, ERROR_VALUE_BYTES_MAX, RECORD_BYTES_MAX};
use crate::text::{RowError, parse_column, type_name};
use crate::{RecordError, StorageError};
use damson_cluster::{CopyUnit, Encoding, SourceAccess};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use memchr::memchr;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

/// Reads units one after the other. Members are matched to columns by name: as it is written, else without regard to case. A member that is not there is NULL, and
/// one without a column is passed over. Numbers keep their digits; objects and lists are text.
///
/// # Memory
/// As the reader of CSV, and the texts of a batch.
pub(crate) struct JsonReader {
    schema: SchemaRef,
    units: VecDeque<CopyUnit>,
    access: SourceAccess,
    current: Option<Share>,
    reservation: MemoryReservation,
}

/// The unit that is being read.
struct Share {
    blocks: Blocks,
    /// Records that begin at or after this offset are another unit's.
    end: u64,
    /// Text that is not handed on yet.
    text: Vec<u8>,
    /// Where in `text` the next line begins.
    at: usize,
    /// The (decoded) file's offset of `text`'s first byte.
    offset: u64,
    /// Line ends before `text`'s first byte, of a file that is decoded.
    lines: u64,
    end_of_file: bool,
}

/// A line that is no row.
struct Failure {
    /// Of the line's first byte in the text.
    start: usize,
    column: Option<String>,
    value: Option<String>,
    message: String,
    sqlstate: &'static str,
}

impl JsonReader {
    pub(crate) fn new(
        schema: SchemaRef,
        units: Vec<CopyUnit>,
        access: SourceAccess,
        reservation: MemoryReservation,
    ) -> Self {
        JsonReader { schema, units: units.into(), access, current: None, reservation }
    }

    /// The next rows; None after the last unit.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(share) = &mut self.current else {
                match self.units.pop_front() {
                    None => {
                        self.reservation.free();
                        return Ok(None);
                    }
                    Some(CopyUnit::Records { file, codec, start, end }) => {
                        let blocks = Blocks::open(&file, codec, &Encoding::Utf8, (start, end), &self.access).await?;
                        let (text, at, lines) = (vec![], 0, 0);
                        self.current = Some(Share { blocks, end, text, at, offset: start, lines, end_of_file: false });
                    }
                    Some(CopyUnit::RowGroups { file, .. }) => {
                        let message = "a unit of Parquet in a plan of JSON".into();
                        return Err(StorageError::File { path: file.url, message, sqlstate: "XX000" }.into());
                    }
                }
                continue;
            };
            let lines = share.lines_at_hand();
            if lines.is_empty() && !share.is_done() {
                share.fill().await?;
                self.reservation.try_resize(share.text.capacity())?;
                continue;
            }
            if lines.is_empty() {
                self.current = None;
                continue;
            }
            match batch(&self.schema, &share.text, &lines) {
                Ok(batch) => {
                    share.at = lines[lines.len() - 1].1;
                    if batch.num_rows() > 0 {
                        return Ok(Some(batch));
                    }
                }
                Err(failure) => return Err(share.error(failure).await.into()),
            }
        }
    }
}

impl Share {
    /// The next whole lines: where each begins, and where the one after it does.
    fn lines_at_hand(&self) -> Vec<(usize, usize)> {
        let (mut lines, mut at) = (vec![], self.at);
        while lines.len() < BATCH_ROWS && at < self.text.len() && self.offset + (at as u64) < self.end {
            match memchr(b'\n', &self.text[at..]) {
                Some(length) => {
                    lines.push((at, at + length + 1));
                    at += length + 1;
                }
                None if self.end_of_file => {
                    lines.push((at, self.text.len()));
                    at = self.text.len();
                }
                None => break,
            }
        }
        lines
    }

    fn is_done(&self) -> bool {
        self.offset + self.at as u64 >= self.end || self.end_of_file && self.at == self.text.len()
    }

    /// Drops the text that is handed on and adds the next block.
    async fn fill(&mut self) -> Result<(), StorageError> {
        if self.text.len() - self.at > RECORD_BYTES_MAX {
            let message = format!("a line is longer than {RECORD_BYTES_MAX} bytes");
            let start = self.at;
            return Err(self.error(Failure { start, column: None, value: None, message, sqlstate: "22P04" }).await);
        }
        let (block, is_last) = self.blocks.next().await?;
        if !self.blocks.is_plain() {
            self.lines += memchr::memchr_iter(b'\n', &self.text[..self.at]).count() as u64;
        }
        self.text.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        self.text.extend_from_slice(&block);
        self.end_of_file |= is_last;
        Ok(())
    }

    async fn error(&self, failure: Failure) -> StorageError {
        let line = match self.blocks.is_plain() {
            true => match line_at(&self.blocks.file, self.offset + failure.start as u64).await {
                Ok(line) => line,
                Err(error) => return error,
            },
            false => 1 + self.lines + memchr::memchr_iter(b'\n', &self.text[..failure.start]).count() as u64,
        };
        let Failure { column, value, message, sqlstate, .. } = failure;
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

/// The rows of `lines`, of which those without anything are passed over.
fn batch(schema: &SchemaRef, text: &[u8], lines: &[(usize, usize)]) -> Result<RecordBatch, Failure> {
    let mut columns: Vec<Vec<Option<Cow<'_, str>>>> = vec![Vec::with_capacity(lines.len()); schema.fields().len()];
    let mut starts = Vec::with_capacity(lines.len());
    for &(start, end) in lines {
        let mut line = &text[start..end];
        if start == 0 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        starts.push(start);
        let bad = |message: String, sqlstate| {
            let value = Some(String::from_utf8_lossy(line).into_owned());
            Failure { start, column: None, value, message, sqlstate }
        };
        let line_text = str::from_utf8(line).map_err(|error| {
            let byte = line[error.valid_up_to()];
            bad(format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"), "22021")
        })?;
        let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(line_text)
            .map_err(|error| bad(format!("invalid input syntax for type json: {error}"), "22P02"))?;
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            let found = members.get(field.name().as_str()).or_else(|| {
                let named = |(name, _): &(&Cow<'_, str>, &&RawValue)| name.eq_ignore_ascii_case(field.name());
                members.iter().find(named).map(|(_, value)| value)
            });
            let value = found.map(|value| scalar(value.get())).transpose().map_err(|message| bad(message, "22P02"))?;
            column.push(value.flatten());
        }
    }
    let mut parsed: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    let mut worst: Option<(usize, Failure)> = None;
    for (field, texts) in schema.fields().iter().zip(&columns) {
        let (row, message, sqlstate, value) = match typed(field.data_type(), texts) {
            Ok(column) if !field.is_nullable() && column.null_count() > 0 => {
                let row = (0..column.len()).find(|&row| column.is_null(row)).unwrap_or(0);
                let message = format!("null value in column \"{}\" violates not-null constraint", field.name());
                parsed.push(column);
                (row, message, "23502", None)
            }
            Ok(column) => {
                parsed.push(column);
                continue;
            }
            Err(RowError { row, error }) => {
                let message = error.message(&type_name(field.data_type()).unwrap_or_default());
                (row, message, error.sqlstate(), texts[row].as_deref().map(str::to_owned))
            }
        };
        if worst.as_ref().is_none_or(|(first, _)| row < *first) {
            let failure = Failure { start: starts[row], column: Some(field.name().clone()), value, message, sqlstate };
            worst = Some((row, failure));
        }
    }
    match worst {
        Some((_, failure)) => Err(failure),
        None => Ok(RecordBatch::try_new(SchemaRef::clone(schema), parsed).expect("columns have the schema's types")),
    }
}

fn typed(data_type: &DataType, texts: &[Option<Cow<'_, str>>]) -> Result<ArrayRef, RowError> {
    parse_column(data_type, texts.iter().map(|text| text.as_deref().map(Cow::Borrowed)))
}

/// A member's text; None is NULL.
fn scalar(raw: &str) -> Result<Option<Cow<'_, str>>, String> {
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(raw) {
            Ok(text) if text.contains('\0') => {
                Err("unsupported Unicode escape sequence: \\u0000 cannot be text".into())
            }
            Ok(text) => Ok(Some(Cow::Owned(text.into_owned()))),
            Err(error) => Err(format!("invalid input syntax for type json: {error}")),
        },
        _ => Ok(Some(Cow::Borrowed(raw))),
    }
}
