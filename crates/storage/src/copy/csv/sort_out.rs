//! Bad rows, out of a batch and out of the text.

use super::reader::{CsvReader, Failure, Why};
use super::records::{Malformed, skip_record};
use crate::StorageError;
use crate::copy::bad_rows::{Defect, text_prefix};
use memchr::memchr;
use std::collections::BTreeMap;

/// A record that has the wrong shape.
pub(super) struct WholeMalformed {
    /// Where it ends in the text.
    end: usize,
    malformed: Malformed,
    pub defect: Defect,
}

impl CsvReader {
    /// Passes over the record that has the wrong shape, and goes on after it; false if the statement fails of it. `reports`: see
    /// [`BadRows::reports`](crate::copy::bad_rows::BadRows::reports).
    pub(super) async fn pass_over(&mut self, reports: bool) -> Result<bool, StorageError> {
        let Some((_, malformed)) = self.records.malformed.take() else { return Ok(true) };
        let WholeMalformed { end, malformed, defect } = self.whole_malformed(malformed).await?;
        let start = self.share.at;
        if malformed.ends_data() && !reports {
            self.records.malformed = Some((start, malformed));
            return Ok(false);
        }
        self.keep_bad_row(start, end, defect).await?;
        self.share.blank(start, end);
        self.share.at = end;
        if malformed.ends_data() {
            self.share.end_here();
        }
        Ok(true)
    }

    /// Reads the next record, which has the wrong shape, to its end.
    pub(super) async fn whole_malformed(&mut self, mut malformed: Malformed) -> Result<WholeMalformed, StorageError> {
        let end = loop {
            let (text, start, ends) = (&self.share.text, self.share.at, self.share.ends());
            match malformed {
                // The quote has taken all that follows.
                Malformed::OpenQuote => break text.len(),
                Malformed::EndMark(_) => {
                    break memchr(ends.byte(), &text[start..]).map_or(text.len(), |at| start + at + 1);
                }
                _ => {}
            }
            match skip_record(&self.dialect, ends, text, start, self.share.end_of_file) {
                Ok(Some(next)) => break next,
                Ok(None) => self.share.fill(&mut self.records).await?,
                Err(worse) => malformed = worse,
            }
        };
        let record = &self.share.text[self.share.at..end];
        // That it is no text comes before all else.
        let shown = if text_prefix(record).len() < record.len() { Malformed::Bytes } else { malformed };
        Ok(WholeMalformed { end, malformed, defect: self.malformed(self.share.at, shown) })
    }

    /// Takes all records that are wrong out of the batch.
    pub(super) async fn sort_out(&mut self) -> Result<(), StorageError> {
        let mut good = vec![true; self.records.rows()];
        for failure in self.bad_bytes() {
            let row = failure.row;
            let (start, end) = self.keep_failure(failure).await?;
            self.share.blank(start, end);
            good[row] = false;
        }
        for (row, failure) in self.wrong_values(&good) {
            self.keep_failure(failure).await?;
            good[row] = false;
        }
        self.records.retain(&good);
        Ok(())
    }

    /// The first byte of each record that is no text.
    fn bad_bytes(&self) -> Vec<Failure> {
        let first = self.records.first().unwrap_or(self.share.at);
        let bytes = &self.share.text[first..self.share.at];
        if text_prefix(bytes).len() == bytes.len() {
            return vec![];
        }
        let bad_byte = |row: usize| {
            let start = self.records.start(row);
            let record = &self.share.text[start..self.share.record_end(&self.dialect, start)];
            let valid = text_prefix(record).len();
            (valid < record.len()).then(|| self.bad_byte(start + valid))
        };
        (0..self.records.rows()).filter_map(bad_byte).collect()
    }

    /// The first column that does not take its value, of each `good` record that has one.
    fn wrong_values(&self, good: &[bool]) -> BTreeMap<usize, Failure> {
        let first = self.records.first().unwrap_or(self.share.at);
        let text = str::from_utf8(&self.share.text[first..self.share.at]).expect("what is no text was blanked");
        let (rows, mut failures) = (self.records.rows(), BTreeMap::new());
        for &position in &self.columns.wanted {
            let all = self.columns.rule(position).all_wrong(|from| self.values(position, from..rows, text, first));
            for wrong in all.into_iter().filter(|wrong| good[wrong.row]) {
                let row = wrong.row;
                let failure = || Failure { row, column: Some(position), why: Why::Value(wrong) };
                failures.entry(row).or_insert_with(failure);
            }
        }
        failures
    }

    /// Where the record is.
    async fn keep_failure(&mut self, failure: Failure) -> Result<(usize, usize), StorageError> {
        let start = self.records.start(failure.row);
        let end = self.share.record_end(&self.dialect, start);
        let defect = self.defect(failure);
        self.keep_bad_row(start, end, defect).await?;
        Ok((start, end))
    }

    async fn keep_bad_row(&mut self, start: usize, end: usize, defect: Defect) -> Result<(), StorageError> {
        let line = self.share.line(start).await?;
        let record = &self.share.text[start..end];
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        self.found.push(defect.at(self.share.url(), line, Some(self.share.file_offset(start)), Some(record)));
        Ok(())
    }
}
