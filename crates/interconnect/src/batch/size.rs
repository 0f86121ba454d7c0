//! Bytes that rows use, whatever buffers they share with others.

use crate::limits::MESSAGE_COUNTED_BYTES_MIN;
use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType, UnionMode};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that the batch's rows use: buffers that are shared with other batches count only as far as its rows go.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    let bytes = batch.columns().iter().map(array_bytes).sum::<usize>() as u64;
    bytes.max(MESSAGE_COUNTED_BYTES_MIN)
}

/// Bytes that an array's values use, those of nested ones included; the dictionary of keys counts in full.
pub fn array_bytes(array: &ArrayRef) -> usize {
    use DataType::*;
    let values = match array.data_type() {
        Utf8View => size_of::<u128>() * array.len() + array.as_string_view().total_buffer_bytes_used(),
        BinaryView => size_of::<u128>() * array.len() + array.as_binary_view().total_buffer_bytes_used(),
        List(_) => list_bytes(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values()),
        LargeList(_) => list_bytes(array.as_list::<i64>().value_offsets(), array.as_list::<i64>().values()),
        Map(..) => list_bytes(array.as_map().value_offsets(), &map_entries(array)),
        ListView(_) => {
            let list = array.as_list_view::<i32>();
            list_view_bytes(list.value_offsets(), list.value_sizes(), list.values())
        }
        LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            list_view_bytes(list.value_offsets(), list.value_sizes(), list.values())
        }
        // Their children are cut with them.
        FixedSizeList(..) => array_bytes(array.as_fixed_size_list().values()),
        Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        Union(..) => union_bytes(array),
        RunEndEncoded(ends, _) => match ends.data_type() {
            Int16 => run_bytes::<Int16Type>(array),
            Int32 => run_bytes::<Int32Type>(array),
            _ => run_bytes::<Int64Type>(array),
        },
        _ => return leaf_bytes(array),
    };
    let validity = if array.nulls().is_some() { array.len().div_ceil(8) } else { 0 };
    values + validity
}

fn leaf_bytes(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

fn map_entries(array: &ArrayRef) -> ArrayRef {
    Arc::new(array.as_map().entries().clone())
}

fn list_bytes<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> usize {
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    size_of_val(offsets) + range_bytes(values, first..last)
}

/// Values between the lowest and the highest that a list has; such lists may share or skip some.
fn list_view_bytes<O: OffsetSizeTrait>(offsets: &[O], sizes: &[O], values: &ArrayRef) -> usize {
    let ranges = || {
        let ranges =
            offsets.iter().zip(sizes).map(|(start, size)| start.as_usize()..start.as_usize() + size.as_usize());
        ranges.filter(|range| !range.is_empty())
    };
    let first = ranges().map(|range| range.start).min().unwrap_or(0);
    let last = ranges().map(|range| range.end).max().unwrap_or(0);
    size_of_val(offsets) + size_of_val(sizes) + range_bytes(values, first..last)
}

fn union_bytes(array: &ArrayRef) -> usize {
    let DataType::Union(fields, mode) = array.data_type() else { unreachable!("the caller saw a union") };
    let union = array.as_union();
    let children = fields.iter().map(|(id, _)| {
        let child = union.child(id);
        match (mode, union.offsets()) {
            (UnionMode::Dense, Some(offsets)) => {
                // Offsets into a child ascend.
                let mut used = union.type_ids().iter().zip(offsets).filter(|&(of, _)| *of == id).map(|(_, at)| *at);
                let first = used.next();
                let last = used.next_back().or(first);
                first.zip(last).map_or(0, |(first, last)| range_bytes(child, first as usize..last as usize + 1))
            }
            _ => array_bytes(child),
        }
    });
    children.sum::<usize>() + size_of_val(&union.type_ids()[..]) + union.offsets().map_or(0, |at| size_of_val(&at[..]))
}

fn run_bytes<R: RunEndIndexType>(array: &ArrayRef) -> usize {
    let runs = array.as_run::<R>();
    let ends = runs.run_ends();
    if ends.is_empty() {
        return 0;
    }
    let physical = ends.get_start_physical_index()..ends.get_end_physical_index() + 1;
    size_of::<R::Native>() * physical.len() + range_bytes(runs.values(), physical)
}

fn range_bytes(values: &ArrayRef, range: Range<usize>) -> usize {
    array_bytes(&values.slice(range.start, range.len()))
}
