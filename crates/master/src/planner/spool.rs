//! Room where motions could deadlock: a spool at every input that needs one.
//!
//! A motion's sender serves its receivers one after the other, so that a receiver that does not read holds up its
//! siblings, through the sender that they share. Where every QE reads its motions in an order that does not depend on data,
//! each ends, one after the other; `interconnect`'s simulation (`src/sim.rs`) has the proof, and random plans for it.
//! Two kinds of reader choose by the data what they read next. An input *carries* motions if its slice receives some below
//! it, and *streams* if rows can leave it before these have ended. Then
//!
//! 1. an operator that alternates between its inputs (a sort-merge join; a merge of a union's inputs), run by more than one
//!    QE, with two or more inputs that carry motions, needs room at each of them that streams;
//! 2. a motion that merges the streams of more than one sender needs room below itself, if its input streams.
//!
//! A sort is room enough: so SQL of today gets no spool. DataFusion plans sort-merge joins for several partitions only, and we
//! plan for one; what sorts below a merging Gather stands above the motions.

use super::materialize::MaterializeExec;
use damson_motion::{Gang, MotionExec, MotionKind, MotionRecvExec, MotionSendExec, SpoolExec};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};
use std::sync::Arc;

type Plan = Arc<dyn ExecutionPlan>;

/// Puts the spools into a whole plan, whose motions have their final places.
///
/// # Errors
/// DataFusion's, from rebuilding operators.
pub(crate) fn make_room(plan: Plan) -> Result<Plan> {
    room_in(&plan, &Gang::Entry)
}

/// `gang` runs the slice that `plan` belongs to. From the leaves up: room below decides what streams above.
fn room_in(plan: &Plan, gang: &Gang) -> Result<Plan> {
    let motion = plan.downcast_ref::<MotionExec>().map(MotionExec::def);
    let below = motion.map_or(gang, |def| &def.senders);
    let children = plan.children().into_iter().map(|child| room_in(child, below)).collect::<Result<Vec<_>>>()?;
    let plan = with_children(plan, children)?;
    if let Some(def) = motion {
        let input = plan.children()[0];
        return if merge_needs_room(&def.kind, &def.senders, input) { spool_inputs(&plan, &[true]) } else { Ok(plan) };
    }
    let Some(reader) = alternating(&plan).cloned() else { return Ok(plan) };
    let needs = inputs_need_room(&reader, gang);
    if !needs.contains(&true) {
        return Ok(plan);
    }
    let spooled = spool_inputs(&reader, &needs)?;
    let replaced = plan.transform_down(|plan| {
        let is_reader = Arc::ptr_eq(&plan, &reader);
        let plan = if is_reader { Arc::clone(&spooled) } else { plan };
        Ok(Transformed::new(
            plan,
            is_reader,
            if is_reader { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue },
        ))
    });
    replaced.data()
}

/// What in one slice, cut or not, breaks the rule.
pub(crate) fn lacks_room(slice: &Plan, gang: &Gang) -> Option<String> {
    if let Some(send) = slice.downcast_ref::<MotionSendExec>()
        && merge_needs_room(&send.def().kind, gang, send.input())
    {
        return Some(format!("{} merges an input that streams from another motion", send.def().id));
    }
    if slice.downcast_ref::<MotionExec>().is_some() {
        return None;
    }
    if let Some(reader) = alternating(slice)
        && inputs_need_room(reader, gang).contains(&true)
    {
        return Some(format!("{} reads motions in turns", slice.name()));
    }
    slice.children().into_iter().find_map(|child| lacks_room(child, gang))
}

fn merge_needs_room(kind: &MotionKind, senders: &Gang, input: &Plan) -> bool {
    matches!(kind, MotionKind::Gather { merge: Some(_) }) && senders.size() > 1 && streams(input)
}

/// For each input of an operator whose inputs are read in turns.
fn inputs_need_room(reader: &Plan, gang: &Gang) -> Vec<bool> {
    let inputs = reader.children();
    let is_risky = gang.size() > 1 && inputs.iter().filter(|input| carries(input)).count() > 1;
    inputs.into_iter().map(|input| is_risky && streams(input)).collect()
}

/// The operator whose inputs `plan` reads in turns: itself, or the union whose partitions it merges. One that is not known here
/// is taken to alternate.
fn alternating(plan: &Plan) -> Option<&Plan> {
    if plan.downcast_ref::<SortPreservingMergeExec>().is_some() {
        let mut below = plan.children()[0];
        loop {
            let children = below.children();
            match children.as_slice() {
                // Partition by partition, as far as they go down.
                [only] if below.output_partitioning().partition_count() > 1 => below = *only,
                _ => break,
            }
        }
        return below.downcast_ref::<UnionExec>().map(|_| below);
    }
    let in_order = plan.downcast_ref::<HashJoinExec>().is_some()
        || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<CrossJoinExec>().is_some()
        || plan.downcast_ref::<UnionExec>().is_some()
        || plan.downcast_ref::<RecursiveQueryExec>().is_some();
    (plan.children().len() > 1 && !in_order).then_some(plan)
}

/// Motions are received below it, in its slice.
fn carries(plan: &Plan) -> bool {
    let receives = plan.downcast_ref::<MotionExec>().is_some() || plan.downcast_ref::<MotionRecvExec>().is_some();
    let is_cut_off = plan.downcast_ref::<SpoolExec>().is_some();
    receives || !is_cut_off && plan.children().into_iter().any(carries)
}

/// Rows can leave it before the motions that it carries have ended.
fn streams(plan: &Plan) -> bool {
    if plan.downcast_ref::<MotionExec>().is_some() || plan.downcast_ref::<MotionRecvExec>().is_some() {
        return true;
    }
    if plan.downcast_ref::<SpoolExec>().is_some() || takes_everything_first(plan) {
        return false;
    }
    // The build side, on the left, is read to its end before anything else.
    let builds = plan.downcast_ref::<HashJoinExec>().is_some()
        || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<CrossJoinExec>().is_some();
    match plan.children().as_slice() {
        [_, probe] if builds => streams(probe),
        [only] => streams(only),
        // Each input gives its first row before there is any.
        inputs if plan.downcast_ref::<SortMergeJoinExec>().is_some() => inputs.iter().any(|input| streams(input)),
        inputs => inputs.iter().any(|input| carries(input)),
    }
}

fn takes_everything_first(plan: &Plan) -> bool {
    let groups_by_hash = |aggregate: &AggregateExec| {
        let is_last_stage = !matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
        is_last_stage && *aggregate.input_order_mode() == InputOrderMode::Linear
    };
    plan.downcast_ref::<SortExec>().is_some()
        || plan.downcast_ref::<MaterializeExec>().is_some()
        || plan.downcast_ref::<AggregateExec>().is_some_and(groups_by_hash)
}

fn spool_inputs(plan: &Plan, needs: &[bool]) -> Result<Plan> {
    let inputs = plan.children().into_iter().zip(needs).map(|(input, &needs)| {
        let input = Arc::clone(input);
        if needs { Arc::new(SpoolExec::new(input)) as Plan } else { input }
    });
    with_children(plan, inputs.collect())
}

fn with_children(plan: &Plan, children: Vec<Plan>) -> Result<Plan> {
    if plan.children().iter().zip(&children).all(|(old, new)| Arc::ptr_eq(old, new)) {
        return Ok(Arc::clone(plan));
    }
    Arc::clone(plan).replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

#[cfg(test)]
mod tests;
