//! DELETE, UPDATE and MERGE on one segment: old rows to delete vectors, new ones to new files.

use super::WriteSpec;
use super::returned::Returned;
use super::table::{NewRows, TableWrite, TableWriter};
use crate::StorageError;
use crate::deletes::encode;
use crate::durable::Finished;
use crate::scan::TableFiles;
use crate::sink::{SinkExec, Target, Written};
use async_trait::async_trait;
use damson_cluster::{ContentId, DeleteVector, Modification, Once, RowChange, SnapshotId, failpoint};
use datafusion::arrow::array::{Array, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{filter, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type, Schema, UInt8Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What to change: decoded from a plan by the segment, handed to [`crate::TableStore::modify`].
#[derive(Clone, Debug)]
pub struct ModifySpec {
    /// Its files are those that `file` is a position in.
    pub write: WriteSpec,
    pub writes: Writes,
    /// Why an old row that comes twice is an error; None: it is changed once.
    pub once: Option<Once>,
}

/// What comes after `file` and `row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Nothing: rows are deleted.
    Nothing,
    /// The table's columns: each row is deleted, and written with these values.
    InPlace,
    /// A [`RowChange`] (UInt8), and the table's columns; `file` and `row` are NULL where there is no old row, the table's columns
    /// anything where there is no new one.
    AsTold,
}

/// See [`crate::TableStore::modify`].
pub(crate) fn modify(
    content: ContentId,
    files: Arc<TableFiles>,
    spec: ModifySpec,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let schema = input.schema();
    let lead: &[DataType] = match spec.writes {
        Writes::Nothing | Writes::InPlace => &[DataType::Int32, DataType::Int64],
        Writes::AsTold => &[DataType::Int32, DataType::Int64, DataType::UInt8],
    };
    let types: Vec<_> = schema.fields().iter().take(lead.len()).map(|field| field.data_type().clone()).collect();
    if types != lead {
        let detail = format!("rows are named by columns of {types:?}, not {lead:?}");
        return Err(StorageError::WrongRows { table: spec.write.table, detail });
    }
    let lead = lead.len();
    let rest = &schema.fields()[lead..];
    let write = match spec.writes {
        Writes::Nothing if rest.len() == spec.write.returning => None,
        Writes::Nothing => {
            let detail = format!("{} columns more than name the rows to delete", rest.len());
            return Err(StorageError::WrongRows { table: spec.write.table, detail });
        }
        Writes::InPlace | Writes::AsTold => {
            Some(TableWrite::new(content, Arc::clone(&files), spec.write.clone(), rest)?)
        }
    };
    let target = TableModify { content, files, spec, write, lead };
    Ok(Arc::new(SinkExec::new(input, Arc::new(target))))
}

#[derive(Debug)]
struct TableModify {
    content: ContentId,
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

    fn returning(&self) -> usize {
        self.spec.write.returning
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
        let mut writer = self.write.as_ref().map(|write| TableWriter::new(write, &context, metrics)).transpose()?;
        let mut returned = Returned::new(&self.spec.write, &context);
        let deleted = MetricBuilder::new(metrics).counter("rows_deleted", 0);
        let mut rows = 0;
        while let Some(batch) = input.next().await {
            let batch = batch?;
            let before = deleting.rows;
            let taken = deleting.take(&batch).await?;
            deleted.add((deleting.rows - before) as usize);
            rows += taken.counted;
            if let Some(writer) = &mut writer {
                let replaces = filter(&taken.replaces, &taken.written)?;
                writer.write_told(&self.new_rows(&batch, &taken.written)?, replaces.as_boolean()).await?;
            }
            returned.add_some(&batch, &taken.returned)?;
        }
        let new = match writer {
            Some(writer) => Some(writer.finish(&|file, row| deleting.has_deleted(file, row)).await?),
            None => None,
        };
        let (deletes, vectors) = deleting.finish().await?;
        let (adds, mut files) = new.map_or_else(Default::default, |NewRows { entries, files, .. }| (entries, files));
        files.extend(vectors);
        let report = serde_json::to_vec(&Modification { content: self.content, deletes, adds });
        let report = report.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Written { rows, report, files: Box::new(files), returned: returned.without(&Default::default())? })
    }
}

impl TableModify {
    /// The batch's rows to write, with the table's columns. The writer says which of them may not be NULL.
    fn new_rows(&self, batch: &RecordBatch, written: &BooleanArray) -> Result<RecordBatch> {
        let end = batch.num_columns() - self.spec.write.returning;
        let columns = batch.columns()[self.lead..end].to_vec();
        let schema = Arc::new(Schema::new(batch.schema_ref().fields()[self.lead..end].to_vec()));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
        if written.true_count() == rows.num_rows() { Ok(rows) } else { Ok(filter_record_batch(&rows, written)?) }
    }
}

/// What becomes of a batch.
struct Taken {
    /// True for each row that is to be written.
    written: BooleanArray,
    /// True for each row whose new one takes the old one's place, here or elsewhere.
    replaces: BooleanArray,
    /// True for each row that the statement gives back.
    returned: BooleanArray,
    /// Rows of the statement's count.
    counted: u64,
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
    /// Deletes the batch's old rows. What comes with a row that has been deleted before does not count.
    async fn take(&mut self, batch: &RecordBatch) -> Result<Taken> {
        let files: &Int32Array = batch.column(0).as_primitive::<Int32Type>();
        let rows: &Int64Array = batch.column(1).as_primitive::<Int64Type>();
        let told = match self.target.spec.writes {
            Writes::AsTold => Some(batch.column(2).as_primitive::<UInt8Type>().clone()),
            Writes::Nothing | Writes::InPlace => None,
        };
        let always = if self.target.write.is_some() { RowChange::Replace } else { RowChange::Delete };
        let mut written = Vec::with_capacity(batch.num_rows());
        let mut returned = Vec::with_capacity(batch.num_rows());
        let mut replaces = Vec::with_capacity(batch.num_rows());
        let mut counted = 0;
        for at in 0..batch.num_rows() {
            let change = match &told {
                Some(told) => RowChange::of(told.value(at)).ok_or_else(|| self.wrong("an unknown change of a row"))?,
                None => always,
            };
            let has_old = files.is_valid(at) && rows.is_valid(at);
            if change.deletes() != has_old {
                return Err(self.wrong(&format!("{change:?} of a row that is {has_old} there")));
            }
            let is_new = !change.deletes() || self.delete(files.value(at), rows.value(at)).await?;
            written.push(is_new && change.writes());
            replaces.push(change != RowChange::Insert);
            returned.push(is_new && change.returns());
            counted += u64::from(is_new && change.counts());
        }
        let bytes: usize = self.files.values().map(|file| file.rows.serialized_size()).sum();
        self.reservation.try_resize(bytes)?;
        Ok(Taken { written: written.into(), replaces: replaces.into(), returned: returned.into(), counted })
    }

    fn wrong(&self, detail: &str) -> DataFusionError {
        StorageError::WrongRows { table: self.target.spec.write.table, detail: detail.into() }.into()
    }

    /// Whether the statement deletes the row, or an earlier one has.
    fn has_deleted(&self, file: usize, row: u32) -> bool {
        self.files.get(&file).is_some_and(|deletes| deletes.rows.contains(row))
    }

    /// False if the statement has deleted the row before.
    async fn delete(&mut self, file: i32, row: i64) -> Result<bool> {
        let number = usize::try_from(file).ok().filter(|&number| number < self.target.spec.write.files.len());
        let number = number.ok_or_else(|| self.wrong(&format!("it has no file {file}")))?;
        let entry = &self.target.spec.write.files[number];
        let row = u32::try_from(row).ok().filter(|&row| u64::from(row) < entry.rows);
        let row = row.ok_or_else(|| self.wrong(&format!("{} has no such row", entry.path)))?;
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
        if let Some(once) = self.target.spec.once.filter(|_| !is_new) {
            let command = match once {
                Once::Copies => "UPDATE of a replicated table:",
                Once::Merge => "MERGE",
                Once::OnConflict => "ON CONFLICT DO UPDATE",
            };
            return Err(StorageError::Repeated { command }.into());
        }
        self.rows += u64::from(is_new);
        Ok(is_new)
    }

    /// Writes the vectors of the files that still have rows.
    async fn finish(self) -> Result<(Vec<(String, Option<DeleteVector>)>, Vec<Finished>)> {
        let (mut deletes, mut files) = (vec![], vec![]);
        for (number, file) in self.files {
            let entry = &self.target.spec.write.files[number];
            debug_assert!(file.rows.len() > file.before, "a file is here because a row of it was deleted");
            if file.rows.len() == entry.rows {
                deletes.push((entry.path.clone(), None));
                continue;
            }
            let path = format!("base/{}/{}.deletes", entry.table, Uuid::now_v7());
            let mut written = self.target.files.place.begin(&path)?;
            written.write_block(encode(&file.rows)).await?;
            let finished = written.finish().await?;
            failpoint("write.after_vector");
            let (bytes, checksum) = (finished.bytes, finished.checksum);
            let vector = DeleteVector { path, rows: file.rows.len(), bytes, checksum, created: SnapshotId(0) };
            deletes.push((entry.path.clone(), Some(vector)));
            files.push(finished);
        }
        Ok((deletes, files))
    }
}
