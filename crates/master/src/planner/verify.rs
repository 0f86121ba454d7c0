//! What must hold of every slice table, whatever made it.

use super::distribute::Tables;
use super::slices::SliceTable;
use super::spool;
use damson_cluster::SegmentSet;
use damson_motion::{
    FileScanExec, Gang, HashFilterExec, Kept, MotionDef, MotionExec, MotionKind, MotionRecvExec, MotionSendExec,
    TableModifyExec, TableScanExec,
};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::collections::HashMap;
use std::sync::Arc;

/// # Panics
/// If a pass broke an invariant of plans: each motion has one sending slice whose gang is its senders and one receiving
/// slice whose gang is its receivers; tables are scanned on segments only; each owner of a map that rows go by receives; who has files of a table that is
/// scanned or changed takes part; motions that are read in turns, or merged
/// as they stream, are spooled; a motion that merges has one receiver.
pub(crate) fn verify(table: &SliceTable, tables: &dyn Tables) {
    let mut sends: HashMap<u32, &MotionDef> = HashMap::new();
    for slice in &table.slices[1..] {
        let send = slice.plan.downcast_ref::<MotionSendExec>().expect("a slice other than the root sends");
        assert_eq!(send.def().id.0, slice.id.0, "a slice has its motion's number");
        assert_eq!(send.def().senders, slice.gang, "{}: the gang sends", slice.id);
        let inputs = send.input().output_partitioning().partition_count();
        assert_eq!(inputs, 1, "{}: a motion sends one partition", slice.id);
        match send.def().kind {
            MotionKind::Redistribute { map, .. } | MotionKind::RoundRobin { map } => {
                let map = tables.map(map).expect("a motion's map is there");
                let receives = |owner| send.def().receivers.contains(owner);
                assert!(map.owning_segments().iter().all(receives), "{}: every bucket has a receiver", slice.id);
            }
            MotionKind::Explicit { .. } => {
                assert!(matches!(send.def().receivers, Gang::Segments(_)), "{}: every segment receives", slice.id);
            }
            MotionKind::Gather { .. } | MotionKind::Broadcast => {}
        }
        if matches!(send.def().kind, MotionKind::Gather { .. }) {
            assert_eq!(send.def().receivers.size(), 1, "{}: a Gather has one receiver", slice.id);
        }
        assert!(sends.insert(slice.id.0, send.def()).is_none(), "{} sends once", slice.id);
    }
    for slice in &table.slices {
        let lacks_room = spool::lacks_room(&slice.plan, &slice.gang);
        assert!(lacks_room.is_none(), "{}: {} without a spool", slice.id, lacks_room.unwrap_or_default());
        visit(&slice.plan, &mut |plan| {
            assert!(plan.downcast_ref::<MotionExec>().is_none(), "{}: the cut left a motion", slice.id);
            if let Some(receive) = plan.downcast_ref::<MotionRecvExec>() {
                let send = sends.remove(&receive.def().id.0).expect("a motion is received once");
                assert_eq!(send.receivers, slice.gang, "{}: the gang receives", slice.id);
            }
            if plan.downcast_ref::<TableScanExec>().is_some() || plan.downcast_ref::<FileScanExec>().is_some() {
                assert_ne!(slice.gang, Gang::Entry, "{}: the master has no tables and reads no files", slice.id);
            }
            if let Gang::Segments(gang) = &slice.gang {
                let needed = needed_by(plan, tables);
                assert!(gang.contains_all(&needed), "{}: {} needs {needed:?}", slice.id, plan.name());
            }
        });
    }
    assert!(sends.is_empty(), "every motion is received");
}

/// Who must run an operator that all segments run.
fn needed_by(plan: &Arc<dyn ExecutionPlan>, tables: &dyn Tables) -> SegmentSet {
    if let Some(scan) = plan.downcast_ref::<TableScanExec>().map(TableScanExec::spec) {
        return match scan.only {
            Some(only) => only.into(),
            None => tables.segments_with_files(scan.table, scan.as_of),
        };
    }
    if let Some(modify) = plan.downcast_ref::<TableModifyExec>() {
        return tables.segments_with_files(modify.spec().write.table, None);
    }
    match plan.downcast_ref::<HashFilterExec>() {
        Some(filter) => match filter.kept() {
            Kept::Hashed(_) => tables.map(filter.map()).expect("a filter's map is there").owning_segments().clone(),
            Kept::Segments(segments) => segments.clone(),
            Kept::Leaving(_) => SegmentSet::default(),
        },
        None => SegmentSet::default(),
    }
}

fn visit(plan: &Arc<dyn ExecutionPlan>, f: &mut impl FnMut(&Arc<dyn ExecutionPlan>)) {
    f(plan);
    plan.children().into_iter().for_each(|child| visit(child, f));
}
