//! A unit's text, as far as it is in memory.

use super::end_mark::{EndMark, end_mark};
use super::line_ends::Strays;
use super::records::{Malformed, Records, cut, skip_record};
use super::{Dialect, LineEnds};
use crate::copy::bad_rows::{Defect, cut_value, text_prefix};
use crate::copy::blocks::Blocks;
use crate::copy::lines::LineCount;
use crate::copy::newline::{NewlineFinder, end_byte, may_stray};
use crate::limits::RECORD_BYTES_MAX;
use crate::{RecordError, StorageError};
use damson_cluster::Newline;

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
    /// None while the first line end is not there.
    ends: Option<LineEnds>,
    /// Where in `text` the next record begins.
    pub at: usize,
    pub end_of_file: bool,
    /// The mark and the header at the file's start are not skipped yet.
    at_file_start: bool,
}

impl Share {
    /// `newline`: see [`CopyUnit::Records`](damson_cluster::CopyUnit::Records).
    pub(super) fn new(blocks: Blocks, newline: Option<Newline>, (start, end): (u64, u64)) -> Self {
        let mut lines = LineCount::new(blocks.is_plain());
        let ends = newline.map(|newline| LineEnds { newline, strays: Strays::Refused });
        if let Some(newline) = newline {
            lines.count_ends(end_byte(newline));
        }
        let at_file_start = start == 0;
        Share { blocks, end, text: vec![], offset: start, lines, ends, at: 0, end_of_file: false, at_file_start }
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
        let Some(ends) = self.know_ends(dialect) else { return Ok(false) };
        if self.at_file_start && !self.skip_start(dialect, ends)? {
            return Ok(self.end_of_file);
        }
        let limit = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        self.at = cut(dialect, ends, &self.text, self.at, limit, self.end_of_file, records);
        Ok(self.at >= limit || records.at_end_mark || self.end_of_file && self.at == self.text.len())
    }

    /// None while the first line end is not there.
    fn know_ends(&mut self, dialect: &Dialect) -> Option<LineEnds> {
        if self.ends.is_none() {
            let mut finder = NewlineFinder::new(dialect.form);
            let newline = finder.pass(&self.text).or_else(|| self.end_of_file.then(|| finder.at_end()))?;
            self.lines.count_ends(end_byte(newline));
            self.ends = Some(LineEnds { newline, strays: Strays::Refused });
            self.look_for_strays();
        }
        self.ends
    }

    fn look_for_strays(&mut self) {
        if let Some(ends) = &mut self.ends {
            let may_stray = may_stray(ends.newline, &self.text[self.at..]);
            ends.strays = if may_stray { Strays::Refused } else { Strays::Absent };
        }
    }

    /// As records were cut that are there.
    ///
    /// # Panics
    /// If none were.
    pub(super) fn ends(&self) -> LineEnds {
        self.ends.expect("no record is cut before the line ends are known")
    }

    /// Skips a byte order mark and the header; false while they are not all there.
    fn skip_start(&mut self, dialect: &Dialect, ends: LineEnds) -> Result<bool, StorageError> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.text.len() < MARK.len() && !self.end_of_file {
            return Ok(false);
        }
        let mut at = if self.text.starts_with(MARK) { MARK.len() } else { 0 };
        if dialect.header {
            let header = match end_mark(dialect, ends, &self.text[at..], self.end_of_file) {
                Ok(EndMark::No) => skip_record(dialect, ends, &self.text, at, self.end_of_file),
                Ok(EndMark::Unknown) => Ok(None),
                // Then there is no record: the mark is met again, and ends all.
                Ok(EndMark::Yes) => Ok(Some(at)),
                Err(malformed) => Err(malformed),
            };
            let defect = |message: &str, sqlstate| Defect {
                column: None,
                value: None,
                message: format!("{message} in the header"),
                sqlstate,
            };
            match header {
                Ok(Some(next)) if text_prefix(&self.text[at..next]).len() < next - at => {
                    let message = "invalid byte sequence for encoding \"UTF8\"";
                    return Err(self.record_error(1, defect(message, "22021")));
                }
                Ok(Some(next)) => at = next,
                Ok(None) => return Ok(false),
                Err(Malformed::EndMark(message)) => return Err(self.record_error(1, defect(message, "22P04"))),
                Err(_) => {
                    let message = "unterminated CSV quoted field";
                    return Err(self.record_error(1, defect(message, "22P04")));
                }
            }
        }
        self.at = at;
        self.at_file_start = false;
        Ok(true)
    }

    /// Where the record at `start`, all of which is there, ends.
    pub(super) fn record_end(&self, dialect: &Dialect, start: usize) -> usize {
        match skip_record(dialect, self.ends(), &self.text, start, true) {
            Ok(Some(next)) => next,
            Ok(None) | Err(_) => self.text.len(),
        }
    }

    /// What follows the record at `at` is not read.
    pub(super) fn end_here(&mut self) {
        self.end = self.file_offset(self.at);
    }

    /// Puts spaces in the place of a record that is not handed on, whatever its bytes are. Line ends stay, for they are counted.
    pub(super) fn blank(&mut self, start: usize, end: usize) {
        let line_end = self.ends().byte();
        self.text[start..end].iter_mut().filter(|byte| **byte != line_end).for_each(|byte| *byte = b' ');
    }

    /// Drops the text that is handed on and adds the next block; `records` stays valid.
    pub(super) async fn fill(&mut self, records: &mut Records) -> Result<(), StorageError> {
        if self.text.len() - self.at > RECORD_BYTES_MAX {
            let message = format!("a record is longer than {RECORD_BYTES_MAX} bytes: is a quote not closed?");
            let defect = Defect { column: None, value: None, message, sqlstate: "54000" };
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
        self.look_for_strays();
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
