//! Some of a cluster's segments: who runs a slice, who owns buckets.

use crate::{BUCKETS, ContentId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error;

/// Content ids, ascending. A clone is the same memory.
///
/// Goes to segments with every motion, so it is written as runs `(first, segments)`: one, unless segments were removed from the middle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u16, u16)>", into = "Vec<(u16, u16)>")]
pub struct SegmentSet(Arc<[ContentId]>);

/// Runs that are not a set of segments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} segments from seg{1} are no run after those up to seg{2}, of a cluster of {BUCKETS} at most")]
pub struct SegmentSetError(u16, u16, i32);

impl SegmentSet {
    /// Segments 0 to `count` - 1.
    ///
    /// # Panics
    /// If there are more than [`BUCKETS`].
    pub fn first_of(count: usize) -> Self {
        assert!(count <= BUCKETS, "a cluster has at most {BUCKETS} segments, not {count}");
        SegmentSet((0..count as i32).map(ContentId).collect())
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = ContentId> + Clone + '_ {
        self.0.iter().copied()
    }

    pub fn as_slice(&self) -> &[ContentId] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, content: ContentId) -> bool {
        self.0.binary_search(&content).is_ok()
    }

    /// Whether every segment of `other` is in this set.
    pub fn contains_all(&self, other: &SegmentSet) -> bool {
        other.iter().all(|content| self.contains(content))
    }

    /// The lowest content id.
    pub fn first(&self) -> Option<ContentId> {
        self.0.first().copied()
    }

    pub fn union(&self, other: &SegmentSet) -> Self {
        if self.contains_all(other) { self.clone() } else { self.iter().chain(other.iter()).collect() }
    }
}

impl From<ContentId> for SegmentSet {
    /// # Panics
    /// If it is no segment.
    fn from(only: ContentId) -> Self {
        [only].into_iter().collect()
    }
}

impl FromIterator<ContentId> for SegmentSet {
    /// In any order, each as often as it likes.
    ///
    /// # Panics
    /// If one is no segment: the master, or beyond what a cluster can have.
    fn from_iter<I: IntoIterator<Item = ContentId>>(contents: I) -> Self {
        let contents: BTreeSet<ContentId> = contents.into_iter().collect();
        assert!(contents.iter().all(|content| (0..BUCKETS as i32).contains(&content.0)), "{contents:?} are segments");
        SegmentSet(contents.into_iter().collect())
    }
}

impl From<SegmentSet> for Vec<(u16, u16)> {
    fn from(set: SegmentSet) -> Self {
        let runs = set.0.chunk_by(|a, b| a.0 + 1 == b.0);
        runs.map(|run| (run[0].0 as u16, run.len() as u16)).collect()
    }
}

impl TryFrom<Vec<(u16, u16)>> for SegmentSet {
    type Error = SegmentSetError;

    fn try_from(runs: Vec<(u16, u16)>) -> Result<Self, SegmentSetError> {
        let mut contents: Vec<ContentId> = vec![];
        for (first, count) in runs {
            let (from, before) = (i32::from(first), contents.last().map_or(-1, |content| content.0));
            let end = from + i32::from(count);
            // Looked at first: what came over the wire may claim any length.
            if from <= before || count == 0 || end > BUCKETS as i32 {
                return Err(SegmentSetError(count, first, before));
            }
            contents.extend((from..end).map(ContentId));
        }
        Ok(SegmentSet(contents.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(contents: &[i32]) -> SegmentSet {
        contents.iter().copied().map(ContentId).collect()
    }

    #[test]
    fn a_set_is_ascending_whatever_it_is_made_of() {
        let some = set(&[7, 1, 2, 1]);
        assert_eq!(some.as_slice(), [ContentId(1), ContentId(2), ContentId(7)]);
        assert_eq!((some.len(), some.first()), (3, Some(ContentId(1))));
        assert_eq!(SegmentSet::from(ContentId(7)), set(&[7]));
        assert!(some.contains(ContentId(7)) && !some.contains(ContentId(0)) && !some.contains(ContentId::MASTER));
        assert!(some.contains_all(&set(&[1, 7])) && some.contains_all(&set(&[])) && !some.contains_all(&set(&[1, 3])));
        assert_eq!(some.union(&set(&[0, 2])), set(&[0, 1, 2, 7]));
        assert_eq!(some.union(&set(&[2])), some);
        assert!(set(&[]).is_empty() && SegmentSet::first_of(3) == set(&[0, 1, 2]));
    }

    #[test]
    fn a_set_is_written_as_runs() {
        for (contents, text) in [
            (&[][..], "[]"),
            (&[0, 1, 2], "[[0,3]]"),
            (&[1, 2, 5, 7, 8], "[[1,2],[5,1],[7,2]]"),
            (&[16383], "[[16383,1]]"),
        ] {
            assert_eq!(serde_json::to_string(&set(contents)).unwrap(), text);
            assert_eq!(serde_json::from_str::<SegmentSet>(text).unwrap(), set(contents));
        }
        // Cut anywhere, it is the same set.
        assert_eq!(serde_json::from_str::<SegmentSet>("[[0,1],[1,2]]").unwrap(), SegmentSet::first_of(3));
        for text in ["[[0,0]]", "[[1,2],[2,1]]", "[[3,1],[0,1]]", "[[0,16385]]", "[[65535,65535]]", "[[-1,1]]"] {
            assert!(serde_json::from_str::<SegmentSet>(text).is_err(), "{text}");
        }
    }
}
