//! Text and bytes as views.

use super::{Piece, Scatter};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, GenericByteViewBuilder, MAX_INLINE_VIEW_LEN};
use arrow::datatypes::ByteViewType;
use arrow::error::ArrowError;
use std::sync::Arc;

/// Least block of long values.
const BLOCK_BYTES_MIN: usize = 512;

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
    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError> {
        let column: &GenericByteViewArray<T> = column.as_byte_view();
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for piece in pieces {
            let rows = piece.rows(rows);
            let mut builder = match self.builders[piece.destination].take() {
                None => self.builder(column, rows, piece.capacity),
                Some(builder) => {
                    let allocated = builder.allocated_size();
                    self.allocated_bytes -= allocated;
                    // Another block is as large as what is there: few blocks, and half of the memory used at least.
                    builder.with_fixed_block_size(self.block_bytes(allocated))
                }
            };
            match nulls {
                None => rows.iter().for_each(|&row| builder.append_value(column.value(row as usize))),
                Some(nulls) => rows.iter().map(|&row| row as usize).for_each(|row| {
                    if nulls.is_valid(row) { builder.append_value(column.value(row)) } else { builder.append_null() }
                }),
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
