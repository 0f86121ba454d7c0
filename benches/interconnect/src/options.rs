//! The command line.

use crate::limits::WINDOW_QUICK;
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// Measures the interconnect between two processes beside a plain copy of the same bytes.
#[derive(Clone, Debug, Parser)]
#[command(name = "damson-bench-interconnect", version)]
pub struct Options {
    /// A few seconds in all, without a report: whether everything runs.
    #[arg(long)]
    pub quick: bool,
    /// Measures only what begins with one of these, such as stream,redistribute/in-process.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Length of a measurement.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// How often each is measured, in turns; the best counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Where the report goes.
    #[arg(long, default_value = "docs/benchmarks")]
    pub out: PathBuf,
    /// Leaves TPC-H out, for which damson and damson-tpch must be beside this program.
    #[arg(long)]
    pub no_tpch: bool,
    /// Prints what can be measured.
    #[arg(long)]
    pub list: bool,
    /// One process's part, as JSON: how this program starts itself.
    #[arg(long, hide = true)]
    pub task: Option<String>,
}

impl Options {
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }

    /// Length of a measurement.
    pub fn window(&self) -> Duration {
        if self.quick { WINDOW_QUICK } else { Duration::from_secs_f64(self.seconds) }
    }

    /// How often each is measured.
    pub fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Whether this is all of it, and so worth a report.
    pub fn is_whole(&self) -> bool {
        self.only.is_empty() && !self.quick
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number above 0, at most 3600".to_string()),
    }
}
