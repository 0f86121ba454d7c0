//! Keeps the rows that belong to this segment.

use crate::QeContext;
use crate::route_rows::owners_of;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use damson_cluster::{MapVersion, SegmentSet};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// What each segment keeps of rows that all have.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Those whose bucket, by these keys, it owns.
    Hashed(Vec<Arc<dyn PhysicalExpr>>),
    /// Those whose bucket, by these keys, another segment owns: what leaves when a table is laid out by the map.
    Leaving(Vec<Arc<dyn PhysicalExpr>>),
    /// These segments everything, the others nothing.
    Segments(SegmentSet),
}

impl Kept {
    pub fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        match self {
            Kept::Hashed(keys) | Kept::Leaving(keys) => keys,
            Kept::Segments(_) => &[],
        }
    }
}

/// Keeps some of a segment's rows, by their buckets or by the segment: so turns replicated rows into hashed ones without moving any. Made by the
/// distribute pass, and where a table is laid out by another map.
///
/// # Distribution
/// Replicated or General → Hashed by the keys ([`Kept::Hashed`]), Strewn or copies on some segments ([`Kept::Segments`]). With
/// [`Kept::Leaving`] rows stay where they are.
///
/// # Ordering
/// Kept.
///
/// # Memory
/// One batch.
#[derive(Debug)]
pub struct HashFilterExec {
    kept: Kept,
    map: MapVersion,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl HashFilterExec {
    pub fn new(kept: Kept, map: MapVersion, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::clone(input.properties());
        HashFilterExec { kept, map, input, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    pub fn map(&self) -> MapVersion {
        self.map
    }
}

impl DisplayAs for HashFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kept {
            Kept::Hashed(keys) => {
                let keys: Vec<String> = keys.iter().map(|k| k.to_string()).collect();
                write!(f, "HashFilterExec: keys=[{}]", keys.join(", "))
            }
            Kept::Leaving(keys) => {
                let keys: Vec<String> = keys.iter().map(|k| k.to_string()).collect();
                write!(f, "HashFilterExec: leaving by keys=[{}]", keys.join(", "))
            }
            Kept::Segments(segments) => {
                let contents: Vec<String> = segments.iter().map(|content| content.to_string()).collect();
                write!(f, "HashFilterExec: copies on {}", contents.join(", "))
            }
        }
    }
}

impl ExecutionPlan for HashFilterExec {
    fn name(&self) -> &str {
        "HashFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.kept.keys().iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(HashFilterExec::new(self.kept.clone(), self.map, children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let qe = QeContext::of(&context)?;
        let map = qe.map(self.map)?;
        let kept = self.kept.clone();
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let (mut hashes, mut owners) = (vec![], vec![]);
        let keep = move |batch: RecordBatch| -> Result<RecordBatch> {
            let _timer = baseline.elapsed_compute().timer();
            let all_or_nothing = |keeps: bool| Ok(batch.slice(0, if keeps { batch.num_rows() } else { 0 }));
            let (keys, stays) = match &kept {
                Kept::Hashed(keys) => (keys, true),
                Kept::Leaving(keys) => (keys, false),
                Kept::Segments(segments) => return all_or_nothing(segments.contains(qe.content)),
            };
            let columns = keys.iter().map(|k| k.evaluate(&batch)?.into_array(batch.num_rows()));
            owners_of(&columns.collect::<Result<Vec<_>>>()?, &map, &mut hashes, &mut owners)?;
            let mine: BooleanArray = owners.iter().map(|&o| Some((i32::from(o) == qe.content.0) == stays)).collect();
            let kept = filter_record_batch(&batch, &mine)?;
            baseline.record_output(kept.num_rows());
            Ok(kept)
        };
        let mut keep = keep;
        let input = self.input.execute(partition, context)?;
        let output = input.map(move |batch| keep(batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), output)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }
}
