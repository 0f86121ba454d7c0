//! The operator of `nextval`, from its logical one.

use crate::engine::NextValues;
use async_trait::async_trait;
use damson_motion::{NextValue, NextValuesExec};
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use std::sync::Arc;

/// Plans [`NextValues`], the one logical operator that is not DataFusion's.
pub(super) struct NextValuesPlanner;

#[async_trait]
impl ExtensionPlanner for NextValuesPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<NextValues>() else { return Ok(None) };
        let (logical, physical) = (logical_inputs[0], Arc::clone(&physical_inputs[0]));
        let mut values = vec![];
        for call in node.calls() {
            let condition = call.condition.as_ref();
            let condition = condition.map(|c| planner.create_physical_expr(c, logical.schema(), session, context));
            let (sequence, column) = (call.sequence.clone(), call.column.clone());
            values.push(NextValue { sequence, column, condition: condition.transpose()? });
        }
        Ok(Some(Arc::new(NextValuesExec::new(values, physical))))
    }
}
