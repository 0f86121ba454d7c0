//! DuckDB, in a process of Python for each thing that it does.

use crate::Failure;
use crate::form::Form;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has DuckDB.
pub struct DuckDb {
    pub python: PathBuf,
    pub threads: usize,
    /// Of the bucket, for [`Form::S3`].
    pub environment: Vec<(String, String)>,
}

/// What a load has taken.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Loaded {
    Done {
        version: String,
        seconds: f64,
        rows: u64,
        /// The sum of all order keys.
        keys: String,
        peak_bytes: u64,
    },
    /// DuckDB has no way to the place here: why.
    Unavailable { unavailable: String },
}

#[derive(Debug, Deserialize)]
struct Made {
    rows: u64,
}

impl DuckDb {
    /// Puts the rows of Parquet files into a table of `database`; how many they are.
    pub fn keep(&self, source: &str, database: &Path) -> Result<u64, Failure> {
        let made: Made = self.run(&["keep", "--source", source, "--database", &shown(database)])?;
        Ok(made.rows)
    }

    /// Writes the rows of that table to `files` files.
    pub fn make(&self, database: &Path, form: Form, files: usize, directory: &Path) -> Result<(), Failure> {
        let (database, directory, files) = (shown(database), shown(directory), files.to_string());
        let form = form.extension();
        let arguments = ["make", "--database", &database, "--form", form, "--files", &files, "--directory", &directory];
        self.run::<Made>(&arguments).map(drop)
    }

    /// Loads a directory's files, or those below a URL, into a new `database`.
    pub fn load(&self, form: Form, place: &str, database: &Path) -> Result<Loaded, Failure> {
        let (database, threads) = (shown(database), self.threads.to_string());
        let form = form.extension();
        self.run(&["load", "--form", form, "--place", place, "--database", &database, "--threads", &threads])
    }

    fn run<T: for<'a> Deserialize<'a>>(&self, arguments: &[&str]) -> Result<T, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("duckdb_copy.py");
        let mut command = Command::new(&self.python);
        command.arg(script).args(arguments).envs(self.environment.iter().cloned());
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("DuckDB, {}: {}", arguments[0], said.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
