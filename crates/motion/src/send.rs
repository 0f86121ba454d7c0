//! The sending end of a motion: the root of a slice.

use crate::flush_timer::{FlushTimer, Next};
use crate::limits::{SEND_MESSAGE_BYTES, SPLIT_ROWS_MAX};
use crate::memory::MotionMemory;
use crate::route_metrics::{RouteMetrics, WAITED};
use crate::route_rows::Splitter;
use crate::waiting::Waiting;
use crate::{MotionDef, MotionKind, QeContext};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use damson_cluster::ContentId;
use damson_interconnect::{RouteError, RouteSender, Sent, batch_bytes};
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
use futures::future::try_join_all;
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
        match &self.def.kind {
            MotionKind::Redistribute { keys, .. } => apply_expression_roots(keys.iter(), f),
            _ => Ok(TreeNodeRecursion::Continue),
        }
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
        let gathered_bytes =
            if matches!(self.def.kind, MotionKind::Redistribute { .. }) { receivers.len() * message_bytes } else { 0 };
        let reserve_bytes = gathered_bytes + to_peers * budget.message_bytes;
        let mut memory = MotionMemory::reserve(&self.def, "sender", &context, reserve_bytes)?;
        let window_bytes =
            budget.message_bytes + memory.grow_each(to_peers, budget.credit_bytes - budget.message_bytes);
        let routes = receivers.into_iter().map(|receiver| {
            let route = qe.route(self.def.id, qe.content, receiver);
            let mut route = qe.node.sender(route, qe.topology.endpoint(receiver), Arc::clone(&schema));
            route.set_window(window_bytes);
            Some(route)
        });
        let metrics = RouteMetrics::new(&self.metrics, partition);
        let waiting = Waiting::new(MetricBuilder::new(&self.metrics).subset_time(WAITED, partition));
        let mut sender = Sender { routes: routes.collect(), memory, gathered_bytes, metrics };
        let router = Router::new(&self.def.kind, &qe, &schema, message_bytes)?;
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
        match timer.next(&mut input, router.is_gathering()).await {
            Next::Batch(batch) => waiting.of(router.send(batch?, sender)).await?,
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

/// Decides each batch's or row's destination.
enum Router {
    One,
    All,
    InTurn { next: usize },
    ByHash { keys: Vec<Arc<dyn PhysicalExpr>>, splitter: Box<Splitter> },
}

impl Router {
    fn new(kind: &MotionKind, qe: &QeContext, schema: &SchemaRef, message_bytes: usize) -> Result<Self> {
        Ok(match kind {
            MotionKind::Gather { .. } => Router::One,
            MotionKind::Broadcast => Router::All,
            // Senders start at different receivers, so that small inputs do not all go to the first.
            MotionKind::RoundRobin => Router::InTurn { next: qe.content.0.max(0) as usize },
            MotionKind::Redistribute { keys, map } => {
                let splitter = Splitter::new(Arc::clone(schema), qe.map(*map)?, message_bytes);
                Router::ByHash { keys: keys.clone(), splitter: Box::new(splitter) }
            }
        })
    }

    async fn send(&mut self, batch: RecordBatch, sender: &mut Sender) -> Result<()> {
        match self {
            Router::One => sender.send(0, batch).await,
            Router::All => {
                for receiver in 0..sender.routes.len() {
                    sender.send(receiver, batch.clone()).await?;
                }
                Ok(())
            }
            Router::InTurn { next } => {
                let receiver = *next % sender.routes.len();
                *next = receiver + 1;
                sender.send(receiver, batch).await
            }
            Router::ByHash { keys, splitter } => {
                let rows = sender.split_rows(&batch);
                for start in (0..batch.num_rows()).step_by(rows) {
                    let batch = batch.slice(start, rows.min(batch.num_rows() - start));
                    let columns = keys.iter().map(|k| k.evaluate(&batch)?.into_array(batch.num_rows()));
                    splitter.push(&batch, &columns.collect::<Result<Vec<_>>>()?)?;
                    drain(splitter, sender).await?;
                }
                sender.gathers(splitter.buffered_bytes())
            }
        }
    }

    /// Whether rows wait for more of their destination.
    fn is_gathering(&self) -> bool {
        matches!(self, Router::ByHash { splitter, .. } if splitter.is_gathering())
    }

    async fn flush(&mut self, sender: &mut Sender) -> Result<()> {
        if let Router::ByHash { splitter, .. } = self {
            splitter.flush()?;
            drain(splitter, sender).await?;
        }
        Ok(())
    }
}

async fn drain(splitter: &mut Splitter, sender: &mut Sender) -> Result<()> {
    sender.gathers(splitter.buffered_bytes())?;
    let ready: Vec<_> = std::iter::from_fn(|| splitter.next_ready()).collect();
    sender.send_each(ready).await
}

/// The routes of one motion out of one QE, by position of the receiver; None once a receiver has stopped.
struct Sender {
    routes: Vec<Option<RouteSender>>,
    memory: MotionMemory,
    /// What is reserved for gathering.
    gathered_bytes: usize,
    metrics: RouteMetrics,
}

impl Sender {
    async fn send(&mut self, receiver: usize, batch: RecordBatch) -> Result<()> {
        send(&mut self.routes[receiver], batch, &self.metrics).await
    }

    /// Sends to several receivers at once: one that must wait for credit holds up none of the others' batches. Those of
    /// one receiver stay in order.
    async fn send_each(&mut self, mut batches: Vec<(ContentId, RecordBatch)>) -> Result<()> {
        if batches.len() <= 1 {
            let only = batches.pop();
            return match only {
                Some((ContentId(receiver), batch)) => self.send(receiver as usize, batch).await,
                None => Ok(()),
            };
        }
        batches.sort_by_key(|(receiver, _)| *receiver);
        let mut batches = batches.into_iter().peekable();
        let sends = self.routes.iter_mut().enumerate().filter_map(|(receiver, route)| {
            let is_its = |(to, _): &(ContentId, RecordBatch)| to.0 as usize == receiver;
            let its: Vec<_> = std::iter::from_fn(|| batches.next_if(is_its)).collect();
            (!its.is_empty()).then_some((route, its))
        });
        let metrics = &self.metrics;
        let sends = sends.map(async |(route, batches)| {
            for (_, batch) in batches {
                send(route, batch, metrics).await?;
            }
            Ok(())
        });
        try_join_all(sends).await.map(|_: Vec<()>| ())
    }

    /// How many of a batch's rows to split at once: what is ready then waits beside what is gathered, half a message for each
    /// destination on average.
    fn split_rows(&self, batch: &RecordBatch) -> usize {
        let row_bytes = batch_bytes(batch) as usize / batch.num_rows().max(1);
        (self.gathered_bytes / 2 / row_bytes.max(1)).clamp(1, SPLIT_ROWS_MAX)
    }

    /// Notes how much the splitter holds.
    fn gathers(&self, bytes: usize) -> Result<()> {
        self.memory.hold_more(bytes.saturating_sub(self.gathered_bytes))
    }

    fn all_stopped(&self) -> bool {
        self.routes.iter().all(|route| route.as_ref().is_none_or(RouteSender::is_stopped))
    }

    async fn finish(&mut self) -> Result<()> {
        for route in self.routes.iter_mut().filter_map(Option::take) {
            route.finish().await.map_err(route_error)?;
        }
        Ok(())
    }

    async fn fail(&mut self, cause: RouteError) {
        for route in self.routes.iter_mut().filter_map(Option::take) {
            route.fail(cause.clone()).await;
        }
    }
}

/// Sends on one route, which is None once its receiver has stopped.
async fn send(slot: &mut Option<RouteSender>, batch: RecordBatch, metrics: &RouteMetrics) -> Result<()> {
    let Some(route) = slot else { return Ok(()) };
    let before = route.moved();
    let sent = route.send(batch).await;
    metrics.add(route.moved() - before);
    if sent.map_err(route_error)? == Sent::Stopped {
        *slot = None;
    }
    Ok(())
}

pub(crate) fn route_error(error: RouteError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
