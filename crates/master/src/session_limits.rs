//! What a master's sessions may do, unless they are told otherwise.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Statements that work on segments at once, unless the server is told otherwise. Each may hold memory for its motions and operators on every node
/// and keeps all of a cluster's cores busy if it is large; small ones, of milliseconds, wait for each other without being noticed.
const ACTIVE_STATEMENTS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// A master's settings for its clients' sessions: options of the server, which a session sees, and of which it can change its own times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// A session that has said nothing for so long ends; zero is never.
    pub idle_session_timeout: Duration,
    /// As that, while it has a transaction, which holds locks and files.
    pub idle_in_transaction_session_timeout: Duration,
    /// Statements that work on segments at once, but for those of superusers; more wait. None: as many as come.
    pub active_statements_max: Option<NonZeroUsize>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            idle_session_timeout: Duration::ZERO,
            // Flight SQL does not tell when a client is gone.
            idle_in_transaction_session_timeout: Duration::from_secs(600),
            active_statements_max: Some(ACTIVE_STATEMENTS_MAX),
        }
    }
}
