//! Which bucket maps a query needs.

use super::run::visit;
use crate::catalog::CatalogState;
use crate::engine::PastRelations;
use crate::planner::SliceTable;
use damson_cluster::{BucketMap, MapVersion};
use damson_motion::{
    HashFilterExec, MotionKind, MotionSendExec, SplitUpdateExec, TableModifyExec, TableScanExec, TableWriteExec,
    TableWriteSpec,
};
use datafusion::error::{DataFusionError, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The bucket maps that a plan's motions, filters and writers go by: none where rows only come to the master.
///
/// # Errors
/// Internal, for a map that neither the catalog has nor what is read of the past.
pub(super) fn maps_of(table: &SliceTable, catalog: &CatalogState, past: &PastRelations) -> Result<Vec<Arc<BucketMap>>> {
    let mut versions = BTreeSet::new();
    for slice in &table.slices {
        visit(&slice.plan, &mut |plan| {
            let kind = plan.downcast_ref::<MotionSendExec>().map(|send| &send.def().kind);
            let routed = kind.and_then(|kind| match kind {
                MotionKind::Redistribute { map, .. } | MotionKind::RoundRobin { map } => Some(*map),
                MotionKind::Gather { .. } | MotionKind::Explicit { .. } | MotionKind::Broadcast => None,
            });
            let filtered = || plan.downcast_ref::<HashFilterExec>().map(HashFilterExec::map);
            let split = || plan.downcast_ref::<SplitUpdateExec>().map(|split| split.spec().map);
            let written = || plan.downcast_ref::<TableWriteExec>().map(TableWriteExec::spec);
            let modified = || plan.downcast_ref::<TableModifyExec>().map(|modify| &modify.spec().write);
            let of_keys = |spec: &&TableWriteSpec| !spec.distribution_key.is_empty();
            let placed = || written().or_else(modified).filter(of_keys).map(|spec| spec.map);
            if let Some(leaving) = plan.downcast_ref::<TableScanExec>().and_then(|scan| scan.spec().leaving.as_ref()) {
                versions.extend([leaving.maps.from, leaving.maps.to]);
            }
            versions.extend(routed.or_else(filtered).or_else(split).or_else(placed));
        });
    }
    let map = |version: MapVersion| {
        let missing = || DataFusionError::Internal(format!("no bucket map {version}"));
        catalog.bucket_map(version).map(Arc::clone).or_else(|| past.bucket_map(version)).ok_or_else(missing)
    };
    versions.into_iter().map(map).collect()
}
