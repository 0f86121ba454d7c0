//! What is done to a batch before it is encoded.

use super::size::batch_bytes;
use super::views::compact;
use arrow::array::RecordBatch;

/// Slices of at most about `bytes_max` bytes (one row at the least); the batch itself if it is no larger.
pub(crate) fn cut(batch: &RecordBatch, bytes_max: usize) -> impl Iterator<Item = RecordBatch> {
    let pieces = (batch_bytes(batch) as usize).div_ceil(bytes_max).max(1);
    let rows = batch.num_rows();
    let rows_per_piece = rows.div_ceil(pieces).max(1);
    let starts = (0..rows.max(1)).step_by(rows_per_piece);
    starts.map(move |start| batch.slice(start, rows_per_piece.min(rows - start)))
}

/// The same with views compacted.
pub(crate) fn for_the_wire(batch: &RecordBatch, bytes_max: usize) -> impl Iterator<Item = RecordBatch> {
    cut(batch, bytes_max).map(compact)
}
