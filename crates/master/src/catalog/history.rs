//! Which past snapshots can still be read.

use damson_cluster::SnapshotId;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is kept of the past: every snapshot since one, and those of restore points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// This snapshot and all after it can be read. Never goes back, whatever the clock and the retention do.
    pub from: SnapshotId,
    /// How long a snapshot can be read after another took its place.
    pub retention: Duration,
    /// By name.
    pub restore_points: BTreeMap<String, RestorePoint>,
}

/// A snapshot with a name, which can be read until the name is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestorePoint {
    pub snapshot: SnapshotId,
    /// Microseconds since 1970 UTC, of the store's clock.
    pub created_us: i64,
}

/// A place in the past, as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AsOf {
    Snapshot(SnapshotId),
    /// What was the newest snapshot then: microseconds since 1970 UTC.
    Time(i64),
    RestorePoint(String),
}

/// From which snapshot on something was there, and from which on no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub created: SnapshotId,
    pub dropped: SnapshotId,
}

impl History {
    /// Of a catalog whose newest snapshot is `from`, and that keeps nothing.
    #[cfg(test)]
    pub(super) fn starting_at(from: SnapshotId) -> Self {
        History { from, retention: Duration::ZERO, restore_points: BTreeMap::new() }
    }

    /// Whether the snapshot, which is not newer than the newest, can be read.
    pub fn keeps(&self, snapshot: SnapshotId) -> bool {
        snapshot >= self.from || self.restore_points.values().any(|point| point.snapshot == snapshot)
    }

    /// Whether a snapshot that can be read has what lived so.
    pub(super) fn needs(&self, lifetime: Lifetime) -> bool {
        let Lifetime { created, dropped } = lifetime;
        let has = |point: &RestorePoint| created <= point.snapshot && point.snapshot < dropped;
        dropped > self.from.max(created) || self.restore_points.values().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_kept_snapshot_has_is_not_needed() {
        let mut history = History::starting_at(SnapshotId(10));
        let lived = |created, dropped| Lifetime { created: SnapshotId(created), dropped: SnapshotId(dropped) };
        assert!(history.keeps(SnapshotId(10)) && history.keeps(SnapshotId(12)) && !history.keeps(SnapshotId(9)));
        assert!(history.needs(lived(3, 11)), "snapshot 10 has it");
        assert!(!history.needs(lived(3, 10)));
        assert!(!history.needs(lived(12, 12)), "made and dropped by one transaction");
        history.restore_points.insert("p".into(), RestorePoint { snapshot: SnapshotId(5), created_us: 0 });
        assert!(history.keeps(SnapshotId(5)) && !history.keeps(SnapshotId(6)));
        assert!(history.needs(lived(5, 6)) && history.needs(lived(3, 10)));
        assert!(!history.needs(lived(3, 5)) && !history.needs(lived(6, 10)) && !history.needs(lived(5, 5)));
    }
}
