//! The receiving end of a motion: a leaf of the slice above.

use crate::memory::MotionMemory;
use crate::route_metrics::{RouteMetrics, WAITED};
use crate::send::route_error;
use crate::waiting::{Waiting, WaitingStream};
use crate::{MotionDef, MotionKind, QeContext};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use damson_interconnect::{Moved, RouteReceiver, RouteSpills};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt, stream};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Receives what the motion's senders send to this QE. Made by the cut.
///
/// One partition with the senders' batches as they come; or, when the motion merges, one partition per sender, each in
/// the merge key's order, for a `SortPreservingMergeExec` above.
///
/// # Memory
/// A message for each route, from the query's pool, and credit beyond it as far as the pool has it; until the end.
///
/// # Cancellation
/// Dropping the stream tells the senders to stop.
///
/// # Errors
/// A sender's error arrives as it was raised; a stream that ends without end-of-stream is an error.
#[derive(Debug)]
pub struct MotionRecvExec {
    def: MotionDef,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MotionRecvExec {
    pub fn new(def: MotionDef, schema: SchemaRef) -> Self {
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        let mut partitions = 1;
        if let MotionKind::Gather { merge: Some(ordering) } = &def.kind {
            equivalence.add_ordering(ordering.clone());
            partitions = def.senders.size();
        }
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        MotionRecvExec { def, schema, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn def(&self) -> &MotionDef {
        &self.def
    }

    /// The batches, each with its route's count of what is written to disk of it.
    pub(crate) fn receive(
        &self,
        partition: usize,
        context: &TaskContext,
    ) -> Result<impl Stream<Item = Result<(RecordBatch, RouteSpills)>> + Send + use<>> {
        let qe = QeContext::of(context)?;
        let mut senders = self.def.senders.contents();
        if matches!(self.def.kind, MotionKind::Gather { merge: Some(_) }) {
            senders = vec![senders[partition]];
        }
        let budget = qe.node.route_budget(qe.query);
        let count = senders.len();
        let mut memory = MotionMemory::reserve(&self.def, "receiver", context, count * budget.message_bytes)?;
        let more = memory.grow_each(count, budget.credit_bytes - budget.message_bytes);
        let metrics = RouteMetrics::new(&self.metrics, partition);
        let waiting = Waiting::new(MetricBuilder::new(&self.metrics).subset_time(WAITED, partition));
        let routes = senders.into_iter().map(|sender| {
            let route = qe.route(self.def.id, sender, qe.content);
            let credit_bytes = budget.message_bytes + more;
            let route = qe.node.receiver_with_credit(route, Arc::clone(&self.schema), credit_bytes);
            CountedRoute { spills: route.spills(), route, seen: Moved::default(), metrics: metrics.clone() }
        });
        let batches = WaitingStream { batches: stream::select_all(routes), waiting };
        // The stream may be kept long after its end.
        Ok(batches.chain(stream::poll_fn(move |_| {
            memory.free();
            Poll::Ready(None)
        })))
    }
}

/// Tells the senders of a slice's motions that nobody reads what nobody has opened, when the slice has ended: an operator that had enough, as a LIMIT
/// above a union, may never have executed some of its inputs. Their senders would wait for a reader until the query ends, which waits for them if
/// it waits for every slice.
pub fn stop_unread(plan: &Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<()> {
    let qe = QeContext::of(context)?;
    stop_unread_by(plan, &qe);
    Ok(())
}

fn stop_unread_by(plan: &Arc<dyn ExecutionPlan>, qe: &QeContext) {
    if let Some(receive) = plan.downcast_ref::<MotionRecvExec>() {
        for sender in receive.def.senders.contents() {
            let route = qe.route(receive.def.id, sender, qe.content);
            // Of one that was opened there is a reader already, and this one is refused.
            drop(qe.node.receiver(route, Arc::clone(&receive.schema)));
        }
    }
    plan.children().into_iter().for_each(|child| stop_unread_by(child, qe));
}

impl DisplayAs for MotionRecvExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MotionRecvExec: {} {}", self.def.kind, self.def.id)
    }
}

impl ExecutionPlan for MotionRecvExec {
    fn name(&self) -> &str {
        "MotionRecvExec"
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

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.receive(partition, &context)?.map(|received| received.map(|(batch, _)| batch));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One route whose counters go into the operator's metrics.
struct CountedRoute {
    route: RouteReceiver,
    spills: RouteSpills,
    seen: Moved,
    metrics: RouteMetrics,
}

impl Stream for CountedRoute {
    type Item = Result<(RecordBatch, RouteSpills)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = ready!(self.route.poll_next_unpin(context));
        let moved = self.route.moved();
        self.metrics.add(moved - self.seen);
        self.seen = moved;
        Poll::Ready(batch.map(|batch| Ok((batch.map_err(route_error)?, self.spills.clone()))))
    }
}
