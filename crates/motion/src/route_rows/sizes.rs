//! Bytes of each row, so that batches can be cut by bytes.

use arrow::array::{ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use damson_interconnect::array_bytes;

/// Bytes of a batch's rows. Columns of one width cost nothing to measure; texts and bytes are measured row by row;
/// others, such as lists, count with the average of their batch. Validity bitmaps are left out.
pub(super) struct RowSizes {
    fixed_bytes: usize,
    /// Positions of the columns whose rows have more than the fixed part.
    variable: Vec<usize>,
    by_row: Vec<u32>,
}

impl RowSizes {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let types = || schema.fields().iter().map(|field| field.data_type());
        let variable = types().enumerate().filter(|(_, data_type)| is_variable(data_type)).map(|(i, _)| i);
        RowSizes { fixed_bytes: types().map(fixed_bytes).sum(), variable: variable.collect(), by_row: vec![] }
    }

    pub(super) fn fixed_bytes(&self) -> usize {
        self.fixed_bytes
    }

    /// Bytes of each row of the measured batch; None where all are [`RowSizes::fixed_bytes`].
    pub(super) fn by_row(&self) -> Option<&[u32]> {
        (!self.variable.is_empty()).then_some(&self.by_row)
    }

    /// Bytes of the measured batch of `rows` rows.
    pub(super) fn total(&self, rows: usize) -> usize {
        match self.by_row() {
            None => rows * self.fixed_bytes,
            Some(sizes) => sizes.iter().map(|&bytes| bytes as usize).sum(),
        }
    }

    pub(super) fn measure(&mut self, batch: &RecordBatch) {
        if self.variable.is_empty() {
            return;
        }
        self.by_row.clear();
        self.by_row.resize(batch.num_rows(), u32::try_from(self.fixed_bytes).unwrap_or(u32::MAX));
        for &column in &self.variable {
            add_variable(batch.column(column), &mut self.by_row);
        }
    }
}

/// What each row of a column has, whatever its value.
fn fixed_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Utf8 | DataType::Binary => size_of::<i32>(),
        DataType::LargeUtf8 | DataType::LargeBinary => size_of::<i64>(),
        DataType::Utf8View | DataType::BinaryView => size_of::<u128>(),
        DataType::Boolean => 1,
        DataType::Dictionary(key, _) => key.primitive_width().unwrap_or(0),
        DataType::FixedSizeBinary(bytes) => *bytes as usize,
        other => other.primitive_width().unwrap_or(0),
    }
}

fn is_variable(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Null | Boolean | Dictionary(..) | FixedSizeBinary(_) => false,
        other => other.primitive_width().is_none(),
    }
}

fn add_variable(column: &ArrayRef, by_row: &mut [u32]) {
    match column.data_type() {
        DataType::Utf8 => add_lengths(column.as_string::<i32>().offsets(), by_row),
        DataType::LargeUtf8 => add_lengths(column.as_string::<i64>().offsets(), by_row),
        DataType::Binary => add_lengths(column.as_binary::<i32>().offsets(), by_row),
        DataType::LargeBinary => add_lengths(column.as_binary::<i64>().offsets(), by_row),
        DataType::Utf8View => add_views(column.as_string_view().views(), by_row),
        DataType::BinaryView => add_views(column.as_binary_view().views(), by_row),
        _ => {
            let bytes = array_bytes(column) / column.len().max(1);
            by_row.iter_mut().for_each(|row| *row = add(*row, bytes));
        }
    }
}

fn add_lengths<O: OffsetSizeTrait>(offsets: &[O], by_row: &mut [u32]) {
    for (row, ends) in by_row.iter_mut().zip(offsets.windows(2)) {
        *row = add(*row, ends[1].as_usize() - ends[0].as_usize());
    }
}

/// Only what a view does not hold itself.
fn add_views(views: &[u128], by_row: &mut [u32]) {
    for (row, &view) in by_row.iter_mut().zip(views) {
        let length = view as u32;
        let outside = if length > arrow::array::MAX_INLINE_VIEW_LEN { length } else { 0 };
        *row = row.saturating_add(outside);
    }
}

fn add(row: u32, bytes: usize) -> u32 {
    row.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX))
}
