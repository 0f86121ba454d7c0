//! The engines that are compared, behind one interface.

mod child;
mod cluster;
mod processes;
mod reference;
pub mod worker;

pub use child::ChildEngine;
pub use cluster::EmbeddedDamson;
pub use processes::ProcessesEngine;
pub use reference::Reference;

use crate::options::Options;
use crate::process::ProcessError;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// A master and its segments in one process.
    Damson,
    /// A master and its segments, each a process, over Flight and this host's unix sockets.
    DamsonFlight,
    /// The same over TCP, in plain text.
    DamsonFlightTcp,
    /// The same over QUIC.
    DamsonQuic,
    /// Single-process DataFusion on Parquet files.
    Datafusion,
    /// DuckDB on its own file.
    Duckdb,
    /// DuckDB on Parquet files.
    DuckdbParquet,
}

impl EngineKind {
    /// Those that run without being asked for.
    pub const DEFAULT: [EngineKind; 5] = [
        EngineKind::Damson,
        EngineKind::DamsonFlight,
        EngineKind::Datafusion,
        EngineKind::Duckdb,
        EngineKind::DuckdbParquet,
    ];

    /// As it is called in tables and charts.
    pub fn title(self) -> &'static str {
        match self {
            EngineKind::Damson => "Damson",
            EngineKind::DamsonFlight => "Damson, Flight",
            EngineKind::DamsonFlightTcp => "Damson, Flight TCP",
            EngineKind::DamsonQuic => "Damson, QUIC",
            EngineKind::Datafusion => "DataFusion",
            EngineKind::Duckdb => "DuckDB",
            EngineKind::DuckdbParquet => "DuckDB, Parquet",
        }
    }

    pub fn is_damson(self) -> bool {
        self == EngineKind::Damson || self.interconnect().is_some()
    }

    /// Options of each node, where nodes are processes.
    pub fn interconnect(self) -> Option<&'static [&'static str]> {
        match self {
            EngineKind::DamsonFlight => Some(&[]),
            EngineKind::DamsonFlightTcp => Some(&["--interconnect-unix-sockets=off", "--interconnect-tls=off"]),
            EngineKind::DamsonQuic => Some(&["--interconnect-driver=quic"]),
            EngineKind::Damson | EngineKind::Datafusion | EngineKind::Duckdb | EngineKind::DuckdbParquet => None,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no engine is hidden");
        f.write_str(value.get_name())
    }
}

/// One run of one query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// From handing the text over to the last row's arrival.
    pub seconds: f64,
    pub rows: usize,
    /// Whether the rows are the answers; None where it was not compared.
    pub correct: Option<bool>,
    /// The first difference from the answers.
    pub difference: Option<String>,
}

/// What an engine says of itself when it is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    pub version: String,
    /// Seconds that the load of all tables took; None where the files are read as they are.
    pub load_seconds: Option<f64>,
}

#[derive(Debug, Error)]
pub enum EngineError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The engine goes on.
    #[error("{0}")]
    Query(String),
    /// The engine is of no further use.
    #[error("{0}")]
    Dead(String),
}

/// An engine that has its tables and answers queries, one at a time.
pub trait Engine {
    fn kind(&self) -> EngineKind;

    fn ready(&self) -> &Ready;

    /// Runs query `query`, 1 to 22.
    fn run(&mut self, query: usize) -> Result<Run, EngineError>;

    /// The most memory that the engine's processes held at once since their tables were loaded.
    fn peak_rss_bytes(&self) -> Option<u64>;
}

/// Starts `kind`; None where this machine does not have it.
pub fn start(kind: EngineKind, options: &Options) -> Result<Option<Box<dyn Engine>>, EngineError> {
    Ok(match kind {
        EngineKind::Damson | EngineKind::Datafusion => Some(Box::new(ChildEngine::start_worker(kind, options)?)),
        EngineKind::DamsonFlight | EngineKind::DamsonFlightTcp | EngineKind::DamsonQuic => {
            Some(Box::new(ProcessesEngine::start(kind, options)?))
        }
        EngineKind::Duckdb | EngineKind::DuckdbParquet => match &options.duckdb_python {
            Some(python) if !python.as_os_str().is_empty() => {
                Some(Box::new(ChildEngine::start_duckdb(kind, python, options)?))
            }
            _ => None,
        },
    })
}
