//! The command line.

use crate::limits::{
    CONNECTIONS, CONNECTIONS_MAX, CONNECTIONS_QUICK, LOOKUP_ROWS, LOOKUP_ROWS_QUICK, ROUNDS, ROWS, ROWS_QUICK, WARM_UP,
    WARM_UP_QUICK, WINDOW, WINDOW_QUICK,
};
use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Fetches of a large result.
    Throughput,
    /// Small statements, at several numbers of connections.
    Latency,
}

/// Measures what clients get: how fast they fetch a large result, and how long small statements take.
#[derive(Clone, Debug, Parser)]
#[command(name = "damson-bench-clients", version)]
pub struct Options {
    /// Less than a minute in all, without a report: whether everything runs.
    #[arg(long)]
    pub quick: bool,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rows that are fetched; 10,000,000 unless it is quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rows: Option<u64>,
    /// How often each client fetches them; the fastest counts.
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100))]
    rounds: Option<usize>,
    #[arg(long, default_value_t = 2, value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub segments: usize,
    /// How long statements are timed at each point; 5 unless it is quick.
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// At how many connections; 1,32,500 unless it is quick.
    #[arg(long, value_delimiter = ',', value_parser = RangedU64ValueParser::<usize>::new().range(1..=CONNECTIONS_MAX as u64))]
    connections: Vec<usize>,
    /// A Python that has the packages of benches/clients/requirements.txt: see scripts/python-env. Without it nothing is fetched.
    #[arg(long, env = "DAMSON_CLIENTS_PYTHON", default_value = "")]
    python: String,
    /// The jar of PostgreSQL's JDBC driver: see scripts/jdbc-driver. Without it that driver is left out.
    #[arg(long, env = "DAMSON_PG_JDBC_DRIVER", default_value = "")]
    jdbc_driver: String,
    /// The `damson` that is measured.
    #[arg(long, env = "DAMSON_BINARY")]
    pub binary: PathBuf,
    /// Where the report goes.
    #[arg(long, default_value = "docs/benchmarks")]
    pub report: PathBuf,
}

impl Options {
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    pub fn rows(&self) -> u64 {
        self.rows.unwrap_or(if self.quick { ROWS_QUICK } else { ROWS })
    }

    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { ROUNDS })
    }

    pub fn lookup_rows(&self) -> u64 {
        if self.quick { LOOKUP_ROWS_QUICK } else { LOOKUP_ROWS }
    }

    pub fn window(&self) -> Duration {
        match self.seconds {
            Some(seconds) => Duration::from_secs_f64(seconds),
            None if self.quick => WINDOW_QUICK,
            None => WINDOW,
        }
    }

    pub fn warm_up(&self) -> Duration {
        if self.quick { WARM_UP_QUICK } else { WARM_UP }
    }

    pub fn connections(&self) -> &[usize] {
        match &self.connections[..] {
            [] if self.quick => &CONNECTIONS_QUICK,
            [] => &CONNECTIONS,
            asked => asked,
        }
    }

    pub fn python(&self) -> Option<&Path> {
        given(&self.python)
    }

    pub fn jdbc_driver(&self) -> Option<&Path> {
        given(&self.jdbc_driver)
    }
}

/// The scripts that find programs print nothing where there is none.
fn given(path: &str) -> Option<&Path> {
    (!path.is_empty()).then(|| Path::new(path))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number above 0, at most 3600".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Options {
        let words = ["damson-bench-clients", "--binary", "damson"].iter().chain(arguments);
        Options::try_parse_from(words).expect("options")
    }

    #[test]
    fn what_is_asked_for_goes_before_what_is_quick() {
        let (whole, quick) = (parsed(&[]), parsed(&["--quick"]));
        assert_eq!((whole.rows(), whole.window(), whole.connections()), (ROWS, WINDOW, &CONNECTIONS[..]));
        assert_eq!(
            (quick.rows(), quick.window(), quick.connections()),
            (ROWS_QUICK, WINDOW_QUICK, &CONNECTIONS_QUICK[..])
        );
        let asked =
            parsed(&["--quick", "--rows", "7", "--seconds", "0.5", "--connections", "2,4", "--only", "latency"]);
        assert_eq!((asked.rows(), asked.window(), asked.connections()), (7, Duration::from_millis(500), &[2, 4][..]));
        assert!(asked.wants(Part::Latency) && !asked.wants(Part::Throughput) && whole.wants(Part::Throughput));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for arguments in [["--seconds", "0"], ["--rounds", "0"], ["--rows", "0"], ["--connections", "1,0"]] {
            let words = ["damson-bench-clients", "--binary", "damson"].iter().chain(&arguments);
            assert!(Options::try_parse_from(words).is_err(), "{arguments:?}");
        }
    }
}
