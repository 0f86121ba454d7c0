//! DELETE and UPDATE on one segment: rows to delete vectors, and the rows that take their place to new files.

use super::WriteSpec;
use super::table::{TableWrite, TableWriter};
use crate::StorageError;
use crate::deletes::encode;
use crate::durable::{DurableFile, Finished};
use crate::scan::TableFiles;
use crate::sink::{SinkExec, Target, Written};
use async_trait::async_trait;
use damson_cluster::{ContentId, DeleteVector, FileEntry, Modification, SnapshotId, failpoint};
use datafusion::arrow::array::{Array, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// What to change: decoded from a plan by the segment, handed to [`crate::TableStore::modify`].
#[derive(Clone, Debug)]
pub struct ModifySpec {
    pub write: WriteSpec,
    /// This segment's files at the statement's snapshot; `file` is a position in it.
    pub files: Vec<FileEntry>,
    pub writes: Writes,
    /// A row that comes twice is an error.
    pub once: bool,
}

/// What comes after `file` and `row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Nothing: rows are deleted.
    Nothing,
    /// The table's columns: each row is deleted, and written with these values.
    InPlace,
    /// `file` and `row` may be NULL. Then `inserted` (Boolean), and the table's columns: a row is deleted unless `row` is NULL,
    /// and written where `inserted` is true.
    Split,
}

/// See [`crate::TableStore::modify`].
pub(crate) fn modify(
    content: ContentId,
    data_dir: &Path,
    files: Arc<TableFiles>,
    spec: ModifySpec,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let schema = input.schema();
    let lead: &[DataType] = match spec.writes {
        Writes::Nothing | Writes::InPlace => &[DataType::Int32, DataType::Int64],
        Writes::Split => &[DataType::Int32, DataType::Int64, DataType::Boolean],
    };
    let types: Vec<_> = schema.fields().iter().take(lead.len()).map(|field| field.data_type().clone()).collect();
    if types != lead {
        let detail = format!("rows are named by columns of {types:?}, not {lead:?}");
        return Err(StorageError::WrongRows { table: spec.write.table, detail });
    }
    let lead = lead.len();
    let rest = &schema.fields()[lead..];
    let write = match spec.writes {
        Writes::Nothing if rest.is_empty() => None,
        Writes::Nothing => {
            let detail = format!("{} columns more than name the rows to delete", rest.len());
            return Err(StorageError::WrongRows { table: spec.write.table, detail });
        }
        Writes::InPlace | Writes::Split => Some(TableWrite::new(content, data_dir, spec.write.clone(), rest)?),
    };
    let target = TableModify { content, data_dir: data_dir.into(), files, spec, write, lead };
    Ok(Arc::new(SinkExec::new(input, Arc::new(target))))
}

#[derive(Debug)]
struct TableModify {
    content: ContentId,
    data_dir: Box<Path>,
    files: Arc<TableFiles>,
    spec: ModifySpec,
    /// None where nothing is written.
    write: Option<TableWrite>,
    /// Columns before the table's.
    lead: usize,
}

#[async_trait]
impl Target for TableModify {
    fn name(&self) -> &'static str {
        "TableModify"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table={}, writes={:?}", self.spec.write.table, self.spec.writes)
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
        let consumer = MemoryConsumer::new(format!("TableModify[{}]", self.spec.write.table));
        let reservation = consumer.register(context.memory_pool());
        let mut deleting = Deleting { target: self, files: BTreeMap::new(), rows: 0, reservation };
        let mut writer = self.write.as_ref().map(|write| TableWriter::new(write, &context, metrics));
        let deleted = MetricBuilder::new(metrics).counter("rows_deleted", 0);
        while let Some(batch) = input.next().await {
            let batch = batch?;
            let before = deleting.rows;
            let inserted = deleting.take(&batch).await?;
            deleted.add((deleting.rows - before) as usize);
            if let Some(writer) = &mut writer {
                writer.write(&self.new_rows(&batch, &inserted)?).await?;
            }
        }
        let (adds, mut files) = match writer {
            Some(writer) => writer.finish().await?,
            None => (vec![], vec![]),
        };
        let rows = deleting.rows;
        let (deletes, vectors) = deleting.finish().await?;
        files.extend(vectors);
        let report = serde_json::to_vec(&Modification { content: self.content, deletes, adds });
        let report = report.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files })
    }
}

impl TableModify {
    /// The batch's rows to write, with the table's columns. The writer says which of them may not be NULL.
    fn new_rows(&self, batch: &RecordBatch, inserted: &BooleanArray) -> Result<RecordBatch> {
        let columns = batch.columns()[self.lead..].to_vec();
        let schema = Arc::new(Schema::new(batch.schema_ref().fields()[self.lead..].to_vec()));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
        if inserted.true_count() == rows.num_rows() { Ok(rows) } else { Ok(filter_record_batch(&rows, inserted)?) }
    }
}

/// The rows that a statement deletes.
struct Deleting<'a> {
    target: &'a TableModify,
    /// By position.
    files: BTreeMap<usize, FileDeletes>,
    rows: u64,
    reservation: MemoryReservation,
}

/// The deleted rows of one file: those of earlier statements and this one's.
struct FileDeletes {
    before: u64,
    rows: RoaringBitmap,
}

impl Deleting<'_> {
    /// Deletes the batch's rows; true for each row that is to be written, and has not been before.
    async fn take(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let files: &Int32Array = batch.column(0).as_primitive::<Int32Type>();
        let rows: &Int64Array = batch.column(1).as_primitive::<Int64Type>();
        let inserts = match self.target.spec.writes {
            Writes::Split => Some(batch.column(2).as_boolean().clone()),
            Writes::Nothing | Writes::InPlace => None,
        };
        let mut inserted = Vec::with_capacity(batch.num_rows());
        for at in 0..batch.num_rows() {
            let is_new = if files.is_null(at) { true } else { self.delete(files.value(at), rows.value(at)).await? };
            inserted.push(is_new && inserts.as_ref().is_none_or(|inserts| inserts.value(at)));
        }
        let bytes: usize = self.files.values().map(|file| file.rows.serialized_size()).sum();
        self.reservation.try_resize(bytes)?;
        Ok(inserted.into())
    }

    /// False if the statement has deleted the row before.
    async fn delete(&mut self, file: i32, row: i64) -> Result<bool> {
        let wrong = |detail: String| {
            let table = self.target.spec.write.table;
            DataFusionError::External(Box::new(StorageError::WrongRows { table, detail }))
        };
        let number = usize::try_from(file).ok().filter(|&number| number < self.target.spec.files.len());
        let number = number.ok_or_else(|| wrong(format!("it has no file {file}")))?;
        let entry = &self.target.spec.files[number];
        let row = u32::try_from(row).ok().filter(|&row| u64::from(row) < entry.rows);
        let row = row.ok_or_else(|| wrong(format!("{} has no such row", entry.path)))?;
        if !self.files.contains_key(&number) {
            let rows = match &entry.deletes {
                Some(vector) => {
                    let rows = self.target.files.deletes.get(entry.table, vector).await;
                    let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
                    RoaringBitmap::clone(&rows)
                }
                None => RoaringBitmap::new(),
            };
            self.files.insert(number, FileDeletes { before: rows.len(), rows });
        }
        let is_new = self.files.get_mut(&number).is_some_and(|file| file.rows.insert(row));
        if !is_new && self.target.spec.once {
            let error = StorageError::Repeated { table: self.target.spec.write.table };
            return Err(DataFusionError::External(Box::new(error)));
        }
        self.rows += u64::from(is_new);
        Ok(is_new)
    }

    /// Writes the vectors of the files that still have rows.
    async fn finish(self) -> Result<(Vec<(String, Option<DeleteVector>)>, Vec<Finished>)> {
        let (mut deletes, mut files) = (vec![], vec![]);
        for (number, file) in self.files {
            let entry = &self.target.spec.files[number];
            debug_assert!(file.rows.len() > file.before, "a file is here because a row of it was deleted");
            if file.rows.len() == entry.rows {
                deletes.push((entry.path.clone(), None));
                continue;
            }
            let path = format!("base/{}/{}.deletes", entry.table, Uuid::now_v7());
            let mut written = DurableFile::create(self.target.data_dir.join(&path)).await?;
            written.write_block(encode(&file.rows)).await?;
            let finished = written.finish(None).await?;
            failpoint("write.after_vector");
            let (bytes, checksum) = (finished.bytes, finished.checksum);
            let vector = DeleteVector { path, rows: file.rows.len(), bytes, checksum, created: SnapshotId(0) };
            deletes.push((entry.path.clone(), Some(vector)));
            files.push(finished);
        }
        Ok((deletes, files))
    }
}
