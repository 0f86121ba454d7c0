//! The operator that scans a table's files.

use super::decode::{FILE_COLUMN, ROW_COLUMN};
use super::files::TableFiles;
use super::pruning::{Pruner, on_table};
use super::row_groups::{RowGroupChoice, RowGroups};
use super::shares::{Share, divide};
use super::stream::{PartitionScan, ScanMetrics};
use crate::StorageError;
use damson_cluster::{FileEntry, TableId};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, conjunction};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream, StatisticsArgs,
};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// Reads `projection` (positions in `table_schema`) of `files`, and with `row_ids` where each row is. See
/// [`crate::TableStore::scan`] and [`crate::TableStore::scan_with_row_ids`].
pub(crate) fn scan(
    files: Arc<TableFiles>,
    table_schema: &SchemaRef,
    projection: &[usize],
    entries: &[FileEntry],
    row_ids: bool,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    scan_chosen(files, table_schema, projection, entries, row_ids, partitions, None)
}

/// As [`scan`], of the row groups that are chosen.
pub(crate) fn scan_chosen(
    files: Arc<TableFiles>,
    table_schema: &SchemaRef,
    projection: &[usize],
    entries: &[FileEntry],
    row_ids: bool,
    partitions: usize,
    choice: Option<RowGroupChoice>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let table = entries.first().map(|file| file.table);
    let schema = table_schema.project(projection).map_err(|error| StorageError::WrongRows {
        table: table.unwrap_or(TableId(0)),
        detail: format!("could not plan its scan: {error}"),
    })?;
    let mut fields = schema.fields().to_vec();
    let mut projection = projection.to_vec();
    if row_ids {
        fields.extend(row_id_fields().map(Arc::new));
        projection.extend([FILE_COLUMN, ROW_COLUMN].map(|column| table_schema.fields().len() + column));
    }
    let schema = Schema::new(fields);
    let value_bytes = |position: usize| {
        entries.iter().filter_map(|file| file.columns.get(position)).map(|column| column.value_bytes).sum()
    };
    let shared = Shared {
        files,
        table: table_schema.clone(),
        table_id: table,
        file_count: entries.len(),
        rows: entries.iter().map(FileEntry::live_rows).sum(),
        value_bytes: (0..table_schema.fields().len()).map(value_bytes).collect(),
        shares: divide(entries, partitions.max(1)),
        choice,
    };
    Ok(Arc::new(TableFilesExec::new(Arc::new(shared), projection.into(), Arc::new(schema))))
}

/// Of [`FILE_COLUMN`] and [`ROW_COLUMN`].
fn row_id_fields() -> [Field; 2] {
    [
        Field::new(damson_cluster::FILE_COLUMN, DataType::Int32, false),
        Field::new(damson_cluster::ROW_COLUMN, DataType::Int64, false),
    ]
}

/// What a plan's rewrites leave as it is.
#[derive(Debug)]
struct Shared {
    files: Arc<TableFiles>,
    table: SchemaRef,
    /// None without files.
    table_id: Option<TableId>,
    file_count: usize,
    rows: u64,
    /// By column of the table.
    value_bytes: Vec<u64>,
    /// By partition.
    shares: Vec<Vec<Share>>,
    choice: Option<RowGroupChoice>,
}

/// Reads columns of a table's files, row group by row group, from the node's cache of decoded columns or from the files.
/// Made by [`crate::TableStore::scan`]. EXPLAIN calls it `TableScan`.
///
/// Filters that are pushed into it, dynamic ones too, are only compared with what is known of the rows before they are read; whoever pushed
/// them still has to apply them. In this order: a file's statistics, as far as they came with its entry, before it is opened; row groups'
/// statistics, each time that one is begun; and when a file is begun, where they have such, Bloom filters, for equality and IN, and page
/// indexes, for pieces of [`CHUNK_ROWS`](crate::limits::CHUNK_ROWS); of what is in the cache, the bounds of its pieces. A projection that selects
/// columns and a limit become its own.
///
/// # Distribution
/// The rows of one segment's files, in as many partitions as it was asked for, about equal in bytes.
///
/// # Ordering
/// None is declared.
///
/// # Memory
/// A partition: the encoded bytes of the columns that were not in the cache, of one row group and the next; one batch; and
/// the columns that it decodes for the cache, which the cache bounds. None of it is taken from the query's memory pool.
///
/// # Cancellation
/// Dropping the stream ends it; reads in progress finish in the background. It yields to the runtime between batches, also
/// where everything is in the cache.
///
/// # Errors
/// [`StorageError::Missing`], [`StorageError::Corrupt`], [`StorageError::Io`].
#[derive(Clone, Debug)]
pub(crate) struct TableFilesExec {
    shared: Arc<Shared>,
    /// Positions in the table, and after it [`FILE_COLUMN`] and [`ROW_COLUMN`].
    projection: Arc<[usize]>,
    /// On the table's columns.
    predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Rows that a partition yields at most.
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TableFilesExec {
    /// `schema` is that of `projection`, maybe under other names.
    fn new(shared: Arc<Shared>, projection: Arc<[usize]>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(shared.shares.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        TableFilesExec {
            shared,
            projection,
            predicate: None,
            fetch: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// A plan that was changed counts anew.
    fn changed(&self, change: impl FnOnce(&mut Self)) -> Arc<dyn ExecutionPlan> {
        let mut changed = TableFilesExec { metrics: ExecutionPlanMetricsSet::new(), ..self.clone() };
        change(&mut changed);
        Arc::new(changed)
    }
}

impl DisplayAs for TableFilesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("TableScan: ")?;
        if let Some(table) = self.shared.table_id {
            write!(f, "table={table}, ")?;
        }
        let name = |&position: &usize| match position.checked_sub(self.shared.table.fields().len()) {
            None => self.shared.table.field(position).name().as_str(),
            Some(FILE_COLUMN) => damson_cluster::FILE_COLUMN,
            Some(_) => damson_cluster::ROW_COLUMN,
        };
        let names: Vec<&str> = self.projection.iter().map(name).collect();
        write!(f, "files={}, columns=[{}]", self.shared.file_count, names.join(", "))?;
        if let Some(predicate) = &self.predicate {
            write!(f, ", pruning={predicate}")?;
        }
        if let Some(fetch) = self.fetch {
            write!(f, ", fetch={fetch}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for TableFilesExec {
    fn name(&self) -> &'static str {
        "TableScan"
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

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.len() {
            0 => Ok(self),
            count => internal_err!("a table scan has no children, not {count}"),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.changed(|_| ()))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let shared = &self.shared;
        let Some(shares) = shared.shares.get(partition) else {
            return internal_err!("a table scan has {} partitions, not {}", shared.shares.len(), partition + 1);
        };
        let metrics = ScanMetrics::new(&self.metrics, partition);
        let pruner = self.predicate.as_ref().map(|p| Pruner::new(Arc::clone(p), Arc::clone(&shared.table)));
        let counts = metrics.pruning.clone();
        let scan = PartitionScan {
            files: Arc::clone(&shared.files),
            row_groups: RowGroups::new(Arc::clone(&shared.files), shares, pruner, shared.choice.clone(), counts),
            table: Arc::clone(&shared.table),
            projection: Arc::clone(&self.projection),
            schema: self.schema(),
            rows_left: self.fetch,
            metrics,
        };
        let stream = RecordBatchStreamAdapter::new(self.schema(), scan.stream().boxed());
        Ok(Box::pin(cooperative(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Rows and bytes of the projected columns, declared inexact so that no rule answers a query from them.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if args.partition().is_none() || self.shared.shares.len() == 1 {
            let bytes =
                self.projection.iter().filter_map(|&position| self.shared.value_bytes.get(position)).sum::<u64>();
            statistics.num_rows = Precision::Inexact(self.shared.rows as usize);
            statistics.total_byte_size = Precision::Inexact(bytes as usize);
        }
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(self.changed(|scan| scan.fetch = limit))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    /// Takes over projections that select, reorder and rename columns.
    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let positions = projection.expr().iter().map(|selected| {
            let column = selected.expr.downcast_ref::<Column>()?;
            self.projection.get(column.index()).copied()
        });
        let Some(positions) = positions.collect::<Option<Arc<[usize]>>>() else { return Ok(None) };
        let mut scan = TableFilesExec::new(Arc::clone(&self.shared), positions, projection.schema());
        scan.predicate = self.predicate.clone();
        scan.fetch = self.fetch;
        Ok(Some(Arc::new(scan)))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let answer = vec![PushedDown::No; pushed.parent_filters.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(answer);
        // The rows that a limit counts are taken before the filter above it.
        if self.fetch.is_some() {
            return Ok(answer);
        }
        let (output, table) = (self.schema(), &self.shared.table);
        let filters = pushed.parent_filters.into_iter();
        let filters = filters.filter_map(|asked| on_table(asked.filter, &output, &self.projection, table));
        let filters: Vec<_> = filters.collect();
        if filters.is_empty() {
            return Ok(answer);
        }
        let predicate = conjunction(self.predicate.iter().cloned().chain(filters));
        Ok(answer.with_updated_node(self.changed(|scan| scan.predicate = Some(predicate))))
    }
}
