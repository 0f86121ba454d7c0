//! Where a text has the bytes that may end a field. Fields are short: a search that begins anew for each costs more than looking at all bytes.

/// Bytes that are looked at together, a bit of a word for each.
const BLOCK_BYTES: usize = 64;

/// Bytes of three values in a text, one after the other. Made for the records of a block of text.
pub(super) struct Specials<'a> {
    text: &'a [u8],
    values: [u8; 3],
    /// Where the bytes begin that were looked at last.
    start: usize,
    /// Where those begin that are looked at next.
    next: usize,
    /// Which of those that were looked at have not been given yet.
    left: u64,
}

impl<'a> Specials<'a> {
    pub(super) fn new(text: &'a [u8], values: [u8; 3]) -> Self {
        Specials { text, values, start: 0, next: 0, left: 0 }
    }

    /// The first at or after `from` that was not given before; `from` is no less than the last time.
    #[inline(always)]
    pub(super) fn next_from(&mut self, from: usize) -> Option<usize> {
        loop {
            while self.left != 0 {
                let special = self.start + self.left.trailing_zeros() as usize;
                self.left &= self.left - 1;
                // What is before it is the content of quotes.
                if special >= from {
                    return Some(special);
                }
            }
            if !self.look(from) {
                return None;
            }
        }
    }

    /// Looks at the next bytes, from `from` on; false at the end.
    #[inline]
    fn look(&mut self, from: usize) -> bool {
        let start = self.next.max(from);
        let Some(rest) = self.text.get(start..).filter(|rest| !rest.is_empty()) else { return false };
        (self.start, self.next) = (start, start + BLOCK_BYTES);
        self.left = match rest.first_chunk() {
            Some(block) => bits(block, self.values),
            None => {
                let mut block = [0; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                bits(&block, self.values) & ((1 << rest.len()) - 1)
            }
        };
        true
    }
}

/// The lowest bit says whether the first byte has one of the values, and so on.
#[inline]
fn bits(block: &[u8; BLOCK_BYTES], [a, b, c]: [u8; 3]) -> u64 {
    // A loop that compilers make vector instructions of, as its comparisons do not depend on each other.
    let mut is_special = [0; BLOCK_BYTES];
    for (flag, &byte) in is_special.iter_mut().zip(block) {
        *flag = u8::from((byte == a) | (byte == b) | (byte == c));
    }
    // Moves the lowest bit of each of 8 bytes into the highest byte, without a carry.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let words = is_special.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    words.rev().fold(0, |bits, word| bits << 8 | word.wrapping_mul(GATHER) >> 56)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const VALUES: [u8; 3] = *b",\n\"";

    fn positions(text: &[u8]) -> Vec<usize> {
        (0..text.len()).filter(|&at| VALUES.contains(&text[at])).collect()
    }

    #[test]
    fn each_is_found_once() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK_BYTES {
                let mut block = [b'x'; BLOCK_BYTES];
                block[at] = byte;
                assert_eq!(bits(&block, VALUES), u64::from(VALUES.contains(&byte)) << at, "{byte} at {at}");
            }
        }
        assert_eq!(bits(&[b','; BLOCK_BYTES], VALUES), u64::MAX);
        let mut random = StdRng::seed_from_u64(1);
        for bytes in 0..5 * BLOCK_BYTES {
            let text: Vec<u8> = (0..bytes).map(|_| b"abcd\r\0,\n\""[random.random_range(0..9_usize)]).collect();
            let mut specials = Specials::new(&text, VALUES);
            let found: Vec<usize> = std::iter::from_fn(|| specials.next_from(0)).collect();
            assert_eq!(found, positions(&text), "{text:?}");
            assert_eq!(specials.next_from(bytes), None);
        }
    }

    #[test]
    fn what_is_passed_over_is_not_found() {
        let mut random = StdRng::seed_from_u64(2);
        for _ in 0..1_000 {
            let text: Vec<u8> = (0..1_000).map(|_| b"abcdefgh,\n\""[random.random_range(0..11_usize)]).collect();
            let mut specials = Specials::new(&text, VALUES);
            let (all, mut from) = (positions(&text), 0);
            while let Some(at) = specials.next_from(from) {
                assert_eq!(Some(&at), all.iter().find(|&&at| at >= from));
                // Some are as close as fields, some further away than a block.
                from = at + 1 + if random.random_bool(0.2) { random.random_range(0..300_usize) } else { 0 };
            }
            assert!(all.last().is_none_or(|&last| last < from));
        }
    }

    #[test]
    fn a_text_of_none_has_none() {
        for bytes in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 1_000] {
            // What is not a special is none beside one either.
            let text = [b'-', 0, b'#', b'!'].repeat(bytes.div_ceil(4));
            let mut specials = Specials::new(&text[..bytes], VALUES);
            assert_eq!((specials.next_from(0), specials.next_from(bytes + 100)), (None, None));
        }
    }
}
