//! Which buckets move when a cluster grows, shrinks or is balanced anew: as few as that needs.

use crate::limits::SEGMENTS_MAX;
use damson_cluster::{BUCKETS, BucketMap, ContentId, MapVersion};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use thiserror::Error;

/// One bucket's rows go to another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BucketMove {
    pub bucket: u16,
    pub from: ContentId,
    pub to: ContentId,
}

/// Segments among which the buckets cannot be shared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MovesError {
    #[error("a cluster of {have} segments does not grow to {want}")]
    NotMore { have: usize, want: usize },
    #[error("a cluster has at most {SEGMENTS_MAX} segments, not {0}")]
    TooMany(usize),
    #[error("{0} owns buckets already")]
    OwnsAlready(ContentId),
    #[error("{0} owns no bucket")]
    OwnsNothing(ContentId),
    #[error("no segment is left to own the buckets")]
    NobodyLeft,
    #[error("{0} has no weight: 0 takes all of its buckets")]
    NoWeight(ContentId),
    #[error("{0} is not in the cluster")]
    NotThere(ContentId),
    #[error("the weight of {0} is too small beside the others: it would own no bucket")]
    TooLight(ContentId),
}

/// The moves that take a cluster laid out by `map`, all of whose segments own buckets, to `segments` segments.
///
/// # Errors
/// `segments` that is not more than the map's, or more than can each own a bucket.
pub fn moves_to_grow(map: &BucketMap, segments: usize) -> Result<Vec<BucketMove>, MovesError> {
    let old = map.segment_count();
    if segments <= old {
        return Err(MovesError::NotMore { have: old, want: segments });
    }
    if segments > SEGMENTS_MAX {
        return Err(MovesError::TooMany(segments));
    }
    let new: Vec<ContentId> = (old..segments).map(|new| ContentId(new as i32)).collect();
    moves_to_add(map, &new)
}

/// The moves that give buckets to segments that have none, by bucket. Each of them receives its fair share ([`BUCKETS`] by the
/// number of segments that own some then, within one), always from the old segment that has most left; what a division leaves over
/// stays where it is, and nothing moves between old segments. A segment gives its highest buckets, and a new one receives runs, so that files cover few ranges.
///
/// # Errors
/// No new segment, one that owns buckets, or more than can each own one.
pub fn moves_to_add(map: &BucketMap, new: &[ContentId]) -> Result<Vec<BucketMove>, MovesError> {
    let new: BTreeSet<ContentId> = new.iter().copied().collect();
    if let Some(&owner) = new.iter().find(|content| map.owns_any(**content)) {
        return Err(MovesError::OwnsAlready(owner));
    }
    let old = map.owning_segments();
    let segments = old.len() + new.len();
    if new.is_empty() {
        return Err(MovesError::NotMore { have: old.len(), want: segments });
    }
    if segments > SEGMENTS_MAX {
        return Err(MovesError::TooMany(segments));
    }
    // The old segments keep the remainder, as far as each can keep one: that moves least.
    let (share, remainder) = (BUCKETS / segments, BUCKETS % segments);
    let extra = remainder.saturating_sub(old.len());
    let mut wanted = counts_of(map);
    wanted.extend(new.iter().enumerate().map(|(at, &content)| (content, share + usize::from(at < extra))));
    let mut fullest: BinaryHeap<(usize, ContentId)> = old.iter().map(|content| (wanted[&content], content)).collect();
    for _ in 0..new.iter().map(|content| wanted[content]).sum::<usize>() {
        let (count, content) = fullest.pop().expect("a cluster has a segment");
        fullest.push((count - 1, content));
    }
    wanted.extend(fullest.into_iter().map(|(count, content)| (content, count)));
    Ok(moves_between(map, &wanted))
}

/// The moves after which the segments of `removed` own nothing, by bucket. Only their buckets move, each to the segment that has
/// least, so that a balanced cluster stays balanced.
///
/// # Errors
/// One that owns nothing; all that own something.
pub fn moves_to_shrink(map: &BucketMap, removed: &[ContentId]) -> Result<Vec<BucketMove>, MovesError> {
    let removed: BTreeSet<ContentId> = removed.iter().copied().collect();
    if let Some(&idle) = removed.iter().find(|content| !map.owns_any(**content)) {
        return Err(MovesError::OwnsNothing(idle));
    }
    let mut wanted = counts_of(map);
    let freed: usize = removed.iter().filter_map(|content| wanted.insert(*content, 0)).sum();
    let remaining = wanted.iter().filter(|(content, _)| !removed.contains(*content));
    let mut emptiest: BinaryHeap<Reverse<(usize, ContentId)>> =
        remaining.map(|(content, count)| Reverse((*count, *content))).collect();
    for _ in 0..freed {
        let Reverse((count, content)) = emptiest.pop().ok_or(MovesError::NobodyLeft)?;
        emptiest.push(Reverse((count + 1, content)));
    }
    wanted.extend(emptiest.into_iter().map(|Reverse((count, content))| (content, count)));
    Ok(moves_between(map, &wanted))
}

/// The moves after which each segment owns buckets as its weight says, within one, by bucket. Every segment that owns some has a
/// weight; 0 takes all of them. What a division leaves over stays where it is, as far as it can: no other rounding moves fewer.
///
/// # Errors
/// A segment that owns buckets and has no weight, one that is not in the cluster, weights that are all 0, or one that is so small that
/// it gives no bucket.
pub fn moves_to_weights(map: &BucketMap, weights: &BTreeMap<ContentId, u32>) -> Result<Vec<BucketMove>, MovesError> {
    if let Some(owner) = map.owning_segments().iter().find(|owner| !weights.contains_key(owner)) {
        return Err(MovesError::NoWeight(owner));
    }
    let is_there = |content: &ContentId| (0..map.segment_count() as i32).contains(&content.0);
    if let Some(other) = weights.keys().copied().find(|content| !is_there(content)) {
        return Err(MovesError::NotThere(other));
    }
    let sum: u64 = weights.values().map(|weight| u64::from(*weight)).sum();
    if sum == 0 {
        return Err(MovesError::NobodyLeft);
    }
    let have = counts_of(map);
    let mut wanted = BTreeMap::new();
    // Those that a bucket of the remainder may go to: who has it already first, then whose share is cut most.
    let mut cut = vec![];
    for (&content, &weight) in weights {
        let product = BUCKETS as u64 * u64::from(weight);
        let (share, rest) = ((product / sum) as usize, product % sum);
        wanted.insert(content, share);
        if rest > 0 {
            let keeps_one = have.get(&content).is_some_and(|&count| count > share);
            cut.push((Reverse(keeps_one), Reverse(rest), content));
        }
    }
    cut.sort_unstable();
    let remainder = BUCKETS - wanted.values().sum::<usize>();
    for (_, _, content) in cut.into_iter().take(remainder) {
        *wanted.get_mut(&content).expect("it has a share") += 1;
    }
    let is_too_light = |content: &ContentId| weights[content] > 0 && wanted[content] == 0;
    if let Some(light) = weights.keys().copied().find(is_too_light) {
        return Err(MovesError::TooLight(light));
    }
    Ok(moves_between(map, &wanted))
}

/// How many buckets each segment owns, of those that own some.
fn counts_of(map: &BucketMap) -> BTreeMap<ContentId, usize> {
    let counts = map.bucket_counts().into_iter().enumerate();
    counts.filter(|(_, count)| *count > 0).map(|(content, count)| (ContentId(content as i32), count)).collect()
}

/// Who has more than is wanted gives its highest buckets, who has less receives them, in runs.
fn moves_between(map: &BucketMap, wanted: &BTreeMap<ContentId, usize>) -> Vec<BucketMove> {
    let have = counts_of(map);
    let lacking = |(content, count): (&ContentId, &usize)| {
        std::iter::repeat_n(*content, count.saturating_sub(have.get(content).copied().unwrap_or(0)))
    };
    let mut receivers = wanted.iter().flat_map(lacking);
    let mut kept: BTreeMap<ContentId, usize> = BTreeMap::new();
    let mut moves = vec![];
    for bucket in 0..BUCKETS as u16 {
        let from = map.owner(bucket);
        let kept = kept.entry(from).or_default();
        if *kept < wanted[&from] {
            *kept += 1;
        } else {
            let to = receivers.next().expect("as many buckets are given as wanted");
            moves.push(BucketMove { bucket, from, to });
        }
    }
    assert!(receivers.next().is_none(), "as many buckets are given as wanted");
    moves
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
        assert_eq!(moves_to_grow(&map, 4), Err(MovesError::NotMore { have: 4, want: 4 }));
        assert_eq!(moves_to_grow(&map, 3), Err(MovesError::NotMore { have: 4, want: 3 }));
        assert_eq!(moves_to_grow(&map, SEGMENTS_MAX + 1), Err(MovesError::TooMany(SEGMENTS_MAX + 1)));
    }

    #[test]
    fn a_segment_that_owns_nothing_is_added_as_a_new_one_is() {
        let map = shrink(&BucketMap::uniform(MapVersion(1), 4), &[1]).1;
        let moves = moves_to_add(&map, &[ContentId(1)]).unwrap();
        let again = apply_moves(&map, MapVersion(3), 4, &moves);
        assert_eq!(again.bucket_counts(), [4096; 4]);
        assert_eq!(moves_to_add(&map, &[ContentId(0)]), Err(MovesError::OwnsAlready(ContentId(0))));
        assert!(moves_to_add(&map, &[]).is_err());
    }

    fn shrink(map: &BucketMap, removed: &[i32]) -> (Vec<BucketMove>, BucketMap) {
        let removed: Vec<ContentId> = removed.iter().map(|content| ContentId(*content)).collect();
        let moves = moves_to_shrink(map, &removed).unwrap();
        let shrunk = apply_moves(map, MapVersion(map.version.0 + 1), map.segment_count(), &moves);
        (moves, shrunk)
    }

    #[test]
    fn four_become_three() {
        let (moves, shrunk) = shrink(&BucketMap::uniform(MapVersion(1), 4), &[3]);
        assert_eq!(shrunk.bucket_counts(), [5462, 5461, 5461, 0]);
        assert_eq!(moves.len(), 4096);
        let map = BucketMap::uniform(MapVersion(1), 2);
        let all = [ContentId(0), ContentId(1)];
        assert_eq!(moves_to_shrink(&map, &all), Err(MovesError::NobodyLeft));
        assert_eq!(moves_to_shrink(&map, &[ContentId(2)]), Err(MovesError::OwnsNothing(ContentId(2))));
    }

    fn weights(of: &[u32]) -> BTreeMap<ContentId, u32> {
        of.iter().enumerate().map(|(content, weight)| (ContentId(content as i32), *weight)).collect()
    }

    #[test]
    fn weights_say_who_owns_how_much() {
        let map = BucketMap::uniform(MapVersion(1), 3);
        let moves = moves_to_weights(&map, &weights(&[1, 1, 2])).unwrap();
        let balanced = apply_moves(&map, MapVersion(2), 3, &moves);
        assert_eq!(balanced.bucket_counts(), [4096, 4096, 8192]);
        assert!(moves.iter().all(|m| m.to == ContentId(2)));
        assert_eq!(moves_to_weights(&balanced, &weights(&[2, 2, 4])).unwrap(), []);
        let error = |of: &[u32]| moves_to_weights(&map, &weights(of)).unwrap_err();
        assert_eq!(error(&[1, 1]), MovesError::NoWeight(ContentId(2)));
        assert_eq!(error(&[1, 1, 1, 1]), MovesError::NotThere(ContentId(3)));
        assert_eq!(error(&[0, 0, 0]), MovesError::NobodyLeft);
        // What it has it keeps a bucket of; without one it gets none.
        assert_eq!(moves_to_weights(&map, &weights(&[1, 1_000_000, 1_000_000])).unwrap().len(), 5461);
        let (_, lacking) = shrink(&map, &[0]);
        let error = moves_to_weights(&lacking, &weights(&[1, 1_000_000, 1_000_000])).unwrap_err();
        assert_eq!(error, MovesError::TooLight(ContentId(0)));
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

        #[test]
        fn a_shrinking_cluster_moves_what_is_removed_and_stays_balanced(
            old in 2..100usize, new in 1..100usize, removed in proptest::collection::btree_set(0..200i32, 1..150),
        ) {
            let (_, map) = grow(&BucketMap::uniform(MapVersion(1), old), old + new);
            let mut removed: Vec<i32> = removed.into_iter().filter(|content| (*content as usize) < old + new).collect();
            removed.truncate(old + new - 1);
            prop_assume!(!removed.is_empty());
            let (moves, shrunk) = shrink(&map, &removed);
            let is_removed = |content: ContentId| removed.contains(&content.0);
            for bucket in 0..BUCKETS as u16 {
                // A bucket has a new owner if, and only if, its own is removed.
                prop_assert_eq!(shrunk.owner(bucket) != map.owner(bucket), is_removed(map.owner(bucket)));
                prop_assert!(!is_removed(shrunk.owner(bucket)));
            }
            let moved = map.owners().iter().filter(|owner| is_removed(ContentId(i32::from(**owner)))).count();
            prop_assert_eq!(moves.len(), moved);
            let counts = shrunk.bucket_counts();
            let counts: Vec<usize> = counts.into_iter().filter(|count| *count > 0).collect();
            let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(high - low <= 1, "{}..{}", low, high);
            prop_assert_eq!(counts.len(), old + new - removed.len());
        }

        #[test]
        fn weights_are_kept_within_a_bucket_by_the_fewest_moves(
            before in proptest::collection::vec(1..50u32, 1..60), after in proptest::collection::vec(0..50u32, 60),
        ) {
            let uniform = BucketMap::uniform(MapVersion(1), before.len());
            let first = apply_moves(
                &uniform, MapVersion(2), before.len(), &moves_to_weights(&uniform, &weights(&before)).unwrap(),
            );
            let after = &after[..before.len()];
            let sum: u32 = after.iter().sum();
            prop_assume!(sum > 0);
            let moves = moves_to_weights(&first, &weights(after)).unwrap();
            let second = apply_moves(&first, MapVersion(3), before.len(), &moves);
            let (have, counts) = (first.bucket_counts(), second.bucket_counts());
            // Whatever is rounded up: the remainder saves a move only where there is a bucket to keep.
            let (mut floors, mut keepable, mut remainder) = (0, 0, BUCKETS);
            for (content, &weight) in after.iter().enumerate() {
                let exact = BUCKETS as f64 * f64::from(weight) / f64::from(sum);
                prop_assert!((counts[content] as f64 - exact).abs() < 1.0, "{} of {}", counts[content], exact);
                let product = BUCKETS * weight as usize;
                let floor = product / sum as usize;
                floors += have[content].saturating_sub(floor);
                keepable += usize::from(have[content] > floor && !product.is_multiple_of(sum as usize));
                remainder -= floor;
            }
            prop_assert_eq!(moves.len(), floors - keepable.min(remainder));
        }
    }
}
