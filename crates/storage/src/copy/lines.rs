//! Line numbers, which errors name and readers do not keep.

use crate::StorageError;
use crate::limits::COPY_BLOCK_BYTES;
use crate::source::{SourceFile, await_read};

/// The number, from 1, of the line that holds the byte at `offset`: reads all that is before it.
///
/// # Errors
/// The reads'.
pub(crate) async fn line_at(file: &SourceFile, offset: u64) -> Result<u64, StorageError> {
    let (mut at, mut lines) = (0, 1);
    while at < offset {
        let bytes = (offset - at).min(COPY_BLOCK_BYTES as u64) as usize;
        let block = await_read(file.begin_read(at, bytes)).await?;
        if block.is_empty() {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &block).count() as u64;
        at += block.len() as u64;
    }
    Ok(lines)
}
