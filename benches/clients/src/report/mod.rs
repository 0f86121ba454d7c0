//! What was measured: tables, charts, and what is demanded.

mod charts;
mod demands;
mod tables;

use crate::fetch::{self, Outcome};
use crate::latency;
use crate::options::Options;
use damson_bench_report::Machine;
use damson_bench_report::machine::{commit, date};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Report {
    /// Empty where it was not asked for, as the next.
    pub fetches: Vec<fetch::Measured>,
    pub latency: Vec<latency::Measured>,
    rows: u64,
    rounds: usize,
    segments: usize,
    lookup_rows: u64,
    window: Duration,
    warm_up: Duration,
    machine: Machine,
    date: String,
    commit: Option<String>,
}

impl Report {
    pub fn new(options: &Options) -> Self {
        Report {
            fetches: vec![],
            latency: vec![],
            rows: options.rows(),
            rounds: options.rounds(),
            segments: options.segments,
            lookup_rows: options.lookup_rows(),
            window: options.window(),
            warm_up: options.warm_up(),
            machine: Machine::this(),
            date: date(),
            commit: commit(),
        }
    }

    /// The tables.
    pub fn text(&self) -> String {
        tables::text(self)
    }

    /// False when a measurement has failed; what is not available has not.
    pub fn is_whole(&self) -> bool {
        self.fetches.iter().all(|measured| !matches!(measured.outcome, Outcome::Failed(_)))
            && self.latency.iter().all(|measured| measured.latency.is_ok())
    }

    /// Writes `clients-<date>.md` with its charts beside it; where it is.
    ///
    /// # Errors
    /// A directory or file that cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(directory)?;
        let name = format!("clients-{}", &self.date[..10]);
        let mut charts = vec![];
        if !self.fetches.is_empty() {
            charts.push((format!("{name}-fetch.svg"), charts::fetches(self)));
        }
        for connections in self.connections() {
            charts.push((format!("{name}-latency-{connections}.svg"), charts::latency(self, connections)));
        }
        for (file, chart) in &charts {
            fs::write(directory.join(file), chart.svg())?;
        }
        let files: Vec<&str> = charts.iter().map(|(file, _)| file.as_str()).collect();
        let path = directory.join(format!("{name}.md"));
        fs::write(&path, tables::markdown(self, &files))?;
        Ok(path)
    }

    fn fetch(&self, way: fetch::Way) -> Option<&fetch::Run> {
        self.fetches.iter().find(|measured| measured.way == way)?.best()
    }

    /// Rows each second of the fastest way of some.
    fn best_rate(&self, is_one: impl Fn(fetch::Way) -> bool) -> Option<f64> {
        let rates = fetch::WAYS.into_iter().filter(|way| is_one(*way)).filter_map(|way| self.fetch(way));
        rates.map(|run| self.rate(run)).reduce(f64::max)
    }

    fn rate(&self, run: &fetch::Run) -> f64 {
        self.rows as f64 / run.fetched.seconds
    }

    /// Bytes of all rows as Arrow arrays, by which every way's rate is told: DuckDB's, else what crossed Flight SQL.
    fn row_bytes(&self) -> Option<u64> {
        let ways = [fetch::Way::DuckDb, fetch::Way::Flight, fetch::Way::FlightParallel];
        ways.into_iter().find_map(|way| self.fetch(way)?.fetched.arrow_bytes)
    }

    /// Numbers of connections, as they were measured.
    fn connections(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.latency.iter().map(|measured| measured.point.connections).collect();
        all.dedup();
        all
    }

    fn point(
        &self,
        statement: latency::Statement,
        way: latency::Way,
        connections: usize,
    ) -> Option<&latency::Measured> {
        let point = latency::Point { statement, way, connections };
        self.latency.iter().find(|measured| measured.point == point)
    }
}

#[cfg(test)]
mod tests;
