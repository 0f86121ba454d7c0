//! Limits of the benchmark, with their reasons.

use std::time::Duration;

/// A node that does not serve after this has failed to start.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A cluster that takes longer to end than this is killed.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Loading at scale factor 100 takes less.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// Between two looks at a process.
pub const POLL: Duration = Duration::from_millis(20);
/// Flight messages that the client takes: the master's are smaller.
pub const MESSAGE_BYTES_MAX: usize = 256 << 20;
