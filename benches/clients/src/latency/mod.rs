//! How long small statements take, over both protocols, at several numbers of connections.

mod answer;
mod client;
mod flight;
mod load;
mod postgres;
mod samples;
mod statement;
mod way;

pub use samples::Latency;
pub use statement::{STATEMENTS, Statement};
pub use way::{WAYS, Way};

use crate::Failure;
use crate::cluster::Cluster;
use crate::limits::{GROUPS, POINT_TIMEOUT, SMALL_ROWS};
use crate::options::Options;
use damson_bench_report::machine::{peak_rss_bytes, reset_peak_rss};
use load::Load;
use statement::{LOOKED_UP, LOOKED_UP_SORTED, SMALL};
use std::fmt;
use tokio::time::timeout;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub statement: Statement,
    pub way: Way,
    pub connections: usize,
}

/// What was found there.
#[derive(Clone, Debug)]
pub struct Measured {
    pub point: Point,
    pub latency: Result<Latency, String>,
    /// The most memory that the master held; None where the system does not tell.
    pub master_peak_bytes: Option<u64>,
}

/// Measures every point, one after the other.
///
/// # Errors
/// Tables that cannot be made. A point that fails is one of what was [`Measured`].
pub async fn run(options: &Options, cluster: &Cluster) -> Result<Vec<Measured>, Failure> {
    make_tables(options, cluster)?;
    let mut all = vec![];
    for &connections in options.connections() {
        for statement in STATEMENTS {
            for way in WAYS {
                let point = Point { statement, way, connections };
                let measured = measure(point, options, cluster).await;
                eprintln!("{}, {}, {connections} connections: {measured}", statement.title(), way.title());
                all.push(measured);
            }
        }
    }
    for table in [LOOKED_UP, LOOKED_UP_SORTED, SMALL] {
        cluster.execute(&format!("DROP TABLE {table}"))?;
    }
    Ok(all)
}

async fn measure(point: Point, options: &Options, cluster: &Cluster) -> Measured {
    let has_peak = reset_peak_rss(cluster.master());
    let load = Load { point, rows: options.lookup_rows(), warm_up: options.warm_up(), window: options.window() };
    let limit = load.warm_up + load.window + POINT_TIMEOUT;
    let latency = timeout(limit, load.run(cluster.addresses())).await;
    let latency = latency.unwrap_or_else(|_| Err(format!("still running after {} s", limit.as_secs())));
    let master_peak_bytes = has_peak.then(|| peak_rss_bytes(cluster.master())).flatten();
    Measured { point, latency, master_peak_bytes }
}

fn make_tables(options: &Options, cluster: &Cluster) -> Result<(), Failure> {
    let rows = options.lookup_rows();
    for (table, sorted) in [(LOOKED_UP, ""), (LOOKED_UP_SORTED, "WITH (sort_key = 'k') ")] {
        cluster.execute(&format!(
            "CREATE TABLE {table} (k bigint NOT NULL, name text, amount int, maybe int) {sorted}DISTRIBUTED BY (k)"
        ))?;
        cluster.execute(&format!(
            "INSERT INTO {table} SELECT x, 'name ' || x, x % 1000, CASE WHEN x % 3 > 0 THEN x % 100 END \
             FROM generate_series(0, {}) AS s(x)",
            rows - 1
        ))?;
        check_rows(table, rows, cluster)?;
    }
    cluster.execute(&format!("CREATE TABLE {SMALL} (k bigint NOT NULL, g int, amount int) DISTRIBUTED BY (k)"))?;
    cluster.execute(&format!(
        "INSERT INTO {SMALL} SELECT x, x % {GROUPS}, x % 1000 FROM generate_series(0, {}) AS s(x)",
        SMALL_ROWS - 1
    ))?;
    check_rows(SMALL, SMALL_ROWS, cluster)
}

fn check_rows(table: &str, rows: u64, cluster: &Cluster) -> Result<(), Failure> {
    let found = cluster.row(&format!("SELECT count(*) FROM {table}"))?;
    if found == [rows.to_string()] { Ok(()) } else { Err(format!("{table} has {found:?} rows, not {rows}").into()) }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.latency {
            Ok(Latency { per_second, p50, p99, .. }) => write!(f, "{per_second:.0}/s, p50 {p50:.2?}, p99 {p99:.2?}"),
            Err(why) => write!(f, "failed: {why}"),
        }
    }
}
