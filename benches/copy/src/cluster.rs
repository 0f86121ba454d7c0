//! The cluster that loads: a master and its segments, each a process of its own.

use crate::Failure;
use damson::tpch::Table;
use damson_bench_report::machine::{peak_rss_bytes, reset_peak_rss};
use damson_tests::processes::{ProcessCluster, Setup};
use std::time::{Duration, Instant};

pub struct Cluster {
    cluster: ProcessCluster,
    segments: usize,
}

/// What a COPY has taken.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub time: Duration,
    pub rows: u64,
    /// The sum of all order keys.
    pub keys: String,
    /// Of all processes together.
    pub peak_bytes: u64,
}

/// lineitem, distributed by its order's key, without the key that DuckDB's table has not either.
fn definition() -> Result<String, Failure> {
    const KEY: &str = ", PRIMARY KEY (l_orderkey, l_linenumber)";
    let whole = Table::Lineitem.definition();
    match whole.split_once(KEY) {
        Some((before, after)) => Ok(format!("{before}{after}")),
        None => Err(format!("no key in {whole}").into()),
    }
}

impl Cluster {
    /// # Panics
    /// When it does not start.
    pub fn start(segments: usize, segment_environment: Vec<(String, String)>) -> Self {
        let setup = Setup { segments, segment_environment, ..Setup::default() };
        Cluster { cluster: ProcessCluster::start_with(setup), segments }
    }

    /// Loads all files of a place into a new table, and drops it.
    pub fn load(&mut self, place: &str) -> Result<Loaded, Failure> {
        self.execute(&definition()?)?;
        let pids = self.pids();
        if !pids.iter().all(|&pid| reset_peak_rss(pid)) {
            return Err("the kernel does not forget a peak".into());
        }
        let begun = Instant::now();
        self.execute(&format!("COPY lineitem FROM '{}'", place.replace('\'', "''")))?;
        let time = begun.elapsed();
        let peaks: Option<Vec<u64>> = pids.into_iter().map(peak_rss_bytes).collect();
        let peak_bytes = peaks.ok_or("a process is gone")?.into_iter().sum();
        let found = self.cluster.shell().rows("SELECT count(*), sum(l_orderkey) FROM lineitem");
        let [row] = &found[..] else { return Err(format!("not one row: {found:?}").into()) };
        let loaded = Loaded { time, rows: row[0].parse()?, keys: row[1].clone(), peak_bytes };
        self.execute("DROP TABLE lineitem")?;
        Ok(loaded)
    }

    fn execute(&self, sql: &str) -> Result<(), Failure> {
        let run = self.cluster.shell().run("table", &["-c", sql]);
        if run.success { Ok(()) } else { Err(format!("{sql}: {}", run.stderr.trim()).into()) }
    }

    fn pids(&mut self) -> Vec<u32> {
        let mut pids = vec![self.cluster.master().pid()];
        pids.extend((0..self.segments).map(|content| self.cluster.segment(content).pid()));
        pids
    }
}
