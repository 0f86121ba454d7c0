//! Sizes of what is measured, what is demanded, and how long something may take.

use std::time::Duration;

/// Rows of the table that is fetched.
pub const ROWS: u64 = 10_000_000;
pub const ROWS_QUICK: u64 = 200_000;

/// How often each client fetches it; the fastest counts.
pub const ROUNDS: usize = 2;

/// Rows that clients of the PostgreSQL protocol ask for at once.
pub const FETCH_ROWS: usize = 10_000;

/// Rows of the table that is looked up in, and of the one that is aggregated.
pub const LOOKUP_ROWS: u64 = 1_000_000;
pub const LOOKUP_ROWS_QUICK: u64 = 100_000;
pub const SMALL_ROWS: u64 = 10_000;
/// Rows of the aggregate's result.
pub const GROUPS: u64 = 10;

/// At how many connections statements are timed.
pub const CONNECTIONS: [usize; 3] = [1, 32, 500];
pub const CONNECTIONS_QUICK: [usize; 3] = [1, 32, 100];
pub const CONNECTIONS_MAX: usize = 5_000;

/// How long statements are timed at each point, and how long they run before.
pub const WINDOW: Duration = Duration::from_secs(5);
pub const WINDOW_QUICK: Duration = Duration::from_millis(300);
pub const WARM_UP: Duration = Duration::from_secs(1);
pub const WARM_UP_QUICK: Duration = Duration::from_millis(100);

/// Connections that are opened, or closed, at once.
pub const CONNECTING_MAX: usize = 16;

/// Beyond the window, for connections and for statements that began in it: whoever takes longer hangs.
pub const POINT_TIMEOUT: Duration = Duration::from_secs(120);

/// Of a program that fetches: psycopg takes minutes for the rows.
pub const PROGRAM_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Demanded: the rate of Flight SQL, as a multiple of the PostgreSQL protocol's.
pub const FLIGHT_RATIO_MIN: f64 = 5.0;

/// Demanded: the median of a lookup at one connection.
pub const LOOKUP_P50_MAX: Duration = Duration::from_millis(3);
