//! Which segments run a plan.

use super::distribute::Tables;
use super::write::{TableTarget, WriteTarget};
use super::{Output, PlanContext};
use damson_cluster::{MapVersion, SegmentSet};
use damson_motion::TableScanExec;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// Those that own something of the newest map, among whom rows and files are shared out; those that own rows of what the plan reads and writes, by
/// its own map; and those that have files of it. The others of a cluster from which segments were removed are not asked, and may be gone.
pub(super) fn segments_of(context: &PlanContext<'_>, plan: &Arc<dyn ExecutionPlan>, output: &Output) -> SegmentSet {
    let newest = context.map.owning_segments();
    if newest.len() == context.map.segment_count() {
        return newest.clone();
    }
    let mut segments = newest.clone();
    let is_known = read_by(plan, context.tables, &mut segments).is_some()
        && match output {
            Output::Rows | Output::Write(WriteTarget::Files { .. }) => true,
            Output::Write(WriteTarget::Table(table) | WriteTarget::Modify { table, .. }) => {
                written_by(table, context.tables, &mut segments).is_some()
            }
        };
    if is_known { segments } else { SegmentSet::first_of(context.map.segment_count()) }
}

/// None if that cannot be told.
fn read_by(plan: &Arc<dyn ExecutionPlan>, tables: &dyn Tables, segments: &mut SegmentSet) -> Option<()> {
    if let Some(scan) = plan.downcast_ref::<TableScanExec>().map(TableScanExec::spec) {
        add_owners(tables.scanned(scan)?.map_version, tables, segments)?;
        *segments = segments.union(&tables.segments_with_files(scan.table, scan.as_of));
    }
    plan.children().into_iter().try_for_each(|child| read_by(child, tables, segments))
}

/// None if that cannot be told. Also those that rows or copies are to go to.
fn written_by(table: &TableTarget, tables: &dyn Tables, segments: &mut SegmentSet) -> Option<()> {
    add_owners(table.map, tables, segments)?;
    let named = table.moves_to.iter().chain(table.copies.iter().flatten()).copied();
    *segments = segments.union(&named.collect());
    // Where its keys are looked for.
    *segments = segments.union(&tables.segments_with_files(table.spec.table, None));
    Some(())
}

fn add_owners(map: MapVersion, tables: &dyn Tables, segments: &mut SegmentSet) -> Option<()> {
    *segments = segments.union(tables.map(map)?.owning_segments());
    Some(())
}
