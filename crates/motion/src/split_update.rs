//! UPDATE of a distribution key, and MERGE: the old row goes where it is, the new one where it belongs.

use crate::route_rows::owners_of;
use crate::{QeContext, row_id_fields};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, UInt8Array,
    UInt32Array, new_null_array,
};
use arrow::compute::{concat, nullif, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, UInt8Type};
use damson_cluster::{BucketMap, ContentId, MapVersion, RowChange};
use datafusion::common::internal_datafusion_err;
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
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Columns of the input before what becomes of the row, or before the new row: file, row, segment.
const LEAD: usize = 3;

/// How rows are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitUpdateSpec {
    /// Positions of the distribution key in the new row; empty: a new row goes anywhere, and one that replaces another stays.
    pub key: Vec<usize>,
    pub map: MapVersion,
    /// Without a key: every row leaves, to these segments in turn; none: as said there.
    pub to: Vec<ContentId>,
    /// False: every row replaces another, and one that comes twice is taken once. True: the input says after the segment what becomes
    /// of each row, [`RowChange::Delete`], [`RowChange::Replace`] or [`RowChange::Insert`] (UInt8).
    pub told: bool,
}

/// Makes two rows of one that leaves its segment. Its input: the old row's file, number and segment (NULL where there is none), what
/// becomes of it if [`SplitUpdateSpec::told`], then the new row and whatever goes with it. Its output: file and number (NULL where there is no
/// old row), the [`RowChange`], the segment that the row goes to, then the new row (NULL where the old one departs).
///
/// # Distribution
/// Any; where rows are not told, each on the segment of its file → the same segment. An Explicit Redistribute follows.
///
/// # Ordering
/// None.
///
/// # Memory
/// Three batches, and where rows are not told from the query's pool a bitmap of the rows of each file that came.
///
/// # Errors
/// A key type without a placement hash; the pool's.
#[derive(Debug)]
pub struct SplitUpdateExec {
    spec: SplitUpdateSpec,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SplitUpdateExec {
    /// Position of the segment in the output.
    pub const SEGMENT: usize = 3;

    pub fn new(spec: SplitUpdateSpec, input: Arc<dyn ExecutionPlan>) -> Self {
        let [file, row] = row_id_fields().map(|field| field.with_nullable(true));
        let lead =
            [file, row, Field::new("change", DataType::UInt8, false), Field::new("segment", DataType::Int32, false)];
        let new_row = input.schema().fields()[spec.lead()..]
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
        SplitUpdateExec { spec, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn spec(&self) -> &SplitUpdateSpec {
        &self.spec
    }
}

impl SplitUpdateSpec {
    /// Columns of the input before the new row.
    fn lead(&self) -> usize {
        LEAD + usize::from(self.told)
    }
}

impl DisplayAs for SplitUpdateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SplitUpdateExec: key={:?}", self.spec.key)
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
        Ok(Arc::new(SplitUpdateExec::new(self.spec.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let qe = QeContext::of(&context)?;
        let map = qe.map(self.spec.map)?;
        let reservation = MemoryConsumer::new("SplitUpdate").register(context.memory_pool());
        let (spec, schema) = (self.spec.clone(), self.schema());
        let mut splitting = Splitting::new(spec, map, schema, qe.content);
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

    /// Up to twice the rows.
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
    spec: SplitUpdateSpec,
    map: Arc<BucketMap>,
    schema: SchemaRef,
    /// Rows by file.
    seen: HashMap<i32, RoaringTreemap>,
    /// The place of the next new row's segment in [`SplitUpdateSpec::to`].
    next_turn: usize,
    /// The segment of the last new row that could go anywhere; this one before there was any.
    last: ContentId,
}

impl Splitting {
    /// On `content`.
    fn new(spec: SplitUpdateSpec, map: Arc<BucketMap>, schema: SchemaRef, content: ContentId) -> Self {
        Splitting { spec, map, schema, seen: HashMap::new(), next_turn: 0, last: content }
    }

    /// The rows in their order, as they stay or depart, then the new ones of those that depart.
    fn split(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = if self.spec.told { batch.clone() } else { self.without_repeated(batch)? };
        let rows = batch.num_rows();
        let owners = self.owners(&batch)?;
        let segments: &Int32Array = batch.column(2).as_primitive::<Int32Type>();
        let told = self.spec.told.then(|| batch.column(LEAD).as_primitive::<UInt8Type>());
        let (mut changes, mut to) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut moved: Vec<u32> = vec![];
        for row in 0..rows {
            let change = told.map_or(Some(RowChange::Replace), |told| RowChange::of(told.value(row)));
            let change = change.ok_or_else(|| internal_datafusion_err!("an unknown change of a row"))?;
            let (change, segment) = match (change, &owners) {
                (RowChange::Insert, Some(owners)) => (change, owners[row]),
                (RowChange::Insert, None) => (change, self.anywhere()),
                (RowChange::Replace, Some(owners)) if owners[row] != segments.value(row) => {
                    moved.push(row as u32);
                    (RowChange::Depart, segments.value(row))
                }
                _ => (change, segments.value(row)),
            };
            changes.push(change as u8);
            to.push(segment);
        }
        if let Some(owners) = &owners {
            to.extend(moved.iter().map(|&row| owners[row as usize]));
        }
        changes.resize(rows + moved.len(), RowChange::Arrive as u8);
        self.output(&batch, changes, to, moved)
    }

    fn output(&self, batch: &RecordBatch, changes: Vec<u8>, to: Vec<i32>, moved: Vec<u32>) -> Result<RecordBatch> {
        let (rows, lead) = (batch.num_rows(), self.spec.lead());
        let count = changes.len();
        let departs: BooleanArray = changes[..rows].iter().map(|&c| Some(c == RowChange::Depart as u8)).collect();
        let moved = UInt32Array::from(moved);
        let old = |column: &ArrayRef| match moved.is_empty() {
            true => Ok(Arc::clone(column)),
            false => concat(&[column.as_ref(), &new_null_array(column.data_type(), moved.len())]),
        };
        let new = |column: &ArrayRef| match moved.is_empty() {
            true => Ok(Arc::clone(column)),
            false => concat(&[nullif(column, &departs)?.as_ref(), take(column, &moved, None)?.as_ref()]),
        };
        let mut columns: Vec<ArrayRef> = vec![
            old(batch.column(0))?,
            old(batch.column(1))?,
            Arc::new(UInt8Array::from(changes)),
            Arc::new(Int32Array::from(to)),
        ];
        for column in &batch.columns()[lead..] {
            columns.push(new(column)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Where each row's new row goes; None: anywhere.
    fn owners(&mut self, batch: &RecordBatch) -> Result<Option<Vec<i32>>> {
        if self.spec.key.is_empty() && !self.spec.to.is_empty() {
            let to = self.spec.to.iter().cycle().skip(self.next_turn).map(|content| content.0);
            let to = to.take(batch.num_rows()).collect();
            self.next_turn = (self.next_turn + batch.num_rows()) % self.spec.to.len();
            return Ok(Some(to));
        }
        if self.spec.key.is_empty() {
            return Ok(None);
        }
        let column = |&position: &usize| Arc::clone(batch.column(self.spec.lead() + position));
        let key: Vec<_> = self.spec.key.iter().map(column).collect();
        let (mut hashes, mut owners) = (vec![], vec![]);
        owners_of(&key, &self.map, &mut hashes, &mut owners)?;
        Ok(Some(owners.into_iter().map(i32::from).collect()))
    }

    fn anywhere(&mut self) -> i32 {
        self.last = self.map.owner_after(self.last);
        self.last.0
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
    fn a_row_that_moves_becomes_two_and_a_repeated_one_none() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("file", ints(&[0, 0, 0, 1])),
            ("row", Arc::new(Int64Array::from(vec![5, 6, 5, 5]))),
            ("segment", ints(&[2, 2, 2, 2])),
            ("k", ints(&[10, 20, 30, 40])),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let spec = SplitUpdateSpec { key: vec![0], map: MapVersion(1), to: vec![], told: false };
        let (mut splitting, map) = splitting(spec, &batch);
        let owners = owners(&[10, 20, 40], &map);
        let moves = |at: &usize| owners[*at] != 2;
        let split = splitting.split(&batch).unwrap();
        let moved: Vec<usize> = (0..3).filter(moves).collect();
        assert!(!moved.is_empty(), "or the test shows nothing: {owners:?}");
        assert_eq!(split.num_rows(), 3 + moved.len());
        let nulls = moved.iter().map(|_| None);
        assert_eq!(int(&split, 0), [Some(0), Some(0), Some(1)].into_iter().chain(nulls).collect::<Vec<_>>());
        let stays = |at: usize| if moves(&at) { RowChange::Depart } else { RowChange::Replace } as u8;
        let changes = (0..3).map(stays).chain(moved.iter().map(|_| RowChange::Arrive as u8));
        assert_eq!(codes(&split), changes.collect::<Vec<_>>());
        let k = [10, 20, 40];
        let old = (0..3).map(|at| (!moves(&at)).then_some(k[at])).chain(moved.iter().map(|&at| Some(k[at])));
        assert_eq!(int(&split, 4), old.collect::<Vec<_>>());
        let to = [2; 3].into_iter().chain(moved.iter().map(|&at| owners[at])).map(Some);
        assert_eq!(int(&split, SplitUpdateExec::SEGMENT), to.collect::<Vec<_>>());
        // Another batch of the same rows.
        assert_eq!(splitting.split(&batch).unwrap().num_rows(), 0);
    }

    #[test]
    fn rows_that_are_told_go_where_they_belong() {
        let told = [RowChange::Delete, RowChange::Insert, RowChange::Insert];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("file", Arc::new(Int32Array::from(vec![Some(0), None, None]))),
            ("row", Arc::new(Int64Array::from(vec![Some(5), None, None]))),
            ("segment", Arc::new(Int32Array::from(vec![Some(1), None, None]))),
            ("change", Arc::new(UInt8Array::from_iter_values(told.map(|change| change as u8)))),
            ("k", ints(&[10, 20, 40])),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut spec = SplitUpdateSpec { key: vec![0], map: MapVersion(1), to: vec![], told: true };
        let (mut hashed, map) = splitting(spec.clone(), &batch);
        let split = hashed.split(&batch).unwrap();
        let owners = owners(&[20, 40], &map);
        assert_eq!(int(&split, SplitUpdateExec::SEGMENT), [Some(1), Some(owners[0]), Some(owners[1])]);
        assert_eq!(codes(&split), told.map(|change| change as u8));
        assert_eq!(int(&split, 4), [Some(10), Some(20), Some(40)], "a deleted row's values stay, for RETURNING");
        spec.key = vec![];
        let split = splitting(spec, &batch).0.split(&batch).unwrap();
        let to = int(&split, SplitUpdateExec::SEGMENT);
        assert!(to[0] == Some(1) && to[1] != to[2], "{to:?}");
    }

    fn ints(values: &[i32]) -> ArrayRef {
        Arc::new(Int32Array::from(values.to_vec()))
    }

    fn splitting(spec: SplitUpdateSpec, batch: &RecordBatch) -> (Splitting, Arc<BucketMap>) {
        let input = Arc::new(datafusion::physical_plan::empty::EmptyExec::new(batch.schema()));
        let schema = SplitUpdateExec::new(spec.clone(), input).schema();
        let map = Arc::new(BucketMap::uniform(MapVersion(1), 3));
        (Splitting::new(spec, Arc::clone(&map), schema, ContentId(0)), map)
    }

    fn owners(keys: &[i32], map: &BucketMap) -> Vec<i32> {
        let (mut hashes, mut owners) = (vec![], vec![]);
        owners_of(&[ints(keys)], map, &mut hashes, &mut owners).unwrap();
        owners.into_iter().map(i32::from).collect()
    }

    fn int(batch: &RecordBatch, position: usize) -> Vec<Option<i32>> {
        batch.column(position).as_primitive::<Int32Type>().iter().collect()
    }

    fn codes(batch: &RecordBatch) -> Vec<u8> {
        batch.column(2).as_primitive::<UInt8Type>().values().to_vec()
    }
}
