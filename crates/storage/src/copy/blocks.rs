//! A unit's text, block after block: as it is, decompressed, or brought to UTF-8.

use super::decode::{Decoding, decode};
use super::progress::CopyProgress;
use crate::StorageError;
use crate::limits::COPY_BLOCK_BYTES;
use crate::source::{SourceFile, await_read};
use bytes::Bytes;
use damson_cluster::{Codec, CopyFile, Encoding, SourceAccess};
use datafusion::common::runtime::SpawnedTask;
use std::sync::Arc;

/// One unit's blocks.
///
/// # Memory
/// Two blocks of [`COPY_BLOCK_BYTES`]; of what is decoded about two more.
pub(crate) struct Blocks {
    pub file: SourceFile,
    progress: Arc<CopyProgress>,
    form: Form,
}

enum Form {
    Plain {
        /// The file's offset of the block that is read next.
        offset: u64,
        /// Records that begin at or after this offset are another unit's.
        end: u64,
        next: Option<SpawnedTask<Result<Bytes, StorageError>>>,
    },
    Decoded(Decoding),
}

impl Blocks {
    /// # Errors
    /// As [`SourceFile::open`]; 22023 for an encoding that nobody knows.
    pub(crate) async fn open(
        file: &CopyFile,
        codec: Codec,
        encoding: &Encoding,
        (start, end): (u64, u64),
        access: &SourceAccess,
        progress: &Arc<CopyProgress>,
    ) -> Result<Self, StorageError> {
        let file = SourceFile::open(file, access).await?;
        if codec != Codec::None || *encoding != Encoding::Utf8 {
            let form = Form::Decoded(decode(file.clone(), codec, encoding, Arc::clone(progress))?);
            return Ok(Blocks { file, progress: Arc::clone(progress), form });
        }
        let form = Form::Plain { offset: start, end, next: None };
        let mut blocks = Blocks { file, progress: Arc::clone(progress), form };
        blocks.begin_read();
        Ok(blocks)
    }

    /// Whether offsets in the text are offsets in the file, so that what is before a unit can be looked at.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.form, Form::Plain { .. })
    }

    /// The next block, and whether it is the file's last.
    pub(crate) async fn next(&mut self) -> Result<(Bytes, bool), StorageError> {
        self.begin_read();
        match &mut self.form {
            Form::Decoded(decoding) => match decoding.next().await {
                Some(block) => Ok((block?, false)),
                None => Ok((Bytes::new(), true)),
            },
            Form::Plain { offset, end, next } => {
                let Some(task) = next.take() else { return Ok((Bytes::new(), true)) };
                let block = await_read(task).await?;
                // What is beyond the end is another unit's to count.
                self.progress.add_bytes((block.len() as u64).min(end.saturating_sub(*offset)));
                *offset += block.len() as u64;
                let is_last = block.is_empty() || *offset >= self.file.file().bytes;
                let goes_on = *offset < *end && !is_last;
                if goes_on {
                    self.begin_read();
                }
                Ok((block, is_last))
            }
        }
    }

    fn begin_read(&mut self) {
        let Form::Plain { offset, end, next } = &mut self.form else { return };
        if next.is_none() && *offset < self.file.file().bytes {
            // Another unit begins at `end`: there is nothing for this one there, unless its last record goes on.
            let wanted = match end.saturating_sub(*offset) {
                0 => COPY_BLOCK_BYTES as u64,
                left => left.min(COPY_BLOCK_BYTES as u64),
            };
            *next = Some(self.file.begin_read(*offset, wanted as usize));
        }
    }
}
