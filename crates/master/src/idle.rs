//! Clients that have gone away, or sleep: their sessions end when their settings say so, and their statements' places are others'.

use crate::admission::Admission;
use crate::blocks::Blocks;
use crate::limits::LOOK_EVERY;
use crate::sessions::Sessions;
use std::sync::Arc;
use std::time::Instant;

/// For as long as the master is there.
pub(crate) async fn watch_clients_forever(sessions: Arc<Sessions>, blocks: Arc<Blocks>, admission: Arc<Admission>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Sessions of this process are no clients', and may have transactions all the same.
        for session in sessions.all().into_iter().chain(blocks.sessions()) {
            session.end_if_idle();
        }
        admission.tick(Instant::now());
    }
}
