//! What is done to a batch before it is encoded.

use crate::limits::VIEW_WASTE_FACTOR;
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{ByteViewType, DataType};
use std::sync::Arc;

/// Bytes that the batch's rows use: buffers that are shared with other batches count only as far as its rows go.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(column_bytes).sum::<usize>() as u64
}

fn column_bytes(column: &ArrayRef) -> usize {
    let views = match column.data_type() {
        DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
        _ => 0,
    };
    // Types whose slices cannot be measured count in full.
    let fixed = column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
    views + fixed
}

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

/// Copies the bytes of views whose buffers are mostly unused: they would be sent whole.
fn compact(batch: RecordBatch) -> RecordBatch {
    if !batch.columns().iter().any(|c| matches!(c.data_type(), DataType::Utf8View | DataType::BinaryView)) {
        return batch;
    }
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => compact_views(column, column.as_string_view()),
        DataType::BinaryView => compact_views(column, column.as_binary_view()),
        _ => Arc::clone(column),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options)
        .expect("compacted columns have the batch's types and lengths")
}

fn compact_views<T: ByteViewType + ?Sized>(column: &ArrayRef, views: &GenericByteViewArray<T>) -> ArrayRef {
    let held: usize = views.data_buffers().iter().map(|buffer| buffer.len()).sum();
    if held > VIEW_WASTE_FACTOR * views.total_buffer_bytes_used() { Arc::new(views.gc()) } else { Arc::clone(column) }
}
