//! The chosen tree as a plan.

use super::enumerate::Tree;
use super::graph::{JoinGraph, Set};
use datafusion::common::NullEquality;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, JoinConstraint, JoinType, LogicalPlan, Projection};
use std::sync::Arc;

/// Builds the tree, and on top of it the columns that the group had, in their order.
pub(super) fn build(graph: &JoinGraph, tree: &Tree, original: &LogicalPlan) -> Result<LogicalPlan> {
    let built = node(graph, tree)?;
    let columns = original.schema().columns();
    if built.schema().columns() == columns {
        return Ok(built);
    }
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(built))?))
}

fn node(graph: &JoinGraph, tree: &Tree) -> Result<LogicalPlan> {
    match tree {
        Tree::Relation(number) => relation(graph, *number),
        Tree::Join { build, probe, build_set, probe_set } => {
            let (left, right) = (node(graph, build)?, node(graph, probe)?);
            join(graph, left, right, *build_set, *probe_set)
        }
        Tree::Semi { left, semi } => {
            let semi = &graph.semis[*semi];
            let left = Arc::new(node(graph, left)?);
            let Join { on, filter, join_type, .. } = semi.join.clone();
            let joined = Join::try_new(
                left,
                Arc::new(semi.right.clone()),
                on,
                filter,
                join_type,
                JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )?;
            Ok(LogicalPlan::Join(joined))
        }
    }
}

fn relation(graph: &JoinGraph, number: usize) -> Result<LogicalPlan> {
    let plan = graph.relations[number].clone();
    let filters = graph.predicates_within(number).into_iter().chain(graph.equal_within(number));
    match conjunction(filters) {
        None => Ok(plan),
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
    }
}

fn join(
    graph: &JoinGraph,
    left: LogicalPlan,
    right: LogicalPlan,
    left_set: Set,
    right_set: Set,
) -> Result<LogicalPlan> {
    let keys = graph.keys_between(left_set, right_set);
    let on = keys.into_iter().map(|(_, l, r)| (Expr::Column(l), Expr::Column(r))).collect();
    let filter = graph.predicates_between(left_set, right_set);
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        JoinType::Inner,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    Ok(LogicalPlan::Join(joined))
}
