//! Which segments run a plan.

use super::distribute::Tables;
use super::write::{TableTarget, WriteTarget};
use super::{Output, PlanContext};
use damson_cluster::{MapVersion, SegmentSet, SnapshotId, TableId};
use damson_motion::TableScanExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// Those that own something of the newest map, among whom rows and files are shared out; those that own something of the maps of the tables that are read
/// and written; and those that have files of them, which may be others: a random table's rows go by the map that is the newest to their statement, which
/// may be given up before the table is laid out by it. Who is none of these is not asked, and may be gone.
///
/// # Errors
/// Internal, if the catalog has no such table or map.
pub(super) fn segments_of(
    context: &PlanContext<'_>,
    plan: &Arc<dyn ExecutionPlan>,
    output: &Output,
) -> Result<SegmentSet> {
    let mut segments = Segments { tables: context.tables, all: context.map.owning_segments().clone() };
    segments.read_by(plan)?;
    match output {
        Output::Rows | Output::Write(WriteTarget::Files { .. }) => {}
        Output::Write(WriteTarget::Table(table) | WriteTarget::Modify { table, .. }) => segments.written_by(table)?,
    }
    Ok(segments.all)
}

struct Segments<'a> {
    tables: &'a dyn Tables,
    all: SegmentSet,
}

impl Segments<'_> {
    fn read_by(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        if let Some(scan) = plan.downcast_ref::<TableScanExec>().map(TableScanExec::spec) {
            let missing = || DataFusionError::Internal(format!("table {} left the catalog", scan.name));
            self.add_owners(self.tables.scanned(scan).ok_or_else(missing)?.map_version)?;
            self.add_files(scan.table, scan.as_of);
        }
        plan.children().into_iter().try_for_each(|child| self.read_by(child))
    }

    /// Also those that rows or copies are to go to.
    fn written_by(&mut self, table: &TableTarget) -> Result<()> {
        self.add_owners(table.map)?;
        let named = table.moves_to.iter().chain(table.copies.iter().flatten()).copied();
        self.all = self.all.union(&named.collect());
        // Where its keys are looked for.
        self.add_files(table.spec.table, None);
        Ok(())
    }

    fn add_owners(&mut self, map: MapVersion) -> Result<()> {
        let missing = || DataFusionError::Internal(format!("no bucket map {map}"));
        self.all = self.all.union(self.tables.map(map).ok_or_else(missing)?.owning_segments());
        Ok(())
    }

    fn add_files(&mut self, table: TableId, as_of: Option<SnapshotId>) {
        self.all = self.all.union(&self.tables.segments_with_files(table, as_of));
    }
}

#[cfg(test)]
mod tests;
