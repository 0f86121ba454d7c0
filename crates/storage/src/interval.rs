//! `interval` in table files. Parquet has no type that holds PostgreSQL's months, days and nanoseconds, so a column is
//! stored as 16 fixed bytes: months (i32), days (i32), nanoseconds (i64), each little-endian.

use datafusion::arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, IntervalMonthDayNanoArray, RecordBatch,
    RecordBatchOptions,
};
use datafusion::arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Schema, SchemaRef,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

const STORED_BYTES: i32 = 16;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(crate) fn is_interval(data_type: &DataType) -> bool {
    *data_type == INTERVAL
}

/// A table's schema as its files have it.
pub(crate) fn stored_schema(table: &SchemaRef) -> SchemaRef {
    if !table.fields().iter().any(|field| is_interval(field.data_type())) {
        return Arc::clone(table);
    }
    let stored = |field: &Arc<Field>| match is_interval(field.data_type()) {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::FixedSizeBinary(STORED_BYTES))),
        false => Arc::clone(field),
    };
    Arc::new(Schema::new(table.fields().iter().map(stored).collect::<Vec<_>>()))
}

/// Intervals to their stored form; any other array is handed back.
pub(crate) fn to_stored(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(intervals) = column.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return Ok(Arc::clone(column));
    };
    let mut out = FixedSizeBinaryBuilder::with_capacity(intervals.len(), STORED_BYTES);
    for interval in intervals {
        let Some(IntervalMonthDayNano { months, days, nanoseconds }) = interval else {
            out.append_null();
            continue;
        };
        let mut bytes = [0; STORED_BYTES as usize];
        bytes[..4].copy_from_slice(&months.to_le_bytes());
        bytes[4..8].copy_from_slice(&days.to_le_bytes());
        bytes[8..].copy_from_slice(&nanoseconds.to_le_bytes());
        out.append_value(bytes)?;
    }
    Ok(Arc::new(out.finish()))
}

fn from_stored(stored: &FixedSizeBinaryArray) -> IntervalMonthDayNanoArray {
    let interval = |bytes: &[u8]| {
        let (months, rest) = bytes.split_first_chunk::<4>()?;
        let (days, rest) = rest.split_first_chunk::<4>()?;
        let (nanoseconds, _) = rest.split_first_chunk::<8>()?;
        Some(IntervalMonthDayNano::new(
            i32::from_le_bytes(*months),
            i32::from_le_bytes(*days),
            i64::from_le_bytes(*nanoseconds),
        ))
    };
    stored.iter().map(|bytes| bytes.and_then(interval)).collect()
}

/// Turns the stored intervals of a scan into interval arrays. Made by [`crate::TableStore::scan`] for a projection with an
/// interval in it, directly above the scan.
///
/// # Distribution
/// Rows stay where they are; as many partitions as the input.
///
/// # Ordering
/// Kept, and none is declared.
///
/// # Memory
/// One batch.
///
/// # Cancellation
/// Ends with its input.
///
/// # Errors
/// The input's.
#[derive(Debug)]
pub(crate) struct IntervalDecodeExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl IntervalDecodeExec {
    /// `schema` is `input`'s with intervals in the place of stored ones.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        IntervalDecodeExec { input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for IntervalDecodeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("IntervalDecode")
    }
}

impl ExecutionPlan for IntervalDecodeExec {
    fn name(&self) -> &'static str {
        "IntervalDecode"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = crate::sink::one_child(children)?;
        Ok(Arc::new(IntervalDecodeExec::new(input, self.schema())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let input = self.input.execute(partition, context)?;
        let decode = {
            let schema = Arc::clone(&schema);
            move |batch: Result<RecordBatch>| {
                let batch = batch?;
                let _timer = metrics.elapsed_compute().timer();
                let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
                    match (is_interval(field.data_type()), column.as_fixed_size_binary_opt()) {
                        (true, Some(stored)) => Arc::new(from_stored(stored)),
                        _ => Arc::clone(column),
                    }
                });
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns.collect(), &options)?;
                metrics.record_output(batch.num_rows());
                Ok(batch)
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, input.map(decode))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
