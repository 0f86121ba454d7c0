//! The programs that make the rows and fetch them, each fetch a process of its own.

use super::Way;
use crate::Failure;
use crate::cluster::Cluster;
use crate::limits::{FETCH_ROWS, PROGRAM_TIMEOUT};
use crate::options::Options;
use damson_bench_report::machine::cores;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

const SQL: &str = "SELECT * FROM fetched";

pub struct Programs {
    python: PathBuf,
    jdbc_driver: Option<PathBuf>,
    /// Of the rows.
    directory: TempDir,
}

/// What a program says that it has fetched.
#[derive(Clone, Debug, Deserialize)]
pub struct Fetched {
    /// The client's.
    pub version: String,
    pub seconds: f64,
    pub rows: u64,
    /// The sum of all keys.
    pub keys: u64,
    /// Of the rows as Arrow arrays, where the client has them as such.
    pub arrow_bytes: Option<u64>,
    /// Endpoints that the rows came from.
    pub streams: usize,
    /// The most memory that the program has held.
    pub peak_bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Made {
    rows: u64,
}

impl Programs {
    /// None where there is no Python.
    pub fn new(options: &Options) -> Result<Option<Self>, Failure> {
        let Some(python) = options.python() else { return Ok(None) };
        let directory = tempfile::Builder::new().prefix("damson-bench-clients-").tempdir()?;
        let jdbc_driver = options.jdbc_driver().map(Path::to_path_buf);
        Ok(Some(Programs { python: python.to_path_buf(), jdbc_driver, directory }))
    }

    /// Makes the rows in a database of DuckDB's and in a Parquet file; where that is.
    pub async fn make(&self, rows: u64) -> Result<PathBuf, Failure> {
        let file = self.directory.path().join("rows.parquet");
        let mut command = self.python("make");
        command.args(["--rows", &rows.to_string()]).arg("--database").arg(self.database()).arg("--parquet").arg(&file);
        let made: Made = answer(command).await?;
        if made.rows == rows { Ok(file) } else { Err(format!("{} rows were made, of {rows}", made.rows).into()) }
    }

    /// # Errors
    /// What the program says, or that it hangs.
    pub async fn fetch(&self, way: Way, cluster: &Cluster) -> Result<Fetched, String> {
        let addresses = cluster.addresses();
        let (flight, postgres) = (addresses.flight.port().to_string(), addresses.postgres.port().to_string());
        let fetch_rows = FETCH_ROWS.to_string();
        let mut command = match way {
            Way::Flight | Way::FlightParallel => {
                let mut command = self.python("adbc");
                command.args(["--sql", SQL, "--port", &flight]);
                command.args((way == Way::FlightParallel).then_some("--parallel"));
                command
            }
            Way::Psycopg => {
                let mut command = self.python("psycopg");
                command.args(["--sql", SQL, "--port", &postgres, "--fetch-rows", &fetch_rows]);
                command
            }
            Way::PgJdbc => {
                let driver = self.jdbc_driver.as_ref().ok_or("no JDBC driver")?;
                let mut command = Command::new("java");
                command.arg("-cp").arg(driver).arg(source("Fetch.java")).args([&postgres, &fetch_rows, SQL]);
                command
            }
            Way::DuckDb => {
                let mut command = self.python("duckdb");
                command.args(["--sql", SQL, "--threads", &cores().to_string()]).arg("--database").arg(self.database());
                command
            }
        };
        // What PostgreSQL's libraries take of the environment would be sent as settings.
        command.env_remove("PGOPTIONS").env_remove("PGPASSWORD");
        answer(command).await
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("rows.duckdb")
    }

    fn python(&self, task: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(source("fetch.py")).arg(task);
        command
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A program's one JSON object.
async fn answer<T: for<'a> Deserialize<'a>>(mut command: Command) -> Result<T, String> {
    let output = timeout(PROGRAM_TIMEOUT, command.kill_on_drop(true).output());
    let output = output.await.map_err(|_| format!("still running after {} s", PROGRAM_TIMEOUT.as_secs()))?;
    let output = output.map_err(|error| format!("{}: {error}", command.as_std().get_program().display()))?;
    if !output.status.success() {
        return Err(told(&String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("what the program said is not understood: {error}"))
}

/// What Python or Java says of an error, without where it was.
fn told(stderr: &str) -> String {
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with([' ', '\t']) && !line.starts_with("Traceback");
    let lines: Vec<&str> = stderr.lines().filter(is_told).collect();
    if lines.is_empty() { "failed, and did not say why".into() } else { lines.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::{Fetched, told};

    #[test]
    fn an_error_is_told_without_its_place() {
        let python = "Traceback (most recent call last):\n  File \"x\", line 1\n    a()\nValueError: no\nHINT:  yes\n";
        assert_eq!(told(python), "ValueError: no HINT:  yes");
        let java = "Exception in thread \"main\" java.lang.Error: no\n\tat Fetch.main(Fetch.java:1)\n";
        assert_eq!(told(java), "Exception in thread \"main\" java.lang.Error: no");
        assert_eq!(told("  \n"), "failed, and did not say why");
    }

    #[test]
    fn what_has_no_arrow_arrays_need_not_tell_their_size() {
        let text = r#"{"version": "42", "seconds": 1.5, "rows": 2, "keys": 1, "streams": 1, "peak_bytes": 4096}"#;
        let fetched: Fetched = serde_json::from_str(text).expect("as Fetch.java prints it");
        assert_eq!((fetched.rows, fetched.arrow_bytes, fetched.streams), (2, None, 1));
    }
}
