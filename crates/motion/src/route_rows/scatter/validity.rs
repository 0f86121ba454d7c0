//! Which values are not NULL.

use super::Piece;
use super::bits::Bits;
use arrow::buffer::NullBuffer;

/// Each destination's validity bitmap, made when its first NULL may come: without NULLs there is nothing to do.
pub(super) struct Validity {
    bits: Vec<Option<Bits>>,
    /// How many destinations have one.
    made: usize,
    bytes: usize,
}

impl Validity {
    pub(super) fn new(destinations: usize) -> Self {
        Validity { bits: (0..destinations).map(|_| None).collect(), made: 0, bytes: 0 }
    }

    pub(super) fn append(&mut self, nulls: Option<&NullBuffer>, rows: &[u32], pieces: &[Piece]) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if nulls.is_none() && self.made == 0 {
            return;
        }
        for piece in pieces {
            let slot = &mut self.bits[piece.destination];
            let rows = piece.rows(rows);
            let bytes_before = slot.as_ref().map_or(0, Bits::bytes);
            match (nulls, &mut *slot) {
                (None, None) => continue,
                (None, Some(bits)) => bits.extend_ones(rows.len()),
                (Some(nulls), Some(bits)) => bits.extend_gathered(nulls.inner(), rows),
                (Some(nulls), None) => {
                    let mut bits = Bits::default();
                    bits.extend_ones(piece.before);
                    bits.extend_gathered(nulls.inner(), rows);
                    *slot = Some(bits);
                    self.made += 1;
                }
            }
            self.bytes = self.bytes + slot.as_ref().map_or(0, Bits::bytes) - bytes_before;
        }
    }

    pub(super) fn finish(&mut self, destination: usize) -> Option<NullBuffer> {
        let mut bits = self.bits[destination].take()?;
        self.made -= 1;
        self.bytes -= bits.bytes();
        Some(NullBuffer::new(bits.finish())).filter(|nulls| nulls.null_count() > 0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
