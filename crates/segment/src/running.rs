//! The slices that run here now: `gp_running_slices` and `gp_stat_progress_copy`.

use damson_cluster::{ContentId, CopyCounts, QueryId, SliceId};
use damson_motion::RunningSlice;
use damson_storage::CopyProgress;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Slices in progress; an entry lives as long as its [`RunningGuard`].
#[derive(Default)]
pub(crate) struct Running {
    slices: Mutex<HashMap<(QueryId, SliceId), RunningState>>,
}

struct RunningState {
    started: Instant,
    /// Of a slice that reads or writes COPY's files, once it is known to.
    copy: Arc<OnceLock<Arc<CopyProgress>>>,
}

impl Running {
    pub(crate) fn enter(self: &Arc<Self>, query: QueryId, slice: SliceId) -> RunningGuard {
        let copy = Arc::<OnceLock<_>>::default();
        let state = RunningState { started: Instant::now(), copy: Arc::clone(&copy) };
        self.slices.lock().insert((query, slice), state);
        RunningGuard { running: Arc::clone(self), key: (query, slice), copy }
    }

    pub(crate) fn list(&self, content: ContentId) -> Vec<RunningSlice> {
        let slices = self.slices.lock();
        let row = |(&(query, slice), state): (&(QueryId, SliceId), &RunningState)| RunningSlice {
            query,
            slice,
            content,
            elapsed_ms: state.started.elapsed().as_millis() as u64,
            copied: state.copy.get().map(|progress| progress.counts()),
        };
        slices.iter().map(row).collect()
    }
}

/// Ends an entry of [`Running`] when the slice's task does, however it ends.
pub(crate) struct RunningGuard {
    running: Arc<Running>,
    key: (QueryId, SliceId),
    copy: Arc<OnceLock<Arc<CopyProgress>>>,
}

impl RunningGuard {
    /// Shows how far the slice's reader or writer of COPY's files is. A slice has one.
    pub(crate) fn show(&self, progress: &Arc<CopyProgress>) {
        self.copy.get_or_init(|| Arc::clone(progress));
    }

    /// What the slice has read or written of COPY's files.
    pub(crate) fn copied(&self) -> Option<CopyCounts> {
        self.copy.get().map(|progress| progress.counts())
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.slices.lock().remove(&self.key);
    }
}
