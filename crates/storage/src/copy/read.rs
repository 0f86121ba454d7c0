//! The operator that reads a segment's share of COPY FROM's files.

use super::csv::{CsvReader, Dialect};
use super::json::JsonReader;
use super::parquet::ParquetReader;
use crate::StorageError;
use crate::text::{RowError, parse_column, type_name};
use damson_cluster::{CopyFile, CopyFormat, CopyUnit, SourceAccess};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// A segment's share of a COPY FROM.
#[derive(Clone, Debug)]
pub struct CopyRead {
    pub format: CopyFormat,
    /// The target columns in the file's order, with their table types and nullability; then those that the files' directories give.
    pub schema: SchemaRef,
    /// How many of them directories give: see [`damson_cluster::CopyFile::partition`].
    pub partition_columns: usize,
    pub units: Vec<CopyUnit>,
    pub access: SourceAccess,
}

/// A leaf that reads units in order into rows of the schema.
///
/// A unit of text begins at a record's first byte (its file's, if it begins at 0: there a byte order mark and the header are
/// skipped) and holds the records that begin before its end. Parquet columns are matched by name when the file has all
/// the names, else by position, and cast with checks; members of JSON objects by name.
///
/// # Errors
/// A type that no table has (0A000); options that are not ASCII characters (22023). For the stream see [`CopyReadExec`].
pub fn copy_read(read: CopyRead) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let CopyRead { format, schema, partition_columns, units, access } = read;
    if let Some(field) = schema.fields().iter().find(|field| type_name(field.data_type()).is_none()) {
        return Err(StorageError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().to_string(),
            what: "COPY",
        });
    }
    let form = match &format {
        CopyFormat::Csv(options) => Form::Lines("csv", Arc::new(Dialect::csv(options)?)),
        CopyFormat::Text(options) => Form::Lines("text", Arc::new(Dialect::text(options)?)),
        CopyFormat::Json(_) => Form::Json,
        CopyFormat::Parquet(_) => Form::Parquet,
    };
    let in_files = schema.fields().len() - partition_columns;
    let file_schema = Arc::new(Schema::new(schema.fields()[..in_files].to_vec()));
    let properties = PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    Ok(Arc::new(CopyReadExec {
        form,
        file_schema,
        units,
        access,
        properties: Arc::new(properties),
        metrics: ExecutionPlanMetricsSet::new(),
    }))
}

/// Reads COPY FROM's files. Made by [`copy_read`].
///
/// # Distribution
/// One partition; the rows belong nowhere yet (strewn).
///
/// # Ordering
/// Rows come in the order of the units; none is declared.
///
/// # Memory
/// CSV: two blocks of [`crate::limits::COPY_BLOCK_BYTES`], or the longest record. Parquet: one row group's pages.
///
/// # Cancellation
/// Dropping the stream ends it; a block that is being read is finished in the background.
///
/// # Errors
/// [`StorageError::Record`] with file, line, column and value; [`StorageError::Column`]; [`StorageError::File`];
/// [`StorageError::Io`]. Rows before the first error may have been handed on.
#[derive(Debug)]
pub(crate) struct CopyReadExec {
    form: Form,
    /// Without the columns that directories give.
    file_schema: SchemaRef,
    units: Vec<CopyUnit>,
    access: SourceAccess,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for CopyReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let format = match self.form {
            Form::Lines(name, _) => name,
            Form::Json => "json",
            Form::Parquet => "parquet",
        };
        write!(f, "CopyRead: format={format}, units={}", self.units.len())
    }
}

impl ExecutionPlan for CopyReadExec {
    fn name(&self) -> &'static str {
        "CopyRead"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("CopyRead has one partition, not {}", partition + 1);
        }
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, 0);
        let reading = Reading {
            form: self.form.clone(),
            schema: self.schema(),
            file_schema: Arc::clone(&self.file_schema),
            units: self.units.clone().into(),
            access: self.access.clone(),
            memory: Arc::clone(context.memory_pool()),
            metrics,
            current: None,
        };
        let stream = futures::stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next_batch().await?.map(|batch| (batch, reading)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What the files hold.
#[derive(Clone, Debug)]
enum Form {
    /// CSV, or PostgreSQL's text; the name, for EXPLAIN.
    Lines(&'static str, Arc<Dialect>),
    Json,
    Parquet,
}

/// Units that are read one after the other.
struct Reading {
    form: Form,
    schema: SchemaRef,
    file_schema: SchemaRef,
    units: VecDeque<CopyUnit>,
    access: SourceAccess,
    memory: Arc<dyn MemoryPool>,
    metrics: BaselineMetrics,
    /// The unit that is read, and the values of its directories.
    current: Option<(Reader, Vec<ScalarValue>)>,
}

impl Reading {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((reader, given)) = &mut self.current {
                if let Some(batch) = reader.next_batch().await? {
                    let rows = batch.num_rows();
                    self.metrics.record_output(rows);
                    if given.is_empty() {
                        return Ok(Some(batch));
                    }
                    let mut columns = batch.columns().to_vec();
                    for value in given {
                        columns.push(value.to_array_of_size(rows)?);
                    }
                    return Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
                }
                self.current = None;
            }
            let Some(unit) = self.units.pop_front() else {
                self.metrics.done();
                return Ok(None);
            };
            let directories = &self.schema.fields()[self.file_schema.fields().len()..];
            let given = directories.iter().map(|field| given(unit.file(), field)).collect::<Result<Vec<_>, _>>()?;
            self.current = Some((self.reader(unit), given));
        }
    }

    fn reader(&self, unit: CopyUnit) -> Reader {
        let reservation = || MemoryConsumer::new("CopyRead").register(&self.memory);
        let (schema, units, access) = (Arc::clone(&self.file_schema), vec![unit], self.access.clone());
        match &self.form {
            Form::Json => Reader::Json(Box::new(JsonReader::new(schema, units, access, reservation()))),
            Form::Lines(_, dialect) => {
                let compute = self.metrics.elapsed_compute().clone();
                let dialect = Arc::clone(dialect);
                Reader::Csv(Box::new(CsvReader::new(dialect, schema, units, access, reservation(), compute)))
            }
            Form::Parquet => Reader::Parquet(Box::new(ParquetReader::new(schema, units, access))),
        }
    }
}

/// The value that a file's directories give a column.
///
/// # Errors
/// As of a value in the file.
fn given(file: &CopyFile, field: &Field) -> Result<ScalarValue, StorageError> {
    let wrong = |message: String, sqlstate| {
        let (path, column) = (file.url.clone(), field.name().clone());
        StorageError::Column { path, column, message, sqlstate }
    };
    let found = file.partition.iter().find(|(name, _)| name == field.name());
    let text = found.and_then(|(_, value)| value.as_deref());
    if text.is_none() && !field.is_nullable() {
        let message = format!("null value in column \"{}\" violates not-null constraint", field.name());
        return Err(wrong(message, "23502"));
    }
    let texts = [text.map(Cow::Borrowed)];
    let column = parse_column(field.data_type(), texts.into_iter()).map_err(|RowError { error, .. }| {
        let name = type_name(field.data_type()).unwrap_or_default();
        wrong(format!("{}: \"{}\"", error.message(&name), text.unwrap_or_default()), error.sqlstate())
    })?;
    ScalarValue::try_from_array(&column, 0).map_err(|error| wrong(error.to_string(), "XX000"))
}

enum Reader {
    Csv(Box<CsvReader>),
    Json(Box<JsonReader>),
    Parquet(Box<ParquetReader>),
}

impl Reader {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Reader::Csv(reader) => reader.next_batch().await,
            Reader::Json(reader) => reader.next_batch().await,
            Reader::Parquet(reader) => reader.next_batch().await,
        }
    }
}
