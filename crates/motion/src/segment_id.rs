//! The system column `gp_segment_id`.

use crate::{QeContext, ScanSpec};
use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

pub(crate) fn segment_id_field() -> Field {
    Field::new(ScanSpec::SEGMENT_ID, DataType::Int32, false)
}

/// Appends `gp_segment_id`, this segment's content id, to every row. Made by a segment when it resolves a scan.
#[derive(Debug)]
pub struct SegmentIdExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SegmentIdExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let mut fields = input.schema().fields().to_vec();
        fields.push(Arc::new(segment_id_field()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(fields))),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        SegmentIdExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for SegmentIdExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentIdExec")
    }
}

impl ExecutionPlan for SegmentIdExec {
    fn name(&self) -> &str {
        "SegmentIdExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        Ok(Arc::new(SegmentIdExec::new(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let content = QeContext::of(&context)?.content.0;
        let schema = self.schema();
        let output_schema = Arc::clone(&schema);
        let append = move |batch: Result<RecordBatch>| {
            let batch = batch?;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(Int32Array::from_value(content, batch.num_rows())) as ArrayRef);
            Ok(RecordBatch::try_new(Arc::clone(&output_schema), columns)?)
        };
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, input.map(append))))
    }
}
