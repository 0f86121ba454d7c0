//! The end of a session: by an administrator, by the server's end, or because its client has said nothing for too long.

use super::Session;
use crate::error::{SqlError, SqlResult, SqlState};
use futures::FutureExt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Command,
    Idle,
    IdleInTransaction,
}

impl Ending {
    /// In PostgreSQL's words.
    fn error(self) -> SqlError {
        let (state, why) = match self {
            Ending::Command => (SqlState::ADMIN_SHUTDOWN, "administrator command"),
            Ending::Idle => (SqlState::IDLE_SESSION_TIMEOUT, "idle-session timeout"),
            Ending::IdleInTransaction => (SqlState::IDLE_IN_TRANSACTION_TIMEOUT, "idle-in-transaction timeout"),
        };
        SqlError::new(state, format!("terminating connection due to {why}"))
    }
}

impl Session {
    /// Ends the session: what it runs is cancelled, its transaction rolled back, and nothing more is run.
    pub(crate) fn terminate(self: &Arc<Self>) {
        self.is_ended_by(Ending::Command);
        self.leave();
    }

    /// Ends the session if its client has said nothing for longer than its settings allow. A session that is nobody's client's, as the
    /// master's own, ends for its transaction alone.
    pub(crate) fn end_if_idle(self: &Arc<Self>) {
        // Whoever holds it is not idle.
        let Ok(slot) = self.block.try_lock() else { return };
        let in_transaction = slot.is_some();
        if !in_transaction && self.place.is_none() {
            return;
        }
        let Some(timeout) = self.settings.lock().idle_timeout(in_transaction) else { return };
        let why = if in_transaction { Ending::IdleInTransaction } else { Ending::Idle };
        // A statement that begins now sees that the session has ended.
        let has_ended = self.activity.if_idle_for(timeout, || self.is_ended_by(why));
        drop(slot);
        if has_ended {
            tracing::info!(session_id = self.id.0, in_transaction, "the session was ended: it was idle for too long");
            self.leave();
        }
    }

    /// The first reason is told. What begins from now on is refused.
    fn is_ended_by(&self, why: Ending) {
        self.ending.get_or_init(|| why);
        self.ended.cancel();
    }

    /// Gives back what an ended session has.
    fn leave(self: &Arc<Self>) {
        self.cancel();
        // Its client may not be heard of again.
        self.master.sessions.leave(self.id);
        let session = Arc::clone(self);
        // What runs there has the block until it has been cancelled.
        let end = async move { drop(session.block.lock().await.take()) };
        self.master.in_background(end.boxed());
    }

    /// Whether the session was ended, though its client has not gone.
    pub fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until the session is ended; what its client is told then.
    pub(crate) async fn until_ended(&self) -> SqlError {
        self.ended.cancelled().await;
        self.why_ended()
    }

    /// What a client is told that finds its session ended.
    pub(crate) fn ended(&self) -> Option<SqlError> {
        self.is_ended().then(|| self.why_ended())
    }

    /// The same, of a session that others end for its silence.
    pub(crate) fn too_quiet() -> SqlError {
        Ending::Idle.error()
    }

    /// Ends with the session, and when what the session runs now is cancelled.
    pub(crate) fn cancellation(&self) -> CancellationToken {
        let cancel = self.cancel.lock().child_token();
        if self.is_ended() {
            cancel.cancel();
        }
        cancel
    }

    /// # Errors
    /// 57P01, 57P05 or 25P03 once it was ended.
    pub(super) fn check_ended(&self) -> SqlResult<()> {
        if self.is_ended() { Err(self.why_ended()) } else { Ok(()) }
    }

    fn why_ended(&self) -> SqlError {
        self.ending.get().copied().unwrap_or(Ending::Command).error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_in_postgresqls_words() {
        for (ending, state, message) in [
            (Ending::Command, "57P01", "terminating connection due to administrator command"),
            (Ending::Idle, "57P05", "terminating connection due to idle-session timeout"),
            (Ending::IdleInTransaction, "25P03", "terminating connection due to idle-in-transaction timeout"),
        ] {
            let error = ending.error();
            assert_eq!((error.state.0, error.message.as_str()), (state, message));
        }
    }
}
