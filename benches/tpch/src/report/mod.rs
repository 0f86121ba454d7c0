//! What the benchmark found: as a table, as JSON, as a chart.

mod chart;
mod summary;
mod table;

pub use summary::Comparison;

use crate::engine::{EngineKind, Run};
use crate::options::Options;
use damson_bench_report::Machine;
use damson_bench_report::machine::{commit, date};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One query on one engine.
#[derive(Clone, Debug, Serialize)]
pub struct QueryResult {
    pub query: usize,
    /// Of every run that counts, in order.
    pub seconds: Vec<f64>,
    pub rows: Option<usize>,
    /// Whether every run gave the validation answers; None where they were not compared.
    pub correct: Option<bool>,
    /// Why it failed, or the first difference from the answers.
    pub error: Option<String>,
}

impl QueryResult {
    pub fn new(query: usize) -> Self {
        QueryResult { query, seconds: vec![], rows: None, correct: None, error: None }
    }

    /// Adds a run; one that warms up is only checked.
    pub fn add(&mut self, run: Run, counts: bool) {
        if counts {
            self.seconds.push(run.seconds);
        }
        self.rows = Some(run.rows);
        if let Some(correct) = run.correct {
            self.correct = Some(self.correct.unwrap_or(true) && correct);
        }
        self.error = self.error.take().or(run.difference);
    }

    /// Seconds of the fastest run; None when it failed.
    pub fn best(&self) -> Option<f64> {
        if self.error.is_some() {
            return None;
        }
        self.seconds.iter().copied().reduce(f64::min)
    }
}

/// All that one engine did.
#[derive(Clone, Debug, Serialize)]
pub struct EngineResult {
    pub engine: EngineKind,
    pub version: String,
    pub load_seconds: Option<f64>,
    /// Of all its processes together, since their tables were loaded.
    pub peak_rss_bytes: Option<u64>,
    pub queries: Vec<QueryResult>,
}

impl EngineResult {
    /// Seconds of the fastest runs of all queries; None when one failed.
    pub fn total(&self) -> Option<f64> {
        self.queries.iter().map(QueryResult::best).sum()
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub sf: f64,
    /// UTC.
    pub date: String,
    pub command: String,
    /// Of the checkout it was run in.
    pub commit: Option<String>,
    pub machine: Machine,
    /// Cores that each engine was given; Damson has a segment for each.
    pub cores: usize,
    pub memory_limit_bytes: Option<u64>,
    /// Runs that count, of which the best does.
    pub runs: u32,
    pub queries: Vec<usize>,
    pub engines: Vec<EngineResult>,
    pub comparisons: Vec<Comparison>,
}

impl Report {
    pub fn new(options: &Options, queries: Vec<usize>, engines: Vec<EngineResult>) -> Self {
        let comparisons = summary::comparisons(&queries, &engines);
        Report {
            sf: options.sf,
            date: date(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            commit: commit(),
            machine: Machine::this(),
            cores: options.cores(),
            memory_limit_bytes: options.memory,
            runs: options.runs,
            queries,
            engines,
            comparisons,
        }
    }

    /// False when Damson failed at a query, or gave another result than the answers.
    pub fn is_right(&self) -> bool {
        let damson = self.engines.iter().filter(|e| e.engine.is_damson());
        damson.flat_map(|e| &e.queries).all(|q| q.error.is_none())
    }

    pub fn table(&self) -> String {
        table::render(self)
    }

    /// Writes `tpch-sf<sf>-<date>.json` and `.svg` into `directory`.
    ///
    /// # Errors
    /// A directory or file that cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<(PathBuf, PathBuf)> {
        fs::create_dir_all(directory)?;
        let stem = format!("tpch-sf{}-{}", self.sf, self.date.replace([':', '-'], ""));
        let (json, svg) = (directory.join(format!("{stem}.json")), directory.join(format!("{stem}.svg")));
        fs::write(&json, serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(&svg, chart::svg(self))?;
        Ok((json, svg))
    }
}

#[cfg(test)]
mod tests;
