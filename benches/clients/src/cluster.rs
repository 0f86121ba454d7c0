//! The cluster that clients are connected to: a master and its segments, each a process of its own.

use crate::Failure;
use damson_tests::processes::{ProcessCluster, ShellRun, parse_csv};
use std::net::SocketAddr;

pub struct Cluster {
    cluster: ProcessCluster,
    master: u32,
}

/// Where clients reach the master.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub flight: SocketAddr,
    pub postgres: SocketAddr,
}

impl Cluster {
    /// # Panics
    /// When it does not start.
    pub fn start(segments: usize) -> Self {
        let mut cluster = ProcessCluster::start(segments);
        let master = cluster.master().pid();
        Cluster { cluster, master }
    }

    pub fn addresses(&self) -> Addresses {
        Addresses { flight: self.cluster.client_address(), postgres: self.cluster.postgres_address() }
    }

    /// The master's process.
    pub fn master(&self) -> u32 {
        self.master
    }

    pub fn execute(&self, sql: &str) -> Result<(), Failure> {
        succeeded(sql, self.cluster.shell().run("table", &["-c", sql])).map(drop)
    }

    /// A query's only row.
    pub fn row(&self, sql: &str) -> Result<Vec<String>, Failure> {
        let run = succeeded(sql, self.cluster.shell().run("csv", &["-c", sql]))?;
        match <[Vec<String>; 2]>::try_from(parse_csv(&run.stdout)) {
            Ok([_, row]) => Ok(row),
            Err(rows) => Err(format!("{sql} gave {rows:?}, not a header and a row").into()),
        }
    }

    /// Whether the server knows a setting.
    pub fn has_setting(&self, name: &str) -> Result<bool, Failure> {
        let sql = format!("SHOW {name}");
        let run = self.cluster.shell().run("csv", &["-c", &sql]);
        if !run.success && run.stderr.contains("unrecognized configuration parameter") {
            return Ok(false);
        }
        succeeded(&sql, run).map(|_| true)
    }
}

fn succeeded(sql: &str, run: ShellRun) -> Result<ShellRun, Failure> {
    if run.success { Ok(run) } else { Err(format!("{sql}: {}", run.stderr.trim()).into()) }
}
