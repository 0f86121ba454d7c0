//! Where a segment's rows go when their table is laid out by another map.

use crate::{BUCKETS, BucketMap, ContentId};
use std::fmt;

/// The part of a range's buckets, in eighths, that one segment must take for the range to go to it as it is encoded. What comes along deleted is
/// less than what compaction writes a file anew for.
const TAKEN_EIGHTHS_MIN: usize = 7;

/// The next owners of a segment's buckets, between two maps.
#[derive(Clone)]
pub struct Departures {
    content: ContentId,
    /// By bucket; None: another segment's before.
    owners: Box<[Option<ContentId>]>,
}

/// What becomes of the rows of a range of buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The segment that all of them leave for, or nearly all.
    pub taker: Option<ContentId>,
    /// Whether some of them are not the taker's.
    pub is_divided: bool,
    /// Whether some leave for others than the taker.
    pub others_leave: bool,
}

impl Departures {
    pub fn of(content: ContentId, from: &BucketMap, to: &BucketMap) -> Self {
        let owner = |bucket| (from.owner(bucket) == content).then(|| to.owner(bucket));
        Departures { content, owners: (0..BUCKETS as u16).map(owner).collect() }
    }

    /// Who owns a bucket then; None: it was another segment's before, or stays.
    pub fn taker(&self, bucket: u16) -> Option<ContentId> {
        self.owners[usize::from(bucket)].filter(|owner| *owner != self.content)
    }

    /// Of the rows that the segment has in buckets `low..=high`.
    pub fn fate(&self, low: u16, high: u16) -> Fate {
        let own = || (low..=high).filter(|&bucket| self.owners[usize::from(bucket)].is_some());
        let takers = || own().filter_map(|bucket| self.taker(bucket));
        // Buckets leave in runs: a segment that takes most of them has the one in the middle of those that leave.
        let most = takers().nth(takers().count() / 2);
        let taken = takers().filter(|taker| Some(*taker) == most).count();
        let taker = most.filter(|_| taken * 8 >= own().count() * TAKEN_EIGHTHS_MIN);
        Fate {
            taker,
            is_divided: taker.is_some() && taken < own().count(),
            others_leave: takers().any(|other| Some(other) != taker),
        }
    }
}

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leave = (0..BUCKETS as u16).filter(|&bucket| self.taker(bucket).is_some()).count();
        f.debug_struct("Departures").field("content", &self.content).field("buckets", &leave).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MapVersion;
    use std::iter::repeat_n;

    fn map(runs: &[(u16, usize)]) -> BucketMap {
        let owners = runs.iter().flat_map(|&(owner, buckets)| repeat_n(owner, buckets)).collect();
        BucketMap::from_owners(MapVersion(1), owners, 4).unwrap()
    }

    #[test]
    fn a_range_leaves_as_a_whole_nearly_or_row_by_row() {
        let from = map(&[(0, 8192), (1, 8192)]);
        let to = map(&[(0, 4100), (2, 4092), (1, 4096), (3, 4000), (2, 96)]);
        let taken = |content: i32| Some(ContentId(content));
        let departures = Departures::of(ContentId(0), &from, &to);
        assert_eq!(departures.fate(0, 4099), Fate::default());
        assert_eq!(departures.fate(4100, 8191), Fate { taker: taken(2), ..Fate::default() });
        // Four buckets stay; those of others do not count.
        let nearly = Fate { taker: taken(2), is_divided: true, others_leave: false };
        assert_eq!(departures.fate(4096, 16_383), nearly);
        let half = Fate { taker: None, is_divided: false, others_leave: true };
        assert_eq!(departures.fate(0, 8191), half);
        assert_eq!((departures.taker(4099), departures.taker(4100), departures.taker(9000)), (None, taken(2), None));
        // All leave, for two segments.
        let departures = Departures::of(ContentId(1), &from, &to);
        let mostly = Fate { taker: taken(3), is_divided: true, others_leave: true };
        assert_eq!(departures.fate(12_288, 16_383), mostly);
        assert_eq!(departures.fate(0, 8191), Fate::default(), "it had none of them");
    }

    #[test]
    fn seven_eighths_are_nearly_all() {
        let from = map(&[(0, 16_384)]);
        for (kept, taker) in [(1000, Some(ContentId(1))), (1001, None)] {
            let to = map(&[(0, kept), (1, 16_384 - kept)]);
            assert_eq!(Departures::of(ContentId(0), &from, &to).fate(0, 7999).taker, taker, "{kept}");
        }
    }
}
