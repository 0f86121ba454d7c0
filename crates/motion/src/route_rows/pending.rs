//! How full a destination's pending batch is, and how much more fits.

use super::scatter::Piece;
use super::sizes::RowSizes;

/// A destination's pending batch, without its values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// Rows that memory was asked for.
    capacity: usize,
    /// Rows of the last batch, if it was full; none after one that was not. The next one starts with room for so many:
    /// memory for full batches is asked for where there are full batches.
    expected: usize,
}

/// The first rows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fitting {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Pending {
    /// How many of the `rows` can be added; the first always, if nothing is pending.
    pub(super) fn fitting(&self, rows: &[u32], sizes: &RowSizes, batch_rows: usize, message_bytes: usize) -> Fitting {
        let rows = &rows[..rows.len().min(batch_rows - self.rows)];
        let Some(sizes) = sizes.by_row() else {
            return Fitting { rows: rows.len(), bytes: rows.len() * sizes.fixed_bytes() };
        };
        let mut fitting = Fitting { rows: 0, bytes: 0 };
        for &row in rows {
            let bytes = fitting.bytes + sizes[row as usize] as usize;
            if self.bytes + bytes > message_bytes && self.rows + fitting.rows > 0 {
                break;
            }
            fitting = Fitting { rows: fitting.rows + 1, bytes };
        }
        fitting
    }

    pub(super) fn is_full(&self, batch_rows: usize, message_bytes: usize) -> bool {
        self.rows >= batch_rows || self.bytes >= message_bytes
    }

    /// Adds the rows at `start` of the grouped batch.
    pub(super) fn add(&mut self, destination: usize, start: usize, fitting: Fitting, batch_rows: usize) -> Piece {
        let before = self.rows;
        self.rows += fitting.rows;
        self.bytes += fitting.bytes;
        if self.rows > self.capacity {
            let doubled = self.rows.next_power_of_two().min(batch_rows);
            let wanted = if before == 0 && self.expected > 0 { self.expected } else { doubled };
            self.capacity = wanted.max(self.rows);
        }
        Piece { destination, start, end: start + fitting.rows, before, capacity: self.capacity }
    }

    /// Starts the next batch; returns this one's figures.
    pub(super) fn finish(&mut self, is_full: bool) -> Fitting {
        let done = Fitting { rows: self.rows, bytes: self.bytes };
        *self = Pending { expected: if is_full { self.rows } else { 0 }, ..Pending::default() };
        done
    }
}
