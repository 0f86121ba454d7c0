//! Views, in columns and below lists, structs and the like: their buffers go wherever one of their rows goes.

use super::size::array_bytes;
use crate::limits::VIEW_WASTE_FACTOR;
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryViewArray, GenericByteViewArray, RecordBatch, RecordBatchOptions,
    StringViewArray, UInt32Array, make_array,
};
use arrow::compute::take;
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Whether values of this type have views somewhere that can be copied. Not those of list views, which no type of SQL is and
/// whose values `take` leaves whole.
pub fn has_views(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Utf8View | BinaryView => true,
        List(field) | LargeList(field) | FixedSizeList(field, _) => has_views(field.data_type()),
        Map(field, _) | RunEndEncoded(_, field) => has_views(field.data_type()),
        Struct(fields) => fields.iter().any(|field| has_views(field.data_type())),
        Union(fields, _) => fields.iter().any(|(_, field)| has_views(field.data_type())),
        _ => false,
    }
}

/// The same values, with views into buffers of their own. The children of a slice are copied whole.
pub fn unshare(data: ArrayData) -> Result<ArrayData, ArrowError> {
    match data.data_type() {
        DataType::Utf8View => Ok(StringViewArray::from(data).gc().into_data()),
        DataType::BinaryView => Ok(BinaryViewArray::from(data).gc().into_data()),
        _ => {
            let children = data.child_data().iter().cloned().map(unshare).collect::<Result<_, _>>()?;
            data.into_builder().child_data(children).build()
        }
    }
}

/// Copies the bytes of views whose buffers are mostly unused: they would be sent whole.
pub(super) fn compact(batch: RecordBatch) -> RecordBatch {
    if !batch.columns().iter().any(|column| has_views(column.data_type())) {
        return batch;
    }
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => compact_views(column, column.as_string_view()),
        DataType::BinaryView => compact_views(column, column.as_binary_view()),
        nested if has_views(nested) => compact_nested(column),
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

fn compact_nested(column: &ArrayRef) -> ArrayRef {
    if held_below(&column.to_data()) <= VIEW_WASTE_FACTOR * array_bytes(column) {
        return Arc::clone(column);
    }
    // Views that cannot be copied, of a type that Arrow does not take from, are sent whole: more bytes, the same rows.
    copy_nested(column).unwrap_or_else(|_| Arc::clone(column))
}

/// Arrow's `take` leaves the children with the rows' own values only; then their views are copied.
fn copy_nested(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let rows = UInt32Array::from_iter_values(0..column.len() as u32);
    Ok(make_array(unshare(take(column, &rows, None)?.into_data())?))
}

/// Bytes of the buffers of all views.
fn held_below(data: &ArrayData) -> usize {
    match data.data_type() {
        DataType::Utf8View | DataType::BinaryView => data.buffers()[1..].iter().map(|buffer| buffer.len()).sum(),
        _ => data.child_data().iter().map(held_below).sum(),
    }
}
