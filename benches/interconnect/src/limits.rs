//! Limits of the benchmark, with their reasons.

use std::time::Duration;

/// Rows of a batch: as DataFusion makes them.
pub const BATCH_ROWS: usize = 8192;
/// Columns of eight bytes: a batch is 512 KiB, about one message.
pub const COLUMNS: usize = 8;
/// Bytes of a row.
pub const ROW_BYTES: usize = COLUMNS * size_of::<i64>();
/// Bytes of a batch's body.
pub const BATCH_BYTES: usize = BATCH_ROWS * ROW_BYTES;
/// Different batches that a sender has: 8 MiB, more than a core's own cache holds, as with rows that a query made.
pub const BATCHES: usize = 16;

/// Before a window counts: connections are made, windows and memory grow.
pub const WARM_UP: Duration = Duration::from_millis(500);
/// The same in quick runs.
pub const WARM_UP_QUICK: Duration = Duration::from_millis(50);
/// The sender goes on for this long after its last window: the two processes do not begin at the same moment.
pub const LINGER: Duration = Duration::from_millis(200);
/// The same in quick runs.
pub const LINGER_QUICK: Duration = Duration::from_millis(50);
/// Windows of a quick run.
pub const WINDOW_QUICK: Duration = Duration::from_millis(100);

/// Contents a side of the redistribution.
pub const CONTENTS: usize = 4;
/// Receivers of the broadcast, and routes beside the slow receiver's and with it.
pub const RECEIVERS: usize = 64;
/// The slow receiver sleeps for one window and is awake for the next.
pub const SLEEP: Duration = Duration::from_secs(10);
/// Windows of it, awake first and last: each sleep has neighbours to be compared with, and there are enough sleeps for a
/// median. Windows of one kind differ by 10 % among themselves on a shared machine.
pub const SLEEP_WINDOWS: usize = 9;
/// Quick runs sleep less.
pub const SLEEP_QUICK: Duration = Duration::from_millis(100);

/// Sockets of a QUIC node where several are used.
pub const QUIC_ENDPOINTS: usize = 4;

/// HTTP/2 of arrow-flight's own DoPut: windows that no stream exhausts, and large frames.
pub const STREAM_WINDOW_BYTES: u32 = 16 << 20;
pub const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
pub const FRAME_BYTES: u32 = 1 << 20;

/// A process that has not answered this long after its last window has failed.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is demanded of the interconnect: parts of the plain TCP copy's rate.
pub const FLIGHT_SHARE_MIN: f64 = 0.7;
pub const QUIC_SHARE_MIN: f64 = 0.3;
/// Of the redistribution within a process, in GB/s for each second of CPU time.
pub const GB_PER_CORE_SECOND_MIN: f64 = 2.0;
/// What one slow receiver may change of the others' rate.
pub const SLOW_CHANGE_MAX: f64 = 0.05;
/// TPC-H's total over Flight, in parts of the total within a process.
pub const TPCH_RATIO_MAX: f64 = 1.25;
/// What a sender may hold: the credits of all its routes, which the receiver's memory for motions bounds.
pub const MOTION_MEMORY_BYTES_MAX: u64 = 256 << 20;
