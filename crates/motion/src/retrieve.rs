//! Parallel retrieve: the root of a slice whose rows a client fetches from each segment itself.

use crate::QeContext;
use crate::retrievals::{RetrievalId, Retrievals, WaitsForClient};
use arrow::datatypes::Schema;
use damson_interconnect::RouteError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;

/// Gives its input's rows to the client that fetches them here, where a motion would send them to the master; yields nothing itself. Run as the root
/// of a slice, which has ended when the client has taken all of them.
///
/// # Memory
/// [`RETRIEVED_BATCHES_MAX`](crate::limits::RETRIEVED_BATCHES_MAX) batches wait for the client.
///
/// # Cancellation
/// When the client leaves, it ends with [`RouteError::Cancelled`]. Dropping the stream ends the client's with an error.
///
/// # Errors
/// The input's. The client hears of it from the master.
#[derive(Debug)]
pub struct RetrieveExec {
    id: RetrievalId,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl RetrieveExec {
    pub fn new(id: RetrievalId, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::empty())),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        RetrieveExec { id, input, properties: Arc::new(properties) }
    }

    pub fn id(&self) -> RetrievalId {
        self.id
    }
}

impl DisplayAs for RetrieveExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetrieveExec")
    }
}

impl ExecutionPlan for RetrieveExec {
    fn name(&self) -> &str {
        "RetrieveExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        Ok(Arc::new(RetrieveExec::new(self.id, children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let qe = QeContext::of(&context)?;
        let retrievals = context.session_config().get_extension::<Retrievals>();
        let internal = |message: String| DataFusionError::Internal(message);
        let retrievals = retrievals.ok_or_else(|| internal("rows are retrieved where no client comes".into()))?;
        // Of a slice that nobody watches nobody wants to know.
        let waits = context.session_config().get_extension::<WaitsForClient>().unwrap_or_default();
        let offered = retrievals.offer(self.id, qe.content, waits);
        let mut offered = offered.ok_or_else(|| internal(format!("{} is retrieved twice", qe.query)))?;
        let mut input = self.input.execute(partition, context)?;
        let query = qe.query;
        let gone = move |_| DataFusionError::External(Box::new(RouteError::Cancelled { query }));
        let work = async move {
            while let Some(batch) = input.next().await {
                offered.send(batch?).await.map_err(gone)?;
            }
            offered.finish().await.map_err(gone)
        };
        let nothing = stream::once(work).try_filter_map(|()| async { Ok(None) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), nothing)))
    }
}
