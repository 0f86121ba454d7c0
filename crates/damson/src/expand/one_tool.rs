//! One tool at a time: a lock of a table of the record, in a transaction that stays open and is forgotten by the server soon after
//! the tool is gone.

use super::failure::ExpandFailure;
use super::progress::Display;
use super::record::TOOL_TABLE;
use super::session::Session;
use crate::limits::{EXPAND_LOCK_BEAT, EXPAND_LOCK_EXPIRES, EXPAND_LOCK_PATIENCE};
use crate::shell::{Failure, Server};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// Of SQL: somebody else has the lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The right to work on the expansion, until it is released or the process ends.
pub(super) struct OnlyTool {
    session: Session,
    beat: AbortOnDropHandle<()>,
}

impl OnlyTool {
    /// Waits for a tool that may have been killed a moment ago.
    ///
    /// # Errors
    /// Another tool is at work; the server's.
    pub(super) async fn take(server: &Server, display: &Display) -> Result<Self, ExpandFailure> {
        let mut session = Session::open(server).await?;
        let expires_ms = EXPAND_LOCK_EXPIRES.as_millis();
        session.execute(&format!("SET idle_in_transaction_session_timeout = {expires_ms}")).await?;
        let began = Instant::now();
        loop {
            match session.transaction_begun(&format!("LOCK TABLE {TOOL_TABLE} IN EXCLUSIVE MODE NOWAIT")).await {
                Ok(()) => break,
                Err(failure) if is_locked(&failure) && began.elapsed() < EXPAND_LOCK_PATIENCE => {
                    display.waiting("another expansion tool is at work, or was killed a moment ago");
                    tokio::time::sleep(TRY_EVERY).await;
                }
                Err(failure) if is_locked(&failure) => return Err(ExpandFailure::AtWork),
                Err(failure) => return Err(failure.into()),
            }
        }
        display.waited();
        let mut beating = session.clone();
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EXPAND_LOCK_BEAT).await;
                // Whoever works on notices by itself that the server is away.
                if let Err(error) = beating.query("SELECT 1").await {
                    tracing::warn!(%error, "the lock of the expansion may be lost");
                }
            }
        });
        Ok(OnlyTool { session, beat: AbortOnDropHandle::new(beat) })
    }

    /// # Errors
    /// The server's.
    pub(super) async fn release(self) -> Result<(), Failure> {
        let OnlyTool { mut session, beat } = self;
        drop(beat);
        let released = session.execute("ROLLBACK").await;
        session.close().await;
        released.map(|_| ())
    }
}

fn is_locked(failure: &Failure) -> bool {
    matches!(failure, Failure::Server(error) if error.sqlstate.as_deref() == Some(LOCK_NOT_AVAILABLE))
}
