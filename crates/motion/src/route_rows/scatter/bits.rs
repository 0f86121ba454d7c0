//! Bits that are gathered.

use arrow::buffer::{BooleanBuffer, Buffer};

/// A growing bitmap, written a word at a time.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    pub(super) fn extend(&mut self, bits: impl Iterator<Item = bool>) {
        let mut used = self.len % 64;
        let mut word = if used == 0 { 0 } else { self.words.pop().unwrap_or(0) };
        for bit in bits {
            word |= u64::from(bit) << used;
            used += 1;
            self.len += 1;
            if used == 64 {
                self.words.push(word);
                (word, used) = (0, 0);
            }
        }
        if used > 0 {
            self.words.push(word);
        }
    }

    /// Those of `source` at `rows`.
    pub(super) fn extend_gathered(&mut self, source: &BooleanBuffer, rows: &[u32]) {
        self.words.reserve(rows.len().div_ceil(64));
        self.extend(rows.iter().map(|&row| source.value(row as usize)));
    }

    pub(super) fn extend_ones(&mut self, len: usize) {
        self.extend(std::iter::repeat_n(true, len));
    }

    pub(super) fn finish(&mut self) -> BooleanBuffer {
        let Bits { words, len } = std::mem::take(self);
        // Arrow's bitmaps are little-endian, whatever the machine.
        let words: Vec<u64> = words.into_iter().map(u64::to_le).collect();
        BooleanBuffer::new(Buffer::from_vec(words), 0, len)
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_kept_across_words() {
        let mut bits = Bits::default();
        let source: BooleanBuffer = (0..300).map(|i| i % 3 == 0).collect();
        let mut wanted = vec![];
        for (from, to) in [(0, 1), (1, 64), (64, 65), (65, 200), (200, 200), (200, 300)] {
            bits.extend_gathered(&source, &(from..to).collect::<Vec<_>>());
            bits.extend_ones(3);
            wanted.extend((from..to).map(|i| i % 3 == 0).chain([true; 3]));
        }
        assert_eq!(bits.finish().iter().collect::<Vec<_>>(), wanted);
        assert_eq!(bits.finish().len(), 0);
    }
}
