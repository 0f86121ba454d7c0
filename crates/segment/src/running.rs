//! The slices that run here now: `gp_running_slices`.

use damson_cluster::{ContentId, QueryId, SliceId};
use damson_motion::RunningSlice;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Slices in progress; an entry lives as long as its [`RunningGuard`].
#[derive(Default)]
pub(crate) struct Running {
    slices: Mutex<HashMap<(QueryId, SliceId), Instant>>,
}

impl Running {
    pub(crate) fn enter(self: &Arc<Self>, query: QueryId, slice: SliceId) -> RunningGuard {
        self.slices.lock().insert((query, slice), Instant::now());
        RunningGuard { running: Arc::clone(self), key: (query, slice) }
    }

    pub(crate) fn list(&self, content: ContentId) -> Vec<RunningSlice> {
        let slices = self.slices.lock();
        let row = |(&(query, slice), started): (&(QueryId, SliceId), &Instant)| RunningSlice {
            query,
            slice,
            content,
            elapsed_ms: started.elapsed().as_millis() as u64,
        };
        slices.iter().map(row).collect()
    }
}

/// Ends an entry of [`Running`] when the slice's task does, however it ends.
pub(crate) struct RunningGuard {
    running: Arc<Running>,
    key: (QueryId, SliceId),
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.slices.lock().remove(&self.key);
    }
}
