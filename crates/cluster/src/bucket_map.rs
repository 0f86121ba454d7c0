//! Bucket → segment, versioned.

use crate::{ContentId, MapVersion, SegmentSet};
use serde::{Deserialize, Serialize};
use std::iter::repeat_n;
use std::sync::Arc;
use thiserror::Error;

/// Number of buckets, for ever: an on-disk format.
pub const BUCKETS: usize = 1 << 14;

/// Which segment owns each bucket, as of one version. Immutable; the catalog keeps every version that a table names.
///
/// Goes to segments with every query whose rows move by it, so it is written as runs of equal owners, which a map has few of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct BucketMap {
    pub version: MapVersion,
    /// Index = bucket.
    owners: Arc<[u16]>,
    /// The same as `(owner, buckets)`, by bucket: as long as can be.
    runs: Arc<[(u16, u16)]>,
    segments: u16,
    /// Those that own a bucket.
    owning: SegmentSet,
}

/// Owners that are not a map.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BucketMapError {
    #[error("a cluster has 1 to {BUCKETS} segments, not {0}")]
    Segments(usize),
    #[error("a bucket map has {BUCKETS} owners, not {0}")]
    Length(usize),
    #[error("\"{0}\" is not a segment and its number of buckets, as in 0*8192")]
    Run(String),
    #[error("bucket {bucket} belongs to segment {owner}, of {segments} segments")]
    Owner { bucket: usize, owner: u16, segments: usize },
}

impl BucketMap {
    /// Buckets in `segments` contiguous, equal runs.
    ///
    /// # Panics
    /// If `segments` is 0 or exceeds the number of buckets.
    pub fn uniform(version: MapVersion, segments: usize) -> Self {
        assert!((1..=BUCKETS).contains(&segments), "a cluster has 1 to {BUCKETS} segments, not {segments}");
        let owners: Arc<[u16]> = (0..BUCKETS).map(|bucket| (bucket * segments / BUCKETS) as u16).collect();
        let runs = runs_of(&owners);
        Self::made(version, owners, runs, segments)
    }

    /// A map by its owners: `owners[bucket]` is a content id below `segments`. A segment may own nothing.
    ///
    /// # Errors
    /// A number of owners other than [`BUCKETS`], no segment or too many, an owner that is not in the cluster.
    pub fn from_owners(version: MapVersion, owners: Vec<u16>, segments: usize) -> Result<Self, BucketMapError> {
        if !(1..=BUCKETS).contains(&segments) {
            return Err(BucketMapError::Segments(segments));
        }
        if owners.len() != BUCKETS {
            return Err(BucketMapError::Length(owners.len()));
        }
        if let Some(bucket) = owners.iter().position(|&owner| usize::from(owner) >= segments) {
            return Err(BucketMapError::Owner { bucket, owner: owners[bucket], segments });
        }
        let runs = runs_of(&owners);
        Ok(Self::made(version, owners.into(), runs, segments))
    }

    /// As [`BucketMap::from_owners`], of `(owner, buckets)`, by bucket. Looks at each run once: a map is read with each query that needs it.
    fn from_runs(version: MapVersion, runs: &[(u16, u16)], segments: usize) -> Result<Self, BucketMapError> {
        if !(1..=BUCKETS).contains(&segments) {
            return Err(BucketMapError::Segments(segments));
        }
        // Looked at first: what came over the wire may claim any length.
        let buckets: usize = runs.iter().map(|&(_, buckets)| usize::from(buckets)).sum();
        if buckets != BUCKETS {
            return Err(BucketMapError::Length(buckets));
        }
        let mut owners = Vec::with_capacity(BUCKETS);
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(runs.len());
        for &(owner, buckets) in runs.iter().filter(|(_, buckets)| *buckets > 0) {
            if usize::from(owner) >= segments {
                return Err(BucketMapError::Owner { bucket: owners.len(), owner, segments });
            }
            owners.extend(repeat_n(owner, buckets.into()));
            match merged.last_mut().filter(|(last, _)| *last == owner) {
                Some((_, length)) => *length += buckets,
                None => merged.push((owner, buckets)),
            }
        }
        Ok(Self::made(version, owners.into(), merged.into(), segments))
    }

    fn made(version: MapVersion, owners: Arc<[u16]>, runs: Arc<[(u16, u16)]>, segments: usize) -> Self {
        let owning = runs.iter().map(|&(owner, _)| ContentId(owner.into())).collect();
        BucketMap { version, owners, runs, segments: segments as u16, owning }
    }

    /// The owners by bucket, in runs of equal ones: `0*8192 1*8192`.
    pub fn owners_text(&self) -> String {
        self.runs.iter().map(|(owner, buckets)| format!("{owner}*{buckets}")).collect::<Vec<_>>().join(" ")
    }

    /// As [`BucketMap::owners_text`] writes them.
    ///
    /// # Errors
    /// What is not a run; more owners than there are buckets.
    pub fn parse_owners(text: &str) -> Result<Vec<u16>, BucketMapError> {
        let mut owners = Vec::with_capacity(BUCKETS);
        for run in text.split_whitespace() {
            let parsed =
                run.split_once('*').and_then(|(owner, buckets)| Some((owner.parse().ok()?, buckets.parse().ok()?)));
            let (owner, buckets): (u16, usize) = parsed.ok_or_else(|| BucketMapError::Run(run.into()))?;
            // Looked at first: it may claim any length.
            let length = owners.len().saturating_add(buckets);
            if length > BUCKETS {
                return Err(BucketMapError::Length(length));
            }
            owners.extend(repeat_n(owner, buckets));
        }
        Ok(owners)
    }

    pub fn owner(&self, bucket: u16) -> ContentId {
        ContentId(i32::from(self.owners[bucket as usize]))
    }

    /// Owner of each bucket, by bucket: for kernels.
    pub fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// Whether the segment owns a bucket. One that does not has no rows that are placed by this map.
    pub fn owns_any(&self, content: ContentId) -> bool {
        self.owning.contains(content)
    }

    /// The segment's buckets, ascending.
    pub fn owned_by(&self, content: ContentId) -> Vec<u16> {
        (0..BUCKETS as u16).filter(|&bucket| self.owner(bucket) == content).collect()
    }

    /// The segments that own a bucket. Of a hashed table of this map they alone have rows; of others any segment may have some.
    pub fn owning_segments(&self) -> &SegmentSet {
        &self.owning
    }

    /// The next segment that owns a bucket, round and round.
    pub fn owner_after(&self, content: ContentId) -> ContentId {
        let owning = self.owning.as_slice();
        let next = owning.partition_point(|owner| *owner <= content);
        owning[next % owning.len()]
    }

    /// The first segment that owns a bucket.
    pub fn first_owner(&self) -> ContentId {
        self.owning.first().expect("every bucket has an owner")
    }

    /// Number of buckets of each segment, by content.
    pub fn bucket_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.segment_count()];
        self.runs.iter().for_each(|&(owner, buckets)| counts[usize::from(owner)] += usize::from(buckets));
        counts
    }

    pub fn segment_count(&self) -> usize {
        self.segments as usize
    }
}

fn runs_of(owners: &[u16]) -> Arc<[(u16, u16)]> {
    owners.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u16)).collect::<Vec<_>>().into()
}

/// A map as it is stored and sent.
#[derive(Serialize, Deserialize)]
struct Written {
    version: MapVersion,
    #[serde(flatten)]
    owners: WrittenOwners,
    segments: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenOwners {
    /// `(owner, buckets)`, by bucket.
    Runs(Vec<(u16, u16)>),
    /// One a bucket: catalogs and backups of before there were runs.
    Owners(Vec<u16>),
}

impl From<BucketMap> for Written {
    fn from(map: BucketMap) -> Self {
        Written { version: map.version, owners: WrittenOwners::Runs(map.runs.to_vec()), segments: map.segments }
    }
}

impl TryFrom<Written> for BucketMap {
    type Error = BucketMapError;

    fn try_from(written: Written) -> Result<Self, BucketMapError> {
        let segments = written.segments.into();
        match written.owners {
            WrittenOwners::Owners(owners) => BucketMap::from_owners(written.version, owners, segments),
            WrittenOwners::Runs(runs) => BucketMap::from_runs(written.version, &runs, segments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_written_as_runs_and_was_as_owners() {
        let map = BucketMap::uniform(MapVersion(3), 2);
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"version":3,"runs":[[0,8192],[1,8192]],"segments":2}"#);
        assert_eq!(serde_json::from_str::<BucketMap>(&text).unwrap(), map);
        let old = format!(r#"{{"version":3,"owners":{:?},"segments":2}}"#, map.owners());
        assert_eq!(serde_json::from_str::<BucketMap>(&old).unwrap(), map);
        // Cut anywhere, it is the same map.
        let cut = r#"{"version":3,"runs":[[0,1],[0,8191],[1,0],[0,0],[1,8000],[1,192]],"segments":2}"#;
        let cut = serde_json::from_str::<BucketMap>(cut).unwrap();
        assert_eq!(cut, map);
        assert_eq!((cut.owners_text(), cut.bucket_counts()), ("0*8192 1*8192".into(), vec![8192, 8192]));
    }

    #[test]
    fn owners_are_written_and_read_as_text() {
        let map = BucketMap::uniform(MapVersion(1), 3);
        assert_eq!(map.owners_text(), "0*5462 1*5461 2*5461");
        assert_eq!(BucketMap::parse_owners(&map.owners_text()).unwrap(), map.owners());
        assert_eq!(BucketMap::parse_owners(" 1*2\n 0*1").unwrap(), [1, 1, 0]);
        for text in ["0", "x*1", "0*-1", "70000*1", "0*1,1*2"] {
            assert!(matches!(BucketMap::parse_owners(text), Err(BucketMapError::Run(_))), "{text}");
        }
        for text in ["0*16385", "0*16384 1*1", "0*18446744073709551615 0*18446744073709551615"] {
            assert!(matches!(BucketMap::parse_owners(text), Err(BucketMapError::Length(_))), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_map_is_not_read_as_one() {
        for text in [
            r#"{"version":3,"runs":[[0,8192],[1,8191]],"segments":2}"#,
            r#"{"version":3,"runs":[[0,8192],[2,8192]],"segments":2}"#,
            r#"{"version":3,"runs":[[0,8192],[1,8192]],"segments":0}"#,
            r#"{"version":3,"owners":[0],"segments":2}"#,
            r#"{"version":3,"segments":2}"#,
        ] {
            assert!(serde_json::from_str::<BucketMap>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn uniform_is_balanced_within_one_bucket() {
        for n in [1, 2, 3, 4, 7, 1000] {
            let counts = BucketMap::uniform(MapVersion(1), n).bucket_counts();
            let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(high - low <= 1, "{n}: {low}..{high}");
            assert_eq!(counts.iter().sum::<usize>(), BUCKETS);
        }
    }

    #[test]
    fn a_map_is_made_of_its_owners() {
        let uniform = BucketMap::uniform(MapVersion(3), 5);
        let again = BucketMap::from_owners(MapVersion(3), uniform.owners().to_vec(), 5);
        assert_eq!(again.unwrap(), uniform);
    }

    #[test]
    fn who_owns_anything() {
        let mut owners = vec![1; BUCKETS];
        owners[3] = 2;
        let map = BucketMap::from_owners(MapVersion(1), owners, 4).unwrap();
        let owning: Vec<bool> = (-1..5).map(|content| map.owns_any(ContentId(content))).collect();
        assert_eq!(owning, [false, false, true, true, false, false]);
        assert_eq!(map.first_owner(), ContentId(1));
        assert_eq!([-1, 0, 1, 2, 3].map(|content| map.owner_after(ContentId(content)).0), [1, 1, 2, 1, 1]);
        assert_eq!(map.owning_segments().as_slice(), [ContentId(1), ContentId(2)]);
        assert_eq!((map.owned_by(ContentId(2)), map.owned_by(ContentId(3))), (vec![3], vec![]));
        let uniform = BucketMap::uniform(MapVersion(1), 3);
        assert_eq!(*uniform.owning_segments(), SegmentSet::first_of(3));
    }

    #[test]
    fn owners_that_are_no_map_are_refused() {
        let make = |owners: Vec<u16>, segments| BucketMap::from_owners(MapVersion(1), owners, segments).unwrap_err();
        assert_eq!(make(vec![0; BUCKETS], 0), BucketMapError::Segments(0));
        assert_eq!(make(vec![0; BUCKETS], BUCKETS + 1), BucketMapError::Segments(BUCKETS + 1));
        assert_eq!(make(vec![0; BUCKETS - 1], 1), BucketMapError::Length(BUCKETS - 1));
        let mut owners = vec![0; BUCKETS];
        owners[7] = 2;
        assert_eq!(make(owners, 2), BucketMapError::Owner { bucket: 7, owner: 2, segments: 2 });
    }
}
