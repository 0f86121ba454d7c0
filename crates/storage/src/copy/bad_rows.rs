//! What becomes of the rows of COPY's files that cannot be read.

use super::error_log::ErrorLogWriter;
use super::progress::CopyProgress;
use crate::StorageError;
use crate::limits::{BAD_ROWS_AT_ONCE, ERROR_VALUE_BYTES_MAX};
use chrono::Utc;
use damson_cluster::{BAD_ROW_BYTES_MAX, BadRow, OnBadRow, RejectLimit};
use std::mem;
use std::sync::Arc;

/// Counts, logs or keeps the bad rows of one segment's share of a COPY FROM; its readers find them.
///
/// # Memory
/// Of a report the bad rows of one batch. Nothing else is kept but the last of them.
pub(crate) struct BadRows {
    on_bad_row: OnBadRow,
    error_log: Option<ErrorLogWriter>,
    progress: Arc<CopyProgress>,
    /// Rows so far, the rejected among them.
    read: u64,
    rejected: u64,
    last: Option<Last>,
    /// Of a report: those that were not taken yet.
    report: Vec<BadRow>,
}

/// What the error says that ends a statement with too many bad rows.
struct Last {
    message: String,
    file: String,
    line: u64,
}

impl BadRows {
    pub(crate) fn new(on_bad_row: OnBadRow, error_log: Option<ErrorLogWriter>, progress: Arc<CopyProgress>) -> Self {
        BadRows { on_bad_row, error_log, progress, read: 0, rejected: 0, last: None, report: vec![] }
    }

    /// The first bad row is the statement's error.
    pub(crate) fn fails(&self) -> bool {
        self.on_bad_row == OnBadRow::Fail
    }

    /// All bad rows are shown, also what ends a file.
    pub(crate) fn reports(&self) -> bool {
        self.on_bad_row == OnBadRow::Report
    }

    /// How many bad rows a reader may gather before it gives them to [`BadRows::add`].
    pub(crate) fn room(&self) -> usize {
        match self.on_bad_row {
            OnBadRow::Fail => 0,
            OnBadRow::Reject { limit: RejectLimit::Rows(limit), .. } => {
                let left = limit.saturating_sub(self.rejected).max(1);
                usize::try_from(left).unwrap_or(usize::MAX).min(BAD_ROWS_AT_ONCE)
            }
            OnBadRow::Reject { .. } | OnBadRow::Report => BAD_ROWS_AT_ONCE,
        }
    }

    /// A batch of `good` rows, and the rows that were taken out of it, in the file's order.
    ///
    /// # Errors
    /// [`StorageError::RejectLimit`]; the log's.
    pub(crate) async fn add(&mut self, good: u64, mut bad: Vec<BadRow>) -> Result<(), StorageError> {
        if let OnBadRow::Reject { limit: RejectLimit::Rows(limit), .. } = self.on_bad_row {
            // Those after the one that reaches the limit are not looked at.
            bad.truncate(usize::try_from(limit.saturating_sub(self.rejected).max(1)).unwrap_or(usize::MAX));
        }
        // Rows of one batch are of one time: they stay in the file's order.
        let time_us = Utc::now().timestamp_micros();
        bad.iter_mut().for_each(|row| row.time_us = time_us);
        let rejected = bad.len() as u64;
        self.progress.add_rows(good, rejected);
        self.read += good + rejected;
        self.rejected += rejected;
        if let Some(BadRow { message, file, line, .. }) = bad.last() {
            self.last = Some(Last { message: message.clone(), file: file.clone(), line: *line });
            if self.reports() {
                self.report.append(&mut bad);
            } else if let Some(log) = &mut self.error_log {
                log.add(bad).await?;
            }
        }
        self.check(false)
    }

    /// The bad rows of a report since the last call.
    pub(crate) fn take_report(&mut self) -> Vec<BadRow> {
        mem::take(&mut self.report)
    }

    /// All units were read.
    ///
    /// # Errors
    /// As [`BadRows::add`].
    pub(crate) async fn finish(&mut self) -> Result<(), StorageError> {
        self.check(true)?;
        match &mut self.error_log {
            Some(log) => log.finish().await,
            None => Ok(()),
        }
    }

    /// The statement fails; what was logged so far stays readable.
    pub(crate) async fn close(&mut self) {
        if let Some(mut log) = self.error_log.take()
            && let Err(error) = log.finish().await
        {
            tracing::warn!(%error, "could not write the error log of a copy that failed");
        }
    }

    fn check(&self, at_end: bool) -> Result<(), StorageError> {
        let OnBadRow::Reject { limit, .. } = self.on_bad_row else { return Ok(()) };
        match &self.last {
            Some(Last { message, file, line }) if limit.is_passed(self.rejected, self.read, at_end) => {
                let (message, file) = (message.clone(), file.clone());
                Err(StorageError::RejectLimit { message, file, line: *line })
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a row, without its place.
#[derive(Debug)]
pub(crate) struct Defect {
    pub column: Option<String>,
    /// The offending text, of whatever length.
    pub value: Option<String>,
    pub message: String,
    pub sqlstate: &'static str,
}

impl Defect {
    /// `raw`: the record's bytes, of which so many are kept as are text. The time is [`BadRows::add`]'s to say.
    pub(crate) fn at(self, file: &str, line: u64, byte_offset: Option<u64>, raw: Option<&[u8]>) -> BadRow {
        let Defect { column, value, message, sqlstate } = self;
        let message = match value {
            // The record itself is shown beside it.
            Some(value) if column.is_some() => format!("{message}: \"{}\"", cut_value(value)),
            _ => message,
        };
        BadRow {
            time_us: 0,
            file: file.into(),
            line,
            byte_offset,
            column,
            sqlstate: sqlstate.into(),
            message,
            raw: raw.map(kept),
        }
    }
}

/// A value as errors show it.
pub(crate) fn cut_value(mut value: String) -> String {
    if value.len() > ERROR_VALUE_BYTES_MAX {
        value.truncate(value.floor_char_boundary(ERROR_VALUE_BYTES_MAX));
        value.push('…');
    }
    value
}

/// The bytes at the front that are text, without NUL, which no text has.
pub(crate) fn text_prefix(bytes: &[u8]) -> &str {
    let bytes = memchr::memchr(0, bytes).map_or(bytes, |nul| &bytes[..nul]);
    str::from_utf8(bytes)
        .unwrap_or_else(|error| str::from_utf8(&bytes[..error.valid_up_to()]).expect("what is valid is text"))
}

fn kept(raw: &[u8]) -> String {
    let text = text_prefix(raw);
    text[..text.floor_char_boundary(BAD_ROW_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(line: u64) -> BadRow {
        let defect = Defect { column: None, value: None, message: "no row".into(), sqlstate: "22P04" };
        defect.at("/f", line, None, None)
    }

    fn rejecting(limit: RejectLimit) -> BadRows {
        BadRows::new(OnBadRow::Reject { limit, log: false }, None, CopyProgress::new(&[]))
    }

    #[tokio::test]
    async fn a_limit_of_rows_is_reached_exactly() {
        let mut rows = rejecting(RejectLimit::Rows(3));
        assert_eq!(rows.room(), 3);
        rows.add(10, vec![bad(1)]).await.unwrap();
        assert_eq!(rows.room(), 2);
        let error = rows.add(0, vec![bad(2), bad(3), bad(4)]).await.unwrap_err();
        let want = "segment reject limit reached, aborting operation\nDETAIL:  Last error was: no row, /f, line 3";
        assert_eq!((error.sqlstate(), error.to_string().as_str()), ("22P04", want));
        assert_eq!((rows.progress.counts().rows, rows.progress.counts().rejected), (10, 3));
    }

    #[tokio::test]
    async fn a_limit_of_percent_waits_for_rows_or_the_end() {
        let mut rows = rejecting(RejectLimit::Percent(50));
        rows.add(1, vec![bad(1)]).await.unwrap();
        assert!(rows.finish().await.is_err());
        rows.add(298, vec![]).await.unwrap();
        rows.finish().await.unwrap();
        assert!(rows.add(0, (0..500).map(bad).collect()).await.is_err());
    }

    #[test]
    fn what_is_kept_of_a_record() {
        let defect = || Defect {
            column: Some("i".into()),
            value: Some("x".repeat(100)),
            message: "invalid".into(),
            sqlstate: "22P02",
        };
        let row = defect().at("/f", 1, Some(7), Some(&[b"ab\xc3\xa4\xff".as_slice(), b"more"].concat()));
        assert_eq!((row.raw.as_deref(), row.byte_offset), (Some("abä"), Some(7)));
        assert_eq!(row.message, format!("invalid: \"{}…\"", "x".repeat(ERROR_VALUE_BYTES_MAX)));
        let long = "ä".repeat(BAD_ROW_BYTES_MAX);
        assert_eq!(defect().at("/f", 1, None, Some(long.as_bytes())).raw.unwrap().len(), BAD_ROW_BYTES_MAX);
        assert_eq!(text_prefix(b"a\0b"), "a");
        assert_eq!(text_prefix(b"\xffb"), "");
        assert_eq!(text_prefix(b""), "");
    }
}
