//! The transaction blocks that are open.

use crate::session::Session;
use damson_cluster::SessionId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Sessions that have begun a block. One a master.
#[derive(Default)]
pub(crate) struct Blocks {
    sessions: Mutex<HashMap<SessionId, Weak<Session>>>,
    /// Held by every block that stays with an old snapshot, and here.
    snapshots: Arc<()>,
}

impl Blocks {
    /// From now on the session is one of [`Blocks::sessions`].
    pub(crate) fn watch(&self, session: &Session) {
        self.sessions.lock().insert(session.id, session.own());
    }

    /// While it is held, rows stay in their files: whoever changes them later finds them where the snapshot has them.
    pub(crate) fn keep_snapshot(&self) -> Arc<()> {
        Arc::clone(&self.snapshots)
    }

    pub(crate) fn is_snapshot_kept(&self) -> bool {
        Arc::strong_count(&self.snapshots) > 1
    }

    /// Those that have begun a block, and may have ended it.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        let mut watched = self.sessions.lock();
        watched.retain(|_, session| session.strong_count() > 0);
        watched.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_kept_while_somebody_holds_it() {
        let blocks = Arc::new(Blocks::default());
        let others = Arc::clone(&blocks);
        assert!(!others.is_snapshot_kept());
        let held = blocks.keep_snapshot();
        assert!(others.is_snapshot_kept());
        drop(held);
        assert!(!others.is_snapshot_kept());
    }
}
