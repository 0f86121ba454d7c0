//! Bounds and defaults of a process.

use std::time::Duration;

/// Stacks of the threads that plan and execute: deep expressions recurse.
pub(crate) const CPU_STACK_BYTES: usize = 16 << 20;

/// Threads that serve sockets.
pub(crate) const IO_THREADS: usize = 2;

/// Part of the machine's memory that a process may use, unless told otherwise.
pub(crate) const MEMORY_PERCENT: u64 = 60;

/// Part of a process's memory that holds decoded columns of its tables; queries have the rest.
pub(crate) const COLUMN_CACHE_PERCENT: usize = 30;

/// What one query's motions may hold on a node, unless told otherwise: credits of four messages for some dozens of routes.
pub(crate) const MOTION_MEMORY_BYTES_MAX: usize = 256 << 20;
/// At most such a part of the memory, however little that is: joins and aggregates need the rest.
pub(crate) const MOTION_MEMORY_PART: usize = 8;

/// If the machine does not say how much memory it has.
pub(crate) const MEMORY_BYTES_FALLBACK: usize = 4 << 30;

/// A segment tells the master that it is there this often; the master misses it after five seconds.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Waits between tries to reach a master, doubling.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(100);
pub(crate) const RETRY_LAST: Duration = Duration::from_secs(2);

/// A server that clients cannot reach in so long is not there.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// A message of a server of the PostgreSQL protocol, to the shell: a row has 1 GiB at most.
pub(crate) const SQL_MESSAGE_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// A silent server of the PostgreSQL protocol is asked by the shell's system whether it is there, so often, until it has not answered several
/// times (nine on Linux): a statement may take as long as it does.
pub(crate) const SQL_KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
pub(crate) const SQL_KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// Statements that run when the process is told to stop have so long to end.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(5);

/// Rows of the expansion's record in one INSERT.
pub(crate) const EXPAND_INSERT_ROWS: usize = 500;
/// What `damson expand --plan` takes for the rate of moving tables: about a disk that reads and writes the same rows.
pub(crate) const EXPAND_PLAN_BYTES_PER_SECOND: u64 = 50_000_000;
/// An expansion tool that is gone is forgotten after so long; one that is there says so more often.
pub(crate) const EXPAND_LOCK_EXPIRES: Duration = Duration::from_secs(20);
pub(crate) const EXPAND_LOCK_BEAT: Duration = Duration::from_secs(5);
/// How long another tool waits for that.
pub(crate) const EXPAND_LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// A move that is cancelled has so long to say whether it was done.
pub(crate) const EXPAND_CANCEL: Duration = Duration::from_secs(30);

const _: () = assert!(EXPAND_LOCK_BEAT.as_millis() * 2 < EXPAND_LOCK_EXPIRES.as_millis());
const _: () = assert!(EXPAND_LOCK_EXPIRES.as_millis() < EXPAND_LOCK_PATIENCE.as_millis());
const _: () = assert!(COLUMN_CACHE_PERCENT < 100, "queries need memory");
const _: () = assert!(RETRY_FIRST.as_millis() <= RETRY_LAST.as_millis());
