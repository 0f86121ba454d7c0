//! A motion in the master's plan, before it is cut into slices.

use crate::{MotionDef, MotionKind};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, OrderingRequirements, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties, Statistics,
};
use std::fmt;
use std::sync::Arc;

/// Data movement between the slice below and the slice above. Made by the planner's distribute pass; the cut replaces
/// it with a [`crate::MotionSendExec`] and a [`crate::MotionRecvExec`], so it never executes.
///
/// # Distribution
/// Any → what [`MotionKind`] says.
///
/// # Ordering
/// None, except a Gather's merge key, which it requires of its input and keeps.
#[derive(Debug)]
pub struct MotionExec {
    def: MotionDef,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl MotionExec {
    pub fn new(def: MotionDef, input: Arc<dyn ExecutionPlan>) -> Self {
        let mut equivalence = EquivalenceProperties::new(input.schema());
        if let MotionKind::Gather { merge: Some(ordering) } = &def.kind {
            equivalence.add_ordering(ordering.clone());
        }
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        MotionExec { def, input, properties: Arc::new(properties) }
    }

    pub fn def(&self) -> &MotionDef {
        &self.def
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for MotionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MotionDef { id, kind, senders, receivers } = &self.def;
        write!(f, "MotionExec: {kind} {}:{} {id}", senders.size(), receivers.size())
    }
}

impl ExecutionPlan for MotionExec {
    fn name(&self) -> &str {
        "MotionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        match &self.def.kind {
            MotionKind::Gather { merge: Some(ordering) } => vec![Some(OrderingRequirements::from(ordering.clone()))],
            _ => vec![None],
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // A merge gives its own key's order, whatever more the input has: no sort may be moved below it.
        vec![false]
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.def.kind.routing().iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(MotionExec::new(self.def.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(DataFusionError::Internal(format!("{} was executed before the plan was cut into slices", self.def.id)))
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }
}
