//! Leaves: where tables, constants and files are.

use super::{Distributor, Placed};
use crate::planner::locus::Locus;
use damson_cluster::{Distribution, TableDef};
use damson_motion::{CopyReadExec, FileScanExec, ScanSpec, TableScanExec};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use std::sync::Arc;

impl Distributor<'_> {
    /// The leaf's locus; None for an operator with inputs. A leaf that is unknown here stays on the master.
    pub(super) fn place_leaf(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Placed>> {
        let locus = if let Some(scan) = plan.downcast_ref::<TableScanExec>() {
            let table = self.tables.scanned(scan.spec());
            let missing = || DataFusionError::Internal(format!("table {} left the catalog", scan.spec().name));
            let table = table.ok_or_else(missing)?;
            let placed = self.place_scan(plan, scan, &table)?;
            return Ok(Some(if self.everywhere { self.to_everywhere(placed)? } else { placed }));
        } else if plan.downcast_ref::<CopyReadExec>().is_some() || plan.downcast_ref::<FileScanExec>().is_some() {
            Locus::Strewn
        } else if is_constant(plan) {
            Locus::General
        } else if plan.children().is_empty() {
            Locus::Entry
        } else {
            return Ok(None);
        };
        let placed = Placed { plan: Arc::clone(plan), locus };
        Ok(Some(if self.everywhere { self.to_everywhere(placed)? } else { placed }))
    }

    /// Of a replicated table that not every segment has, one copy is read; but rows that are to be changed are changed where they are,
    /// which is nowhere on the segments that have none.
    fn place_scan(&self, plan: &Arc<dyn ExecutionPlan>, scan: &TableScanExec, table: &TableDef) -> Result<Placed> {
        if table.distribution == Distribution::Replicated && !scan.spec().row_ids && !self.in_place {
            let map = self.bucket_map(table.map_version)?;
            if !map.owning_segments().contains_all(&self.segments) {
                return Ok(Placed { plan: Arc::new(scan.only_on(map.first_owner())), locus: Locus::Strewn });
            }
        }
        Ok(Placed { plan: Arc::clone(plan), locus: scan_locus(table, scan.spec()) })
    }
}

fn scan_locus(table: &TableDef, scan: &ScanSpec) -> Locus {
    match &table.distribution {
        Distribution::Replicated => Locus::Replicated,
        Distribution::Randomly => Locus::Strewn,
        Distribution::Hashed(key) => {
            let whole = Locus::Hashed { keys: key.iter().map(|&c| vec![c]).collect(), map: table.map_version };
            whole.remap(|column| scan.projection.iter().position(|&p| p == column).into_iter().collect())
        }
    }
}

/// Rows that travel within the plan. A generator's do not: DataFusion's codec loses its projection, so that it runs on
/// the master.
fn is_constant(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let in_memory = plan
        .downcast_ref::<DataSourceExec>()
        .is_some_and(|s| s.data_source().downcast_ref::<MemorySourceConfig>().is_some());
    in_memory || plan.downcast_ref::<EmptyExec>().is_some() || plan.downcast_ref::<PlaceholderRowExec>().is_some()
}
