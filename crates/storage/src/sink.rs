//! The operator at the top of a writing slice: drains its input into files and yields one row that says what it wrote.

use crate::durable::Finished;
use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
};
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// Where a [`SinkExec`]'s rows go.
#[async_trait]
pub(crate) trait Target: Debug + Send + Sync + 'static {
    /// The operator's name in EXPLAIN.
    fn name(&self) -> &'static str;

    /// What EXPLAIN shows after the name.
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result;

    /// The result's columns in order: `files` and `rows`.
    fn columns(&self) -> [&'static str; 2];

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
    pub files: Vec<Finished>,
}

/// Drains its input into a [`Target`].
///
/// # Distribution
/// One partition in (several are coalesced), one row out, on the segment where it runs.
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
        let schema = Arc::new(Schema::new(target.columns().map(field).to_vec()));
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
                let batch = report(schema, written.rows, &written.report)?;
                baseline.record_output(batch.num_rows());
                baseline.done();
                written.files.into_iter().for_each(Finished::keep);
                Ok(batch)
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(run))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

fn report(schema: SchemaRef, rows: u64, files: &[u8]) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.data_type() {
            DataType::UInt64 => Arc::new(UInt64Array::from(vec![rows])),
            _ => Arc::new(BinaryArray::from(vec![files])),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// The children of an operator that has one.
pub(crate) fn one_child(children: Vec<Arc<dyn ExecutionPlan>>) -> Result<[Arc<dyn ExecutionPlan>; 1]> {
    let count = children.len();
    children.try_into().map_err(|_| internal_datafusion_err!("one child expected, not {count}"))
}
