//! How many segments run a plan.

use super::distribute::Tables;
use super::write::WriteTarget;
use super::{Output, PlanContext};
use damson_cluster::{BucketMap, MapVersion};
use damson_motion::{CopyReadExec, FileScanExec, TableScanExec};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// All of them, or, of a cluster from which segments were removed, as many as own rows of what the plan reads and writes: those behind
/// them are not asked, and may be gone. Files are shared out among all.
pub(super) fn segments_of(context: &PlanContext<'_>, plan: &Arc<dyn ExecutionPlan>, output: &Output) -> usize {
    let all = context.map.segment_count();
    let newest = owners_end(context.map);
    if newest == all {
        return all;
    }
    let written = match output {
        Output::Rows => Some(newest),
        Output::Write(WriteTarget::Table(table) | WriteTarget::Modify { table, .. }) => {
            let is_plain = !table.in_place && table.moves_to.is_empty() && table.copies.is_none();
            if is_plain { owners_end_of(context.tables, table.map) } else { None }
        }
        Output::Write(WriteTarget::Files { .. }) => None,
    };
    let (Some(written), Some(read)) = (written, read_by(plan, context.tables)) else { return all };
    newest.max(written).max(read)
}

/// None if that cannot be told.
fn read_by(plan: &Arc<dyn ExecutionPlan>, tables: &dyn Tables) -> Option<usize> {
    if plan.downcast_ref::<FileScanExec>().is_some() || plan.downcast_ref::<CopyReadExec>().is_some() {
        return None;
    }
    let own = match plan.downcast_ref::<TableScanExec>() {
        Some(scan) => owners_end_of(tables, tables.scanned(scan.spec())?.map_version)?,
        None => 0,
    };
    plan.children().into_iter().try_fold(own, |most, child| Some(most.max(read_by(child, tables)?)))
}

fn owners_end_of(tables: &dyn Tables, map: MapVersion) -> Option<usize> {
    tables.map(map).map(|map| owners_end(&map))
}

/// The content behind the last one that owns a bucket.
fn owners_end(map: &BucketMap) -> usize {
    map.owning_segments().last().map_or(0, |last| last.0 as usize + 1)
}
