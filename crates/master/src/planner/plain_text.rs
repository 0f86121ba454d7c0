//! After the last pass, for a client that knows no views.

use super::slices::SliceTable;
use damson_motion::{MotionKind, MotionRecvExec, MotionSendExec, PlainTextExec};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::limit::GlobalLimitExec;
use std::sync::Arc;

/// Lets the slice whose rows the master only hands on make their text plain: on the segments, and once. Where the master does more with
/// them, or merges them by their order, they keep their types, and the protocol's module has to do it. Names and order of columns stay.
///
/// # Errors
/// DataFusion's, from rebuilding operators.
pub(crate) fn plain_text(mut table: SliceTable) -> Result<SliceTable> {
    let Some(receive) = handed_on(&table.root().plan) else { return Ok(table) };
    let schema = PlainTextExec::schema_of(&receive.schema());
    if schema == receive.schema() {
        return Ok(table);
    }
    let (def, slice) = (receive.def().clone(), receive.def().id.0 as usize);
    let send = table.slices[slice].plan.downcast_ref::<MotionSendExec>().expect("a slice other than the root sends");
    let rows = Arc::new(PlainTextExec::new(Arc::clone(send.input())));
    table.slices[slice].plan = Arc::new(MotionSendExec::new(def.clone(), rows));
    table.slices[0].plan = replaced(&table.slices[0].plan, Arc::new(MotionRecvExec::new(def, schema)))?;
    Ok(table)
}

/// The motion whose rows are the plan's.
fn handed_on(plan: &Arc<dyn ExecutionPlan>) -> Option<&MotionRecvExec> {
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return handed_on(limit.input());
    }
    let receive = plan.downcast_ref::<MotionRecvExec>()?;
    matches!(receive.def().kind, MotionKind::Gather { merge: None }).then_some(receive)
}

/// The plan over another motion.
fn replaced(plan: &Arc<dyn ExecutionPlan>, receive: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.downcast_ref::<GlobalLimitExec>() {
        None => Ok(receive),
        Some(limit) => {
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(plan).replace_children(vec![replaced(limit.input(), receive)?], options)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::distribute::Tables;
    use super::super::slices::slice;
    use super::*;
    use arrow::compute::SortOptions;
    use arrow::datatypes::{DataType, Field, Schema};
    use damson_cluster::{BucketMap, MapVersion, MotionId, SegmentSet, SnapshotId, TableDef, TableId};
    use damson_motion::{Gang, MotionDef, MotionExec};
    use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::expressions::Column;
    use datafusion::physical_plan::filter::FilterExec;

    type Plan = Arc<dyn ExecutionPlan>;

    struct NoTables;

    impl Tables for NoTables {
        fn table(&self, _: TableId, _: Option<SnapshotId>) -> Option<Arc<TableDef>> {
            None
        }

        fn map(&self, _: MapVersion) -> Option<Arc<BucketMap>> {
            None
        }

        fn segments_with_files(&self, _: TableId, _: Option<SnapshotId>) -> SegmentSet {
            SegmentSet::default()
        }
    }

    /// A flag and a column of the type.
    fn rows(data_type: DataType) -> Plan {
        let fields = vec![Field::new("f", DataType::Boolean, false), Field::new("t", data_type, true)];
        Arc::new(EmptyExec::new(Arc::new(Schema::new(fields))))
    }

    fn gather(merge: Option<LexOrdering>, input: Plan) -> Plan {
        let kind = MotionKind::Gather { merge };
        let senders = Gang::Segments(SegmentSet::first_of(4));
        let def = MotionDef { id: MotionId(0), kind, senders, receivers: Gang::Entry };
        Arc::new(MotionExec::new(def, input))
    }

    /// The type of the text that leaves, and whether the sending slice makes it.
    fn made(plan: Plan) -> (DataType, bool) {
        let table = plain_text(slice(plan, &NoTables).unwrap()).unwrap();
        let send = table.slices[1].plan.downcast_ref::<MotionSendExec>().unwrap();
        let is_made = send.input().downcast_ref::<PlainTextExec>().is_some();
        let mut receive = &table.root().plan;
        while let Some(child) = receive.children().first() {
            receive = *child;
        }
        assert_eq!(receive.schema(), send.input().schema(), "both ends mean the same columns");
        (table.root().plan.schema().field(1).data_type().clone(), is_made)
    }

    #[test]
    fn the_sending_slice_makes_what_the_master_hands_on() {
        let text = || rows(DataType::Utf8View);
        assert_eq!(made(gather(None, text())), (DataType::Utf8, true));
        assert_eq!(made(gather(None, rows(DataType::BinaryView))), (DataType::Binary, true));
        let limited = Arc::new(GlobalLimitExec::new(gather(None, text()), 1, Some(10)));
        assert_eq!(made(limited), (DataType::Utf8, true));
    }

    #[test]
    fn what_the_master_computes_with_keeps_its_types() {
        let text = || rows(DataType::Utf8View);
        let key = PhysicalSortExpr::new(Arc::new(Column::new("t", 1)), SortOptions::default());
        assert_eq!(made(gather(LexOrdering::new([key]), text())), (DataType::Utf8View, false));
        let filtered = FilterExec::try_new(Arc::new(Column::new("f", 0)), gather(None, text())).unwrap();
        assert_eq!(made(Arc::new(filtered)), (DataType::Utf8View, false));
        assert_eq!(made(gather(None, rows(DataType::Int32))), (DataType::Int32, false));
    }
}
