//! The operator that reads a segment's share of COPY FROM's files.

use super::csv::{CsvReader, Dialect};
use super::parquet::ParquetReader;
use crate::StorageError;
use crate::text::type_name;
use damson_cluster::{CopyFormat, CopyUnit};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use std::fmt;
use std::sync::Arc;

/// A leaf that reads `units` in order into rows of `schema`: the target columns in the file's order, with their table types
/// and nullability.
///
/// A CSV unit begins at a record's first byte (its file's, if it begins at 0: there a byte order mark and the header are
/// skipped) and holds the records that begin before its end. Parquet columns are matched by name when the file has all
/// the names, else by position, and cast with checks.
///
/// # Errors
/// A type that no table has (0A000); options that are not ASCII characters (22023). For the stream see [`CopyReadExec`].
pub fn copy_read(
    format: &CopyFormat,
    schema: &SchemaRef,
    units: Vec<CopyUnit>,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    if let Some(field) = schema.fields().iter().find(|field| type_name(field.data_type()).is_none()) {
        return Err(StorageError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().to_string(),
            what: "COPY",
        });
    }
    let dialect = match format {
        CopyFormat::Csv(options) => Some(Arc::new(Dialect::new(options)?)),
        CopyFormat::Parquet(_) => None,
    };
    let properties = PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    Ok(Arc::new(CopyReadExec {
        dialect,
        units,
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
    /// CSV's; None reads Parquet.
    dialect: Option<Arc<Dialect>>,
    units: Vec<CopyUnit>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for CopyReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let format = if self.dialect.is_some() { "csv" } else { "parquet" };
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
        let reader = match &self.dialect {
            Some(dialect) => {
                let reservation = MemoryConsumer::new("CopyRead").register(context.memory_pool());
                let compute = metrics.elapsed_compute().clone();
                let (dialect, units) = (Arc::clone(dialect), self.units.clone());
                Reader::Csv(Box::new(CsvReader::new(dialect, self.schema(), units, reservation, compute)))
            }
            None => Reader::Parquet(Box::new(ParquetReader::new(self.schema(), self.units.clone()))),
        };
        let stream = futures::stream::try_unfold((reader, metrics), |(mut reader, metrics)| async move {
            let Some(batch) = reader.next_batch().await? else {
                metrics.done();
                return Ok(None);
            };
            metrics.record_output(batch.num_rows());
            Ok(Some((batch, (reader, metrics))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

enum Reader {
    Csv(Box<CsvReader>),
    Parquet(Box<ParquetReader>),
}

impl Reader {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Reader::Csv(reader) => reader.next_batch().await,
            Reader::Parquet(reader) => reader.next_batch().await,
        }
    }
}
