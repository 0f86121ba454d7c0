//! What holds for the clients of both protocols.

use std::time::Duration;

/// Connections to a port that have not shown who they are yet; of more the oldest is closed without a word.
pub(crate) const OPENINGS_MAX: usize = 1_000;

/// A connection that has not shown who it is for so long is closed.
pub(crate) const OPENING: Duration = Duration::from_secs(60);

/// How often clients are looked for that say nothing: what is done comes so much later than it should.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A place whose statement waits for its client for so long is given to who waits for one: the client has gone to sleep, or does something else
/// first, which may need a place.
pub(crate) const UNUSED_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(LOOK_EVERY.as_millis() < UNUSED_MAX.as_millis());
