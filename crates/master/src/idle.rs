//! Ends the sessions whose clients have gone away, or sleep, when their settings say so.

use crate::blocks::Blocks;
use crate::sessions::Sessions;
use std::sync::Arc;
use std::time::Duration;

/// How often idle sessions are looked for: they end so much later than their settings say.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For as long as the master is there.
pub(crate) async fn end_idle_forever(sessions: Arc<Sessions>, blocks: Arc<Blocks>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Sessions of this process are no clients', and may have transactions all the same.
        for session in sessions.all().into_iter().chain(blocks.sessions()) {
            session.end_if_idle();
        }
    }
}
