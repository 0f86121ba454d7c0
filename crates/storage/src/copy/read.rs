//! The operator that reads a segment's share of COPY FROM's files.

use super::bad_rows::BadRows;
use super::column::FileColumns;
use super::csv::Dialect;
use super::error_log::ErrorLogWriter;
use super::json::Names;
use super::progress::CopyProgress;
use super::reading::{Form, Reading};
use crate::StorageError;
use crate::scan::{Pruner, on_table};
use crate::text::type_name;
use damson_cluster::{ContentId, CopyFormat, CopyUnit, OnBadRow, SourceAccess, bad_row_schema};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::conjunction;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// A segment's share of a COPY FROM.
pub struct CopyRead {
    /// The segment that reads, as reports of bad rows name it.
    pub content: ContentId,
    pub format: CopyFormat,
    /// The target columns in the file's order, with their table types and nullability; those that the files' directories give among them.
    pub schema: SchemaRef,
    /// Positions in `schema` of those: see [`damson_cluster::CopyFile::partition`].
    pub partition_columns: Vec<usize>,
    /// By column: characters that a text may have, the spaces at its end not counted.
    pub max_chars: Vec<Option<usize>>,
    pub units: Vec<CopyUnit>,
    pub on_bad_row: OnBadRow,
    pub access: SourceAccess,
    pub progress: Arc<CopyProgress>,
    /// Where bad rows go that are rejected with `log`.
    pub error_log: Option<ErrorLogWriter>,
}

/// A leaf that reads units in order into rows of the schema; of [`OnBadRow::Report`] into its bad rows, as [`bad_row_schema`] has them.
///
/// A unit of text begins at a record's first byte (its file's, if it begins at 0: there a byte order mark and the header are
/// skipped) and holds the records that begin before its end. Parquet columns are matched by name when the file has all
/// the names, else by position, and cast with checks; members of JSON objects by name.
///
/// # Errors
/// A type that no table has (0A000); options that are not ASCII characters (22023). For the stream see [`CopyReadExec`].
///
/// # Panics
/// If `max_chars` are not as many as the columns.
pub fn copy_read(read: CopyRead) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let all: Vec<usize> = (0..read.schema.fields().len()).collect();
    copy_read_columns(read, &all)
}

/// As [`copy_read`], the columns at the positions `projection` alone: the others are not decoded, and what is wrong with them is not
/// noticed. Filters that are pushed into the leaf are compared with the values of the files' directories and with the statistics of
/// Parquet's row groups, so that units and row groups are left out; whoever pushed them still has to apply them.
///
/// # Errors
/// As [`copy_read`].
///
/// # Panics
/// As [`copy_read`], and if `projection` has a position that is none.
pub fn copy_read_columns(read: CopyRead, projection: &[usize]) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let CopyRead { content, format, schema, partition_columns, max_chars, units, on_bad_row, .. } = read;
    assert_eq!(max_chars.len(), schema.fields().len(), "each column has its limit or none");
    if let Some(field) = schema.fields().iter().find(|field| type_name(field.data_type()).is_none()) {
        return Err(StorageError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().to_string(),
            what: "COPY",
        });
    }
    let in_files: Vec<usize> =
        (0..schema.fields().len()).filter(|column| !partition_columns.contains(column)).collect();
    let wanted = projection.iter().filter_map(|column| in_files.iter().position(|in_file| in_file == column));
    let fields: Vec<_> = in_files.iter().map(|&column| Arc::clone(&schema.fields()[column])).collect();
    let in_files_max_chars = in_files.iter().map(|&column| max_chars[column]).collect();
    let columns = FileColumns::new(Arc::new(Schema::new(fields)), in_files_max_chars, wanted.collect());
    // Whose a member is all names tell; its value need not be known.
    let names = Names::new(&columns.schema, &columns.wanted);
    let columns = if matches!(format, CopyFormat::Json(_)) { columns.without_others() } else { columns };
    let max_chars = projection.iter().map(|&column| max_chars[column]).collect();
    let schema = Arc::new(schema.project(projection).expect("what is read is a target"));
    let form = match &format {
        CopyFormat::Csv(options) => Form::Lines("csv", Arc::new(Dialect::csv(options)?)),
        CopyFormat::Text(options) => Form::Lines("text", Arc::new(Dialect::text(options)?)),
        CopyFormat::Json(_) => Form::Json(Arc::new(names)),
        CopyFormat::Parquet(_) => Form::Parquet,
    };
    let shown = if on_bad_row == OnBadRow::Report { bad_row_schema() } else { Arc::clone(&schema) };
    let properties = PlanProperties::new(
        EquivalenceProperties::new(shown),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    Ok(Arc::new(CopyReadExec {
        content,
        form,
        schema,
        columns: Arc::new(columns),
        max_chars,
        units,
        on_bad_row,
        access: read.access,
        progress: read.progress,
        error_log: Arc::new(Mutex::new(read.error_log)),
        predicate: None,
        properties: Arc::new(properties),
        metrics: ExecutionPlanMetricsSet::new(),
    }))
}

/// Reads COPY FROM's files. Made by [`copy_read`]; runs once.
///
/// # Distribution
/// One partition; the rows belong nowhere yet (strewn).
///
/// # Ordering
/// Rows come in the order of the units; none is declared.
///
/// # Memory
/// Text: two blocks of [`crate::limits::COPY_BLOCK_BYTES`], or the longest record, twice as much where it is decoded; of bad rows those of
/// one batch. Parquet: one row group's pages.
///
/// # Cancellation
/// Dropping the stream ends it; a block that is being read or decoded is finished in the background. What was logged last may be lost.
///
/// # Errors
/// [`StorageError::Record`] with file, line, column and value; [`StorageError::Column`]; [`StorageError::File`];
/// [`StorageError::Io`]; [`StorageError::RejectLimit`]. Rows before the first error may have been handed on.
#[derive(Clone)]
pub(crate) struct CopyReadExec {
    content: ContentId,
    form: Form,
    schema: SchemaRef,
    /// Without those that directories give.
    columns: Arc<FileColumns>,
    /// Of all columns.
    max_chars: Vec<Option<usize>>,
    units: Vec<CopyUnit>,
    on_bad_row: OnBadRow,
    access: SourceAccess,
    progress: Arc<CopyProgress>,
    /// Taken by the stream.
    error_log: Arc<Mutex<Option<ErrorLogWriter>>>,
    /// On the output.
    predicate: Option<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for CopyReadExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("CopyReadExec");
        out.field("form", &self.form).field("units", &self.units).field("on_bad_row", &self.on_bad_row);
        out.finish_non_exhaustive()
    }
}

impl DisplayAs for CopyReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "CopyRead: format={}, units={}", self.form.name(), self.units.len())?;
        match &self.predicate {
            Some(predicate) => write!(f, ", pruning={predicate}"),
            None => Ok(()),
        }
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.predicate.as_ref().map_or(Ok(TreeNodeRecursion::Continue), f)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("CopyRead has one partition, not {}", partition + 1);
        }
        let error_log = self.error_log.lock().take();
        if error_log.is_none() && matches!(self.on_bad_row, OnBadRow::Reject { log: true, .. }) {
            return internal_err!("CopyRead has no error log, or runs a second time");
        }
        let reading = Reading {
            content: self.content,
            form: self.form.clone(),
            schema: Arc::clone(&self.schema),
            columns: Arc::clone(&self.columns),
            max_chars: self.max_chars.clone(),
            units: self.units.clone().into(),
            access: self.access.clone(),
            progress: Arc::clone(&self.progress),
            pruner: self.predicate.as_ref().map(|p| Pruner::new(Arc::clone(p), Arc::clone(&self.schema))),
            bad: BadRows::new(self.on_bad_row, error_log, Arc::clone(&self.progress)),
            memory: Arc::clone(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, 0),
            current: None,
        };
        let stream = futures::stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next_batch().await?.map(|batch| (batch, reading)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(ExecutionPlan::schema(self), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// A report is of all rows.
    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let answer = vec![PushedDown::No; pushed.parent_filters.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(answer);
        let can_prune = matches!(self.form, Form::Parquet) || self.schema.fields().len() > self.columns.wanted.len();
        if !can_prune || self.on_bad_row == OnBadRow::Report {
            return Ok(answer);
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let filters = pushed.parent_filters.into_iter();
        let filters = filters.filter_map(|asked| on_table(asked.filter, &self.schema, &all, &self.schema));
        let filters: Vec<_> = filters.collect();
        if filters.is_empty() {
            return Ok(answer);
        }
        let predicate = Some(conjunction(self.predicate.iter().cloned().chain(filters)));
        let read = CopyReadExec { predicate, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() };
        Ok(answer.with_updated_node(Arc::new(read)))
    }
}
