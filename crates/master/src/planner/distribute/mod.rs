//! Pass 5: where each operator's rows are, and the cheapest motions that make each operator right.
//!
//! Works bottom up on DataFusion's one-partition plan. Every operator either is known here, with the loci that it may
//! run at, or gets its inputs gathered to the master: an operator of a future DataFusion is slow, never wrong.

mod aggregate;
mod estimate;
mod expressions;
mod join;
mod leaf;
mod limit;
mod moves;
mod recursive;
mod union;
mod window;

use super::locus::Locus;
use damson_cluster::{BucketMap, ContentId, MapVersion, SegmentSet, SnapshotId, TableDef, TableId};
use damson_motion::{ForgetConstantsExec, HashFilterExec, Kept, NextValuesExec, ScanSpec};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_optimizer::output_requirements::OutputRequirementExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;

pub(crate) use aggregate::ignores_order;
pub(crate) use estimate::{row_bytes, rows_and_bytes};
pub(crate) use moves::{Target, on_segments};

/// An operator and where its rows are.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub plan: Arc<dyn ExecutionPlan>,
    pub locus: Locus,
}

/// What the pass must know of the catalog.
pub(crate) trait Tables: Sync {
    /// The table as the statement sees it, or as it was.
    fn table(&self, id: TableId, as_of: Option<SnapshotId>) -> Option<Arc<TableDef>>;

    /// A bucket map that tables name.
    fn map(&self, version: MapVersion) -> Option<Arc<BucketMap>>;

    /// The segments that have files of the table. They may be others than the owners of its map: rows of a random table go where those of new tables do.
    fn segments_with_files(&self, id: TableId, as_of: Option<SnapshotId>) -> SegmentSet;

    /// The table that is scanned.
    fn scanned(&self, scan: &ScanSpec) -> Option<Arc<TableDef>> {
        self.table(scan.table, scan.as_of)
    }
}

/// The pass and its constants; one per plan.
pub(crate) struct Distributor<'a> {
    pub tables: &'a dyn Tables,
    /// Who runs the plan's slices: every owner of each map that tables and motions name, and who has files of the tables.
    pub segments: SegmentSet,
    /// The newest bucket map: what redistributions use when no table decides.
    pub map: MapVersion,
    /// Who does what one segment is enough for: the first owner of that map.
    pub first: ContentId,
    /// Every segment gets all rows of every table, so that each computes the whole result: for changes of replicated tables.
    pub everywhere: bool,
    /// Each segment reads its own copies of replicated tables, also where not all have one.
    pub in_place: bool,
}

impl Distributor<'_> {
    /// # Errors
    /// Internal, if the catalog has no such map.
    pub(crate) fn bucket_map(&self, version: MapVersion) -> Result<Arc<BucketMap>> {
        self.tables.map(version).ok_or_else(|| DataFusionError::Internal(format!("no bucket map {version}")))
    }

    /// Places a whole plan; the result's locus is the root operator's.
    ///
    /// # Errors
    /// DataFusion's, from rebuilding an operator.
    pub(crate) fn place(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Placed> {
        if let Some(leaf) = self.place_leaf(plan)? {
            return Ok(leaf);
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            return self.place_filter(plan, filter);
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            return self.place_projection(plan, projection);
        }
        if let Some(next) = plan.downcast_ref::<NextValuesExec>() {
            // A row takes a value once, wherever there are copies of it.
            let input = self.to_one_copy(self.place(next.input())?)?;
            return Ok(Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus });
        }
        if let Some(filter) = plan.downcast_ref::<HashFilterExec>() {
            return self.place_hash_filter(plan, filter);
        }
        if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
            return self.place_aggregate(plan, aggregate);
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return self.place_hash_join(plan, join);
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            return self.place_nested_loop_join(plan, join);
        }
        if let Some(join) = plan.downcast_ref::<CrossJoinExec>() {
            return self.place_cross_join(plan, join);
        }
        if let Some(sort) = plan.downcast_ref::<SortExec>() {
            return self.place_sort(plan, sort);
        }
        if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
            return self.place_limit(plan.children()[0], limit.skip(), limit.fetch());
        }
        if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
            return self.place_limit(plan.children()[0], 0, Some(limit.fetch()));
        }
        if let Some(union) = plan.downcast_ref::<UnionExec>() {
            return self.place_union(union);
        }
        if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
            return self.place_window(plan, window.window_expr());
        }
        if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
            return self.place_window(plan, window.window_expr());
        }
        if let Some(recursive) = plan.downcast_ref::<RecursiveQueryExec>() {
            return self.place_recursive(plan, recursive);
        }
        if plan.downcast_ref::<OutputRequirementExec>().is_some() {
            let input = self.place(plan.children()[0])?;
            return Ok(Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus });
        }
        let passes_through = plan.fetch().is_none()
            && (plan.downcast_ref::<CoalescePartitionsExec>().is_some()
                || plan.downcast_ref::<CooperativeExec>().is_some());
        if passes_through {
            let input = self.place(plan.children()[0])?;
            return Ok(Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus });
        }
        self.place_on_entry(plan)
    }

    /// Any operator is right where all of its input is.
    fn place_on_entry(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Placed> {
        let inputs = plan.children().into_iter().map(|child| self.to_entry(self.place(child)?));
        let inputs = inputs.collect::<Result<Vec<_>>>()?.into_iter().map(|p| p.plan).collect();
        Ok(Placed { plan: with_inputs(plan, inputs)?, locus: Locus::Entry })
    }

    /// One that was in the plan from the start: of rows that leave their segments.
    fn place_hash_filter(&self, plan: &Arc<dyn ExecutionPlan>, filter: &HashFilterExec) -> Result<Placed> {
        let input = self.place(plan.children()[0])?;
        assert!(
            matches!(filter.kept(), Kept::Leaving(_)) && input.locus.is_partitioned(),
            "rows leave the segments where they are"
        );
        Ok(Placed { plan: with_inputs(plan, vec![input.plan])?, locus: input.locus })
    }

    fn place_filter(&self, plan: &Arc<dyn ExecutionPlan>, filter: &FilterExec) -> Result<Placed> {
        let mut input = self.place(filter.input())?;
        if expressions::is_volatile(filter.predicate()) {
            input = self.to_one_copy(input)?;
        }
        let locus = input.locus.remap(|column| match filter.projection() {
            None => vec![column],
            Some(projection) => positions(projection.iter().map(|&p| p == column)),
        });
        let known = input.plan.equivalence_properties().constants().len() + expressions::pinned(filter.predicate());
        let filtered = over(plan, input.plan)?;
        // More constants than were written: they come from statistics.
        let by_statistics = filtered.equivalence_properties().constants().len() > known;
        let plan = if by_statistics { ForgetConstantsExec::over(filtered) } else { filtered };
        Ok(Placed { plan, locus })
    }

    fn place_projection(&self, plan: &Arc<dyn ExecutionPlan>, projection: &ProjectionExec) -> Result<Placed> {
        let mut input = self.place(projection.input())?;
        if projection.expr().iter().any(|e| expressions::is_volatile(&e.expr)) {
            input = self.to_one_copy(input)?;
        }
        // ORDER BY a column that is not selected: the rows are merged before the projection drops it.
        let key = |plan: &Arc<dyn ExecutionPlan>| plan.output_ordering().map_or(0, |ordering| ordering.len());
        if input.locus.is_partitioned() && key(&input.plan) > 0 {
            let projected = with_inputs(plan, vec![Arc::clone(&input.plan)])?;
            if key(&projected) < key(&input.plan) {
                input = self.to_entry(input)?;
            }
        }
        let is_column = |e: &Arc<dyn datafusion::physical_expr::PhysicalExpr>, column| {
            expressions::column_of(e).is_some_and(|c| c == column)
        };
        let locus = input.locus.remap(|column| positions(projection.expr().iter().map(|e| is_column(&e.expr, column))));
        Ok(Placed { plan: over(plan, input.plan)?, locus })
    }
}

/// As [`with_inputs`], of a filter or a projection, which has no state of its own: itself over its own input.
fn over(plan: &Arc<dyn ExecutionPlan>, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.children().into_iter().all(|own| Arc::ptr_eq(own, &input)) {
        return Ok(Arc::clone(plan));
    }
    with_inputs(plan, vec![input])
}

/// The operator with other inputs, its properties computed anew.
fn with_inputs(plan: &Arc<dyn ExecutionPlan>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    debug_assert!(inputs.iter().all(|i| i.output_partitioning().partition_count() == 1));
    Arc::clone(plan).replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Where `flags` are true.
fn positions(flags: impl Iterator<Item = bool>) -> Vec<usize> {
    flags.enumerate().filter_map(|(i, flag)| flag.then_some(i)).collect()
}
