//! Every bound of the interconnect, with its reason.

use std::time::Duration;

/// A batch larger than this is sent in slices: a message of this size spreads its fixed costs well, and delays what
/// shares its connection little.
pub(crate) const MESSAGE_BYTES: usize = 1 << 20;

/// Default credit of a route: four messages, so that the sender works while the receiver does.
pub(crate) const ROUTE_CREDIT_BYTES: usize = 4 << 20;

/// Below this a message's fixed costs (a few hundred bytes of head, two system calls' share) begin to show: credit is given up
/// for larger messages.
pub(crate) const MESSAGE_BYTES_SHORT: usize = 16 << 10;
/// Messages do not get smaller, however many routes a query has: the head of a batch of ten columns is as large as this, so
/// that smaller ones would save no memory.
pub(crate) const MESSAGE_BYTES_MIN: usize = 1 << 10;

/// Default bound on what a query's motions hold on one node.
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

/// QUIC's datagrams over loopback, whose MTU of 65,536 bytes also carries the heads of IPv6 and UDP.
pub(crate) const DATAGRAM_BYTES_LOOPBACK: u16 = 65_000;
/// QUIC's datagrams over a network, if it has jumbo frames (9,000 bytes): what a path carries is found out.
pub(crate) const DATAGRAM_BYTES_NETWORK: u16 = 8_900;
/// Longest datagram that a socket takes from a peer: what UDP carries over IPv6.
pub(crate) const UDP_DATAGRAM_BYTES_MAX: u16 = 65_527;
/// Most bytes of datagrams that the kernel takes in one call: what UDP carries over IPv4.
pub(crate) const UDP_PAYLOAD_BYTES_MAX: usize = 65_507;
/// Buffers of a UDP socket: what comes while its task is busy elsewhere must fit, or is lost and sent again.
pub(crate) const UDP_SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// What a QUIC connection over loopback has under way: some 16 datagrams keep both ends busy, and several peers' fit into
/// the receiver's socket.
pub(crate) const LOOPBACK_WINDOW_BYTES: u64 = 1 << 20;
/// What QUIC holds of all of a connection's streams until the peer has it.
pub(crate) const QUIC_SEND_WINDOW_BYTES: u64 = 64 << 20;
/// QUIC's guess of a round trip before the first: within a data centre. A lost first datagram is sent again after three.
pub(crate) const QUIC_INITIAL_RTT: Duration = Duration::from_millis(10);
/// Streams that a QUIC connection begins with; there is memory for each, so more are allowed as more are open.
pub(crate) const QUIC_STREAMS: u32 = 4096;
/// How long a stopping node waits until its peers have been told.
pub(crate) const QUIC_CLOSE_TIME: Duration = Duration::from_millis(500);
/// Chunks that are moved to or from a QUIC stream at once: each time takes the connection's lock.
pub(crate) const STREAM_CHUNKS: usize = 32;
/// Longest opening of a route: a build's name, numbers.
pub(crate) const OPENING_BYTES_MAX: usize = 64 << 10;

/// A buffer shorter than this is copied into its neighbours' chunk: an HTTP/2 frame of its own would cost more.
pub(crate) const CHUNK_BYTES_MIN: usize = 16 << 10;

/// Longest parts of a message that are taken from a peer. A batch of one row can be as large as a value: 1 GiB and more.
pub(crate) const HEADER_BYTES_MAX: u64 = 64 << 20;
pub(crate) const METADATA_BYTES_MAX: u64 = 1 << 20;
pub(crate) const BODY_BYTES_MAX: u64 = 3 << 30;
/// Longest message: its receiver takes no longer body, and a route's stream gives its length in 32 bits.
pub(crate) const FRAME_BYTES_MAX: u64 = BODY_BYTES_MAX;
const _: () = assert!(FRAME_BYTES_MAX + HEADER_BYTES_MAX + METADATA_BYTES_MAX < u32::MAX as u64);
/// Most rows of a batch or a column in it: those of columns without values (NULLs, or none) are bounded by nothing else.
pub(crate) const ROWS_MAX: i64 = i32::MAX as i64;
/// No codec makes more of a byte: a block of ZSTD takes 4 bytes at least and gives 128 KiB at most, LZ4 gives 255.
pub(crate) const COMPRESSION_RATIO_MAX: u64 = (128 << 10) / 4;
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

/// Handshakes under way at once; where there are more, the oldest gives way after [`HANDSHAKE_TIME`].
pub(crate) const HANDSHAKES_MAX: usize = 64;
/// What a handshake may take while others wait for its place: a few round trips, and the work of many at once.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_millis(500);
/// Unknown groups within groups that a protobuf decoder may skip by recursion: a tenth of a thread's stack of 2 MiB.
pub(crate) const GROUP_LEVELS_MAX: u32 = 1_000;

/// How often, and how many times, a unix socket that nobody listens behind is tried again: together longer than a node takes
/// from its TCP listener to its unix socket.
pub(crate) const UNIX_SOCKET_RETRY: Duration = Duration::from_millis(20);
pub(crate) const UNIX_SOCKET_RETRIES: usize = 10;

/// After a connection that could not be accepted (no file descriptors left).
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Remembered queries that have ended here; later frames of theirs are refused.
pub(crate) const ENDED_QUERIES_MAX: usize = 4096;

/// Ended queries whose routes' counters a node keeps to show them.
pub(crate) const COUNTED_QUERIES_MAX: usize = 64;
/// Routes that are shown one by one, of one query; of a query with more, sums by motion.
pub(crate) const COUNTED_LINES_PER_QUERY_MAX: usize = 4096;
/// Lines of all ended queries together: about 2 MB.
pub(crate) const COUNTED_LINES_MAX: usize = 16_384;

/// A route that no receiver claims in this time is dropped.
pub(crate) const UNCLAIMED_ROUTE_LIFE: Duration = Duration::from_secs(60);
/// How often unclaimed routes are looked for.
pub(crate) const COLLECT_EVERY: Duration = Duration::from_secs(10);

/// String views are compacted before sending when their buffers are this many times what they use.
pub(crate) const VIEW_WASTE_FACTOR: usize = 2;

/// Defaults of the configuration: a peer is lost four seconds after its last word. One that dies on a host that lives is noticed at once; this is for those
/// that hang, and for networks that are cut, and a process of a machine that is short of memory or has fourteen others to run was seen to be silent for two.
pub(crate) const HEARTBEAT_MS: u64 = 500;
pub(crate) const PEER_TIMEOUT_MS: u64 = 4000;

const _: () = assert!(ROUTE_CREDIT_BYTES >= 2 * MESSAGE_BYTES, "a sender must not wait for each message's answer");
const _: () = assert!(ROUTE_CREDIT_BYTES < STREAM_WINDOW_BYTES as usize, "a route's credit fits its stream's window");
const _: () = assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
const _: () = assert!(MESSAGE_BYTES_MIN <= MESSAGE_BYTES_SHORT && MESSAGE_BYTES_SHORT <= MESSAGE_BYTES);
const _: () = assert!(MESSAGE_BYTES <= BODY_RESERVE_BYTES_MAX, "an ordinary body is reserved at once");
const _: () = assert!(UDP_PAYLOAD_BYTES_MAX >= DATAGRAM_BYTES_LOOPBACK as usize, "the kernel takes a datagram");
const _: () = assert!(ROUTE_CREDIT_BYTES < QUIC_SEND_WINDOW_BYTES as usize, "a route's credit fits the send window");
const _: () = assert!(COUNTED_LINES_PER_QUERY_MAX <= COUNTED_LINES_MAX);
const _: () = assert!(HEARTBEAT_MS * 2 <= PEER_TIMEOUT_MS, "one lost probe is no lost peer");
const _: () = assert!(CREDIT_BYTES_USED_MAX >= ROUTE_CREDIT_BYTES as u64, "the default credit is used");
