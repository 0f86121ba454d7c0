//! Room for an input that must be read whether or not its reader reads it.

use crate::MotionRecvExec;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use damson_interconnect::RouteSpills;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EvaluationType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::spill::spill_pool::{self, SpillPoolSink};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt, Stream, StreamExt, ready};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Reads its input from the start and as fast as it comes, and keeps what its reader has not taken. Put by the planner
/// where motions could deadlock otherwise: at inputs that an operator reads in turns, and below merging motions.
///
/// # Distribution
/// Kept.
///
/// # Ordering
/// Kept.
///
/// # Memory
/// The query's, as far as it goes; what it refuses is spilled to the disk manager's files, in order. They end as they are
/// read.
///
/// # Cancellation
/// Dropping the stream ends the task that reads the input, and the input with it.
///
/// # Errors
/// The input's, ahead of what has been kept; the disk's, when it is full.
#[derive(Debug)]
pub struct SpoolExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SpoolExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::clone(input.properties())
            .with_scheduling_type(SchedulingType::Cooperative)
            .with_evaluation_type(EvaluationType::Eager);
        SpoolExec { input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for SpoolExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpoolExec")
    }
}

impl ExecutionPlan for SpoolExec {
    fn name(&self) -> &str {
        "SpoolExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        Ok(Arc::new(SpoolExec::new(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let options = &context.session_config().options().execution;
        let spill = SpillMetrics::new(&self.metrics, partition);
        let manager = SpillManager::new(context.runtime_env(), spill, self.schema())
            .with_compression_type(options.spill_compression);
        let (spilling, spilled) = spill_pool::spsc_channel(options.max_spill_file_size_bytes.into(), Arc::new(manager));
        let consumer = MemoryConsumer::new(format!("Spool[{partition}]")).with_can_spill(true);
        let memory = Arc::new(consumer.register(context.memory_pool()));
        let (keeping, kept) = unbounded();
        let keeper = Keeper { keeping, spilling, memory: Arc::clone(&memory) };
        let filling = match self.input.downcast_ref::<MotionRecvExec>() {
            Some(motion) => SpawnedTask::spawn(fill(motion.receive(partition, &context)?, keeper)),
            None => {
                let input = self.input.execute(partition, context)?.map(|batch| Ok((batch?, ())));
                SpawnedTask::spawn(fill(input, keeper))
            }
        };
        Ok(Box::pin(cooperative(Spooled {
            schema: self.schema(),
            filling: Some(filling),
            kept,
            spilled,
            reads_spilled: false,
            memory,
            is_over: false,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        })))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }
}

/// A batch that waits for the reader.
enum Kept {
    InMemory {
        batch: RecordBatch,
        bytes: usize,
    },
    /// The next one of the spill files.
    Spilled,
}

/// Where a batch comes from.
trait Origin {
    /// So many bytes of it, in memory, went to disk.
    fn note_spilled(&self, bytes: u64);
}

impl Origin for RouteSpills {
    fn note_spilled(&self, bytes: u64) {
        self.add(bytes);
    }
}

/// From an operator of the same slice, whose rows are not those of one route.
impl Origin for () {
    fn note_spilled(&self, _: u64) {}
}

/// The writing end. The queue is bounded by the memory and the disk that its batches get.
struct Keeper {
    keeping: UnboundedSender<Kept>,
    spilling: SpillPoolSink,
    memory: Arc<MemoryReservation>,
}

impl Keeper {
    /// False when nobody reads any more.
    fn keep(&self, batch: RecordBatch, origin: &impl Origin) -> Result<bool> {
        let bytes = batch.get_array_memory_size();
        let kept = match self.memory.try_grow(bytes) {
            Ok(()) => Kept::InMemory { batch, bytes },
            Err(_) => {
                self.spilling.push_batch(&batch)?;
                origin.note_spilled(bytes as u64);
                Kept::Spilled
            }
        };
        Ok(self.keeping.unbounded_send(kept).is_ok())
    }
}

async fn fill<O: Origin>(input: impl Stream<Item = Result<(RecordBatch, O)>>, keeper: Keeper) -> Result<()> {
    let mut input = pin!(input);
    while let Some(batch) = input.next().await {
        // An input that always has a batch at hand does not keep others from their turn.
        tokio::task::coop::consume_budget().await;
        let (batch, origin) = batch?;
        // Empty batches are not kept by spill files.
        if batch.num_rows() > 0 && !keeper.keep(batch, &origin)? {
            break;
        }
    }
    Ok(())
}

/// The reading end; owns the task that fills it.
struct Spooled {
    schema: SchemaRef,
    /// None once it has ended well.
    filling: Option<SpawnedTask<Result<()>>>,
    kept: UnboundedReceiver<Kept>,
    spilled: SendableRecordBatchStream,
    reads_spilled: bool,
    memory: Arc<MemoryReservation>,
    is_over: bool,
    metrics: BaselineMetrics,
}

impl Spooled {
    fn poll_kept(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if let Some(filling) = &mut self.filling
            && let Poll::Ready(end) = filling.poll_unpin(context)
        {
            self.filling = None;
            end.map_err(|panic| DataFusionError::External(Box::new(panic))).flatten()?;
        }
        if !self.reads_spilled {
            match ready!(self.kept.poll_next_unpin(context)) {
                Some(Kept::InMemory { batch, bytes }) => {
                    self.memory.shrink(bytes);
                    return Poll::Ready(Some(Ok(batch)));
                }
                Some(Kept::Spilled) => self.reads_spilled = true,
                None if self.filling.is_none() => return Poll::Ready(None),
                // The task is about to end, and how is known then.
                None => return Poll::Pending,
            }
        }
        let batch = ready!(self.spilled.poll_next_unpin(context));
        self.reads_spilled = false;
        let missing = || Err(DataFusionError::Internal("a spooled batch is not in its spill file".into()));
        Poll::Ready(Some(batch.unwrap_or_else(missing)))
    }
}

impl Stream for Spooled {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = self.poll_kept(context);
        if let Poll::Ready(None | Some(Err(_))) = &polled {
            self.is_over = true;
            self.kept.close();
        }
        self.metrics.record_poll(polled)
    }
}

impl RecordBatchStream for Spooled {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests;
