//! Limits of motions, with their reasons.

use std::time::Duration;

/// Rows that a sender gathers for one destination at most before it sends: DataFusion's batch size, so that the receiving
/// slice works on full batches whatever the number of destinations.
pub const SEND_BATCH_ROWS: usize = 8192;

/// Bytes that a sender gathers for one destination before it sends, where nothing else is said: a message's fixed costs
/// are spread well, and the pending batches of some tens of destinations stay near the processor's cache
/// (a sketch of the kernel's loops lost a quarter of its speed to 64 destinations between 64 KiB and 512 KiB).
pub const SEND_MESSAGE_BYTES: usize = 256 << 10;

/// Least such bytes: below, a message costs more than what is in it.
pub const SEND_MESSAGE_BYTES_MIN: usize = 1 << 10;

/// Most such bytes: more only delays the receiver.
pub const SEND_MESSAGE_BYTES_MAX: usize = 16 << 20;

/// From so many destinations on, a column is read once in sequence before it is split: each destination's rows are then
/// too far apart for the processor to see them coming. Fewer do not need it, and it costs them a fifth.
pub const PREFETCHED_DESTINATIONS_MIN: usize = 16;

/// Rows that are split over the destinations at once; what is ready is sent in between, so that a large input batch does
/// not wait twice in memory.
pub const SPLIT_ROWS_MAX: usize = 4 * SEND_BATCH_ROWS;

/// Time that rows wait in a sender for more of their destination once its input has no more at hand. What trickles is
/// not delayed longer.
pub const FLUSH_MS: u64 = 5;

/// Part of the time that such flushes take at most: one in so many. A flush to 1,000 destinations is 1,000 messages.
pub const FLUSH_SHARE: u32 = 8;

/// Time of a nested loop join's work on one piece of its probe side, after which it can be cancelled.
pub const PIECE_MS_MAX: u64 = 20;

/// Rows of such a piece at most: a batch.
pub const PIECE_ROWS_MAX: usize = 8192;

/// Text whose views are taken away at once: some messages of a motion. Views of one value can be many, and stand for gigabytes.
pub const PLAIN_TEXT_BYTES: u64 = 4 << 20;

const _: () = assert!(SEND_MESSAGE_BYTES_MIN <= SEND_MESSAGE_BYTES && SEND_MESSAGE_BYTES <= SEND_MESSAGE_BYTES_MAX);

/// A client who retrieves rows and has taken none for so long is waited for, which the master is told.
pub const CLIENT_SLOW: Duration = Duration::from_secs(1);

/// Batches of a slice that wait for the client who retrieves them.
pub const RETRIEVED_BATCHES_MAX: usize = 2;
