//! Which snapshots are being read, so that no file of theirs is removed.

use damson_cluster::SnapshotId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Readers by snapshot. Shared by the catalog and every [`CatalogState`](super::CatalogState).
#[derive(Debug, Default)]
pub(super) struct Pins {
    readers: Mutex<BTreeMap<SnapshotId, usize>>,
}

impl Pins {
    /// Pins `snapshot` until the result is dropped.
    pub fn pin(self: &Arc<Self>, snapshot: SnapshotId) -> Pin {
        *self.readers.lock().entry(snapshot).or_default() += 1;
        Pin { pins: Arc::clone(self), snapshot }
    }

    /// The oldest snapshot that somebody holds.
    pub fn oldest(&self) -> Option<SnapshotId> {
        self.readers.lock().keys().next().copied()
    }
}

/// A hold on one snapshot.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Arc<Pins>,
    snapshot: SnapshotId,
}

impl std::ops::Drop for Pin {
    fn drop(&mut self) {
        let mut readers = self.pins.readers.lock();
        if let Some(count) = readers.get_mut(&self.snapshot) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.snapshot);
            }
        }
    }
}
