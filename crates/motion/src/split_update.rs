//! UPDATE of a distribution key: the old row goes where it is, the new one where it belongs.

use crate::route_rows::owners_of;
use crate::{QeContext, row_id_fields};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
    new_null_array,
};
use arrow::compute::{concat, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use damson_cluster::{BucketMap, MapVersion};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, PlanProperties, Statistics,
};
use futures::StreamExt;
use roaring::RoaringTreemap;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Columns of the input before the new row: file, row, segment.
const LEAD: usize = 3;

/// Makes two rows of one. Its input: the row's file, number and segment, then the new row. Its output: file and row number (NULL
/// in new rows), `inserted`, the segment that the row goes to, then the new row (NULL where the old one is deleted). A row that
/// comes twice is split once: its first new row counts.
///
/// # Distribution
/// Each row on the segment of its file → the same segment; an Explicit Redistribute follows.
///
/// # Ordering
/// None.
///
/// # Memory
/// Three batches, and from the query's pool a bitmap of the rows of each file that were split.
///
/// # Errors
/// A key type without a placement hash; the pool's.
#[derive(Debug)]
pub struct SplitUpdateExec {
    /// Positions of the distribution key in the new row.
    key: Vec<usize>,
    map: MapVersion,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SplitUpdateExec {
    /// Position of the segment in the output.
    pub const SEGMENT: usize = 3;

    pub fn new(key: Vec<usize>, map: MapVersion, input: Arc<dyn ExecutionPlan>) -> Self {
        let [file, row] = row_id_fields().map(|field| field.with_nullable(true));
        let lead = [
            file,
            row,
            Field::new("inserted", DataType::Boolean, false),
            Field::new("segment", DataType::Int32, false),
        ];
        let new_row = input.schema().fields()[LEAD..]
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>();
        let schema = Schema::new(lead.into_iter().chain(new_row).collect::<Vec<_>>());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        SplitUpdateExec { key, map, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn key(&self) -> &[usize] {
        &self.key
    }

    pub fn map(&self) -> MapVersion {
        self.map
    }
}

impl DisplayAs for SplitUpdateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SplitUpdateExec: key={:?}", self.key)
    }
}

impl ExecutionPlan for SplitUpdateExec {
    fn name(&self) -> &str {
        "SplitUpdateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        // Rows that come twice must meet.
        vec![Distribution::SinglePartition]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(SplitUpdateExec::new(self.key.clone(), self.map, children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let map = QeContext::of(&context)?.map(self.map)?;
        let reservation = MemoryConsumer::new("SplitUpdate").register(context.memory_pool());
        let mut splitting = Splitting { key: self.key.clone(), map, schema: self.schema(), seen: HashMap::new() };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let split = move |batch: Result<RecordBatch>| -> Result<RecordBatch> {
            let _timer = baseline.elapsed_compute().timer();
            let split = splitting.split(&batch?)?;
            reservation.try_resize(splitting.seen.values().map(|rows| rows.serialized_size()).sum())?;
            baseline.record_output(split.num_rows());
            Ok(split)
        };
        let output = self.input.execute(partition, context)?.map(split);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), output)))
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    /// Twice the rows.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        let twice = |of: &Precision<usize>| of.get_value().map_or(Precision::Absent, |n| Precision::Inexact(2 * n));
        statistics.num_rows = twice(&inputs[0].num_rows);
        statistics.total_byte_size = twice(&inputs[0].total_byte_size);
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct Splitting {
    key: Vec<usize>,
    map: Arc<BucketMap>,
    schema: SchemaRef,
    /// Rows by file.
    seen: HashMap<i32, RoaringTreemap>,
}

impl Splitting {
    /// The old rows, then the new ones.
    fn split(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = self.without_repeated(batch)?;
        let rows = batch.num_rows();
        let new_row = &batch.columns()[LEAD..];
        let key: Vec<_> = self.key.iter().map(|&position| Arc::clone(&new_row[position])).collect();
        let (mut hashes, mut owners) = (vec![], vec![]);
        owners_of(&key, &self.map, &mut hashes, &mut owners)?;
        let owners: ArrayRef = Arc::new(Int32Array::from_iter_values(owners.into_iter().map(i32::from)));
        let two = |old: &ArrayRef, new: &ArrayRef| concat(&[old.as_ref(), new.as_ref()]);
        let nulls = |column: &ArrayRef| new_null_array(column.data_type(), rows);
        let inserted: BooleanArray =
            std::iter::repeat_n(false, rows).chain(std::iter::repeat_n(true, rows)).map(Some).collect();
        let mut columns = vec![
            two(batch.column(0), &nulls(batch.column(0)))?,
            two(batch.column(1), &nulls(batch.column(1)))?,
            Arc::new(inserted),
            two(batch.column(2), &owners)?,
        ];
        for column in new_row {
            columns.push(two(&nulls(column), column)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(2 * rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn without_repeated(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let files: &Int32Array = batch.column(0).as_primitive::<Int32Type>();
        let rows: &Int64Array = batch.column(1).as_primitive::<Int64Type>();
        let is_first = |&at: &u32| {
            let (file, row) = (files.value(at as usize), rows.value(at as usize));
            self.seen.entry(file).or_default().insert(row as u64)
        };
        let first: UInt32Array = (0..batch.num_rows() as u32).filter(is_first).map(Some).collect();
        if first.len() == batch.num_rows() { Ok(batch.clone()) } else { Ok(take_record_batch(batch, &first)?) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_two_and_a_repeated_one_none() {
        let ints = |values: &[i32]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("file", ints(&[0, 0, 0, 1])),
            ("row", Arc::new(Int64Array::from(vec![5, 6, 5, 5]))),
            ("segment", ints(&[2, 2, 2, 2])),
            ("k", ints(&[10, 20, 30, 40])),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let input = Arc::new(datafusion::physical_plan::empty::EmptyExec::new(batch.schema()));
        let schema = SplitUpdateExec::new(vec![0], MapVersion(1), input).schema();
        let map = Arc::new(BucketMap::uniform(MapVersion(1), 3));
        let mut splitting = Splitting { key: vec![0], map: Arc::clone(&map), schema, seen: HashMap::new() };
        let split = splitting.split(&batch).unwrap();
        assert_eq!(split.num_rows(), 6);
        let column = |position: usize| split.column(position).as_primitive::<Int32Type>().iter().collect::<Vec<_>>();
        assert_eq!(column(0), [Some(0), Some(0), Some(1), None, None, None]);
        assert_eq!(column(4), [None, None, None, Some(10), Some(20), Some(40)]);
        let (mut hashes, mut owners) = (vec![], vec![]);
        owners_of(&[ints(&[10, 20, 40])], &map, &mut hashes, &mut owners).unwrap();
        let to = [2, 2, 2].into_iter().chain(owners.into_iter().map(i32::from)).map(Some).collect::<Vec<_>>();
        assert_eq!(column(SplitUpdateExec::SEGMENT), to);
        // Another batch of the same rows.
        assert_eq!(splitting.split(&batch).unwrap().num_rows(), 0);
    }
}
