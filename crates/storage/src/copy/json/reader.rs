//! A file's share of objects to typed batches.

use super::object::{Names, texts};
use crate::copy::bad_rows::{BadRows, Defect, cut_value, text_prefix};
use crate::copy::blocks::Blocks;
use crate::copy::column::FileColumns;
use crate::copy::lines::LineCount;
use crate::limits::{BATCH_ROWS, COPY_BLOCK_BYTES, RECORD_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::{RecordError, StorageError};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::Time;
use memchr::memchr;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Reads one unit. Lines that hold nothing but white space are no rows.
///
/// # Memory
/// As the reader of CSV, and 24 bytes for each value of a batch.
pub(crate) struct JsonReader {
    columns: Arc<FileColumns>,
    names: Arc<Names>,
    blocks: Blocks,
    /// Records that begin at or after this offset are another unit's.
    end: u64,
    /// Text that is not handed on yet.
    text: Vec<u8>,
    /// Where in `text` the next line begins.
    at: usize,
    /// The (decoded) file's offset of `text`'s first byte.
    offset: u64,
    lines: LineCount,
    end_of_file: bool,
    reservation: MemoryReservation,
    compute: Time,
}

/// A batch of the good rows, and what is wrong with the others, by the line's position.
struct Typed {
    batch: RecordBatch,
    defects: BTreeMap<usize, Defect>,
}

impl JsonReader {
    /// `blocks` are of the records that begin in `start..end`.
    pub(crate) fn new(
        columns: Arc<FileColumns>,
        names: Arc<Names>,
        blocks: Blocks,
        (start, end): (u64, u64),
        reservation: MemoryReservation,
        compute: Time,
    ) -> Self {
        let lines = LineCount::new(blocks.is_plain());
        let (text, at, offset, end_of_file) = (vec![], 0, start, false);
        JsonReader { columns, names, blocks, end, text, at, offset, lines, end_of_file, reservation, compute }
    }

    /// The next rows; None after the last. A batch is empty where all its rows were bad.
    pub(crate) async fn next_batch(&mut self, bad: &mut BadRows) -> Result<Option<RecordBatch>> {
        loop {
            let lines = {
                let _timer = self.compute.timer();
                self.lines_at_hand()
            };
            if let Some(last) = lines.last() {
                self.at = last.end;
                return self.batch(&lines, bad).await.map(Some);
            }
            if self.offset + self.at as u64 >= self.end || self.end_of_file && self.at == self.text.len() {
                self.reservation.free();
                return Ok(None);
            }
            self.fill().await?;
            self.reservation.try_resize(self.text.capacity() + COPY_BLOCK_BYTES)?;
        }
    }

    /// The next whole lines, a batch of them at most, their ends included.
    fn lines_at_hand(&self) -> Vec<Range<usize>> {
        let rows_max = (RECORD_FIELDS_MAX / self.columns.len().max(1)).clamp(1, BATCH_ROWS);
        let (mut lines, mut at) = (vec![], self.at);
        while lines.len() < rows_max && at < self.text.len() && self.offset + (at as u64) < self.end {
            let next = match memchr(b'\n', &self.text[at..]) {
                Some(length) => at + length + 1,
                None if self.end_of_file => self.text.len(),
                None => break,
            };
            lines.push(at..next);
            at = next;
        }
        lines
    }

    async fn batch(&mut self, lines: &[Range<usize>], bad: &mut BadRows) -> Result<RecordBatch> {
        let Typed { batch, defects } = {
            let _timer = self.compute.timer();
            self.typed(lines)
        };
        let mut found = Vec::with_capacity(defects.len());
        for (position, defect) in defects {
            let Range { start, end } = lines[position].clone();
            let line = self.lines.line(&self.blocks.file, self.offset, &self.text, start).await?;
            let url = &self.blocks.file.file().url;
            if bad.fails() {
                return Err(error(url, line, defect, &self.text[start..end]).into());
            }
            let (offset, raw) = (self.offset + start as u64, self.text[start..end].trim_ascii_end());
            found.push(defect.at(url, line, Some(offset), Some(raw)));
        }
        bad.add(batch.num_rows() as u64, found).await?;
        Ok(batch)
    }

    fn typed(&self, lines: &[Range<usize>]) -> Typed {
        let mut defects = BTreeMap::new();
        // The line of each row, and the texts of each column.
        let mut rows = Vec::with_capacity(lines.len());
        let mut columns: Vec<Vec<Option<Cow<'_, str>>>> =
            (0..self.columns.len()).map(|_| Vec::with_capacity(lines.len())).collect();
        for (position, line) in lines.iter().enumerate() {
            match self.row(line.clone()) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    columns.iter_mut().zip(row).for_each(|(column, text)| column.push(text));
                    rows.push(position);
                }
                Err(defect) => {
                    defects.insert(position, defect);
                }
            }
        }
        if let Some(batch) = self.parse(&columns, rows.len()) {
            return Typed { batch, defects };
        }
        for (position, texts) in columns.iter().enumerate() {
            let name = self.columns.schema.field(position).name();
            for wrong in self.columns.rule(position).all_wrong(|from| borrowed(&texts[from..])) {
                let value = texts[wrong.row].as_deref().filter(|_| wrong.has_value).map(str::to_owned);
                let (message, sqlstate) = (wrong.message, wrong.sqlstate);
                // The first column of a row is the one to name.
                let defect = || Defect { column: Some(name.clone()), value, message, sqlstate };
                defects.entry(rows[wrong.row]).or_insert_with(defect);
            }
        }
        for column in &mut columns {
            let mut lines = rows.iter();
            column.retain(|_| lines.next().is_some_and(|line| !defects.contains_key(line)));
        }
        let good = rows.iter().filter(|line| !defects.contains_key(line)).count();
        let batch = self.parse(&columns, good).expect("what was wrong was taken out");
        Typed { batch, defects }
    }

    /// The texts of a line's object; None of an empty line.
    fn row(&self, line: Range<usize>) -> Result<Option<Vec<Option<Cow<'_, str>>>>, Defect> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let mut bytes = &self.text[line.clone()];
        if self.offset == 0 && line.start == 0 {
            bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
        }
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Ok(None);
        }
        let Ok(object) = str::from_utf8(bytes) else {
            let byte = bytes[text_prefix(bytes).len()];
            let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
            return Err(Defect { column: None, value: None, message, sqlstate: "22021" });
        };
        texts(&self.names, object, self.columns.len()).map(Some)
    }

    /// None if anything is wrong.
    fn parse(&self, columns: &[Vec<Option<Cow<'_, str>>>], rows: usize) -> Option<RecordBatch> {
        let parse = |(position, texts): (usize, &Vec<Option<Cow<'_, str>>>)| {
            self.columns.rule(position).parse(borrowed(texts)).ok()
        };
        let arrays: Option<Vec<ArrayRef>> = columns.iter().enumerate().map(parse).collect();
        Some(self.columns.batch(arrays?, rows))
    }

    /// Drops the text that is handed on and adds the next block.
    async fn fill(&mut self) -> Result<(), StorageError> {
        if self.text.len() - self.at > RECORD_BYTES_MAX {
            let message = format!("a line is longer than {RECORD_BYTES_MAX} bytes");
            let line = self.lines.line(&self.blocks.file, self.offset, &self.text, self.at).await?;
            let defect = Defect { column: None, value: None, message, sqlstate: "54000" };
            return Err(error(&self.blocks.file.file().url, line, defect, &self.text[self.at..]));
        }
        let (block, is_last) = self.blocks.next().await?;
        self.lines.drop_front(&self.text, self.at);
        self.text.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        self.text.extend_from_slice(&block);
        self.end_of_file |= is_last;
        Ok(())
    }
}

fn borrowed<'t>(texts: &'t [Option<Cow<'_, str>>]) -> impl ExactSizeIterator<Item = Option<Cow<'t, str>>> {
    texts.iter().map(|text| text.as_deref().map(Cow::Borrowed))
}

/// Of a line as a whole the line is shown.
fn error(url: &str, line: u64, defect: Defect, record: &[u8]) -> StorageError {
    let Defect { column, value, message, sqlstate } = defect;
    let value = match &column {
        Some(_) => value,
        None => Some(text_prefix(record.trim_ascii()).to_owned()),
    };
    let (path, value) = (url.to_owned(), value.map(cut_value));
    StorageError::Record(Box::new(RecordError { path, line, column, value, message, sqlstate }))
}
