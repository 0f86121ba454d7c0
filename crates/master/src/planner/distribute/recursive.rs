//! Recursive CTEs: iterated on the master, over inputs that were gathered once.

use super::{Distributor, Placed, with_inputs};
use crate::planner::locus::Locus;
use crate::planner::materialize::MaterializeExec;
use damson_motion::MotionExec;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use std::sync::Arc;

impl Distributor<'_> {
    /// The recursive term runs once per iteration, a motion only once: what comes through motions is kept.
    pub(super) fn place_recursive(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        recursive: &RecursiveQueryExec,
    ) -> Result<Placed> {
        let start = self.to_entry(self.place(recursive.static_term())?)?;
        let step = self.to_entry(self.place(recursive.recursive_term())?)?;
        let step = step.plan.transform_down(|plan| {
            Ok(if plan.downcast_ref::<MotionExec>().is_some() {
                Transformed::new(
                    Arc::new(MaterializeExec::new(plan)) as Arc<dyn ExecutionPlan>,
                    true,
                    datafusion::common::tree_node::TreeNodeRecursion::Jump,
                )
            } else {
                Transformed::no(plan)
            })
        });
        Ok(Placed { plan: with_inputs(plan, vec![start.plan, step.data()?])?, locus: Locus::Entry })
    }
}
