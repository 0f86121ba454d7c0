//! After the last pass, for a client that fetches rows from the segments themselves.

use super::slices::SliceTable;
use damson_cluster::SegmentSet;
use damson_motion::{Gang, MotionKind, MotionRecvExec, MotionSendExec, RetrievalId, RetrieveExec};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};
use std::sync::Arc;

/// The segments from which the rows can be fetched, from each its own: where the master would hand on what they send, and none of them would wait
/// for another whose rows nobody fetches yet. A client may fetch them one after the other. None where the rows are to come from the master.
pub(crate) fn retrievable(table: &SliceTable) -> Option<SegmentSet> {
    let top = handed_on(table)?;
    let send = table.slices[top].plan.downcast_ref::<MotionSendExec>().expect("a slice other than the root sends");
    let segments = match &table.slices[top].gang {
        Gang::Entry => return None,
        Gang::Single(content) => (*content).into(),
        Gang::Segments(segments) => segments.clone(),
    };
    is_alone_once_it_gives(send.input()).then_some(segments)
}

/// The table with that client in the master's place.
///
/// # Panics
/// If the rows are not [`retrievable`].
pub(crate) fn retrieved(mut table: SliceTable, id: RetrievalId) -> SliceTable {
    let top = handed_on(&table).expect("the master hands the rows on");
    let send = table.slices[top].plan.downcast_ref::<MotionSendExec>().expect("a slice other than the root sends");
    let rows = Arc::clone(send.input());
    table.slices[0].plan = Arc::new(EmptyExec::new(rows.schema()));
    table.slices[top].plan = Arc::new(RetrieveExec::new(id, rows));
    table
}

/// The slice whose rows are the query's, in whatever order they come.
fn handed_on(table: &SliceTable) -> Option<usize> {
    let receive = table.root().plan.downcast_ref::<MotionRecvExec>()?;
    matches!(receive.def().kind, MotionKind::Gather { merge: None }).then_some(receive.def().id.0 as usize)
}

/// Whether a plan has taken all that other segments send it before it gives its first row, or takes nothing from them.
fn is_alone_once_it_gives(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.children()[..] {
        _ if gives_last(plan) => true,
        // Its left side is read to its end first.
        [_, right] if is_join_with_build_side(plan) => is_alone_once_it_gives(right),
        [input] => is_alone_once_it_gives(input),
        // One may give rows while others still take some.
        _ => takes_nothing(plan),
    }
}

/// Whether an operator reads all of its input before it gives anything. What DataFusion says of it, its `EmissionType`, is not always so: of a cross
/// join it is `Final`.
fn gives_last(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_sort = plan.downcast_ref::<SortExec>().is_some() && plan.pipeline_behavior() == EmissionType::Final;
    // Those that others finish give some groups early when memory is short.
    let is_hashed = |aggregate: &AggregateExec| {
        let finishes = matches!(
            aggregate.mode(),
            AggregateMode::Single
                | AggregateMode::SinglePartitioned
                | AggregateMode::Final
                | AggregateMode::FinalPartitioned
        );
        finishes && *aggregate.input_order_mode() == InputOrderMode::Linear
    };
    is_sort || plan.downcast_ref::<AggregateExec>().is_some_and(is_hashed)
}

fn is_join_with_build_side(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<HashJoinExec>().is_some()
        || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<CrossJoinExec>().is_some()
}

fn takes_nothing(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<MotionRecvExec>().is_none() && plan.children().into_iter().all(takes_nothing)
}

#[cfg(test)]
mod tests {
    use super::super::distribute::Tables;
    use super::super::slices::slice;
    use super::*;
    use damson_cluster::{BucketMap, ContentId, MapVersion, MotionId, SnapshotId, TableDef, TableId};
    use damson_motion::{MotionDef, MotionExec};
    use datafusion::arrow::compute::SortOptions;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::{JoinType, NullEquality};
    use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
    use datafusion::physical_plan::aggregates::PhysicalGroupBy;
    use datafusion::physical_plan::expressions::Column;
    use datafusion::physical_plan::filter::FilterExec;
    use datafusion::physical_plan::joins::PartitionMode;
    use datafusion::physical_plan::limit::GlobalLimitExec;
    use datafusion::physical_plan::union::UnionExec;

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

    fn all() -> SegmentSet {
        [ContentId(0), ContentId(2)].into_iter().collect()
    }

    fn rows() -> Plan {
        Arc::new(EmptyExec::new(Arc::new(Schema::new(vec![Field::new("f", DataType::Boolean, false)]))))
    }

    fn motion(kind: MotionKind, receivers: Gang, input: Plan) -> Plan {
        let def = MotionDef { id: MotionId(0), kind, senders: Gang::Segments(all()), receivers };
        Arc::new(MotionExec::new(def, input))
    }

    fn gather(input: Plan) -> Plan {
        motion(MotionKind::Gather { merge: None }, Gang::Entry, input)
    }

    fn moved() -> Plan {
        motion(MotionKind::Broadcast, Gang::Segments(all()), rows())
    }

    fn key() -> Arc<Column> {
        Arc::new(Column::new("f", 0))
    }

    fn ordering() -> LexOrdering {
        LexOrdering::new([PhysicalSortExpr::new(key(), SortOptions::default())]).unwrap()
    }

    fn filtered(input: Plan) -> Plan {
        Arc::new(FilterExec::try_new(key(), input).unwrap())
    }

    fn joined(left: Plan, right: Plan) -> Plan {
        let (on, mode) = (vec![(key() as _, key() as _)], PartitionMode::CollectLeft);
        let nulls = NullEquality::NullEqualsNothing;
        Arc::new(HashJoinExec::try_new(left, right, on, None, &JoinType::Inner, None, mode, nulls, false).unwrap())
    }

    fn grouped(mode: AggregateMode, input: Plan) -> Plan {
        let groups = PhysicalGroupBy::new_single(vec![(key() as _, "f".into())]);
        let schema = input.schema();
        Arc::new(AggregateExec::try_new(mode, groups, vec![], vec![], input, schema).unwrap())
    }

    fn segments(plan: Plan) -> Option<SegmentSet> {
        retrievable(&slice(plan, &NoTables).unwrap())
    }

    #[test]
    fn rows_that_wait_for_nobody_are_at_their_segments() {
        for plan in [
            rows(),
            filtered(rows()),
            joined(rows(), rows()),
            UnionExec::try_new(vec![rows(), rows()]).unwrap(),
            joined(moved(), filtered(rows())),
            joined(filtered(moved()), joined(moved(), rows())),
            Arc::new(CrossJoinExec::new(moved(), rows())),
            Arc::new(SortExec::new(ordering(), moved())),
            grouped(AggregateMode::Single, filtered(moved())),
            UnionExec::try_new(vec![rows(), rows()]).map(|union| joined(moved(), union)).unwrap(),
        ] {
            assert_eq!(segments(gather(Arc::clone(&plan))), Some(all()), "{plan:?}");
        }
    }

    #[test]
    fn rows_that_others_send_meanwhile_are_not() {
        for plan in [
            moved(),
            filtered(moved()),
            joined(rows(), moved()),
            Arc::new(CrossJoinExec::new(rows(), moved())),
            grouped(AggregateMode::Partial, moved()),
            // The rows of one wait while the other is still to be built.
            UnionExec::try_new(vec![joined(rows(), rows()), joined(moved(), rows())]).unwrap(),
            UnionExec::try_new(vec![rows(), grouped(AggregateMode::Single, moved())]).unwrap(),
        ] {
            assert_eq!(segments(gather(Arc::clone(&plan))), None, "{plan:?}");
        }
    }

    #[test]
    fn rows_that_the_master_works_on_are_not() {
        let merge = MotionKind::Gather { merge: Some(ordering()) };
        let merged = motion(merge, Gang::Entry, Arc::new(SortExec::new(ordering(), rows())));
        let limited = Arc::new(GlobalLimitExec::new(gather(rows()), 0, Some(10)));
        for plan in [rows(), filtered(gather(rows())), merged, limited as Plan, joined(rows(), gather(rows()))] {
            assert_eq!(segments(Arc::clone(&plan)), None, "{plan:?}");
        }
    }

    #[test]
    fn the_client_is_in_the_masters_place() {
        let id = RetrievalId(7);
        let table = slice(gather(joined(moved(), rows())), &NoTables).unwrap();
        let table = retrieved(table, id);
        assert!(takes_nothing(&table.root().plan), "the master waits for no rows");
        let retrieve = table.slices[1].plan.downcast_ref::<RetrieveExec>().unwrap();
        assert_eq!(retrieve.id(), id);
        assert!(table.slices[2].plan.downcast_ref::<MotionSendExec>().is_some());
    }
}
