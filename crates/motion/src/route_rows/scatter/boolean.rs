//! Booleans: a bitmap of values.

use super::bits::Bits;
use super::validity::Validity;
use super::{Piece, Scatter};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Boolean columns.
pub(super) struct Booleans {
    values: Vec<Bits>,
    validity: Validity,
    bytes: usize,
}

impl Booleans {
    pub(super) fn new(destinations: usize) -> Self {
        let values = (0..destinations).map(|_| Bits::default()).collect();
        Booleans { values, validity: Validity::new(destinations), bytes: 0 }
    }
}

impl Scatter for Booleans {
    fn append(&mut self, column: &ArrayRef, rows: &[u32], pieces: &[Piece]) -> Result<(), ArrowError> {
        let column = column.as_boolean();
        for piece in pieces {
            let values = &mut self.values[piece.destination];
            self.bytes -= values.bytes();
            values.extend_gathered(column.values(), piece.rows(rows));
            self.bytes += values.bytes();
        }
        self.validity.append(column.nulls(), rows, pieces);
        Ok(())
    }

    fn finish(&mut self, destination: usize) -> Result<ArrayRef, ArrowError> {
        let values = &mut self.values[destination];
        self.bytes -= values.bytes();
        Ok(Arc::new(BooleanArray::new(values.finish(), self.validity.finish(destination))))
    }

    fn bytes(&self) -> usize {
        self.bytes + self.validity.bytes()
    }
}
