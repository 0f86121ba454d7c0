//! The sending end of a motion: the root of a slice.

use crate::flush_timer::{FlushTimer, Next};
use crate::limits::{SEND_MESSAGE_BYTES, SPLIT_ROWS_MAX};
use crate::route_rows::Splitter;
use crate::{MotionDef, MotionKind, QeContext};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use damson_cluster::ContentId;
use damson_interconnect::{RouteError, RouteSender, Sent};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
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
/// One gathered batch per destination, of [`SEND_MESSAGE_BYTES`]; what is in flight is bounded by the routes' credits.
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
        let routes = self.def.receivers.contents().into_iter().map(|receiver| {
            let route = qe.route(self.def.id, qe.content, receiver);
            Some(qe.node.sender(route, qe.topology.endpoint(receiver), Arc::clone(&schema)))
        });
        let mut sender = Sender {
            routes: routes.collect(),
            rows: MetricBuilder::new(&self.metrics).output_rows(partition),
            bytes: MetricBuilder::new(&self.metrics).counter("bytes_moved", partition),
        };
        let router = Router::new(&self.def.kind, &qe, &schema)?;
        let input = self.input.execute(0, context)?;
        let work = async move {
            match send_all(router, input, &mut sender).await {
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
async fn send_all(mut router: Router, mut input: SendableRecordBatchStream, sender: &mut Sender) -> Result<()> {
    let mut timer = FlushTimer::default();
    loop {
        match timer.next(&mut input, router.is_gathering()).await {
            Next::Batch(batch) => router.send(batch?, sender).await?,
            Next::End => return router.flush(sender).await,
            Next::Flush => {
                let start = Instant::now();
                router.flush(sender).await?;
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
    fn new(kind: &MotionKind, qe: &QeContext, schema: &arrow::datatypes::SchemaRef) -> Result<Self> {
        Ok(match kind {
            MotionKind::Gather { .. } => Router::One,
            MotionKind::Broadcast => Router::All,
            // Senders start at different receivers, so that small inputs do not all go to the first.
            MotionKind::RoundRobin => Router::InTurn { next: qe.content.0.max(0) as usize },
            MotionKind::Redistribute { keys, map } => {
                let splitter = Splitter::new(Arc::clone(schema), qe.map(*map)?, SEND_MESSAGE_BYTES);
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
                for start in (0..batch.num_rows()).step_by(SPLIT_ROWS_MAX) {
                    let batch = batch.slice(start, SPLIT_ROWS_MAX.min(batch.num_rows() - start));
                    let columns = keys.iter().map(|k| k.evaluate(&batch)?.into_array(batch.num_rows()));
                    splitter.push(&batch, &columns.collect::<Result<Vec<_>>>()?)?;
                    drain(splitter, sender).await?;
                }
                Ok(())
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
    let ready: Vec<_> = std::iter::from_fn(|| splitter.next_ready()).collect();
    sender.send_each(ready).await
}

/// The routes of one motion out of one QE, by position of the receiver; None once a receiver has stopped.
struct Sender {
    routes: Vec<Option<RouteSender>>,
    rows: Count,
    bytes: Count,
}

impl Sender {
    async fn send(&mut self, receiver: usize, batch: RecordBatch) -> Result<()> {
        send(&mut self.routes[receiver], batch, &self.rows, &self.bytes).await
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
        let (rows, bytes) = (&self.rows, &self.bytes);
        let sends = sends.map(async |(route, batches)| {
            for (_, batch) in batches {
                send(route, batch, rows, bytes).await?;
            }
            Ok(())
        });
        try_join_all(sends).await.map(|_: Vec<()>| ())
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
async fn send(slot: &mut Option<RouteSender>, batch: RecordBatch, rows: &Count, bytes: &Count) -> Result<()> {
    let Some(route) = slot else { return Ok(()) };
    let (batch_rows, batch_bytes) = (batch.num_rows(), batch.get_array_memory_size());
    match route.send(batch).await.map_err(route_error)? {
        Sent::Accepted => {
            rows.add(batch_rows);
            bytes.add(batch_bytes);
        }
        Sent::Stopped => *slot = None,
    }
    Ok(())
}

pub(crate) fn route_error(error: RouteError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
