//! Ends transaction blocks whose client has gone away, or sleeps: they hold locks and files.

use crate::session::Session;
use damson_cluster::SessionId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often idle blocks are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sessions that have begun a block. One a master.
#[derive(Default)]
pub(crate) struct Blocks {
    sessions: Mutex<HashMap<SessionId, Weak<Session>>>,
    /// Held by every block that stays with an old snapshot, and here.
    snapshots: Arc<()>,
}

impl Blocks {
    /// From now on the session's block is ended when it is idle for too long.
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

    /// For as long as somebody else holds the master.
    pub(crate) async fn end_idle_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let sessions: Vec<Arc<Session>> = {
                let mut watched = self.sessions.lock();
                watched.retain(|_, session| session.strong_count() > 0);
                watched.values().filter_map(Weak::upgrade).collect()
            };
            sessions.iter().for_each(|session| session.end_idle_block());
        }
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
