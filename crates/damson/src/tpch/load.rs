//! Makes the tables and loads them through the ordinary COPY.

use super::generate::{FileFormat, GenerateError, generate};
use super::tables::{TABLES, Table};
use crate::progress::Progress;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use damson_master::{Outcome, Session, SqlError, SqlState};
use datafusion::error::DataFusionError;
use futures::TryStreamExt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Directory for generated files, within the cluster's data directory; removed when the load is over.
const SCRATCH: &str = "tpch-load-tmp";

/// Why TPC-H is not there.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("cannot generate TPC-H: {0}")]
    Generate(#[from] GenerateError),
    #[error("cannot remove {path}: {source}")]
    Scratch { path: PathBuf, source: io::Error },
    #[error("table {table}: {source}")]
    Sql { table: Table, source: SqlError },
    #[error("generating ended early: {0}")]
    Died(#[from] tokio::task::JoinError),
}

/// Loads every table that is missing or empty at scale factor `sf`; returns how many those were. Tables with rows stay
/// as they are. A load that was interrupted goes on with the table that it was at.
///
/// # Errors
/// Files that cannot be written, or a statement that fails.
pub async fn load(session: &Arc<Session>, data_dir: &Path, sf: f64, progress: &Progress) -> Result<usize, LoadError> {
    let scratch = data_dir.join(SCRATCH);
    remove(&scratch)?;
    let mut loaded = 0;
    for table in TABLES {
        if !is_empty(session, table).await? {
            continue;
        }
        let reporter = progress.clone();
        let dir = scratch.clone();
        reporter.begin(format!("generating {table}"), table.rows_about(sf));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work =
            move || generate(&dir, sf, &[table], FileFormat::ParquetPlain, threads, &|rows| reporter.advance(rows));
        tokio::task::spawn_blocking(work).await??;
        progress.begin_unknown(format!("loading {table}"));
        let from = scratch.join(table.name()).display().to_string().replace('\'', "''");
        let rows = run(session, table, &format!("COPY {table} FROM '{from}' (FORMAT parquet)")).await?;
        progress.note(&format!("{table}: {rows} rows"));
        remove(&scratch)?;
        loaded += 1;
    }
    progress.end();
    Ok(loaded)
}

/// Makes the table if there is none; true if it has no rows.
async fn is_empty(session: &Arc<Session>, table: Table) -> Result<bool, LoadError> {
    let failed = |source| LoadError::Sql { table, source };
    match count(session, table).await {
        Ok(rows) => Ok(rows == 0),
        Err(error) if error.state == SqlState::UNDEFINED_TABLE => {
            run(session, table, table.definition()).await?;
            Ok(true)
        }
        Err(error) => Err(failed(error)),
    }
}

async fn count(session: &Arc<Session>, table: Table) -> Result<i64, SqlError> {
    let Outcome::Rows { stream, .. } = session.execute(&format!("SELECT count(*) FROM {table}"), vec![]).await? else {
        return Err(SqlError::new(SqlState::INTERNAL_ERROR, "a count is a query"));
    };
    let batches: Vec<_> = stream.try_collect().await.map_err(of_stream)?;
    let counts = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter());
    Ok(counts.sum())
}

/// A stream fails with the session's own errors.
fn of_stream(error: DataFusionError) -> SqlError {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => SqlError::new(SqlState::INTERNAL_ERROR, inner.to_string()),
        },
        other => SqlError::new(SqlState::INTERNAL_ERROR, other.to_string()),
    }
}

/// Runs a command, again while segments are not there yet; its row count.
async fn run(session: &Arc<Session>, table: Table, text: &str) -> Result<u64, LoadError> {
    const TRIES: u32 = 10;
    let mut tries = 0;
    loop {
        match session.execute(text, vec![]).await {
            Ok(Outcome::Command { rows, .. }) => return Ok(rows),
            Ok(Outcome::Rows { .. }) => return Ok(0),
            Err(error) if error.state == SqlState::CANNOT_CONNECT_NOW && tries < TRIES => tries += 1,
            Err(source) => return Err(LoadError::Sql { table, source }),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn remove(scratch: &Path) -> Result<(), LoadError> {
    match fs::remove_dir_all(scratch) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LoadError::Scratch { path: scratch.to_owned(), source })
        }
        _ => Ok(()),
    }
}
