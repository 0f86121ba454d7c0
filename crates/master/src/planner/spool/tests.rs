//! Golden plans of the rule: which inputs get a spool, and which do not.

use super::*;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use damson_cluster::{MapVersion, MotionId, SegmentSet};
use damson_motion::MotionDef;
use datafusion::common::{JoinType, NullEquality};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::displayable;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::joins::PartitionMode;

fn segments() -> Gang {
    Gang::Segments(SegmentSet::first_of(4))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, false)]))
}

fn key() -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new("k", 0))
}

fn order() -> LexOrdering {
    LexOrdering::new([PhysicalSortExpr::new(key(), SortOptions::default())]).unwrap()
}

/// Stands for a scan.
fn rows() -> Plan {
    Arc::new(EmptyExec::new(schema()))
}

fn motion(kind: MotionKind, receivers: Gang, input: Plan) -> Plan {
    Arc::new(MotionExec::new(MotionDef { id: MotionId(0), kind, senders: segments(), receivers }, input))
}

fn redistribute(input: Plan) -> Plan {
    motion(MotionKind::Redistribute { keys: vec![key()], map: MapVersion(1) }, segments(), input)
}

fn gather(input: Plan) -> Plan {
    motion(MotionKind::Gather { merge: None }, Gang::Entry, input)
}

fn merging_gather(input: Plan) -> Plan {
    motion(MotionKind::Gather { merge: Some(order()) }, Gang::Entry, input)
}

fn sort(input: Plan) -> Plan {
    Arc::new(SortExec::new(order(), input))
}

fn merge_join(left: Plan, right: Plan) -> Plan {
    let (on, options) = (vec![(key(), key())], vec![SortOptions::default()]);
    let null = NullEquality::NullEqualsNothing;
    Arc::new(SortMergeJoinExec::try_new(left, right, on, None, JoinType::LeftSemi, options, null).unwrap())
}

fn hash_join(build: Plan, probe: Plan) -> Plan {
    let join = HashJoinExec::try_new(
        build,
        probe,
        vec![(key(), key())],
        None,
        &JoinType::RightSemi,
        None,
        PartitionMode::CollectLeft,
        NullEquality::NullEqualsNothing,
        false,
    );
    Arc::new(join.unwrap())
}

/// The names of the operators, by depth.
fn told(plan: &Plan) -> String {
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let name = |line: &str| line.split([':', ',']).next().unwrap_or_default().trim_end().to_owned();
    text.lines().map(name).collect::<Vec<_>>().join("\n")
}

/// The plan with its spools; the rule is broken without them, and only then.
fn roomy(plan: Plan) -> String {
    let made = make_room(Arc::clone(&plan)).unwrap();
    assert_eq!(breaks_the_rule(&plan, &Gang::Entry), told(&made).contains("SpoolExec"), "{}", told(&plan));
    assert!(!breaks_the_rule(&made, &Gang::Entry), "{}", told(&made));
    told(&made)
}

/// As the verification finds it, slice by slice.
fn breaks_the_rule(slice: &Plan, gang: &Gang) -> bool {
    let below = |motion: &MotionExec| {
        let def = motion.def().clone();
        let senders = def.senders.clone();
        let send: Plan = Arc::new(MotionSendExec::new(def, Arc::clone(motion.input())));
        breaks_the_rule(&send, &senders)
    };
    lacks_room(slice, gang).is_some() || received(slice).into_iter().any(below)
}

/// The motions that a slice receives.
fn received(plan: &Plan) -> Vec<&MotionExec> {
    match plan.downcast_ref::<MotionExec>() {
        Some(motion) => vec![motion],
        None => plan.children().into_iter().flat_map(received).collect(),
    }
}

#[test]
fn a_sort_merge_join_of_two_motions() {
    let plan = gather(merge_join(redistribute(rows()), redistribute(rows())));
    assert_eq!(
        roomy(plan),
        "\
MotionExec
  SortMergeJoinExec
    SpoolExec
      MotionExec
        EmptyExec
    SpoolExec
      MotionExec
        EmptyExec"
    );
}

#[test]
fn the_side_that_streams() {
    let plan = gather(merge_join(hash_join(rows(), redistribute(rows())), sort(redistribute(rows()))));
    assert_eq!(
        roomy(plan),
        "\
MotionExec
  SortMergeJoinExec
    SpoolExec
      HashJoinExec
        EmptyExec
        MotionExec
          EmptyExec
    SortExec
      MotionExec
        EmptyExec"
    );
}

#[test]
fn a_merge_of_a_unions_inputs() {
    let union = UnionExec::try_new(vec![redistribute(rows()), rows(), redistribute(rows())]).unwrap();
    let plan = gather(Arc::new(SortPreservingMergeExec::new(order(), union)));
    assert_eq!(
        roomy(plan),
        "\
MotionExec
  SortPreservingMergeExec
    UnionExec
      SpoolExec
        MotionExec
          EmptyExec
      EmptyExec
      SpoolExec
        MotionExec
          EmptyExec"
    );
}

#[test]
fn a_merging_gather_of_what_streams() {
    assert_eq!(
        roomy(merging_gather(hash_join(rows(), redistribute(rows())))),
        "\
MotionExec
  SpoolExec
    HashJoinExec
      EmptyExec
      MotionExec
        EmptyExec"
    );
}

#[test]
fn what_reads_in_order_gets_none() {
    let none = |plan: Plan| assert!(!roomy(Arc::clone(&plan)).contains("SpoolExec"), "{}", told(&plan));
    none(gather(merge_join(sort(redistribute(rows())), sort(redistribute(rows())))));
    none(gather(merge_join(redistribute(rows()), sort(rows()))));
    none(merge_join(gather(rows()), merging_gather(rows())));
    none(merging_gather(sort(redistribute(rows()))));
    none(merging_gather(merge_join(sort(redistribute(rows())), sort(redistribute(rows())))));
    none(merging_gather(hash_join(redistribute(rows()), sort(rows()))));
    none(gather(hash_join(redistribute(rows()), hash_join(redistribute(rows()), redistribute(rows())))));
    let union = UnionExec::try_new(vec![redistribute(rows()), redistribute(rows())]).unwrap();
    none(gather(Arc::new(CoalescePartitionsExec::new(union))));
}
