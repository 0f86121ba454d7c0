//! Text and bytes with offsets.

use super::{Piece, Scatter};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, GenericByteBuilder};
use arrow::datatypes::{ArrowNativeType, ByteArrayType};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Utf8, LargeUtf8, Binary and LargeBinary.
pub(super) struct Bytes<T: ByteArrayType> {
    builders: Vec<Option<GenericByteBuilder<T>>>,
    message_bytes: usize,
    allocated_bytes: usize,
}

impl<T: ByteArrayType> Bytes<T> {
    pub(super) fn new(destinations: usize, message_bytes: usize) -> Self {
        Bytes { builders: (0..destinations).map(|_| None).collect(), message_bytes, allocated_bytes: 0 }
    }
}

impl<T: ByteArrayType> Scatter for Bytes<T> {
    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError> {
        let column: &GenericByteArray<T> = column.as_bytes();
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for piece in pieces {
            let rows = piece.rows(rows);
            let slot = &mut self.builders[piece.destination];
            self.allocated_bytes -= slot.as_ref().map_or(0, allocated);
            let builder = slot.get_or_insert_with(|| {
                // As much as the rows to come promise.
                let gathered: usize = rows.iter().map(|&row| column.value_length(row as usize).as_usize()).sum();
                let promised = (gathered * piece.capacity / rows.len()).min(self.message_bytes);
                GenericByteBuilder::with_capacity(piece.capacity, promised.max(gathered))
            });
            for &row in rows {
                match nulls {
                    Some(nulls) if nulls.is_null(row as usize) => builder.append_null(),
                    _ => builder.append_value(column.value(row as usize)),
                }
            }
            self.allocated_bytes += allocated(builder);
        }
        Ok(())
    }

    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError> {
        let mut builder = self.builders[destination].take().unwrap_or_default();
        self.allocated_bytes -= allocated(&builder);
        Ok(Arc::new(builder.finish()))
    }

    fn bytes(&self) -> usize {
        self.allocated_bytes
    }
}

fn allocated<T: ByteArrayType>(builder: &GenericByteBuilder<T>) -> usize {
    builder.values_capacity() + builder.offsets_capacity() * size_of::<T::Offset>() + builder.validity_capacity()
}
