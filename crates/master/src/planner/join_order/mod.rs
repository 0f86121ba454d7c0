//! Pass 3: joins in the cheapest order, motions included. DataFusion follows the order of FROM.
//!
//! A group of inner joins, with the semi and anti joins above them, is taken apart ([`graph`]), its relations' sizes are
//! estimated from the catalog's statistics ([`estimate`]), the cheapest tree is found ([`enumerate`]) and built again
//! ([`build`]). Outer joins are boundaries: what is below them is ordered by itself.

mod build;
mod enumerate;
mod estimate;
mod graph;
mod selectivity;

use build::build;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{JoinType, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use enumerate::enumerate;
use graph::JoinGraph;

/// The optimizer rule; runs before projections are pruned, so that the new joins carry no more columns than the old.
#[derive(Debug, Default)]
pub(crate) struct JoinOrder {}

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "join_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        order(plan)
    }
}

/// Orders the join group at the top of a plan, if there is one, and those below it.
fn order(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !is_group_root(&plan) {
        return plan.map_children(order);
    }
    let mut graph = JoinGraph::of(&plan)?;
    if graph.relations.len() + graph.semis.len() < 3 {
        return plan.map_children(order);
    }
    let mut below = false;
    for input in graph.inputs_mut() {
        let ordered = order(std::mem::take(input))?;
        below |= ordered.transformed;
        *input = ordered.data;
    }
    let rebuilt = match enumerate(&graph) {
        Some(tree) => build(&graph, &tree, &plan)?,
        None => return if below { plan.map_children(order) } else { Ok(Transformed::no(plan)) },
    };
    if rebuilt == plan { Ok(Transformed::no(plan)) } else { Ok(Transformed::yes(rebuilt)) }
}

fn is_group_root(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => graph::is_orderable(join),
        LogicalPlan::Filter(filter) => is_join(&filter.input),
        _ => false,
    }
}

fn is_join(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if join.join_type == JoinType::Inner)
}
