//! The sink that makes files of the row groups that other segments give, and delete vectors of what has left this one.

use crate::StorageError;
use crate::deletes::{encode, rows_of};
use crate::durable::Finished;
use crate::limits::{HANDOVER_FILES_MAX, HANDOVER_SYNCS_MAX, HANDOVER_VECTORS_MAX, SMALL_FILE_BYTES};
use crate::places::NewFile;
use crate::scan::TableFiles;
use crate::sink::{ReturnedRows, SinkExec, Target, Written};
use async_trait::async_trait;
use bytes::Bytes;
use damson_cluster::{
    ContentId, DeleteVector, FileEntry, HandedOver, HandoverPart, SharedFile, SnapshotId, TableId, TakenFile,
    failpoint, handover_schema,
};
use datafusion::arrow::array::{AsArray, BinaryArray, RecordBatch};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::{Int32Type, Int64Type, Schema, UInt8Type};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// See [`crate::TableStore::take_row_groups`].
pub(crate) fn take(
    content: ContentId,
    files: Arc<TableFiles>,
    table: TableId,
    entries: Vec<FileEntry>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    if types(&input.schema()) != types(&handover_schema()) {
        let detail = format!("row groups come in columns of {:?}", types(&input.schema()));
        return Err(StorageError::WrongRows { table, detail });
    }
    Ok(Arc::new(SinkExec::new(input, Arc::new(TakeRowGroups { content, files, table, entries }))))
}

#[derive(Debug)]
struct TakeRowGroups {
    content: ContentId,
    files: Arc<TableFiles>,
    table: TableId,
    /// The table's files here, as those who give name them by their positions.
    entries: Vec<FileEntry>,
}

#[async_trait]
impl Target for TakeRowGroups {
    fn name(&self) -> &'static str {
        "TakeRowGroups"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table={}", self.table)
    }

    fn columns(&self) -> [&'static str; 2] {
        ["rows", "files"]
    }

    async fn write(
        &self,
        mut input: SendableRecordBatchStream,
        _: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Written> {
        let bytes_written = MetricBuilder::new(metrics).counter("bytes_written", 0);
        let mut taking = Taking {
            target: self,
            coming: HashMap::new(),
            vectors: HashMap::new(),
            ending: VecDeque::new(),
            taken: vec![],
            shared: vec![],
            left: vec![],
            files: vec![],
            bytes_written,
        };
        while let Some(batch) = input.next().await {
            taking.take(&batch?).await?;
        }
        taking.ended(0).await?;
        let Taking { coming, vectors, taken, shared, left, files, .. } = taking;
        if let Some((from, file)) = coming.keys().chain(vectors.keys()).next() {
            return Err(self.wrong(format!("file {file} of seg{from} has no end")));
        }
        let rows = taken.iter().map(|taken| taken.entry.live_rows()).sum();
        let report = serde_json::to_vec(&HandedOver { content: self.content, taken, shared, left });
        let report = report.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files: Box::new(files), returned: ReturnedRows::default() })
    }
}

impl TakeRowGroups {
    fn wrong(&self, detail: String) -> DataFusionError {
        StorageError::WrongRows { table: self.table, detail }.into()
    }

    /// Of what was sent, bytes and checksum.
    fn compare(&self, path: &str, sent: (u64, u64), came: &Finished) -> Result<()> {
        if (came.bytes, came.checksum) == sent {
            return Ok(());
        }
        let detail = format!("it arrived as {} bytes, of {} that were sent, or others", came.bytes, sent.0);
        Err(StorageError::Corrupt { table: self.table, path: path.to_owned(), detail }.into())
    }

    fn new_path(&self, extension: &str) -> String {
        format!("base/{}/{}.{extension}", self.table, Uuid::now_v7())
    }
}

/// A row's bytes, in the memory that they came in; few of them in their own, as they may wait for others there.
fn block(bytes: &BinaryArray, row: usize) -> Bytes {
    let value = bytes.value(row);
    if value.len() <= SMALL_FILE_BYTES {
        return Bytes::copy_from_slice(value);
    }
    let start = bytes.value_offsets()[row] as usize;
    Bytes::from_owner(ArrowBytes(bytes.values().slice_with_length(start, value.len())))
}

/// Memory of Arrow's.
struct ArrowBytes(Buffer);

impl AsRef<[u8]> for ArrowBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What comes, and what has come.
struct Taking<'a> {
    target: &'a TakeRowGroups,
    /// By who sends it, and which file of the sender's it is of.
    coming: HashMap<(i32, i32), Coming>,
    /// Delete vectors of these, or of files that are read where they are.
    vectors: HashMap<(i32, i32), Ending>,
    /// In the order in which they came.
    ending: VecDeque<Whole>,
    taken: Vec<TakenFile>,
    shared: Vec<SharedFile>,
    left: Vec<(String, Option<DeleteVector>)>,
    files: Vec<Finished>,
    bytes_written: Count,
}

/// A file that comes.
struct Coming {
    path: String,
    file: NewFile,
    bytes: u64,
}

/// A file that has come whole, and is being made durable while others come.
struct Ending {
    path: String,
    file: SpawnedTask<Result<Finished, StorageError>>,
}

impl Ending {
    fn of(path: String, file: NewFile) -> Self {
        Ending { path, file: SpawnedTask::spawn(file.finish()) }
    }

    async fn ended(self) -> Result<(String, Finished)> {
        let finished = self.file.join_unwind().await.map_err(|error| DataFusionError::External(Box::new(error)))??;
        Ok((self.path, finished))
    }
}

/// What is told when its files are durable.
enum Whole {
    Taken {
        file: Ending,
        told: TakenFile,
        vector: Option<Ending>,
    },
    Shared {
        told: SharedFile,
        vector: Option<Ending>,
    },
    /// A vector of this segment's own file at `path`.
    Left {
        path: String,
        rows: u64,
        vector: Ending,
    },
}

impl Taking<'_> {
    async fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let integers = |column: usize| batch.column(column).as_primitive::<Int32Type>();
        let (from, files) = (integers(1), integers(2));
        let parts = batch.column(3).as_primitive::<UInt8Type>();
        let offsets = batch.column(4).as_primitive::<Int64Type>();
        let bytes = batch.column(5).as_binary::<i32>();
        for row in 0..batch.num_rows() {
            let key = (from.value(row), files.value(row));
            let part = HandoverPart::of(parts.value(row));
            let part = part.ok_or_else(|| self.target.wrong("an unknown part of a row group".into()))?;
            match part {
                HandoverPart::Bytes => self.append(key, offsets.value(row), block(bytes, row)).await?,
                HandoverPart::Vector => {
                    let vector = self.write_vector(bytes.value(row)).await?;
                    self.vectors.insert(key, vector);
                }
                HandoverPart::End => self.end(key, bytes.value(row)).await?,
                HandoverPart::Left => self.leave(key, bytes.value(row)).await?,
                HandoverPart::Share => self.share(key, bytes.value(row)).await?,
            }
        }
        Ok(())
    }

    fn coming_file(&mut self, key: (i32, i32)) -> Result<&mut Coming> {
        let target = self.target;
        self.coming
            .get_mut(&key)
            .ok_or_else(|| target.wrong(format!("file {} of seg{} has no beginning", key.1, key.0)))
    }

    async fn append(&mut self, key: (i32, i32), offset: i64, bytes: Bytes) -> Result<()> {
        let target = self.target;
        if !self.coming.contains_key(&key) {
            // Each sender has one under way.
            if self.coming.len() >= HANDOVER_FILES_MAX {
                return Err(target.wrong(format!("more than {HANDOVER_FILES_MAX} files come at once")));
            }
            let path = target.new_path("parquet");
            let file = target.files.place.begin(&path)?;
            self.coming.insert(key, Coming { path, file, bytes: 0 });
        }
        let coming = self.coming_file(key)?;
        if u64::try_from(offset) != Ok(coming.bytes) {
            let detail =
                format!("bytes from {offset} on come after {} of file {} of seg{}", coming.bytes, key.1, key.0);
            return Err(target.wrong(detail));
        }
        let length = bytes.len();
        coming.bytes += length as u64;
        coming.file.write_block(bytes).await?;
        self.bytes_written.add(length);
        Ok(())
    }

    async fn write_vector(&mut self, bytes: &[u8]) -> Result<Ending> {
        let path = self.target.new_path("deletes");
        let mut file = self.target.files.place.begin(&path)?;
        file.write_block(Bytes::copy_from_slice(bytes)).await?;
        Ok(Ending::of(path, file))
    }

    async fn end(&mut self, key: (i32, i32), told: &[u8]) -> Result<()> {
        let told: TakenFile =
            serde_json::from_slice(told).map_err(|error| DataFusionError::External(Box::new(error)))?;
        self.coming_file(key)?;
        let Some(Coming { path, file, .. }) = self.coming.remove(&key) else { return Ok(()) };
        failpoint("write.before_sync");
        let vector = self.vectors.remove(&key);
        self.ending.push_back(Whole::Taken { file: Ending::of(path, file), told, vector });
        self.ended(HANDOVER_SYNCS_MAX).await
    }

    /// A file that is read where it is.
    async fn share(&mut self, key: (i32, i32), told: &[u8]) -> Result<()> {
        let told: SharedFile =
            serde_json::from_slice(told).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let vector = self.vectors.remove(&key);
        self.ending.push_back(Whole::Shared { told, vector });
        self.ended(HANDOVER_VECTORS_MAX).await
    }

    /// A vector of this segment's own file.
    async fn leave(&mut self, (from, number): (i32, i32), bytes: &[u8]) -> Result<()> {
        let target = self.target;
        let entry = usize::try_from(number).ok().and_then(|number| target.entries.get(number));
        let entry = entry.filter(|_| from == target.content.0);
        let entry = entry.ok_or_else(|| target.wrong(format!("seg{from} says what is left of file {number}")))?;
        if bytes.is_empty() {
            self.left.push((entry.path.clone(), None));
            return Ok(());
        }
        let rows = rows_of(bytes).map_err(|detail| target.wrong(detail))?;
        if rows.max().is_some_and(|last| u64::from(last) >= entry.rows) {
            return Err(target.wrong(format!("{} has no such row", entry.path)));
        }
        let vector = self.write_vector(&encode(&rows)).await?;
        self.ending.push_back(Whole::Left { path: entry.path.clone(), rows: rows.len(), vector });
        self.ended(HANDOVER_VECTORS_MAX).await
    }

    /// Waits until no more than so many are being made durable. What arrived is compared with what was sent: a file that is damaged on the way is not
    /// committed.
    async fn ended(&mut self, left: usize) -> Result<()> {
        while self.ending.len() > left
            && let Some(whole) = self.ending.pop_front()
        {
            match whole {
                Whole::Taken { file, mut told, vector } => {
                    let (path, finished) = file.ended().await?;
                    failpoint("write.after_sync");
                    self.target.compare(&told.path, (told.entry.bytes, told.entry.checksum), &finished)?;
                    self.files.push(finished);
                    let deletes = self.vector(&told.path, told.entry.deletes.take(), vector).await?;
                    let entry = FileEntry { content: self.target.content, path, deletes, ..told.entry };
                    self.taken.push(TakenFile { from: told.from, path: told.path, entry });
                }
                Whole::Shared { told, vector } => {
                    let deletes = self.vector(&told.path, told.deletes, vector).await?;
                    self.shared.push(SharedFile { deletes, ..told });
                }
                Whole::Left { path, rows, vector } => {
                    let (of_vector, finished) = vector.ended().await?;
                    failpoint("write.after_vector");
                    let (bytes, checksum) = (finished.bytes, finished.checksum);
                    let vector = DeleteVector { path: of_vector, rows, bytes, checksum, created: SnapshotId(0) };
                    self.files.push(finished);
                    self.left.push((path, Some(vector)));
                }
            }
        }
        Ok(())
    }

    /// The vector that has come for a file, as it was `sent`.
    async fn vector(
        &mut self,
        of: &str,
        sent: Option<DeleteVector>,
        came: Option<Ending>,
    ) -> Result<Option<DeleteVector>> {
        match (sent, came) {
            (None, None) => Ok(None),
            (Some(sent), Some(came)) => {
                let (path, finished) = came.ended().await?;
                failpoint("write.after_vector");
                self.target.compare(of, (sent.bytes, sent.checksum), &finished)?;
                self.files.push(finished);
                Ok(Some(DeleteVector { path, ..sent }))
            }
            _ => Err(self.target.wrong(format!("a delete vector of {of} is missing, or one too many"))),
        }
    }
}
