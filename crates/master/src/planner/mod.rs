//! Stops 3 and 4 of a query's walk: a logical plan becomes slices.
//!
//! The passes, in order: DataFusion's analyzer and logical optimiser with [`join_order`] among its rules, the guards that
//! keep `b <> 0 AND a / b > 1` from dividing by zero, DataFusion's physical planner for one partition, [`distribute`],
//! DataFusion's enforcement of orderings, [`spool`] where motions could deadlock, and [`slices`] with [`direct_dispatch`].

mod constant_rows;
mod direct_dispatch;
mod distribute;
mod join_order;
mod locus;
mod materialize;
mod modify;
mod next_values;
mod plain_text;
mod retrieve;
mod segments;
mod slices;
mod spool;
mod verify;
mod write;

pub(crate) use distribute::{Tables, row_bytes, rows_and_bytes};
pub(crate) use join_order::JoinOrder;
pub(crate) use plain_text::plain_text;
pub(crate) use retrieve::{retrievable, retrieved};
pub(crate) use slices::{Slice, SliceTable};
pub(crate) use write::{TableTarget, WriteTarget};

use damson_cluster::BucketMap;
use damson_motion::{ForgetConstantsExec, MotionExec, MotionKind, TableScanExec};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::join_selection::JoinSelection;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use distribute::{Distributor, Placed};
use next_values::NextValuesPlanner;
use segments::segments_of;
use std::sync::Arc;

/// What the planner must know beside the plan.
pub(crate) struct PlanContext<'a> {
    pub state: &'a SessionState,
    pub tables: &'a dyn Tables,
    /// The newest bucket map.
    pub map: &'a BucketMap,
}

/// What becomes of the rows of a plan.
#[expect(clippy::large_enum_variant, reason = "one a statement")]
pub(crate) enum Output {
    /// To the client.
    Rows,
    /// Into a table or files; the plan's result is one row per writer.
    Write(WriteTarget),
}

/// A bound logical plan to slices.
///
/// # Errors
/// What DataFusion finds wrong with the query, or cannot plan.
pub(crate) async fn plan(context: &PlanContext<'_>, logical: &LogicalPlan, output: Output) -> Result<SliceTable> {
    plan_optimized(context, &optimize(context.state, logical)?, output).await
}

/// The logical passes. What they make of a query of one table depends on none of its files and statistics, and can be kept.
///
/// # Errors
/// What DataFusion finds wrong with the query.
pub(crate) fn optimize(state: &SessionState, logical: &LogicalPlan) -> Result<LogicalPlan> {
    damson_functions::guard_plan(constant_rows::optimize(state, logical)?)
}

/// As [`plan`], of what [`optimize`] made.
///
/// # Errors
/// What DataFusion cannot plan.
pub(crate) async fn plan_optimized(
    context: &PlanContext<'_>,
    optimized: &LogicalPlan,
    output: Output,
) -> Result<SliceTable> {
    let physical = one_partition(context.state, optimized).await?;
    distribute_and_slice(context, physical, output)
}

/// A physical plan of one partition to slices.
///
/// # Errors
/// DataFusion's, from rebuilding operators.
pub(crate) fn distribute_and_slice(
    context: &PlanContext<'_>,
    physical: Arc<dyn ExecutionPlan>,
    output: Output,
) -> Result<SliceTable> {
    let everywhere = matches!(&output, Output::Write(target) if target.is_everywhere());
    let in_place = matches!(&output, Output::Write(target) if target.is_in_place());
    let segments = segments_of(context, &physical, &output)?;
    let (tables, map) = (context.tables, context.map.version);
    let distributor = Distributor { tables, segments, map, first: context.map.first_owner(), everywhere, in_place };
    let placed: Placed = distributor.place(&physical)?;
    let placed = match output {
        Output::Rows => placed,
        Output::Write(target) => write::write(&distributor, placed, target)?,
    };
    let gathered = distributor.to_entry(placed)?.plan;
    let sorted = with_orderings(gathered, context.state.config_options())?;
    let roomy = spool::make_room(sorted)?;
    let table = slices::slice(roomy, context.tables)?;
    verify::verify(&table, context.tables);
    Ok(table)
}

/// Sorts where an operator requires an ordering that its input has not.
fn with_orderings(plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    if requires_nothing(&plan) {
        return Ok(plan);
    }
    let sorted = EnsureRequirements::new().optimize(plan, options)?;
    OutputRequirements::new_remove_mode().optimize(sorted, options)
}

/// Whether a plan has no join, no sort, and no operator that requires one: there is nothing that the rules about those would change. They took a third of the
/// time in which a lookup is planned.
fn requires_nothing(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_gather = |motion: &MotionExec| matches!(motion.def().kind, MotionKind::Gather { merge: None });
    let is_plain = plan.downcast_ref::<FilterExec>().is_some()
        || plan.downcast_ref::<ProjectionExec>().is_some()
        || plan.downcast_ref::<TableScanExec>().is_some()
        || plan.downcast_ref::<ForgetConstantsExec>().is_some()
        || plan.downcast_ref::<MotionExec>().is_some_and(is_gather);
    is_plain && plan.children().into_iter().all(requires_nothing)
}

/// DataFusion's own physical plan, build sides chosen by size, nothing of it for more than one partition. The outermost
/// sort is marked, so that it outlives operators above it that drop its key.
async fn one_partition(state: &SessionState, logical: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NextValuesPlanner)]);
    let plan = planner.create_physical_plan(logical, state).await?;
    if requires_nothing(&plan) {
        return Ok(plan);
    }
    let plan = JoinSelection::new().optimize(plan, state.config_options())?;
    OutputRequirements::new_add_mode().optimize(plan, state.config_options())
}
