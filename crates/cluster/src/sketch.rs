//! Distinct-value sketches: HyperLogLog over 64-bit hashes, 4,096 one-byte registers.
//!
//! A sketch is a register array (`[REGISTERS]` bytes) or empty, which means "not collected" and says nothing. Sketches
//! are kept in the catalog, so [`add`]'s use of a hash's bits never changes. The top bits of a placement hash are the
//! bucket, and all the rows of one segment share some of them: nothing here reads the top bits but the last resort.
//!
//! The estimator is Ertl's improved raw estimator (O. Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches", 2017), which needs no bias tables and no switch to linear counting. Standard error: 1.04 / √4096 = 1.6 %.

/// Registers of a sketch; its index is a hash's lowest 12 bits.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 12;
/// Bits of a hash that a rank is read from.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;

/// A sketch of no values.
pub fn empty() -> Vec<u8> {
    vec![0; REGISTERS]
}

/// Notes one value by its hash.
///
/// # Panics
/// If `registers` is not [`REGISTERS`] long.
#[inline]
pub fn add(registers: &mut [u8], hash: u64) {
    let rest = hash >> INDEX_BITS;
    // Rank: one more than the trailing zeros; a rest of zero has the highest rank.
    let rank = (rest | 1 << RANK_BITS).trailing_zeros() as u8 + 1;
    let register = &mut registers[hash as usize & (REGISTERS - 1)];
    *register = (*register).max(rank);
}

/// Makes `into` the sketch of the union: a bytewise maximum. One that was not collected makes the union unknown, so
/// `into` becomes empty; start a fold from [`empty`].
pub fn merge(into: &mut Vec<u8>, other: &[u8]) {
    if into.len() != REGISTERS || other.len() != REGISTERS {
        into.clear();
        return;
    }
    into.iter_mut().zip(other).for_each(|(a, b)| *a = (*a).max(*b));
}

/// Number of distinct values; None when the sketch was not collected.
pub fn estimate(registers: &[u8]) -> Option<f64> {
    if registers.len() != REGISTERS {
        return None;
    }
    const RANKS: usize = RANK_BITS as usize + 1;
    let mut counts = [0u32; RANKS + 1];
    registers.iter().for_each(|&rank| counts[usize::from(rank).min(RANKS)] += 1);

    let m = REGISTERS as f64;
    let mut z = m * tau(1.0 - f64::from(counts[RANKS]) / m);
    for &count in counts[1..RANKS].iter().rev() {
        z = 0.5 * (z + f64::from(count));
    }
    z += m * sigma(f64::from(counts[0]) / m);
    // 1 / (2 ln 2): the constant of an infinitely fine register array.
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    Some(ALPHA * m * m / z)
}

/// Correction for registers that saw nothing. Infinite at 1, which makes an empty sketch's estimate 0.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let previous = z;
        z += x * y;
        y += y;
        if z == previous {
            return z;
        }
    }
}

/// Correction for registers that are full.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let previous = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == previous {
            return z / 3.0;
        }
    }
}

/// Registers as short text, for JSON (`#[serde(with = "crate::sketch::text")]`): one printable character a register, a
/// run of at least four zeros as `(count)`.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Write;

    const ZERO: u8 = b'0';
    const RUN_MIN: usize = 4;

    pub fn serialize<S: Serializer>(registers: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(registers))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| D::Error::custom("not a sketch"))
    }

    fn encode(registers: &[u8]) -> String {
        let mut out = String::with_capacity(registers.len());
        let mut i = 0;
        while i < registers.len() {
            let zeros = registers[i..].iter().take_while(|&&r| r == 0).count();
            if zeros >= RUN_MIN {
                // Writing to a String cannot fail.
                let _ = write!(out, "({zeros})");
                i += zeros;
            } else {
                out.push((ZERO + registers[i].min(63)) as char);
                i += 1;
            }
        }
        out
    }

    fn decode(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(super::REGISTERS);
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            if first == b'(' {
                let (count, tail) = rest[1..].split_once(')')?;
                let count: usize = count.parse().ok()?;
                if out.len() + count > super::REGISTERS {
                    return None;
                }
                out.resize(out.len() + count, 0);
                rest = tail;
            } else {
                let rank = first.checked_sub(ZERO).filter(|&rank| rank < 64)?;
                out.push(rank);
                rest = &rest[1..];
            }
        }
        (out.is_empty() || out.len() == super::REGISTERS).then_some(out)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn text_round_trips_and_is_short() {
            let mut registers = super::super::empty();
            assert_eq!(encode(&registers), "(4096)");
            for i in [0usize, 5, 6, 4095] {
                registers[i] = (i % 54) as u8;
            }
            registers[9] = 53;
            assert_eq!(decode(&encode(&registers)).unwrap(), registers);
            assert_eq!(decode(&encode(&[])).unwrap(), Vec::<u8>::new());
        }

        #[test]
        fn broken_text_is_refused() {
            for text in ["(", "(x)", "(4097)", "0", "(4095)", "é", "(4096)0"] {
                assert!(decode(text).is_none(), "{text}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64: hashes good enough to test the estimator alone.
    fn hash(i: u64) -> u64 {
        let mut z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn sketch(values: std::ops::Range<u64>) -> Vec<u8> {
        let mut registers = empty();
        values.for_each(|i| add(&mut registers, hash(i)));
        registers
    }

    #[test]
    fn estimates_are_within_five_percent() {
        assert_eq!(estimate(&empty()), Some(0.0));
        for n in [1u64, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
            let got = estimate(&sketch(0..n)).unwrap();
            assert!((got / n as f64 - 1.0).abs() < 0.05, "{n}: {got}");
        }
    }

    #[test]
    fn rows_of_one_segment_are_not_biased() {
        // Only the hashes whose top bits are those of the first of 1,024 runs of buckets.
        let mut registers = empty();
        (0..10_000u64).for_each(|i| add(&mut registers, hash(i) >> 10));
        let got = estimate(&registers).unwrap();
        assert!((got / 10_000.0 - 1.0).abs() < 0.05, "{got}");
    }

    #[test]
    fn a_merge_is_the_sketch_of_the_union() {
        let mut both = sketch(0..6_000);
        merge(&mut both, &sketch(4_000..10_000));
        assert_eq!(both, sketch(0..10_000));
        merge(&mut both, &[]);
        assert_eq!(estimate(&both), None);
    }
}
