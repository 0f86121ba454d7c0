//! What a master's sessions may do, unless they are told otherwise.

use std::time::Duration;

/// A master's settings for its clients' sessions: options of the server, which a session sees, and of which it can change its own times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// A session that has said nothing for so long ends; zero is never.
    pub idle_session_timeout: Duration,
    /// As that, while it has a transaction, which holds locks and files.
    pub idle_in_transaction_session_timeout: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            idle_session_timeout: Duration::ZERO,
            // Flight SQL does not tell when a client is gone.
            idle_in_transaction_session_timeout: Duration::from_secs(600),
        }
    }
}
