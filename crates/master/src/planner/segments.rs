//! How many segments run a plan.

use super::distribute::Tables;
use super::write::{TableTarget, WriteTarget};
use super::{Output, PlanContext};
use damson_cluster::MapVersion;
use damson_motion::TableScanExec;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// All of them, or, of a cluster from which segments were removed, as many as own rows of what the plan reads and writes, and at least as many as work for
/// new tables, among whom files are shared out: those behind them are not asked, and may be gone.
pub(super) fn segments_of(context: &PlanContext<'_>, plan: &Arc<dyn ExecutionPlan>, output: &Output) -> usize {
    let all = context.map.segment_count();
    let newest = context.map.working_segments();
    if newest == all {
        return all;
    }
    let written = match output {
        Output::Rows | Output::Write(WriteTarget::Files { .. }) => Some(newest),
        Output::Write(WriteTarget::Table(table) | WriteTarget::Modify { table, .. }) => {
            working_of(context.tables, table.map).map(|working| working.max(named_by(table)))
        }
    };
    let (Some(written), Some(read)) = (written, read_by(plan, context.tables)) else { return all };
    newest.max(written).max(read)
}

/// None if that cannot be told.
fn read_by(plan: &Arc<dyn ExecutionPlan>, tables: &dyn Tables) -> Option<usize> {
    let own = match plan.downcast_ref::<TableScanExec>() {
        Some(scan) => working_of(tables, tables.scanned(scan.spec())?.map_version)?,
        None => 0,
    };
    plan.children().into_iter().try_fold(own, |most, child| Some(most.max(read_by(child, tables)?)))
}

fn working_of(tables: &dyn Tables, map: MapVersion) -> Option<usize> {
    tables.map(map).map(|map| map.working_segments())
}

/// Those up to the last that rows or copies are to go to.
fn named_by(table: &TableTarget) -> usize {
    let named = table.moves_to.iter().chain(table.copies.iter().flatten());
    named.map(|content| content.0 as usize + 1).max().unwrap_or(0)
}
