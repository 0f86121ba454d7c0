//! A bounded round of each fuzz target, from a fixed seed: the decoders neither panic nor lose what they have read.

use super::*;

/// Inputs of a round.
const ROUNDS: usize = 20_000;
/// Changes of an input, at most.
const CHANGES_MAX: usize = 6;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A good input with some changes, or one time in eight bytes that are nothing.
    fn input(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            return self.bytes(64);
        }
        let good = &good[self.below(good.len())];
        let changes = 4 * self.below(CHANGES_MAX + 1);
        let changes: Vec<u8> = (0..changes).map(|_| self.next() as u8).collect();
        edited(good, &changes)
    }
}

/// Of a round some inputs are taken and some refused, or it has looked at nothing.
fn round(seed: u64, good: &[Vec<u8>], take: impl Fn(&[u8], &mut Random) -> bool) {
    let mut random = Random(seed);
    let mut taken = 0;
    for _ in 0..ROUNDS {
        let input = random.input(good);
        taken += usize::from(take(&input, &mut random));
    }
    assert!((ROUNDS / 50..ROUNDS).contains(&taken), "{taken} of {ROUNDS} were taken");
}

#[test]
fn good_bytes_are_taken() {
    assert!(valid_openings().iter().all(|body| opening(body)));
    assert!(valid_messages().iter().all(|bytes| message(bytes)));
    for (kind, bytes) in valid_values() {
        assert!(value(kind, &bytes), "{kind} {bytes:?}");
    }
    for rows in valid_binary_rows() {
        assert_eq!(binary_rows(2, &rows, []).1, None, "{rows:?}");
    }
}

#[test]
fn openings_of_any_kind() {
    round(1, &valid_openings(), |body, _| opening(body));
}

#[test]
fn messages_of_any_kind() {
    round(2, &valid_messages(), |bytes, _| message(bytes));
}

#[test]
fn answers_to_authentication_of_any_kind() {
    let answers: Vec<Vec<u8>> =
        valid_messages().into_iter().filter_map(|bytes| bytes.strip_prefix(b"p").map(<[u8]>::to_vec)).collect();
    round(3, &answers, |body, _| authentication(body));
}

#[test]
fn lines_of_any_kind_and_in_any_pieces() {
    round(4, &valid_lines(), |bytes, random| {
        let (style, piece) = (random.below(LINE_STYLES), 1 + random.below(9));
        let at_once = lines(style, bytes, []);
        assert_eq!(lines(style, bytes, std::iter::repeat(piece)), at_once);
        at_once.1.is_none()
    });
}

#[test]
fn rows_in_binary_of_any_kind_and_in_any_pieces() {
    round(5, &valid_binary_rows(), |bytes, random| {
        let (columns, piece) = (1 + random.below(3), 1 + random.below(9));
        let at_once = binary_rows(columns, bytes, []);
        assert_eq!(binary_rows(columns, bytes, std::iter::repeat(piece)), at_once);
        at_once.1.is_none()
    });
}

#[test]
fn values_of_any_kind() {
    let values = valid_values();
    for kind in 0..VALUE_KINDS {
        let of_kind = |(other, bytes): &(usize, Vec<u8>)| (*other == kind).then(|| bytes.clone());
        let good: Vec<Vec<u8>> = values.iter().filter_map(of_kind).collect();
        round(6 + kind as u64, &good, |bytes, _| value(kind, bytes));
    }
}
