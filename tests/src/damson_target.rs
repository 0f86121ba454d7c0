//! An embedded cluster and its sessions.

use crate::{Answer, Target, TargetError};
use async_trait::async_trait;
use damson::{LocalCluster, LocalClusterConfig};
use damson_cluster::{BUCKETS, BucketMap, MapVersion};
use damson_master::{Outcome, Session, SqlError};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A small query that takes longer hangs, and must not take the other tests' time.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A master and `segments` segments in this process, on a directory that goes with them.
pub struct TestCluster {
    cluster: LocalCluster,
    data: TempDir,
}

impl TestCluster {
    /// # Panics
    /// When the cluster does not start: no test can go on.
    pub async fn start(segments: usize) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let config = LocalClusterConfig { data_dir: data.path().to_path_buf(), segments, ..Default::default() };
        let cluster = LocalCluster::start(config).await.expect("a cluster");
        TestCluster { cluster, data }
    }

    /// Where master and segments keep everything.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    pub fn cluster(&self) -> &LocalCluster {
        &self.cluster
    }

    pub fn session(&self) -> Damson {
        Damson::new(self.cluster.master().session("tester"))
    }

    pub async fn shutdown(self) {
        self.cluster.shutdown().await;
    }
}

/// One session of a cluster.
#[derive(Clone)]
pub struct Damson {
    session: Arc<Session>,
    /// Of each CREATE TABLE the next, round and round.
    bucket_maps: Option<Arc<BucketMaps>>,
    /// See [`Damson::in_tablespace`].
    tablespace: Option<Arc<DefaultTablespace>>,
}

#[derive(Debug)]
struct DefaultTablespace {
    name: String,
    /// Whether the session's default is that now.
    is_set: AtomicBool,
}

/// Values of the setting `bucket_map`.
#[derive(Debug)]
struct BucketMaps {
    values: Vec<String>,
    next: AtomicUsize,
}

impl Damson {
    pub fn new(session: Arc<Session>) -> Self {
        Damson { session, bucket_maps: None, tablespace: None }
    }

    /// Each table that is made is laid out by another bucket map than the one before: over all of the `segments`, over the first half of
    /// them, on the last one alone, and over all of them unevenly.
    pub fn with_mixed_bucket_maps(self, segments: usize) -> Self {
        assert!(segments > 1, "one segment has one map");
        let (half, last) = (segments.div_ceil(2), segments - 1);
        let even = |owners: usize| BucketMap::uniform(MapVersion(1), owners).owners_text();
        let buckets = BUCKETS - 100 * last;
        let rest: Vec<String> = (1..segments).map(|segment| format!("{segment}*100")).collect();
        let uneven = format!("0*{buckets} {}", rest.join(" "));
        let values = vec![even(segments), even(half), format!("{last}*{BUCKETS}"), uneven];
        Damson { bucket_maps: Some(Arc::new(BucketMaps { values, next: AtomicUsize::new(0) })), ..self }
    }

    /// Makes the next of [mixed maps](Damson::with_mixed_bucket_maps) the newest one; false without any.
    pub async fn take_next_bucket_map(&self) -> Result<bool, SqlError> {
        let Some(maps) = &self.bucket_maps else { return Ok(false) };
        let next = maps.next.fetch_add(1, Ordering::Relaxed) % maps.values.len();
        let alter = format!("ALTER SYSTEM SET bucket_map = '{}'", maps.values[next]);
        self.session.execute(&alter, vec![]).await.map(|_| true)
    }

    /// Tables are in that tablespace, unless statements say otherwise: it is what the session goes back to with RESET.
    pub fn in_tablespace(self, name: &str) -> Self {
        let tablespace = DefaultTablespace { name: name.to_owned(), is_set: AtomicBool::new(false) };
        Damson { tablespace: Some(Arc::new(tablespace)), ..self }
    }

    /// Cancels what the session runs.
    pub fn cancel(&self) {
        self.session.cancel();
    }

    /// As [`Target::run`], with the error as the client sees it.
    pub async fn execute(&self, sql: &str) -> Result<Answer, SqlError> {
        if sql.starts_with("CREATE TABLE") {
            self.take_next_bucket_map().await?;
        }
        if let Some(tablespace) = &self.tablespace {
            if !tablespace.is_set.load(Ordering::Relaxed) {
                let set = format!("SET default_tablespace = {}", tablespace.name);
                self.session.execute(&set, vec![]).await?;
            }
            tablespace.is_set.store(!sql.trim_start().starts_with("RESET"), Ordering::Relaxed);
        }
        match self.session.execute(sql, vec![]).await? {
            Outcome::Command { rows, .. } => Ok(Answer::command(rows)),
            Outcome::Rows { schema, stream } => {
                let batches: Vec<_> = stream.try_collect().await.map_err(stream_error)?;
                Ok(Answer::from_batches(&schema, &batches))
            }
        }
    }

    /// What a command says beside its tag.
    ///
    /// # Panics
    /// When the statement is a query.
    pub async fn notices(&self, sql: &str) -> Result<Vec<String>, SqlError> {
        match self.session.execute(sql, vec![]).await? {
            Outcome::Command { notices, .. } => Ok(notices),
            Outcome::Rows { .. } => panic!("{sql} is a query"),
        }
    }

    /// A query's rows as they come.
    ///
    /// # Panics
    /// When the statement fails, or is none.
    pub async fn stream(&self, sql: &str) -> SendableRecordBatchStream {
        match self.session.execute(sql, vec![]).await {
            Ok(Outcome::Rows { stream, .. }) => stream,
            Ok(Outcome::Command { tag, .. }) => panic!("{tag} is not a query"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// A query's batches.
    pub async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, SqlError> {
        match self.session.execute(sql, vec![]).await? {
            Outcome::Rows { stream, .. } => stream.try_collect().await.map_err(stream_error),
            Outcome::Command { tag, .. } => panic!("{tag} is not a query"),
        }
    }

    /// The text of the first column, one line a row: EXPLAIN's output.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn text(&self, sql: &str) -> String {
        let batches = self.batches(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let mut lines = vec![];
        for batch in batches {
            let texts = cast(batch.column(0), &DataType::Utf8).expect("a column of text");
            lines.extend(texts.as_string::<i32>().iter().map(|line| line.unwrap_or_default().to_string()));
        }
        lines.join("\n")
    }

    /// Rows of `sql` as lines, in order.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        self.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).lines()
    }
}

/// An error that came after the first batch: `External(SqlError)` by the session's contract.
///
/// # Panics
/// On any other, which breaks the contract.
fn stream_error(error: DataFusionError) -> SqlError {
    match error.find_root() {
        DataFusionError::External(inner) if inner.is::<SqlError>() => {
            inner.downcast_ref::<SqlError>().expect("checked").clone()
        }
        _ => panic!("a result stream must fail with a SqlError, not with {error:?}"),
    }
}

#[async_trait]
impl Target for Damson {
    fn name(&self) -> &'static str {
        "damson"
    }

    async fn run(&mut self, sql: &str) -> Result<Answer, TargetError> {
        let hung = || TargetError { message: format!("no answer within {ANSWER_MAX:?}"), sqlstate: None };
        tokio::time::timeout(ANSWER_MAX, self.execute(sql))
            .await
            .map_err(|_| hung())?
            .map_err(|e| TargetError { message: e.to_string(), sqlstate: Some(e.state.0.to_string()) })
    }
}
