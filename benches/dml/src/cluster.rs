//! The cluster that is measured.

use damson::{LocalCluster, LocalClusterConfig, cores};
use damson_master::{Outcome, Session, SqlError};
use datafusion::arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Cluster {
    cluster: LocalCluster,
    pub data_dir: PathBuf,
}

pub type Failure = Box<dyn std::error::Error>;

impl Cluster {
    pub async fn start(data_dir: &Path) -> Result<Self, Failure> {
        let config =
            LocalClusterConfig { data_dir: data_dir.to_path_buf(), segments: cores(), ..LocalClusterConfig::default() };
        Ok(Cluster { cluster: LocalCluster::start(config).await?, data_dir: data_dir.to_path_buf() })
    }

    pub fn session(&self) -> Arc<Session> {
        self.cluster.master().session("bench")
    }

    pub async fn shutdown(self) {
        self.cluster.shutdown().await;
    }
}

/// Runs a statement to its last row, and gives the time.
pub async fn timed(session: &Arc<Session>, sql: &str) -> Result<Duration, SqlError> {
    let started = Instant::now();
    match session.execute(sql, vec![]).await? {
        Outcome::Command { .. } => {}
        Outcome::Rows { mut stream, .. } => {
            let failed = |e: datafusion::error::DataFusionError| panic!("{sql}: {e}");
            while stream.try_next().await.unwrap_or_else(failed).is_some() {}
        }
    }
    Ok(started.elapsed())
}

/// The shortest of some runs, after one that does not count.
pub async fn fastest(session: &Arc<Session>, sql: &str, runs: usize) -> Result<Duration, SqlError> {
    timed(session, sql).await?;
    let mut fastest = Duration::MAX;
    for _ in 0..runs {
        fastest = fastest.min(timed(session, sql).await?);
    }
    Ok(fastest)
}

/// A query's only value.
pub async fn value(session: &Arc<Session>, sql: &str) -> Result<String, Failure> {
    let Outcome::Rows { stream, .. } = session.execute(sql, vec![]).await? else { return Err("not a query".into()) };
    let batches: Vec<_> = stream.try_collect().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).ok_or("no row")?;
    Ok(array_value_to_string(batch.column(0), 0)?)
}
