//! What must hold of a batch's message before Arrow's reader may see it: the reader takes places and lengths for granted,
//! and memory on the word of a compressed buffer.

use crate::limits::{BODY_BYTES_MAX, COMPRESSION_RATIO_MAX, ROWS_MAX};
use arrow::error::ArrowError;
use arrow_ipc::RecordBatch;

/// Bytes of a compressed buffer's head: its length before compression, little-endian; -1 for one that was left as it was.
const LENGTH_BYTES: usize = 8;

/// # Errors
/// A length, a count or a place that cannot be.
pub(super) fn check(batch: RecordBatch<'_>, body: &[u8]) -> Result<(), ArrowError> {
    let rows_fit = |rows: i64| (0..=ROWS_MAX).contains(&rows);
    let nodes = batch.nodes().ok_or_else(|| malformed("a batch without nodes"))?;
    // Rows without columns are a count, and take no memory.
    if !(rows_fit(batch.length()) || nodes.is_empty() && batch.length() >= 0) {
        return Err(malformed("its number of rows"));
    }
    if !nodes.iter().all(|node| rows_fit(node.length()) && (0..=node.length()).contains(&node.null_count())) {
        return Err(malformed("a column's number of rows"));
    }
    let buffers = batch.buffers().ok_or_else(|| malformed("a batch without buffers"))?;
    let mut variadic = batch.variadicBufferCounts().into_iter().flatten();
    if !variadic.all(|count| (0..=buffers.len() as i64).contains(&count)) {
        return Err(malformed("a column's number of buffers"));
    }
    let is_compressed = batch.compression().is_some();
    let mut bytes_left = BODY_BYTES_MAX;
    for buffer in buffers {
        let bytes = inside(buffer, body).ok_or_else(|| malformed("a buffer outside the body"))?;
        if is_compressed && !bytes.is_empty() {
            let promised = promised_bytes(bytes).ok_or_else(|| malformed("a compressed buffer's length"))?;
            bytes_left = bytes_left.checked_sub(promised).ok_or_else(|| malformed("too much after decompression"))?;
        }
    }
    Ok(())
}

pub(super) fn malformed(what: &str) -> ArrowError {
    ArrowError::IpcError(format!("malformed message: {what}"))
}

fn inside<'a>(buffer: &arrow_ipc::Buffer, body: &'a [u8]) -> Option<&'a [u8]> {
    let start = usize::try_from(buffer.offset()).ok()?;
    let length = usize::try_from(buffer.length()).ok()?;
    body.get(start..start.checked_add(length)?)
}

/// What decompressing takes; None if no codec can have made so much of so little.
fn promised_bytes(compressed: &[u8]) -> Option<u64> {
    let (length, content) = compressed.split_first_chunk::<LENGTH_BYTES>()?;
    match i64::from_le_bytes(*length) {
        -1 => Some(0),
        promised => {
            let promised = u64::try_from(promised).ok()?;
            (promised <= content.len() as u64 * COMPRESSION_RATIO_MAX).then_some(promised)
        }
    }
}
