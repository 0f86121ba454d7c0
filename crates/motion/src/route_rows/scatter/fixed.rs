//! Values of one width.

use super::validity::Validity;
use super::{Piece, Scatter};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::sync::Arc;

/// Integers, floats, decimals, dates, times, intervals: each destination's values are gathered from the batch's column,
/// which stays in the processor's cache for one pass, and written in sequence.
pub(super) struct Fixed<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<Vec<T::Native>>,
    validity: Validity,
    /// Rows that there is room for, of all destinations.
    capacity: usize,
}

impl<T: ArrowPrimitiveType> Fixed<T> {
    pub(super) fn new(data_type: &DataType, destinations: usize) -> Self {
        Fixed {
            data_type: data_type.clone(),
            values: (0..destinations).map(|_| vec![]).collect(),
            validity: Validity::new(destinations),
            capacity: 0,
        }
    }

    pub(super) fn append_array(&mut self, column: &PrimitiveArray<T>, rows: &[u32], pieces: &[Piece]) {
        let source: &[T::Native] = column.values();
        for piece in pieces {
            let values = &mut self.values[piece.destination];
            let rows = piece.rows(rows);
            if values.capacity() < values.len() + rows.len() {
                self.capacity -= values.capacity();
                values.reserve_exact(piece.capacity - values.len());
                self.capacity += values.capacity();
            }
            let (first, last) = (rows[0] as usize, rows[rows.len() - 1] as usize);
            if last - first + 1 == rows.len() {
                values.extend_from_slice(&source[first..=last]);
            } else {
                values.extend(rows.iter().map(|&row| source[row as usize]));
            }
        }
        self.validity.append(column.nulls(), rows, pieces);
    }

    pub(super) fn finish_array(&mut self, destination: usize) -> Result<PrimitiveArray<T>, ArrowError> {
        let mut values = std::mem::take(&mut self.values[destination]);
        self.capacity -= values.capacity();
        if values.len() < values.capacity() / 2 {
            values.shrink_to_fit();
        }
        let array = PrimitiveArray::<T>::try_new(values.into(), self.validity.finish(destination))?;
        Ok(array.with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType> Scatter for Fixed<T> {
    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError> {
        self.append_array(column.as_primitive::<T>(), rows, pieces);
        Ok(())
    }

    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.finish_array(destination)?))
    }

    fn bytes(&self) -> usize {
        self.capacity * size_of::<T::Native>() + self.validity.bytes()
    }
}
