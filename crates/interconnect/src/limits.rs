//! Every bound of the interconnect, with its reason.

use std::time::Duration;

/// A batch larger than this is sent in slices: a message of this size spreads its fixed costs well, and delays what
/// shares its connection little.
pub(crate) const MESSAGE_BYTES: usize = 1 << 20;

/// Default credit of a route: four messages, so that the sender works while the receiver does.
pub(crate) const ROUTE_CREDIT_BYTES: usize = 4 << 20;

/// Least credit of a route, however many a query has. One batch can always be under way, whatever the credit.
pub(crate) const ROUTE_CREDIT_BYTES_MIN: usize = 64 << 10;

/// Default bound on a query's received batches on one node.
pub(crate) const MOTION_MEMORY_BYTES_MAX: usize = 256 << 20;

/// HTTP/2 windows. A receiving node always reads on, into its routes' own queues, so that these only cover the network's
/// delay; they never hold back one route for another.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 16 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;
/// HTTP/2 frames: fewer of them cost less.
pub(crate) const FRAME_BYTES: u32 = 1 << 20;

/// Streams of one connection: routes are many, HTTP's default of 200 is few.
pub(crate) const STREAMS_MAX: u32 = 1 << 20;

/// Connections to one peer for routes; another one carries control calls, which must not wait behind data.
pub(crate) const DATA_CONNECTIONS: usize = 2;

/// Remembered queries that have ended here; later frames of theirs are refused.
pub(crate) const ENDED_QUERIES_MAX: usize = 4096;

/// A route that no receiver claims in this time is dropped.
pub(crate) const UNCLAIMED_ROUTE_LIFE: Duration = Duration::from_secs(60);
/// How often unclaimed routes are looked for.
pub(crate) const COLLECT_EVERY: Duration = Duration::from_secs(10);

/// String views are compacted before sending when their buffers are this many times what they use.
pub(crate) const VIEW_WASTE_FACTOR: usize = 2;

/// Defaults of the configuration.
pub(crate) const HEARTBEAT_MS: u64 = 500;
pub(crate) const PEER_TIMEOUT_MS: u64 = 2000;

const _: () = assert!(ROUTE_CREDIT_BYTES >= 2 * MESSAGE_BYTES, "a sender must not wait for each message's answer");
const _: () = assert!(ROUTE_CREDIT_BYTES < STREAM_WINDOW_BYTES as usize, "a route's credit fits its stream's window");
const _: () = assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
