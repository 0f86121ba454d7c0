//! Text and bytes as views.

use super::{Groups, Piece, Scatter, prefetch};
use crate::limits::PREFETCHED_DESTINATIONS_MIN;
use arrow::array::{
    Array, ArrayRef, AsArray, ByteView, GenericByteViewArray, GenericByteViewBuilder, MAX_INLINE_VIEW_LEN, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::ByteViewType;
use arrow::error::ArrowError;
use std::sync::Arc;

/// Least block of long values.
const BLOCK_BYTES_MIN: usize = 512;

/// So many rows are copied by Arrow's kernels, which are quicker for each row and slower to start.
const TAKEN_ROWS_MIN: usize = 64;

/// Utf8View and BinaryView. What does not fit into a view is copied to blocks of the destination's own: a pending batch
/// with views into its source would keep all of the source, for a few of its rows.
pub(super) struct Views<T: ByteViewType> {
    builders: Vec<Option<GenericByteViewBuilder<T>>>,
    block_bytes_max: usize,
    allocated_bytes: usize,
}

impl<T: ByteViewType> Views<T> {
    pub(super) fn new(destinations: usize, message_bytes: usize) -> Self {
        let block_bytes_max = (message_bytes / 4).max(BLOCK_BYTES_MIN);
        Views { builders: (0..destinations).map(|_| None).collect(), block_bytes_max, allocated_bytes: 0 }
    }

    fn builder(&self, column: &GenericByteViewArray<T>, rows: &[u32], capacity: usize) -> GenericByteViewBuilder<T> {
        let long = |&row: &u32| match column.views()[row as usize] as u32 {
            length if length > MAX_INLINE_VIEW_LEN => length as usize,
            _ => 0,
        };
        let promised = rows.iter().map(long).sum::<usize>() * capacity / rows.len();
        GenericByteViewBuilder::with_capacity(capacity).with_fixed_block_size(self.block_bytes(promised))
    }

    fn block_bytes(&self, wanted: usize) -> u32 {
        wanted.clamp(BLOCK_BYTES_MIN, self.block_bytes_max) as u32
    }
}

impl<T: ByteViewType> Scatter for Views<T> {
    fn append(&mut self, column: &ArrayRef, groups: &Groups, pieces: &[Piece]) -> Result<(), ArrowError> {
        let column: &GenericByteViewArray<T> = column.as_byte_view();
        if self.builders.len() >= PREFETCHED_DESTINATIONS_MIN {
            prefetch_values(column);
        }
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for piece in pieces {
            let rows = piece.rows(groups);
            let mut builder = match self.builders[piece.destination].take() {
                None => self.builder(column, rows, piece.capacity),
                Some(builder) => {
                    let allocated = builder.allocated_size();
                    self.allocated_bytes -= allocated;
                    // Another block is as large as what is there: few blocks, and half of the memory used at least.
                    builder.with_fixed_block_size(self.block_bytes(allocated))
                }
            };
            if rows.len() >= TAKEN_ROWS_MIN {
                let taken = take(column, &UInt32Array::from(rows.to_vec()), None)?;
                builder.append_array(&taken.as_byte_view::<T>().gc());
            } else {
                append_values(&mut builder, column, nulls, rows);
            }
            self.allocated_bytes += builder.allocated_size();
            self.builders[piece.destination] = Some(builder);
        }
        Ok(())
    }

    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError> {
        let mut builder = self.builders[destination].take().unwrap_or_default();
        self.allocated_bytes -= builder.allocated_size();
        Ok(Arc::new(builder.finish()))
    }

    fn bytes(&self) -> usize {
        self.allocated_bytes
    }
}

fn append_values<T: ByteViewType>(
    builder: &mut GenericByteViewBuilder<T>,
    column: &GenericByteViewArray<T>,
    nulls: Option<&NullBuffer>,
    rows: &[u32],
) {
    let Some(nulls) = nulls else {
        return rows.iter().for_each(|&row| builder.append_value(column.value(row as usize)));
    };
    for &row in rows {
        if nulls.is_valid(row as usize) {
            builder.append_value(column.value(row as usize));
        } else {
            builder.append_null();
        }
    }
}

/// As [`prefetch`]; the values outside the views as well.
fn prefetch_values<T: ByteViewType>(column: &GenericByteViewArray<T>) {
    prefetch(column.views());
    let buffers = column.data_buffers();
    for view in column.views().iter().map(|&view| ByteView::from(view)) {
        let buffer = buffers.get(view.buffer_index as usize);
        if view.length > MAX_INLINE_VIEW_LEN
            && let Some(first) = buffer.and_then(|buffer| buffer.get(view.offset as usize))
        {
            std::hint::black_box(*first);
        }
    }
}
