//! COPY TO: a segment's rows to files, on disks and in buckets.

mod columns;
mod compress;
mod encoder;
mod exports;
mod manifest;
mod part;
mod partition;
mod parts;
mod place;
mod upload;

pub use exports::Exports;
pub use manifest::{check_no_manifest, write_manifest};

use crate::StorageError;
use crate::copy::CopyProgress;
use crate::limits::ERROR_VALUE_BYTES_MAX;
use crate::sink::{SinkExec, Target, Written};
use async_trait::async_trait;
use columns::Columns;
use damson_cluster::{ContentId, CopyTarget, SourceAccess};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use encoder::Encoding;
use exports::Reported;
use futures::StreamExt;
use parts::Parts;
use place::Place;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// One segment's share of a COPY TO.
#[derive(Clone, Debug)]
pub struct CopyWriteSpec {
    pub content: ContentId,
    pub target: CopyTarget,
    pub access: SourceAccess,
    /// Those of the segment.
    pub exports: Exports,
    /// Tells how far it is.
    pub progress: Arc<CopyProgress>,
    /// Where its tables are: nothing else is written there.
    pub data_dir: Option<PathBuf>,
}

impl CopyWriteSpec {
    async fn place(&self) -> Result<(Place, Option<String>), StorageError> {
        let opened = Place::open(&self.target, &self.access)?;
        opened.0.check(self.data_dir.as_deref()).await?;
        Ok(opened)
    }
}

/// A sink that writes `input`'s rows to files `{stem}_{n}.{extension}` at the target's place, or to its single file, one at least; with
/// PARTITION BY into directories `column=value`, and none where there are no rows. One partition, one batch of one row: `rows` (UInt64) and
/// `files` (Binary, JSON of [`damson_cluster::CopiedPart`]s). A file has its name once it is whole and on stable storage; a single one
/// replaces another of its name.
///
/// CSV is PostgreSQL's: a value is quoted when it holds a delimiter, a quote, a line end, or equals the NULL text. Parquet
/// is without Arrow's own schema so that any reader takes it; intervals are text in it.
///
/// # Memory
/// Text: a few blocks of [`crate::limits::CSV_WRITE_BYTES`] and the codec's window. Parquet: as [`crate::TableStore::write`]. To a bucket:
/// three parts of [`crate::limits::UPLOAD_PART_BYTES`]. With PARTITION BY as often as there are parts open, at most
/// [`crate::limits::COPY_TO_OPEN_BYTES_MAX`] in all.
///
/// # Cancellation
/// Dropping the stream before its row removes the files and the directories that were made. After it they go if
/// [`Exports::take_back`] says so; but a single file stays once it has its name.
///
/// # Errors
/// A column that no text stands for (0A000). The stream: those of the place, [`StorageError::Io`] (53100 on a full disk), or the input's.
pub fn copy_write(input: Arc<dyn ExecutionPlan>, spec: CopyWriteSpec) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let columns = Columns::new(&input.schema(), &spec.target.columns, &spec.target.partition_by)?;
    let encoding = Encoding::new(&spec.target, &columns)?;
    Ok(Arc::new(SinkExec::new(input, Arc::new(CopyWrite { spec, columns, encoding }))))
}

#[derive(Debug)]
struct CopyWrite {
    spec: CopyWriteSpec,
    columns: Columns,
    encoding: Encoding,
}

#[async_trait]
impl Target for CopyWrite {
    fn name(&self) -> &'static str {
        "CopyWrite"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = crate::shown_url(&self.spec.target.place).chars().take(ERROR_VALUE_BYTES_MAX).collect();
        write!(f, "to={shown}")
    }

    fn columns(&self) -> [&'static str; 2] {
        ["rows", "files"]
    }

    async fn write(
        &self,
        mut input: SendableRecordBatchStream,
        context: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Written> {
        let reservation = MemoryConsumer::new("CopyWrite").register(context.memory_pool());
        let compute = MetricBuilder::new(metrics).subset_time("encode_time", 0);
        let bytes_written = MetricBuilder::new(metrics).counter("bytes_written", 0);
        let place = self.spec.place().await?;
        let export = self.spec.exports.begin(&self.spec.target.stem);
        let ended = export.ended.clone();
        let mut parts = Parts::new(self, place, Arc::clone(&export), reservation, (compute, bytes_written));
        let mut rows = 0;
        let write = async {
            while let Some(batch) = input.next().await {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                parts.write(&batch).await?;
                self.spec.progress.add_rows(batch.num_rows() as u64, 0);
            }
            parts.finish_all().await
        };
        let written = tokio::select! {
            biased;
            () = ended.cancelled() => return Err(given_up(&self.spec.target).into()),
            written = write => written?,
        };
        let report = serde_json::to_vec(&written).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files: Box::new(Reported(export)), returned: Default::default() })
    }
}

/// The master has said that the statement has failed.
fn given_up(target: &CopyTarget) -> StorageError {
    let path = crate::shown_url(&target.place).into();
    StorageError::File { path, message: "the statement has failed elsewhere".into(), sqlstate: "57014" }
}
