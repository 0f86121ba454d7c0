//! Parts of a file in memory.

use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::ops::Range;

/// Parts of a file, by where they begin. They do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    by_start: BTreeMap<u64, Bytes>,
}

impl Pieces {
    pub(crate) fn insert(&mut self, start: u64, bytes: Bytes) {
        self.by_start.insert(start, bytes);
    }

    /// The bytes of a range: shared with the piece that it lies in, or gathered from several. None if some of them are not here.
    pub(crate) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            return Some(Bytes::new());
        }
        let (&first, piece) = self.by_start.range(..=range.start).next_back()?;
        if range.end <= first + piece.len() as u64 {
            return Some(piece.slice((range.start - first) as usize..(range.end - first) as usize));
        }
        let mut gathered = BytesMut::with_capacity((range.end - range.start) as usize);
        for (&start, piece) in self.by_start.range(first..range.end) {
            let at = range.start + gathered.len() as u64;
            let end = (start + piece.len() as u64).min(range.end);
            if start > at || end <= at {
                return None;
            }
            gathered.extend_from_slice(&piece[(at - start) as usize..(end - start) as usize]);
        }
        (gathered.len() as u64 == range.end - range.start).then(|| gathered.freeze())
    }
}

/// What to ask for to get `ranges`: those whose gap is at most `gap` as one, and of each at most `most` bytes at a time. In order, without
/// overlaps.
pub(super) fn requests(ranges: &[Range<u64>], gap: u64, most: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = vec![];
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    let cut = |whole: Range<u64>| {
        let end = whole.end;
        whole.step_by(most as usize).map(move |start| start..end.min(start + most))
    };
    merged.into_iter().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn near_ranges_are_asked_for_as_one_and_long_ones_in_parts() {
        let asked = requests(&[40..50, 0..10, 12..20, 5..8, 100..100], 2, 1000);
        assert_eq!(asked, [0..20, 40..50]);
        assert_eq!(requests(&[0..25, 26..30], 0, 10), [0..10, 10..20, 20..25, 26..30]);
        assert!(requests(&[], 2, 10).is_empty());
    }

    #[test]
    fn every_range_comes_as_it_is_in_the_file() {
        let mut rng = StdRng::seed_from_u64(3);
        let file: Vec<u8> = (0..10_000).map(|_| rng.random()).collect();
        for _ in 0..200 {
            let range = |rng: &mut StdRng| {
                let (a, b) = (rng.random_range(0..10_000_u64), rng.random_range(0..10_000_u64));
                a.min(b)..a.max(b)
            };
            let ranges: Vec<Range<u64>> = (0..5).map(|_| range(&mut rng)).collect();
            let (gap, most) = (rng.random_range(0..50), rng.random_range(1..3_000));
            let mut pieces = Pieces::default();
            for asked in requests(&ranges, gap, most) {
                assert!(asked.end - asked.start <= most);
                let bytes = Bytes::copy_from_slice(&file[asked.start as usize..asked.end as usize]);
                pieces.insert(asked.start, bytes);
            }
            for range in ranges {
                assert_eq!(pieces.get(&range).unwrap(), &file[range.start as usize..range.end as usize]);
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        let mut pieces = Pieces::default();
        assert!(pieces.get(&(0..1)).is_none());
        pieces.insert(10, Bytes::from_static(b"abcd"));
        pieces.insert(16, Bytes::from_static(b"xy"));
        assert_eq!(pieces.get(&(11..13)).unwrap(), "bc");
        for range in [9..11, 12..18, 13..15, 17..19, 20..21] {
            assert!(pieces.get(&range).is_none(), "{range:?}");
        }
    }
}
