//! UPDATE, DELETE and MERGE: each row to the segment of its file, what deletes it there, and the new row to its owner.

use super::distribute::{Distributor, Placed, ignores_order};
use super::locus::Locus;
use super::write::TableTarget;
use damson_cluster::{Distribution, Once};
use damson_motion::{
    ModifyKind, MotionExec, SplitUpdateExec, SplitUpdateSpec, TableModifyExec, TableModifySpec, TableScanExec,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;

/// Position of the row's segment; before it are its file and number, after it what becomes of it, and the new row.
const SEGMENT: usize = 2;

/// Position of the segment that a row group goes to.
const TAKER: usize = 0;

/// Puts what changes the rows on top of a plan that names them.
pub(super) fn modify(
    distributor: &Distributor<'_>,
    rows: Placed,
    table: TableTarget,
    kind: ModifyKind,
    once: Option<Once>,
) -> Result<Placed> {
    let map = distributor.bucket_map(table.map)?;
    let split = |key: &[usize]| SplitUpdateSpec {
        key: key.to_vec(),
        map: table.map,
        to: table.moves_to.clone(),
        told: kind == ModifyKind::Merge,
    };
    let ready = match (&table.distribution, kind) {
        (_, ModifyKind::RowGroups) => distributor.to_named(rows, TAKER).plan,
        (Distribution::Replicated, _) => {
            check_copies(&rows, kind)?;
            distributor.on_owners(without(SEGMENT, rows.plan)?, &map)
        }
        // Where a row is new, no segment has it yet.
        (Distribution::Hashed(key), ModifyKind::Merge) => {
            split_to_segments(distributor, distributor.to_one_copy(rows)?, split(key))?
        }
        // As those that INSERT brings.
        (Distribution::Randomly, ModifyKind::Merge) => {
            let spec = SplitUpdateSpec { map: distributor.map, ..split(&[]) };
            split_to_segments(distributor, distributor.to_one_copy(rows)?, spec)?
        }
        (Distribution::Hashed(key), ModifyKind::SplitUpdate) => {
            split_to_segments(distributor, to_its_segment(distributor, rows), split(key))?
        }
        (Distribution::Randomly, ModifyKind::SplitUpdate) => {
            split_to_segments(distributor, to_its_segment(distributor, rows), split(&[]))?
        }
        _ => without(SEGMENT, to_its_segment(distributor, rows).plan)?,
    };
    let spec = TableModifySpec { write: table.spec_over(&ready, &map), kind, once };
    Ok(Placed { plan: Arc::new(TableModifyExec::new(spec, table.checks, ready)), locus: Locus::Strewn })
}

fn split_to_segments(
    distributor: &Distributor<'_>,
    rows: Placed,
    spec: SplitUpdateSpec,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan: Arc<dyn ExecutionPlan> = Arc::new(SplitUpdateExec::new(spec, rows.plan));
    let split = Placed { plan, locus: rows.locus };
    let moved = distributor.to_named(split, SplitUpdateExec::SEGMENT);
    without(SplitUpdateExec::SEGMENT, moved.plan)
}

fn to_its_segment(distributor: &Distributor<'_>, rows: Placed) -> Placed {
    let is_there = rows.locus.is_partitioned() && has_moved(&rows.plan) == Some(false);
    if is_there { rows } else { distributor.to_named(rows, SEGMENT) }
}

/// Whether a motion is between the plan and the scan that names its rows; None without such a scan.
///
/// # Panics
/// If there are several: the statement's own query has one, and nothing else can name it.
fn has_moved(plan: &Arc<dyn ExecutionPlan>) -> Option<bool> {
    if let Some(scan) = plan.downcast_ref::<TableScanExec>() {
        return scan.spec().row_ids.then_some(false);
    }
    let below: Vec<bool> = plan.children().into_iter().filter_map(has_moved).collect();
    assert!(below.len() <= 1, "rows are named by one scan");
    Some(below.first().copied()? || plan.downcast_ref::<MotionExec>().is_some())
}

/// Every segment changes its own copy of a replicated table; they must agree on which rows, and on their new values.
///
/// # Errors
/// 0A000 for what could give each segment something else.
fn check_copies(rows: &Placed, kind: ModifyKind) -> Result<()> {
    let disagree = |what: &str| {
        let command = if kind == ModifyKind::Merge { "MERGE or ON CONFLICT" } else { "UPDATE or DELETE" };
        let message = format!("{command} of a replicated table by {what}: its copies could come to differ");
        Err(DataFusionError::NotImplemented(message))
    };
    // Without a scan, no old rows are changed.
    if !rows.locus.is_whole() || has_moved(&rows.plan) == Some(true) {
        return disagree("what only one place can compute (LIMIT, a volatile function)");
    }
    match disagreeing(&rows.plan) {
        Some(what) => disagree(&what),
        None => Ok(()),
    }
}

/// An operator whose result depends on the order of its input, or that is not known not to.
pub(super) fn disagreeing(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    const AGREEING: [&str; 15] = [
        "CoalescePartitionsExec",
        "CooperativeExec",
        "CrossJoinExec",
        "DataSourceExec",
        "EmptyExec",
        "FilterExec",
        "ForgetConstantsExec",
        // On the copies it is only where a join tests for any row.
        "GlobalLimitExec",
        "HashJoinExec",
        "NestedLoopJoinExec",
        "OutputRequirementExec",
        "PlaceholderRowExec",
        "ProjectionExec",
        "TableScanExec",
        "UnionExec",
    ];
    // What comes through a motion is computed once, and the same for every copy.
    if plan.downcast_ref::<MotionExec>().is_some() {
        return None;
    }
    if plan.downcast_ref::<TableScanExec>().is_some_and(|scan| scan.spec().segment_id) {
        return Some("gp_segment_id, which differs from copy to copy".into());
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let depends = aggregate.aggr_expr().iter().find(|function| !ignores_order(function));
        if let Some(function) = depends {
            return Some(format!("the aggregate {}", function.fun().name()));
        }
    } else if !AGREEING.contains(&plan.name()) {
        return Some(format!("an operator that depends on the order of rows ({})", plan.name()));
    }
    plan.children().into_iter().find_map(disagreeing)
}

/// The plan without one of its columns.
fn without(position: usize, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let column = |(i, field): (usize, &Arc<datafusion::arrow::datatypes::Field>)| {
        (Arc::new(Column::new(field.name(), i)) as Arc<dyn PhysicalExpr>, field.name().clone())
    };
    let columns = schema.fields().iter().enumerate().filter(|(i, _)| *i != position).map(column);
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
}
