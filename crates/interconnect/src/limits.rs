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

/// Default connections to one peer for routes; another one carries control calls, which must not wait behind data.
pub(crate) const DATA_CONNECTIONS: usize = 2;
/// Default sockets of the QUIC driver: one UDP socket is read and decrypted by one task.
pub(crate) const QUIC_ENDPOINTS: usize = 2;

/// A buffer shorter than this is copied into its neighbours' chunk: an HTTP/2 frame of its own would cost more.
pub(crate) const CHUNK_BYTES_MIN: usize = 16 << 10;

/// Longest parts of a message that are taken from a peer. A batch of one row can be as large as a value: 1 GiB and more.
pub(crate) const HEADER_BYTES_MAX: u64 = 64 << 20;
pub(crate) const METADATA_BYTES_MAX: u64 = 1 << 20;
pub(crate) const BODY_BYTES_MAX: u64 = 3 << 30;
/// Longest answer on a route: credit, or an error with its text.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Memory that is taken on the word of a message's length; more is taken as more arrives.
pub(crate) const BODY_RESERVE_BYTES_MAX: usize = 4 << 20;

/// A message counts at least this much against its route's credit: about what it costs in a queue beside its buffers. Rows
/// without columns have no bytes, and a queue of them would have no bound.
pub(crate) const MESSAGE_COUNTED_BYTES_MIN: u64 = 256;
/// Largest batch with its dictionaries: what may pass a route's credit, alone. Two of the largest messages.
pub(crate) const BATCH_BYTES_MAX: u64 = 2 * (HEADER_BYTES_MAX + BODY_BYTES_MAX);
/// Largest credit that a sender uses, whatever the receiver grants: it holds so much in its own memory.
pub(crate) const CREDIT_BYTES_USED_MAX: u64 = 1 << 30;

/// After a connection that could not be accepted (no file descriptors left).
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Remembered queries that have ended here; later frames of theirs are refused.
pub(crate) const ENDED_QUERIES_MAX: usize = 4096;

/// A route that no receiver claims in this time is dropped.
pub(crate) const UNCLAIMED_ROUTE_LIFE: Duration = Duration::from_secs(60);
/// How often unclaimed routes are looked for.
pub(crate) const COLLECT_EVERY: Duration = Duration::from_secs(10);

/// String views are compacted before sending when their buffers are this many times what they use.
pub(crate) const VIEW_WASTE_FACTOR: usize = 2;

/// Defaults of the configuration: a peer is lost two seconds after its last word.
pub(crate) const HEARTBEAT_MS: u64 = 500;
pub(crate) const PEER_TIMEOUT_MS: u64 = 2000;

const _: () = assert!(ROUTE_CREDIT_BYTES >= 2 * MESSAGE_BYTES, "a sender must not wait for each message's answer");
const _: () = assert!(ROUTE_CREDIT_BYTES < STREAM_WINDOW_BYTES as usize, "a route's credit fits its stream's window");
const _: () = assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
const _: () = assert!(MESSAGE_BYTES <= BODY_RESERVE_BYTES_MAX, "an ordinary body is reserved at once");
const _: () = assert!(HEARTBEAT_MS * 2 <= PEER_TIMEOUT_MS, "one lost probe is no lost peer");
const _: () = assert!(CREDIT_BYTES_USED_MAX >= ROUTE_CREDIT_BYTES as u64, "the default credit is used");
