//! The sending end of a motion: the root of a slice.

use crate::flush_timer::{FlushTimer, Next};
use crate::limits::SEND_MESSAGE_BYTES;
use crate::memory::MotionMemory;
use crate::route_metrics::{RouteMetrics, WAITED};
use crate::router::Router;
use crate::sender::{Routes, Sender};
use crate::waiting::Waiting;
use crate::{MotionDef, MotionKind, QeContext};
use arrow::datatypes::Schema;
use damson_interconnect::RouteError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// Sends its input's rows to the motion's receivers; yields nothing itself. Made by the cut, run as the root of a slice.
///
/// # Distribution
/// Any → what the [`MotionKind`] says, on the receivers.
///
/// # Ordering
/// Each route keeps the input's order.
///
/// # Memory
/// From the query's pool: for each destination a gathered batch, and for each one in another process a message under way, until
/// the end; more under way as far as the pool has it.
///
/// # Cancellation
/// Dropping the stream drops the routes, whose receivers then fail. When every receiver has stopped, it ends early.
///
/// # Errors
/// The input's error is sent on every route before it is returned, so that receivers see the cause.
#[derive(Debug)]
pub struct MotionSendExec {
    def: MotionDef,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MotionSendExec {
    pub fn new(def: MotionDef, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::empty())),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        MotionSendExec { def, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn def(&self) -> &MotionDef {
        &self.def
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for MotionSendExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MotionSendExec: {} {}", self.def.kind, self.def.id)
    }
}

impl ExecutionPlan for MotionSendExec {
    fn name(&self) -> &str {
        "MotionSendExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_ordering(&self) -> Vec<Option<datafusion::physical_expr::OrderingRequirements>> {
        match &self.def.kind {
            MotionKind::Gather { merge: Some(ordering) } => vec![Some(ordering.clone().into())],
            _ => vec![None],
        }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.def.kind.routing().iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(MotionSendExec::new(self.def.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let qe = QeContext::of(&context)?;
        let inputs = self.input.output_partitioning().partition_count();
        if partition != 0 || inputs != 1 {
            return Err(DataFusionError::Internal(format!("{} sends {inputs} partitions, not one", self.def.id)));
        }
        let schema = self.input.schema();
        let budget = qe.node.route_budget(qe.query);
        let message_bytes = budget.message_bytes.min(SEND_MESSAGE_BYTES);
        let receivers = self.def.receivers.contents();
        let to_peers = receivers.iter().filter(|r| !qe.node.is_here(qe.topology.endpoint(**r))).count();
        let gathered_bytes = if self.def.kind.routing().is_empty() { 0 } else { receivers.len() * message_bytes };
        let reserve_bytes = gathered_bytes + to_peers * budget.message_bytes;
        let mut memory = MotionMemory::reserve(&self.def, "sender", &context, reserve_bytes)?;
        let window_bytes =
            budget.message_bytes + memory.grow_each(to_peers, budget.credit_bytes - budget.message_bytes);
        let routes = Routes::open(&self.def, &qe, &schema, window_bytes)?;
        let metrics = RouteMetrics::new(&self.metrics, partition);
        let waiting = Waiting::new(MetricBuilder::new(&self.metrics).subset_time(WAITED, partition));
        let mut sender = Sender { receivers, routes, metrics, memory, gathered_bytes };
        let router = Router::new(&self.def, &qe, &schema, message_bytes)?;
        let input = self.input.execute(0, context)?;
        let work = async move {
            match send_all(router, input, &mut sender, waiting).await {
                Ok(()) => sender.finish().await,
                Err(error) => {
                    sender.fail((qe.describe_error)(&error)).await;
                    Err(error)
                }
            }
        };
        let nothing = stream::once(work).try_filter_map(|()| async { Ok(None) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), nothing)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Sends the whole input, or as much as the receivers want.
async fn send_all(
    mut router: Router,
    mut input: SendableRecordBatchStream,
    sender: &mut Sender,
    mut waiting: Waiting,
) -> Result<()> {
    let mut timer = FlushTimer::default();
    loop {
        match timer.next(&mut input, router.is_gathering(), |context| sender.poll_closed(context)).await {
            Next::Batch(batch) => waiting.of(router.send(batch?, sender)).await?,
            Next::Closed => return Ok(()),
            Next::End => return waiting.of(router.flush(sender)).await,
            Next::Flush => {
                let start = Instant::now();
                waiting.of(router.flush(sender)).await?;
                timer.flushed(start);
            }
        }
        if sender.all_stopped() {
            return Ok(());
        }
    }
}

pub(crate) fn route_error(error: RouteError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests;
