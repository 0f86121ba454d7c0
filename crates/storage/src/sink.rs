//! The operator at the top of a writing slice: drains its input into files and yields one row that says what it wrote.

use crate::durable::Finished;
use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, UInt64Array, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
};
use futures::{Stream, StreamExt, TryStreamExt};
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// Where a [`SinkExec`]'s rows go.
#[async_trait]
pub(crate) trait Target: Debug + Send + Sync + 'static {
    /// The operator's name in EXPLAIN.
    fn name(&self) -> &'static str;

    /// What EXPLAIN shows after the name.
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result;

    /// The report's columns in order: `files` and `rows`.
    fn columns(&self) -> [&'static str; 2];

    /// Columns at the input's end that come back for the rows that were written, before the report.
    fn returning(&self) -> usize {
        0
    }

    /// Writes all of `input`. Dropping the future, or what it returns, removes whatever was written.
    async fn write(
        &self,
        input: SendableRecordBatchStream,
        context: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Written>;
}

/// What a target wrote; its files stay once they are kept.
pub(crate) struct Written {
    pub rows: u64,
    /// JSON of the column `files`.
    pub report: Vec<u8>,
    pub files: Box<dyn Keep>,
    /// The columns that come back.
    pub returned: ReturnedRows,
}

/// Files that go with this, unless they are kept.
pub(crate) trait Keep: Send {
    /// From now on they stay.
    fn keep(self: Box<Self>);
}

impl Keep for Vec<Finished> {
    fn keep(self: Box<Self>) {
        (*self).into_iter().for_each(Finished::keep);
    }
}

/// Batches that come back, and the memory that they take.
#[derive(Default)]
pub(crate) struct ReturnedRows {
    pub batches: Vec<RecordBatch>,
    pub reservation: Option<MemoryReservation>,
}

/// Drains its input into a [`Target`]. Its output's columns: those of the report, then those that come back. In a batch of rows that
/// come back, the report's columns are empty; the report is the last row, and in it the others are NULL.
///
/// # Distribution
/// One partition in (several are coalesced), on the segment where it runs.
///
/// # Ordering
/// Rows are written in the input's order.
///
/// # Memory
/// The target's: see [`crate::TableStore::write`] and [`crate::copy_write`].
///
/// # Cancellation
/// Dropping the stream before its row removes every file that was made.
///
/// # Errors
/// The input's and the target's; files are removed.
#[derive(Debug)]
pub(crate) struct SinkExec {
    input: Arc<dyn ExecutionPlan>,
    target: Arc<dyn Target>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SinkExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, target: Arc<dyn Target>) -> Self {
        let input = match input.output_partitioning().partition_count() {
            1 => input,
            _ => Arc::new(CoalescePartitionsExec::new(input)),
        };
        let field = |name: &str| match name {
            "rows" => Field::new(name, DataType::UInt64, false),
            _ => Field::new(name, DataType::Binary, false),
        };
        let given = input.schema();
        let returned = given.fields().iter().skip(given.fields().len() - target.returning());
        let returned = returned.map(|field| field.as_ref().clone().with_nullable(true));
        let fields = target.columns().map(field).into_iter().chain(returned);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SinkExec { input, target, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for SinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}: ", self.target.name())?;
        self.target.describe(f)
    }
}

impl ExecutionPlan for SinkExec {
    fn name(&self) -> &str {
        self.target.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = one_child(children)?;
        Ok(Arc::new(SinkExec::new(input, Arc::clone(&self.target))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("{} has one partition, not {}", self.name(), partition + 1);
        }
        let input = self.input.execute(0, Arc::clone(&context))?;
        let (target, metrics, schema) = (Arc::clone(&self.target), self.metrics.clone(), self.schema());
        let run = {
            let schema = Arc::clone(&schema);
            async move {
                let baseline = BaselineMetrics::new(&metrics, 0);
                let written = target.write(input, context, &metrics).await?;
                let returned = written.returned.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
                baseline.record_output(returned + 1);
                baseline.done();
                Ok::<_, DataFusionError>(batches(schema, written))
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(run).try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows that come back, then the report. Until that is asked for, the files are removed if the stream is dropped.
fn batches(schema: SchemaRef, written: Written) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let Written { rows, report, files, returned } = written;
    let ReturnedRows { batches, reservation } = returned;
    let of_rows = Arc::clone(&schema);
    let before = futures::stream::iter(batches).map(move |batch| {
        let _held = &reservation;
        output(&of_rows, None, batch.columns(), batch.num_rows())
    });
    let last = futures::stream::once(async move {
        let nulls = schema.fields()[2..].iter().map(|field| new_null_array(field.data_type(), 1));
        let batch = output(&schema, Some((rows, &report)), &nulls.collect::<Vec<_>>(), 1)?;
        files.keep();
        Ok(batch)
    });
    before.chain(last)
}

/// Rows of the output: the report, or rows that come back.
fn output(schema: &SchemaRef, report: Option<(u64, &[u8])>, returned: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.data_type() {
            DataType::UInt64 => Arc::new(UInt64Array::from(vec![report.map_or(0, |(changed, _)| changed); rows])),
            _ => Arc::new(BinaryArray::from(vec![report.map_or(&[][..], |(_, report)| report); rows])),
        }
    };
    let columns = schema.fields()[..2].iter().map(column).chain(returned.iter().cloned()).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// The children of an operator that has one.
pub(crate) fn one_child(children: Vec<Arc<dyn ExecutionPlan>>) -> Result<[Arc<dyn ExecutionPlan>; 1]> {
    let count = children.len();
    children.try_into().map_err(|_| internal_datafusion_err!("one child expected, not {count}"))
}
