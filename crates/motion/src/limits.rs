//! Limits of motions, with their reasons.

/// Rows that a sender gathers for one destination before it sends: DataFusion's batch size, so that the receiving
/// slice works on full batches whatever the number of destinations.
pub const SEND_BATCH_ROWS: usize = 8192;

/// A batch this full is passed on as it is: copying it would cost more than a slightly smaller batch does.
pub const SEND_BATCH_ROWS_FULL_ENOUGH: usize = SEND_BATCH_ROWS / 2;

/// Up to so many destinations each gets a mask over the whole batch: n masks cost less than the copy that they save.
pub const MASKED_DESTINATIONS_MAX: usize = 8;

/// Time of a nested loop join's work on one piece of its probe side, after which it can be cancelled.
pub const PIECE_MS_MAX: u64 = 20;

/// Rows of such a piece at most: a batch.
pub const PIECE_ROWS_MAX: usize = 8192;

const _: () = assert!(SEND_BATCH_ROWS_FULL_ENOUGH <= SEND_BATCH_ROWS);
