//! The table writer: rows to new Parquet files, and their catalog entries.

use super::stats::StatsCollector;
use crate::StorageError;
use crate::durable::{DurableFile, Finished};
use crate::interval::{stored_schema, to_stored};
use crate::limits::{FILE_BYTES_MAX, FILE_ROWS_MAX, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};
use crate::sink::{SinkExec, Target, Written};
use async_trait::async_trait;
use damson_cluster::placement;
use damson_cluster::{Compression, ContentId, FileEntry, SnapshotId, TableId, failpoint};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// What to write: decoded from a plan by the segment, handed to [`crate::TableStore::write`].
#[derive(Clone, Debug)]
pub struct WriteSpec {
    pub table: TableId,
    /// The table's columns. A column that is not nullable refuses NULL.
    pub schema: SchemaRef,
    pub compression: Compression,
    /// Positions of the key's columns in its order; empty: rows have no bucket.
    pub distribution_key: Vec<usize>,
    /// Rows after which the next file begins; [`FILE_ROWS_MAX`] unless a test says otherwise.
    pub file_rows_max: u64,
}

impl WriteSpec {
    pub fn new(table: TableId, schema: SchemaRef, compression: Compression, distribution_key: Vec<usize>) -> Self {
        WriteSpec { table, schema, compression, distribution_key, file_rows_max: FILE_ROWS_MAX }
    }
}

/// See [`crate::TableStore::write`].
pub(crate) fn plan(
    content: ContentId,
    data_dir: &Path,
    spec: WriteSpec,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let target = TableWrite::new(content, data_dir, spec, input.schema().fields())?;
    Ok(Arc::new(SinkExec::new(input, Arc::new(target))))
}

fn properties(compression: Compression) -> datafusion::parquet::errors::Result<WriterProperties> {
    let compression = match compression {
        Compression::None => ParquetCompression::UNCOMPRESSED,
        Compression::Snappy => ParquetCompression::SNAPPY,
        Compression::Lz4 => ParquetCompression::LZ4_RAW,
        Compression::Zstd(level) => ParquetCompression::ZSTD(ZstdLevel::try_new(level)?),
    };
    Ok(WriterProperties::builder()
        .set_created_by(concat!("damson ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        // Row groups are pruned by their statistics; page indexes would double the footers for tables that are
        // seldom sorted.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build())
}

/// One segment's writer of a table.
#[derive(Debug)]
pub(super) struct TableWrite {
    pub(super) content: ContentId,
    pub(super) data_dir: PathBuf,
    pub(super) spec: WriteSpec,
    /// The schema of the files: see [`stored_schema`].
    stored: SchemaRef,
    properties: WriterProperties,
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

    async fn write(
        &self,
        mut input: SendableRecordBatchStream,
        context: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Written> {
        let mut writer = TableWriter::new(self, &context, metrics);
        while let Some(batch) = input.next().await {
            writer.write(&batch?).await?;
        }
        let rows = writer.rows;
        let (entries, files) = writer.finish().await?;
        let report = serde_json::to_vec(&entries).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files })
    }
}

/// Writes batches to one file after the other.
pub(super) struct TableWriter<'a> {
    target: &'a TableWrite,
    current: Option<OpenFile>,
    done: Vec<(FileEntry, Finished)>,
    rows: u64,
    hashes: Vec<u64>,
    reservation: MemoryReservation,
    compute: Time,
    rows_written: Count,
    bytes_written: Count,
}

/// A file that is being written.
struct OpenFile {
    /// As in [`FileEntry::path`].
    path: String,
    encoder: ArrowWriter<Vec<u8>>,
    file: DurableFile,
    rows: u64,
    buckets: Option<(u16, u16)>,
    stats: Vec<StatsCollector>,
}

impl<'a> TableWriter<'a> {
    pub(super) fn new(target: &'a TableWrite, context: &TaskContext, metrics: &ExecutionPlanMetricsSet) -> Self {
        let reservation = MemoryConsumer::new(format!("TableWrite[{}]", target.spec.table));
        TableWriter {
            target,
            current: None,
            done: Vec::new(),
            rows: 0,
            hashes: Vec::new(),
            reservation: reservation.register(context.memory_pool()),
            compute: MetricBuilder::new(metrics).subset_time("encode_time", 0),
            rows_written: MetricBuilder::new(metrics).counter("rows_written", 0),
            bytes_written: MetricBuilder::new(metrics).counter("bytes_written", 0),
        }
    }

    /// What was written; the files stay once they are kept.
    pub(super) async fn finish(mut self) -> Result<(Vec<FileEntry>, Vec<Finished>)> {
        self.finish_file().await?;
        Ok(self.done.into_iter().unzip())
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.check_nulls(batch)?;
        let mut open = match self.current.take() {
            Some(open) => open,
            None => self.target.open().await?,
        };
        {
            let compute = self.compute.clone();
            let _timer = compute.timer();
            self.observe(&mut open, batch)?;
            let columns = batch.columns().iter().map(to_stored).collect::<Result<Vec<ArrayRef>, _>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let stored = RecordBatch::try_new_with_options(Arc::clone(&self.target.stored), columns, &options)?;
            open.encoder.write(&stored).map_err(|error| StorageError::write(&open.path, error))?;
        }
        self.rows += batch.num_rows() as u64;
        self.rows_written.add(batch.num_rows());
        self.hand_on(&mut open).await?;
        let full = open.rows >= self.target.spec.file_rows_max || open.bytes() >= FILE_BYTES_MAX;
        self.current = Some(open);
        if full { self.finish_file().await } else { Ok(()) }
    }

    fn check_nulls(&self, batch: &RecordBatch) -> Result<(), StorageError> {
        let fields = self.target.spec.schema.fields();
        match fields.iter().zip(batch.columns()).find(|(field, column)| !field.is_nullable() && column.null_count() > 0)
        {
            None => Ok(()),
            Some((field, _)) => {
                Err(StorageError::NotNull { table: self.target.spec.table, column: field.name().clone() })
            }
        }
    }

    /// Buckets and statistics. The hash of a key of one column is also its sketch's.
    fn observe(&mut self, open: &mut OpenFile, batch: &RecordBatch) -> Result<(), StorageError> {
        open.rows += batch.num_rows() as u64;
        let key = &self.target.spec.distribution_key;
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
                stats.update(column, &mut self.hashes);
            }
        }
        Ok(())
    }

    /// Writes the row groups that are finished, and keeps the memory pool informed: where it has no more, the row group
    /// ends early.
    async fn hand_on(&mut self, open: &mut OpenFile) -> Result<()> {
        if self.reservation.try_resize(open.encoder.memory_size()).is_err() {
            let _timer = self.compute.timer();
            open.encoder.flush().map_err(|error| StorageError::write(&open.path, error))?;
        }
        if !open.encoder.inner().is_empty() {
            let block = std::mem::take(open.encoder.inner_mut());
            self.bytes_written.add(block.len());
            open.file.write_block(block.into()).await?;
        }
        self.reservation.try_resize(open.encoder.memory_size())?;
        Ok(())
    }

    async fn finish_file(&mut self) -> Result<()> {
        let Some(mut open) = self.current.take() else { return Ok(()) };
        {
            let _timer = self.compute.timer();
            open.encoder.finish().map_err(|error| StorageError::write(&open.path, error))?;
        }
        let block = std::mem::take(open.encoder.inner_mut());
        self.bytes_written.add(block.len());
        open.file.write_block(block.into()).await?;
        failpoint("write.before_sync");
        let finished = open.file.finish(None).await?;
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

impl OpenFile {
    fn bytes(&self) -> u64 {
        (self.encoder.bytes_written() + self.encoder.in_progress_size()) as u64
    }
}

impl TableWrite {
    /// # Errors
    /// [`StorageError::WrongRows`] if `input`'s columns are not the table's.
    pub(super) fn new(
        content: ContentId,
        data_dir: &Path,
        spec: WriteSpec,
        input: &[FieldRef],
    ) -> Result<Self, StorageError> {
        let wrong = |detail: String| StorageError::WrongRows { table: spec.table, detail };
        let want = &spec.schema;
        if input.len() != want.fields().len() {
            return Err(wrong(format!("{} columns arrive for {}", input.len(), want.fields().len())));
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
        let properties = properties(spec.compression).map_err(|source| StorageError::write("table file", source))?;
        Ok(TableWrite { content, data_dir: data_dir.to_owned(), stored: stored_schema(want), properties, spec })
    }

    async fn open(&self) -> Result<OpenFile, StorageError> {
        let path = format!("base/{}/{}.parquet", self.spec.table, Uuid::now_v7());
        let file = DurableFile::create(self.data_dir.join(&path)).await?;
        let encoder = ArrowWriter::try_new(Vec::new(), Arc::clone(&self.stored), Some(self.properties.clone()))
            .map_err(|error| StorageError::write(&path, error))?;
        let stats = self.spec.schema.fields().iter().map(|field| StatsCollector::new(field.data_type())).collect();
        Ok(OpenFile { path, encoder, file, rows: 0, buckets: None, stats })
    }
}
