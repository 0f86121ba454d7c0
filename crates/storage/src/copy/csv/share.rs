//! A unit's text, as far as it is in memory.

use super::Dialect;
use super::records::{Records, cut, skip_record};
use crate::copy::bad_rows::{Defect, cut_value};
use crate::copy::blocks::Blocks;
use crate::copy::lines::LineCount;
use crate::limits::RECORD_BYTES_MAX;
use crate::{RecordError, StorageError};

/// The unit that is being read.
pub(super) struct Share {
    blocks: Blocks,
    /// Records that begin at or after this offset are another unit's.
    end: u64,
    /// Text that is not handed on yet.
    pub text: Vec<u8>,
    /// The (decoded) file's offset of `text`'s first byte.
    offset: u64,
    lines: LineCount,
    /// Where in `text` the next record begins.
    pub at: usize,
    pub end_of_file: bool,
    /// The mark and the header at the file's start are not skipped yet.
    at_file_start: bool,
}

impl Share {
    pub(super) fn new(blocks: Blocks, start: u64, end: u64) -> Self {
        let lines = LineCount::new(blocks.is_plain());
        let at_file_start = start == 0;
        Share { blocks, end, text: vec![], offset: start, lines, at: 0, end_of_file: false, at_file_start }
    }

    pub(super) fn url(&self) -> &str {
        &self.blocks.file.file().url
    }

    /// The (decoded) file's offset of the byte at `start` in the text.
    pub(super) fn file_offset(&self, start: usize) -> u64 {
        self.offset + start as u64
    }

    /// Cuts more records; true once this unit has no more.
    pub(super) fn cut(&mut self, dialect: &Dialect, records: &mut Records) -> Result<bool, StorageError> {
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
                    let message = "unterminated CSV quoted field in the header".into();
                    let defect = Defect { column: None, value: None, message, sqlstate: "22P04" };
                    return Err(self.record_error(1, defect));
                }
            }
        }
        self.at = at;
        self.at_file_start = false;
        Ok(true)
    }

    /// Where the record at `start`, all of which is there, ends.
    pub(super) fn record_end(&self, dialect: &Dialect, start: usize) -> usize {
        match skip_record(dialect, &self.text, start, true) {
            Ok(Some(next)) => next,
            Ok(None) | Err(_) => self.text.len(),
        }
    }

    /// Puts spaces in the place of a record that is not handed on, whatever its bytes are. Line ends stay, for they are counted.
    pub(super) fn blank(&mut self, start: usize, end: usize) {
        self.text[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }

    /// Drops the text that is handed on and adds the next block; `records` stays valid.
    pub(super) async fn fill(&mut self, records: &mut Records) -> Result<(), StorageError> {
        if self.text.len() - self.at > RECORD_BYTES_MAX {
            let message = format!("a record is longer than {RECORD_BYTES_MAX} bytes: is a quote not closed?");
            let defect = Defect { column: None, value: None, message, sqlstate: "22P04" };
            return Err(self.error(self.at, defect).await);
        }
        let (block, is_last) = self.blocks.next().await?;

        let keep = records.first().unwrap_or(self.at);
        self.lines.drop_front(&self.text, keep);
        self.text.drain(..keep);
        records.shift(keep);
        self.at -= keep;
        self.offset += keep as u64;

        self.text.extend_from_slice(&block);
        self.end_of_file |= is_last;
        Ok(())
    }

    /// The line, from 1, of the byte at `start` in the text.
    pub(super) async fn line(&mut self, start: usize) -> Result<u64, StorageError> {
        self.lines.line(&self.blocks.file, self.offset, &self.text, start).await
    }

    /// An error of the record at `start` in the text; counts the lines before it.
    pub(super) async fn error(&mut self, start: usize, defect: Defect) -> StorageError {
        match self.line(start).await {
            Ok(line) => self.record_error(line, defect),
            Err(error) => error,
        }
    }

    fn record_error(&self, line: u64, defect: Defect) -> StorageError {
        let Defect { column, value, message, sqlstate } = defect;
        let (path, value) = (self.url().to_owned(), value.map(cut_value));
        StorageError::Record(Box::new(RecordError { path, line, column, value, message, sqlstate }))
    }
}
