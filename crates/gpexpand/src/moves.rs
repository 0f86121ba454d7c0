//! Which buckets move when a cluster grows: as few as balance needs, and none between old segments.

use crate::limits::SEGMENTS_MAX;
use damson_cluster::{BUCKETS, BucketMap, ContentId, MapVersion};
use serde::{Deserialize, Serialize};
use std::collections::BinaryHeap;
use thiserror::Error;

/// One bucket's rows go from an old segment to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BucketMove {
    pub bucket: u16,
    pub from: ContentId,
    pub to: ContentId,
}

/// A number of segments to which a cluster cannot grow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrowError {
    #[error("a cluster of {have} segments does not grow to {want}")]
    NotMore { have: usize, want: usize },
    #[error("a cluster has at most {SEGMENTS_MAX} segments, not {0}")]
    TooMany(usize),
}

/// The moves that take a cluster laid out by `map` to `segments` segments, by bucket. Each new segment receives its fair
/// share ([`BUCKETS`] / `segments`, within one), always from the old segment that has most left; what a division leaves
/// over stays where it is. A segment gives its highest buckets, and a new one receives runs, so that files cover few
/// ranges.
///
/// # Errors
/// `segments` that is not more than the map's, or more than can each own a bucket.
pub fn moves_to_grow(map: &BucketMap, segments: usize) -> Result<Vec<BucketMove>, GrowError> {
    let old = map.segment_count();
    if segments <= old {
        return Err(GrowError::NotMore { have: old, want: segments });
    }
    if segments > SEGMENTS_MAX {
        return Err(GrowError::TooMany(segments));
    }
    // The old segments keep the remainder, as far as each can keep one: that moves least.
    let (share, remainder) = (BUCKETS / segments, BUCKETS % segments);
    let extra = remainder.saturating_sub(old);
    let wanted: Vec<usize> = (0..segments - old).map(|new| share + usize::from(new < extra)).collect();

    let mut left = map.bucket_counts();
    let mut fullest: BinaryHeap<(usize, usize)> = left.iter().enumerate().map(|(segment, &n)| (n, segment)).collect();
    for _ in 0..wanted.iter().sum::<usize>() {
        let (count, segment) = fullest.pop().expect("a cluster has a segment");
        left[segment] = count - 1;
        fullest.push((count - 1, segment));
    }

    let mut receivers = wanted.iter().enumerate().flat_map(|(new, &count)| std::iter::repeat_n(old + new, count));
    let mut kept = vec![0; old];
    let mut moves = vec![];
    for (bucket, &owner) in map.owners().iter().enumerate() {
        let owner = usize::from(owner);
        if kept[owner] < left[owner] {
            kept[owner] += 1;
        } else {
            let to = receivers.next().expect("as many buckets are given as wanted");
            moves.push(BucketMove { bucket: bucket as u16, from: ContentId(owner as i32), to: ContentId(to as i32) });
        }
    }
    assert!(receivers.next().is_none(), "as many buckets are given as wanted");
    Ok(moves)
}

/// The map of `segments` segments that `moves` make of `map`.
///
/// # Panics
/// If a move does not start at its bucket's owner, or ends outside the cluster: moves belong to one map.
pub fn apply_moves(map: &BucketMap, version: MapVersion, segments: usize, moves: &[BucketMove]) -> BucketMap {
    let mut owners = map.owners().to_vec();
    for &BucketMove { bucket, from, to } in moves {
        assert_eq!(map.owner(bucket), from, "bucket {bucket} is moved from its owner");
        owners[usize::from(bucket)] = u16::try_from(to.0).expect("a segment");
    }
    BucketMap::from_owners(version, owners, segments).expect("moves end inside the cluster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grow(map: &BucketMap, segments: usize) -> (Vec<BucketMove>, BucketMap) {
        let moves = moves_to_grow(map, segments).unwrap();
        let grown = apply_moves(map, MapVersion(map.version.0 + 1), segments, &moves);
        (moves, grown)
    }

    #[test]
    fn four_become_six() {
        let (moves, grown) = grow(&BucketMap::uniform(MapVersion(1), 4), 6);
        assert_eq!(grown.bucket_counts(), [2731, 2731, 2731, 2731, 2730, 2730]);
        assert_eq!(moves.len(), 2 * 2730);
        assert_eq!(grown.version, MapVersion(2));
    }

    #[test]
    fn an_uneven_map_gives_from_its_fullest() {
        let owners = (0..BUCKETS).map(|bucket| u16::from(bucket >= 100)).collect();
        let map = BucketMap::from_owners(MapVersion(1), owners, 2).unwrap();
        let (moves, grown) = grow(&map, 4);
        assert!(moves.iter().all(|m| m.from == ContentId(1)));
        assert_eq!(grown.bucket_counts(), [100, BUCKETS - 100 - 8192, 4096, 4096]);
    }

    #[test]
    fn every_segment_can_own_one_bucket() {
        let (_, grown) = grow(&BucketMap::uniform(MapVersion(1), 3), SEGMENTS_MAX);
        assert_eq!(grown.bucket_counts(), vec![1; SEGMENTS_MAX]);
    }

    #[test]
    fn a_cluster_only_grows_and_not_for_ever() {
        let map = BucketMap::uniform(MapVersion(1), 4);
        assert_eq!(moves_to_grow(&map, 4), Err(GrowError::NotMore { have: 4, want: 4 }));
        assert_eq!(moves_to_grow(&map, 3), Err(GrowError::NotMore { have: 4, want: 3 }));
        assert_eq!(moves_to_grow(&map, SEGMENTS_MAX + 1), Err(GrowError::TooMany(SEGMENTS_MAX + 1)));
    }

    proptest! {
        #[test]
        fn the_moved_share_is_what_balance_needs(old in 1..200usize, new in 1..200usize, again in 1..50usize) {
            let first = BucketMap::uniform(MapVersion(1), old);
            let (moves, second) = grow(&first, old + new);
            // M / (N + M) of the buckets, within one a segment.
            let share = BUCKETS as f64 * new as f64 / (old + new) as f64;
            prop_assert!((moves.len() as f64 - share).abs() <= new as f64, "{} moved of {share}", moves.len());

            // A map that has grown grows again as well as a uniform one.
            let (_, third) = grow(&second, old + new + again);
            for map in [&second, &third] {
                let counts = map.bucket_counts();
                let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                prop_assert!(high - low <= 1, "{low}..{high}");
            }
            // Only the moved buckets have a new owner, and it is a new segment.
            let mut moved = moves.iter().peekable();
            for bucket in 0..BUCKETS as u16 {
                if let Some(next) = moved.next_if(|m| m.bucket == bucket) {
                    prop_assert!((next.from.0 as usize) < old && next.to.0 as usize >= old);
                    prop_assert_eq!(second.owner(bucket), next.to);
                } else {
                    prop_assert_eq!(second.owner(bucket), first.owner(bucket));
                }
            }
        }
    }
}
