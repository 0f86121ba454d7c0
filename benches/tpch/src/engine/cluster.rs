//! Damson in this process: a master and a segment for each core, whose motions pass batches by pointer.

use super::EngineKind;
use crate::data;
use crate::options::Options;
use damson::{LocalCluster, LocalClusterConfig};
use damson_master::{Outcome, Session};
use datafusion::arrow::array::RecordBatch;
use futures::TryStreamExt;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

pub struct EmbeddedDamson {
    session: Arc<Session>,
    cluster: LocalCluster,
}

impl EmbeddedDamson {
    /// Starts the cluster and loads its tables; gives the seconds of the load, if there was one.
    ///
    /// # Errors
    /// A cluster that does not start, files that cannot be loaded.
    pub async fn start(options: &Options) -> Result<(Self, Option<f64>), Box<dyn Error>> {
        let directory = options.engine_dir(EngineKind::Damson);
        let is_loaded = options.reuse && data::is_loaded(&directory);
        if !is_loaded {
            data::clear(&directory)?;
        }
        let mut config = LocalClusterConfig {
            data_dir: directory.join("data"),
            segments: options.cores(),
            cpu_threads: options.cores(),
            ..Default::default()
        };
        if let Some(bytes) = options.memory {
            config.memory_bytes_max = bytes as usize;
        }
        let cluster = LocalCluster::start(config).await?;
        let damson = EmbeddedDamson { session: cluster.master().session("bench"), cluster };
        if is_loaded {
            return Ok((damson, None));
        }
        let started = Instant::now();
        for statement in data::load_statements(options) {
            damson.query(&statement).await.map_err(|e| format!("{statement}: {e}"))?;
        }
        data::mark_loaded(&directory)?;
        Ok((damson, Some(started.elapsed().as_secs_f64())))
    }

    /// Runs a statement; the batches of a command are none.
    ///
    /// # Errors
    /// The message that a client would see.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        match self.session.execute(sql, vec![]).await.map_err(|e| e.to_string())? {
            Outcome::Rows { stream, .. } => stream.try_collect().await.map_err(|e| e.strip_backtrace()),
            Outcome::Command { .. } => Ok(vec![]),
        }
    }

    pub async fn stop(self) {
        self.cluster.shutdown().await;
    }
}
