//! Line numbers, which errors name and readers do not keep until one is asked for.

use crate::StorageError;
use crate::limits::COPY_BLOCK_BYTES;
use crate::source::{SourceFile, await_read};
use memchr::memchr_iter;

/// Counts lines of the text that a reader has in hand, from the last place that was asked for.
#[derive(Debug)]
pub(crate) struct LineCount {
    /// Line ends in the file before `at`; None while nobody has asked, of a file that can be read again.
    before: Option<u64>,
    /// A place in the text.
    at: usize,
    /// The last byte of each line.
    end: u8,
}

impl LineCount {
    /// `is_plain`: the text is the file's as it is, so that what is before a unit can be looked at when that is needed. Of other files,
    /// which are read from their start, all lines are counted.
    pub(crate) fn new(is_plain: bool) -> Self {
        LineCount { before: (!is_plain).then_some(0), at: 0, end: b'\n' }
    }

    /// Lines end in this byte; nothing was counted so far.
    pub(crate) fn count_ends(&mut self, end: u8) {
        self.end = end;
    }

    /// The number, from 1, of the line that holds the byte at `start` in `text`, which begins at `offset` in the file. The first time,
    /// of a plain file, this reads all that is before the text.
    ///
    /// # Errors
    /// The reads'.
    pub(crate) async fn line(
        &mut self,
        file: &SourceFile,
        offset: u64,
        text: &[u8],
        start: usize,
    ) -> Result<u64, StorageError> {
        let before = match self.before {
            Some(before) => before,
            None => {
                self.at = 0;
                line_ends_before(file, offset, self.end).await?
            }
        };
        let before = match start >= self.at {
            true => before + self.line_ends(&text[self.at..start]),
            false => before - self.line_ends(&text[start..self.at]),
        };
        (self.before, self.at) = (Some(before), start);
        Ok(before + 1)
    }

    /// The first `bytes` bytes of `text` are about to be dropped.
    pub(crate) fn drop_front(&mut self, text: &[u8], bytes: usize) {
        if let Some(before) = self.before {
            if self.at < bytes {
                self.before = Some(before + self.line_ends(&text[self.at..bytes]));
            }
            self.at = self.at.saturating_sub(bytes);
        }
    }

    fn line_ends(&self, text: &[u8]) -> u64 {
        memchr_iter(self.end, text).count() as u64
    }
}

/// Reads all that is before `offset`.
async fn line_ends_before(file: &SourceFile, offset: u64, end: u8) -> Result<u64, StorageError> {
    let (mut at, mut count) = (0, 0);
    while at < offset {
        let bytes = (offset - at).min(COPY_BLOCK_BYTES as u64) as usize;
        let block = await_read(file.begin_read(at, bytes)).await?;
        if block.is_empty() {
            break;
        }
        count += memchr_iter(end, &block).count() as u64;
        at += block.len() as u64;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{CopyFile, SourceAccess};

    #[tokio::test]
    async fn lines_are_counted_forth_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let whole = b"a\nb\nc\nd\ne\nf\n";
        std::fs::write(&path, whole).unwrap();
        let url = path.to_str().unwrap().to_owned();
        let file = CopyFile { url, bytes: whole.len() as u64, etag: None, modified_us: None, partition: vec![] };
        let file = SourceFile::open(&file, &SourceAccess::default()).await.unwrap();
        for (mut lines, offset) in [(LineCount::new(true), 4), (LineCount::new(false), 0)] {
            let text = &whole[offset as usize..];
            let base = offset / 2;
            for (start, line) in [(2, 2), (6, 4), (0, 1), (3, 2)] {
                assert_eq!(lines.line(&file, offset, text, start).await.unwrap(), base + line, "{start}");
            }
            lines.drop_front(text, 2);
            assert_eq!(lines.line(&file, offset + 2, &text[2..], 4).await.unwrap(), base + 4);
            lines.drop_front(&text[2..], 6);
            assert_eq!(lines.line(&file, offset + 8, &text[8..], 0).await.unwrap(), base + 5);
        }
    }
}
