//! The table writer: rows to new Parquet files, and their catalog entries.

use super::constraints::{Check, check_lengths, check_nulls, check_rows};
use super::encoder::{FileEncoder, FileForm};
use super::keys::{Existing, NewKeys, Skipped, without_skipped};
use super::returned::Returned;
use super::stats::StatsCollector;
use crate::StorageError;
use crate::durable::Finished;
use crate::limits::{DIVIDED_POOL_BYTES_MIN, FILE_BYTES_MAX, FILE_ROWS_MAX};
use crate::places::NewFile;
use crate::scan::{TableFiles, scan};
use crate::sink::{SinkExec, Target, Written};
use async_trait::async_trait;
use damson_cluster::placement;
use damson_cluster::{Compression, ContentId, FileEntry, SnapshotId, SortColumn, TableId, UniqueKey, failpoint};
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{FieldRef, Int64Type, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What to write: decoded from a plan by the segment, handed to [`crate::TableStore::write`].
#[derive(Clone, Debug)]
pub struct WriteSpec {
    pub table: TableId,
    /// For messages.
    pub name: String,
    /// The table's columns. A column that is not nullable refuses NULL.
    pub schema: SchemaRef,
    pub compression: Compression,
    /// Positions of the key's columns in its order; empty: rows have no bucket.
    pub distribution_key: Vec<usize>,
    /// The buckets that the segment owns, ascending: large files are divided by them. Empty: they are not.
    pub buckets: Vec<u16>,
    /// Positions of the columns of which files have Bloom filters, where their type is one that is looked for in them.
    pub filtered: Vec<usize>,
    /// What the input is sorted by, NULLs last; empty: nothing. The writer notes it in the files, and gives them a page index.
    pub sorted_by: Vec<SortColumn>,
    pub checks: Vec<Check>,
    /// Keys that new rows must not repeat.
    pub keys: Vec<UniqueKey>,
    /// This segment's files at the statement's snapshot: where keys are looked for, and what a modification names by position.
    pub files: Vec<FileEntry>,
    /// Columns of the input after the table's, which are not written but come back, before the report, for the rows that were: RETURNING.
    pub returning: usize,
    /// False: they do not come back, because another copy of the table gives them.
    pub gives_returned: bool,
    /// Rows after which the next file begins; [`FILE_ROWS_MAX`] unless a test says otherwise.
    pub file_rows_max: u64,
}

impl WriteSpec {
    /// Of a table without constraints.
    pub fn new(table: TableId, schema: SchemaRef, compression: Compression, distribution_key: Vec<usize>) -> Self {
        WriteSpec {
            table,
            name: table.to_string(),
            schema,
            compression,
            distribution_key,
            buckets: vec![],
            filtered: vec![],
            sorted_by: vec![],
            checks: vec![],
            keys: vec![],
            files: vec![],
            returning: 0,
            gives_returned: true,
            file_rows_max: FILE_ROWS_MAX,
        }
    }
}

/// See [`crate::TableStore::write`].
pub(crate) fn plan(
    content: ContentId,
    files: Arc<TableFiles>,
    spec: WriteSpec,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let target = TableWrite::new(content, files, spec, input.schema().fields())?;
    Ok(Arc::new(SinkExec::new(input, Arc::new(target))))
}

/// One segment's writer of a table.
#[derive(Debug)]
pub(super) struct TableWrite {
    pub(super) content: ContentId,
    files: Arc<TableFiles>,
    pub(super) spec: WriteSpec,
    form: Arc<FileForm>,
}

#[async_trait]
impl Target for TableWrite {
    fn name(&self) -> &'static str {
        "TableWrite"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table={}, compression={:?}", self.spec.table, self.spec.compression)
    }

    fn columns(&self) -> [&'static str; 2] {
        ["rows", "files"]
    }

    fn returning(&self) -> usize {
        self.spec.returning
    }

    async fn write(
        &self,
        mut input: SendableRecordBatchStream,
        context: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Written> {
        let columns = self.spec.schema.fields().len();
        let mut writer = TableWriter::new(self, &context, metrics)?;
        let mut returned = Returned::new(&self.spec, &context);
        while let Some(batch) = input.next().await {
            let batch = batch?;
            writer.write(&leading(&batch, columns)?).await?;
            returned.add(&batch)?;
        }
        let NewRows { rows, entries, files, skipped } = writer.finish(&|_, _| false).await?;
        let report = serde_json::to_vec(&entries).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files: Box::new(files), returned: returned.without(&skipped)? })
    }
}

/// The batch's first columns.
pub(super) fn leading(batch: &RecordBatch, columns: usize) -> Result<RecordBatch> {
    if batch.num_columns() == columns {
        return Ok(batch.clone());
    }
    Ok(batch.project(&(0..columns).collect::<Vec<_>>())?)
}

/// What a writer wrote; the files stay once they are kept.
pub(super) struct NewRows {
    pub rows: u64,
    pub entries: Vec<FileEntry>,
    pub files: Vec<Finished>,
    /// Rows that came and are not there.
    pub skipped: Skipped,
}

/// Writes batches to one file after the other.
pub(super) struct TableWriter<'a> {
    target: &'a TableWrite,
    current: Option<OpenFile>,
    done: Vec<(FileEntry, Finished)>,
    rows: u64,
    hashes: Vec<u64>,
    /// None where they are known to be new.
    keys: Option<NewKeys<'a>>,
    context: &'a Arc<TaskContext>,
    reservation: MemoryReservation,
    compute: Time,
    rows_written: Count,
    bytes_written: Count,
}

/// A file that is being written.
struct OpenFile {
    /// As in [`FileEntry::path`].
    path: String,
    encoder: FileEncoder,
    file: NewFile,
    rows: u64,
    buckets: Option<(u16, u16)>,
    stats: Vec<StatsCollector>,
}

/// Whether a file can have several row groups at once.
fn has_room(pool: &dyn MemoryPool) -> bool {
    !matches!(pool.memory_limit(), MemoryLimit::Finite(bytes) if bytes < DIVIDED_POOL_BYTES_MIN)
}

impl<'a> TableWriter<'a> {
    pub(super) fn new(
        target: &'a TableWrite,
        context: &'a Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Self> {
        let reservation = MemoryConsumer::new(format!("TableWrite[{}]", target.spec.table));
        let keys = (!target.spec.keys.is_empty()).then(|| NewKeys::new(&target.spec, context)).transpose()?;
        Ok(TableWriter {
            target,
            current: None,
            done: Vec::new(),
            rows: 0,
            hashes: Vec::new(),
            keys,
            context,
            reservation: reservation.register(context.memory_pool()),
            compute: MetricBuilder::new(metrics).subset_time("encode_time", 0),
            rows_written: MetricBuilder::new(metrics).counter("rows_written", 0),
            bytes_written: MetricBuilder::new(metrics).counter("bytes_written", 0),
        })
    }

    /// Ends the last file, and looks whether the rows' keys are new. `deleted` are rows of the table that the statement deletes: position
    /// in [`WriteSpec::files`], number.
    pub(super) async fn finish(mut self, deleted: &(dyn Fn(usize, u32) -> bool + Sync)) -> Result<NewRows> {
        self.finish_file().await?;
        let Some(keys) = self.keys.take() else { return Ok(self.into_rows(Skipped::new())) };
        let added: Vec<FileEntry> = self.done.iter().map(|(entry, _)| entry.clone()).collect();
        let existing = Existing { files: &self.target.files, deleted, context: self.context };
        let skipped = keys.check(&added, &existing).await?;
        if !skipped.is_empty() {
            self.write_again(&added, &skipped).await?;
        }
        Ok(self.into_rows(skipped))
    }

    fn into_rows(self, skipped: Skipped) -> NewRows {
        let (entries, files) = self.done.into_iter().unzip();
        NewRows { rows: self.rows, entries, files, skipped }
    }

    /// The rows that are not skipped in files of their own; the others' are removed.
    async fn write_again(&mut self, added: &[FileEntry], skipped: &Skipped) -> Result<()> {
        let _removed = std::mem::take(&mut self.done);
        let written = std::mem::take(&mut self.rows);
        if skipped.len() == written {
            return Ok(());
        }
        let columns = self.target.spec.schema.fields().len();
        let all: Vec<usize> = (0..columns).collect();
        let mut first = 0;
        for file in added {
            let files = Arc::clone(&self.target.files);
            let rows = scan(files, &self.target.spec.schema, &all, std::slice::from_ref(file), true, 1)?;
            let mut batches = rows.execute(0, Arc::clone(self.context))?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let numbers = batch.column(columns + 1).as_primitive::<Int64Type>();
                let from = numbers.values().first().map_or(0, |&number| number as u64);
                self.write(&without_skipped(&leading(&batch, columns)?, first + from, skipped)?).await?;
            }
            first += file.rows;
        }
        self.finish_file().await
    }

    /// As [`TableWriter::write`], of rows some of which take the place of old ones.
    pub(super) async fn write_told(&mut self, batch: &RecordBatch, replaces: &BooleanArray) -> Result<()> {
        if let Some(keys) = &mut self.keys {
            keys.replace(replaces);
        }
        self.write(batch).await
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let spec = &self.target.spec;
        check_nulls(&spec.name, &spec.schema, batch)?;
        check_rows(&spec.name, &spec.checks, batch)?;
        check_lengths(&spec.name, &spec.schema, batch)?;
        let mut open = match self.current.take() {
            Some(open) => open,
            None => self.target.open(has_room(&**self.context.memory_pool()))?,
        };
        {
            let compute = self.compute.clone();
            let _timer = compute.timer();
            self.observe(&mut open, batch)?;
            if let Some(keys) = &mut self.keys {
                keys.add(batch, &self.hashes)?;
            }
            open.encoder.write(batch, &self.hashes).map_err(|error| StorageError::write(&open.path, error))?;
        }
        self.rows += batch.num_rows() as u64;
        self.rows_written.add(batch.num_rows());
        self.hand_on(&mut open).await?;
        let rows_max = self.target.spec.file_rows_max;
        // Another round of row groups would be a short one.
        let is_well_ended = open.encoder.is_between_groups() && open.rows >= rows_max / 2;
        let full = open.rows >= rows_max || open.encoder.file_bytes() >= FILE_BYTES_MAX || is_well_ended;
        self.current = Some(open);
        if full { self.finish_file().await } else { Ok(()) }
    }

    /// Buckets and statistics. The hash of a key of one column is also its sketch's.
    fn observe(&mut self, open: &mut OpenFile, batch: &RecordBatch) -> Result<(), StorageError> {
        open.rows += batch.num_rows() as u64;
        let key = &self.target.spec.distribution_key;
        let mut scratch = vec![];
        if !key.is_empty() {
            let columns: Vec<ArrayRef> = key.iter().map(|&position| Arc::clone(batch.column(position))).collect();
            placement::hash_rows(&columns, &mut self.hashes).map_err(|error| StorageError::WrongRows {
                table: self.target.spec.table,
                detail: error.to_string(),
            })?;
            let buckets = self.hashes.iter().map(|&hash| placement::bucket_of(hash));
            let (low, high) = buckets.fold((u16::MAX, 0), |(low, high), b| (low.min(b), high.max(b)));
            let (old_low, old_high) = open.buckets.unwrap_or((low, high));
            open.buckets = Some((old_low.min(low), old_high.max(high)));
            if let [position] = key[..] {
                open.stats[position].update_hashed(batch.column(position), &self.hashes);
            }
        }
        for (position, (stats, column)) in open.stats.iter_mut().zip(batch.columns()).enumerate() {
            if key[..] != [position] {
                stats.update(column, &mut scratch);
            }
        }
        Ok(())
    }

    /// Writes the row groups that are finished, and keeps the memory pool informed: where it has no more, the row group
    /// ends early.
    async fn hand_on(&mut self, open: &mut OpenFile) -> Result<()> {
        if self.reservation.try_resize(open.encoder.memory_bytes()).is_err() {
            let _timer = self.compute.timer();
            open.encoder.flush().map_err(|error| StorageError::write(&open.path, error))?;
        }
        if let Some(block) = open.encoder.take_block() {
            self.bytes_written.add(block.len());
            open.file.write_block(block.into()).await?;
        }
        self.reservation.try_resize(open.encoder.memory_bytes())?;
        Ok(())
    }

    async fn finish_file(&mut self) -> Result<()> {
        let Some(mut open) = self.current.take() else { return Ok(()) };
        let block = {
            let _timer = self.compute.timer();
            open.encoder.finish().map_err(|error| StorageError::write(&open.path, error))?
        };
        self.bytes_written.add(block.len());
        open.file.write_block(block.into()).await?;
        failpoint("write.before_sync");
        let finished = open.file.finish().await?;
        failpoint("write.after_sync");
        self.reservation.free();
        let entry = FileEntry {
            table: self.target.spec.table,
            content: self.target.content,
            path: open.path,
            rows: open.rows,
            bytes: finished.bytes,
            checksum: finished.checksum,
            buckets: open.buckets,
            columns: open.stats.into_iter().map(StatsCollector::finish).collect(),
            deletes: None,
            created: SnapshotId(0),
        };
        self.done.push((entry, finished));
        Ok(())
    }
}

impl TableWrite {
    /// # Errors
    /// [`StorageError::WrongRows`] if `input`'s columns are not the table's.
    pub(super) fn new(
        content: ContentId,
        files: Arc<TableFiles>,
        spec: WriteSpec,
        input: &[FieldRef],
    ) -> Result<Self, StorageError> {
        let wrong = |detail: String| StorageError::WrongRows { table: spec.table, detail };
        let want = &spec.schema;
        let wanted = want.fields().len() + spec.returning;
        if input.len() != wanted {
            return Err(wrong(format!("{} columns arrive for {wanted}", input.len())));
        }
        for (have, want) in input.iter().zip(want.fields()) {
            if have.data_type() != want.data_type() {
                let (name, have, want) = (want.name(), have.data_type(), want.data_type());
                return Err(wrong(format!("column {name} is {want} but {have} arrives")));
            }
        }
        if let Some(position) = spec.distribution_key.iter().find(|&&position| position >= want.fields().len()) {
            return Err(wrong(format!("the distribution key names column {position} of {}", want.fields().len())));
        }
        if let Some(sort) = spec.sorted_by.iter().find(|sort| sort.column >= want.fields().len()) {
            return Err(wrong(format!("the sort key names column {} of {}", sort.column, want.fields().len())));
        }
        let form = FileForm::new(&spec).map_err(|source| StorageError::write("table file", source))?;
        Ok(TableWrite { content, files, form: Arc::new(form), spec })
    }

    fn open(&self, may_divide: bool) -> Result<OpenFile, StorageError> {
        let path = format!("base/{}/{}.parquet", self.spec.table, Uuid::now_v7());
        let file = self.files.place.begin(&path)?;
        let encoder = FileEncoder::new(&self.form, may_divide);
        let stats = self.spec.schema.fields().iter().map(|field| StatsCollector::new(field.data_type())).collect();
        Ok(OpenFile { path, encoder, file, rows: 0, buckets: None, stats })
    }
}
