//! Golden text of hand-built plans, with and without a run.

use super::*;
use crate::dispatch::SliceMetrics;
use crate::planner::{Slice, SliceTable};
use damson_cluster::{ContentId, MapVersion, MotionId, PlaceId, ScanCounts, SegmentSet, SliceId, TableId};
use damson_motion::{
    Gang, MotionDef, MotionExec, MotionKind, MotionMetrics, OperatorMetrics, ScanSpec, TableScanExec, TableWriteExec,
    TableWriteSpec,
};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, JoinType, NullEquality};
use datafusion::execution::SessionStateBuilder;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Operator, col, lit};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{self, BinaryExpr, Column, Literal};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, Statistics};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type Plan = Arc<dyn ExecutionPlan>;

/// A scan of a table of bigint columns, with a number of rows known.
fn scan(name: &str, columns: &[&str], rows: usize) -> Plan {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(*c, DataType::Int64, true)).collect();
    let spec = ScanSpec {
        only: None,
        leaving: None,
        row_ids: false,
        table: TableId(1),
        place: PlaceId::LOCAL,
        as_of: None,
        name: name.into(),
        table_schema: Arc::new(Schema::new(fields)),
        projection: (0..columns.len()).collect(),
        segment_id: false,
    };
    let statistics = Statistics {
        num_rows: Precision::Inexact(rows),
        total_byte_size: Precision::Inexact(rows * 8 * columns.len()),
        column_statistics: vec![ColumnStatistics::new_unknown(); columns.len()],
    };
    Arc::new(TableScanExec::try_new(spec, Some(statistics)).unwrap())
}

fn column(plan: &Plan, name: &str) -> Arc<dyn PhysicalExpr> {
    expressions::col(name, &plan.schema()).unwrap()
}

fn number(value: i64) -> Arc<dyn PhysicalExpr> {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

fn filter(input: Plan, name: &str, operator: Operator, value: i64) -> Plan {
    let predicate = BinaryExpr::new(column(&input, name), operator, number(value));
    Arc::new(FilterExec::try_new(Arc::new(predicate), input).unwrap())
}

fn three() -> Gang {
    Gang::Segments(SegmentSet::first_of(3))
}

fn motion(id: u32, kind: MotionKind, senders: Gang, receivers: Gang, input: Plan) -> Plan {
    Arc::new(MotionExec::new(MotionDef { id: MotionId(id), kind, senders, receivers }, input))
}

fn gather(id: u32, senders: Gang, input: Plan) -> Plan {
    motion(id, MotionKind::Gather { merge: None }, senders, Gang::Entry, input)
}

fn redistribute(id: u32, key: &str, input: Plan) -> Plan {
    let keys = vec![column(&input, key)];
    motion(id, MotionKind::Redistribute { keys, map: MapVersion(1) }, three(), three(), input)
}

fn ordering(plan: &Plan, keys: &[(&str, bool, bool)]) -> LexOrdering {
    let key = |(name, descending, nulls_first): &(&str, bool, bool)| {
        let options = SortOptions { descending: *descending, nulls_first: *nulls_first };
        PhysicalSortExpr::new(column(plan, name), options)
    };
    LexOrdering::new(keys.iter().map(key)).unwrap()
}

fn aggregate(mode: AggregateMode, input: Plan, raw: &SchemaRef) -> Plan {
    let sum =
        AggregateExprBuilder::new(Arc::new(sum_udaf().as_ref().clone()), vec![expressions::col("v", raw).unwrap()])
            .schema(Arc::clone(raw))
            .alias("sum(t.v)")
            .build()
            .unwrap();
    let groups = PhysicalGroupBy::new_single(vec![(column(&input, "g"), "g".into())]);
    let schema = Arc::clone(raw);
    Arc::new(AggregateExec::try_new(mode, groups, vec![Arc::new(sum)], vec![None], input, schema).unwrap())
}

/// `SELECT g, sum(v) FROM t WHERE v > 10 GROUP BY g`, on three segments.
fn two_stages() -> Plan {
    let rows = filter(scan("t", &["g", "v"], 1000), "v", Operator::Gt, 10);
    let raw = rows.schema();
    let partial = aggregate(AggregateMode::Partial, rows, &raw);
    let moved = redistribute(2, "g", partial);
    let total = aggregate(AggregateMode::FinalPartitioned, moved, &raw);
    let merge = Some(ordering(&total, &[("g", false, false)]));
    let sorted: Plan = Arc::new(SortExec::new(ordering(&total, &[("g", false, false)]), total));
    motion(1, MotionKind::Gather { merge }, three(), Gang::Entry, sorted)
}

/// The table of a plan; the slices themselves are not looked into.
fn table(whole: Plan) -> SliceTable {
    fn motions(plan: &Plan) -> u32 {
        let own = u32::from(plan.downcast_ref::<MotionExec>().is_some());
        own + plan.children().into_iter().map(motions).sum::<u32>()
    }
    let slice = |id| Slice { id: SliceId(id), gang: Gang::Entry, plan: Arc::clone(&whole) };
    SliceTable { slices: (0..=motions(&whole)).map(slice).collect(), whole }
}

fn planned(whole: Plan) -> Explained {
    Explained {
        main: Part { table: table(whole), metrics: None, value: None },
        init_plans: vec![],
        verbose: false,
        planning: Duration::from_micros(1500),
        execution: None,
    }
}

/// Lines without the estimates, for tests of the shape alone.
fn shape(explained: &Explained) -> Vec<String> {
    lines(explained, false)
}

fn assert_lines(actual: Vec<String>, expected: &str) {
    assert_eq!(actual.join("\n"), expected.trim_matches('\n'));
}

#[test]
fn an_aggregate_in_two_stages_has_greenplum_s_shape() {
    assert_lines(
        shape(&planned(two_stages())),
        "
 Gather Motion 3:1  (slice1; segments: 3)
   Merge Key: g
   ->  Sort
         Sort Key: g
         ->  Finalize HashAggregate
               Group Key: g
               ->  Redistribute Motion 3:3  (slice2; segments: 3)
                     Hash Key: g
                     ->  Partial HashAggregate
                           Group Key: g
                           ->  Seq Scan on t
                                 Filter: (v > 10)
",
    );
}

#[test]
fn estimates_are_of_all_segments_together() {
    let rows = filter(scan("t", &["g", "v"], 1024), "v", Operator::Gt, 10);
    let sent = motion(2, MotionKind::Broadcast, three(), three(), rows);
    // The scan reads 1,024 rows of 16 bytes, 16 units; nothing is known of v, so the filter counts as letting all pass.
    // A row costs 16 bytes to move and 16 to handle: 96 units to three segments, 32 to the master.
    assert_lines(
        lines(&planned(gather(1, three(), sent)), true),
        "
 Gather Motion 3:1  (slice1; segments: 3)  (cost=0.00..144.00 rows=1024 width=16)
   ->  Broadcast Motion 3:3  (slice2; segments: 3)  (cost=0.00..112.00 rows=3072 width=16)
         ->  Seq Scan on t  (cost=0.00..16.00 rows=1024 width=16)
               Filter: (v > 10)
",
    );
}

fn join(join_type: JoinType, null_aware: bool) -> Plan {
    let build = motion(2, MotionKind::Broadcast, three(), three(), scan("small", &["a"], 10));
    let probe = filter(scan("large", &["b"], 1000), "b", Operator::NotEq, 7);
    let on = vec![(column(&build, "a"), column(&probe, "b"))];
    let mode = PartitionMode::CollectLeft;
    let equality = NullEquality::NullEqualsNothing;
    let join = HashJoinExec::try_new(build, probe, on, None, &join_type, None, mode, equality, null_aware).unwrap();
    gather(1, three(), Arc::new(join))
}

#[test]
fn a_join_shows_the_probe_side_first_and_the_build_side_under_hash() {
    assert_lines(
        shape(&planned(join(JoinType::Inner, false))),
        "
 Gather Motion 3:1  (slice1; segments: 3)
   ->  Hash Join
         Hash Cond: (b = a)
         ->  Seq Scan on large
               Filter: (b <> 7)
         ->  Hash
               ->  Broadcast Motion 3:3  (slice2; segments: 3)
                     ->  Seq Scan on small
",
    );
}

#[test]
fn columns_of_one_name_are_told_with_their_tables() {
    let condition = |build: Plan, probe: Plan| {
        let on = vec![(column(&build, "k"), column(&probe, "k"))];
        let mode = PartitionMode::CollectLeft;
        let equality = NullEquality::NullEqualsNothing;
        let join =
            HashJoinExec::try_new(build, probe, on, None, &JoinType::Inner, None, mode, equality, false).unwrap();
        shape(&planned(gather(1, three(), Arc::new(join))))[2].trim().to_owned()
    };
    let (t, u) = (|| scan("t", &["k", "v"], 10), || scan("u", &["k"], 1000));
    assert_eq!(condition(t(), u()), "Hash Cond: (u.k = t.k)");
    assert_eq!(condition(redistribute(2, "k", t()), u()), "Hash Cond: (u.k = t.k)");
}

#[test]
fn joins_are_named_from_the_probe_side() {
    let title = |join_type, null_aware| shape(&planned(join(join_type, null_aware)))[1].trim().to_owned();
    for (join_type, expected) in [
        (JoinType::Left, "->  Hash Right Join"),
        (JoinType::Right, "->  Hash Left Join"),
        (JoinType::Full, "->  Hash Full Join"),
        (JoinType::LeftSemi, "->  Hash Right Semi Join"),
        (JoinType::RightSemi, "->  Hash Semi Join"),
        (JoinType::LeftAnti, "->  Hash Right Anti Join"),
        (JoinType::RightAnti, "->  Hash Anti Join"),
    ] {
        assert_eq!(title(join_type, false), expected, "{join_type}");
    }
    assert_eq!(title(JoinType::LeftAnti, true), "->  Hash Left Anti Semi (Not-In) Join");
}

#[test]
fn limits_projections_and_sort_directions() {
    let rows = scan("t", &["a", "b", "c"], 100);
    let keys = ordering(&rows, &[("a", true, true), ("b", true, false), ("c", false, true)]);
    let top: Plan = Arc::new(SortExec::new(keys, rows).with_fetch(Some(5)));
    let merge = Some(ordering(&top, &[("a", true, true)]));
    let gathered = motion(1, MotionKind::Gather { merge }, three(), Gang::Entry, top);
    let limit: Plan = Arc::new(GlobalLimitExec::new(gathered, 0, Some(5)));
    let only_a = ProjectionExpr { expr: column(&limit, "a"), alias: "a".into() };
    let whole: Plan = Arc::new(ProjectionExec::try_new(vec![only_a], limit).unwrap());
    assert_lines(
        shape(&planned(whole)),
        "
 Limit
   ->  Gather Motion 3:1  (slice1; segments: 3)
         Merge Key: a DESC
         ->  Sort
               Sort Key: a DESC, b DESC NULLS LAST, c NULLS FIRST
               Sort Method: top-N heapsort (5 rows)
               ->  Seq Scan on t
",
    );
}

#[test]
fn direct_dispatch_and_writes_name_their_gangs() {
    let pinned = filter(scan("t", &["a"], 100), "a", Operator::Eq, 5);
    let gathered = gather(1, Gang::Single(ContentId(2)), pinned);
    assert_lines(
        shape(&planned(Arc::clone(&gathered))),
        "
 Gather Motion 1:1  (slice1; segments: 1)
   ->  Seq Scan on t
         Filter: (a = 5)
",
    );
    let spec = TableWriteSpec {
        table: TableId(2),
        place: PlaceId::LOCAL,
        name: "target".into(),
        schema: gathered.schema(),
        compression: damson_cluster::Compression::None,
        sort_key: vec![],
        distribution_key: vec![0],
        map: MapVersion(1),
        filtered: vec![],
        checks: vec![],
        keys: vec![],
        returning: None,
    };
    let renumbered = gather(3, Gang::Single(ContentId(2)), filter(scan("t", &["a"], 100), "a", Operator::Eq, 5));
    let keys = vec![column(&renumbered, "a")];
    let kind = MotionKind::Redistribute { keys, map: MapVersion(1) };
    let spread = motion(2, kind, Gang::Entry, three(), renumbered);
    let whole = gather(1, three(), Arc::new(TableWriteExec::new(spec, vec![], spread)));
    let explained = planned(whole);
    assert_lines(
        shape(&explained),
        "
 Gather Motion 3:1  (slice1; segments: 3)
   ->  Insert on target
         ->  Redistribute Motion 1:3  (slice2)
               Hash Key: a
               ->  Gather Motion 1:1  (slice3; segments: 1)
                     ->  Seq Scan on t
                           Filter: (a = 5)
",
    );
    let parsed: serde_json::Value = serde_json::from_str(&json(&explained, true).unwrap()).unwrap();
    assert_eq!(parsed.pointer("/0/Plan/Plan Rows").unwrap(), 3, "a report of each writer");
    assert_eq!(parsed.pointer("/0/Plan/Gang Type").unwrap(), "primary writer");
    assert_eq!(parsed.pointer("/0/Plan/Plans/0/Plans/0/Gang Type").unwrap(), "entry db reader");
    assert_eq!(parsed.pointer("/0/Plan/Plans/0/Plans/0/Plans/0/Gang Type").unwrap(), "singleton reader");
}

fn ran(name: &str, rows: u64) -> OperatorMetrics {
    OperatorMetrics { name: name.into(), rows, ..OperatorMetrics::default() }
}

/// One end of a motion.
fn moved(name: &str, rows: u64, bytes: u64, waited_us: u64) -> OperatorMetrics {
    let motion = MotionMetrics { batches: rows, bytes, waited_ns: waited_us * 1000 };
    OperatorMetrics { motion: Some(motion), ..ran(name, rows) }
}

/// A run of [`two_stages`]: the QEs' own planning added a projection, dropped a filter on one of them, and lost a report.
fn run_of_two_stages() -> SliceMetrics {
    let mut metrics = SliceMetrics::new();
    let receive = moved("MotionRecvExec", 3, 48, 1234);
    let root = vec![ran("CoalescePartitionsExec", 3), ran("SortPreservingMergeExec", 3), receive];
    metrics.insert(SliceId(0), BTreeMap::from([(ContentId::MASTER, root)]));
    let upper = |rows| {
        vec![
            moved("MotionSendExec", rows, 16 * rows, 0),
            OperatorMetrics { compute_ns: 500_000, ..ran("SortExec", rows) },
            ran("ProjectionExec", rows),
            OperatorMetrics {
                compute_ns: 1_000_000 * rows,
                memory_bytes_peak: 1024 * rows,
                ..ran("AggregateExec", rows)
            },
            moved("MotionRecvExec", 2 * rows, 16_000 * rows, 2500),
        ]
    };
    let upper = [(ContentId(0), upper(2)), (ContentId(1), upper(1)), (ContentId(2), upper(0))];
    metrics.insert(SliceId(1), BTreeMap::from(upper));
    let counts = ScanCounts {
        files: 4,
        files_pruned: 2,
        row_groups: 3,
        row_groups_pruned: 1,
        row_groups_filtered: 1,
        ..ScanCounts::default()
    };
    let lower = |scanned, kept| {
        vec![
            moved("MotionSendExec", 2, 16_000, 10 * scanned),
            OperatorMetrics { spilled_bytes: 2048, ..ran("AggregateExec", 2) },
            ran("FilterExec", kept),
            OperatorMetrics { scan: Some(counts), ..ran("DataSourceExec", scanned) },
        ]
    };
    let lower = [(ContentId(0), lower(400, 100)), (ContentId(1), lower(300, 100)), (ContentId(2), lower(300, 250))];
    metrics.insert(SliceId(2), BTreeMap::from(lower));
    metrics
}

fn analyzed(whole: Plan, metrics: SliceMetrics) -> Explained {
    let mut explained = planned(whole);
    explained.main.metrics = Some(metrics);
    explained.execution = Some(Execution { elapsed: Duration::from_millis(12), rows: 3 });
    explained
}

#[test]
fn a_run_adds_what_the_qes_reported() {
    assert_lines(
        shape(&analyzed(two_stages(), run_of_two_stages())),
        "
 Gather Motion 3:1  (slice1; segments: 3)  (actual rows=3 loops=1)
   Merge Key: g
   Sent: 3 batches, 48 bytes; blocked 0.0 ms avg, 0.0 ms max (seg0)
   Received: 3 batches, 48 bytes; waited 1.2 ms
   ->  Sort  (actual time=0.500ms rows=3 loops=1)
         Sort Key: g
         Rows: avg 1 x 3 workers, min 0 (seg2), max 2 (seg0), skew 2.00
         ->  Finalize HashAggregate  (actual time=2.000ms rows=3 loops=1)
               Group Key: g
               Rows: avg 1 x 3 workers, min 0 (seg2), max 2 (seg0), skew 2.00
               Memory: 2K bytes
               ->  Redistribute Motion 3:3  (slice2; segments: 3)  (actual rows=6 loops=1)
                     Hash Key: g
                     Rows: avg 2 x 3 workers, min 0 (seg2), max 4 (seg0), skew 2.00
                     Sent: 6 batches, 47 kB; blocked 3.3 ms avg, 4.0 ms max (seg0)
                     Received: 6 batches, 47 kB; waited 2.5 ms avg, 2.5 ms max (seg0)
                     ->  Partial HashAggregate  (actual time=0.000ms rows=6 loops=1)
                           Group Key: g
                           Rows: avg 2 x 3 workers, min 2 (seg0), max 2 (seg0), skew 1.00
                           Spilled: 6K bytes
                           ->  Seq Scan on t  (actual time=0.000ms rows=450 loops=1)
                                 Filter: (v > 10)
                                 Rows: avg 150 x 3 workers, min 100 (seg0), max 250 (seg2), skew 1.67
                                 Rows Removed by Filter: 550
                                 Files: 12 (6 pruned)
                                 Row Groups: 9 (3 pruned by statistics, 3 by Bloom filters)
 Planning Time: 1.500 ms
   (slice0)    Executor memory: 0K bytes.
   (slice1)    Executor memory: 1K bytes avg x 3 workers, 2K bytes max (seg0).
   (slice2)    Executor memory: 0K bytes avg x 3 workers, 0K bytes max (seg0).  Spilled: 6K bytes.
 Execution Time: 12.000 ms
 Total rows: 3
",
    );
}

#[test]
fn missing_reports_leave_nodes_without_figures() {
    let mut metrics = run_of_two_stages();
    // One QE dropped the filter, another had nothing to scan, and a slice is missing altogether.
    let lower = metrics.get_mut(&SliceId(2)).unwrap();
    lower.get_mut(&ContentId(0)).unwrap().remove(2);
    lower.insert(ContentId(1), vec![ran("EmptyExec", 0)]);
    metrics.remove(&SliceId(1));
    assert_lines(
        shape(&analyzed(two_stages(), metrics)).into_iter().take(15).collect(),
        "
 Gather Motion 3:1  (slice1; segments: 3)  (actual rows=3 loops=1)
   Merge Key: g
   Received: 3 batches, 48 bytes; waited 1.2 ms
   ->  Sort
         Sort Key: g
         ->  Finalize HashAggregate
               Group Key: g
               ->  Redistribute Motion 3:3  (slice2; segments: 3)
                     Hash Key: g
                     ->  Partial HashAggregate  (actual time=0.000ms rows=4 loops=1)
                           Group Key: g
                           Rows: avg 2 x 2 workers, min 2 (seg0), max 2 (seg0), skew 1.00
                           Spilled: 4K bytes
                           ->  Seq Scan on t  (actual time=0.000ms rows=250 loops=1)
                                 Filter: (v > 10)
",
    );
}

#[test]
fn a_motion_whose_rows_go_to_one_receiver_says_so() {
    let skewed = |rows: [u64; 3]| {
        let receive = |(i, rows)| (ContentId(i), vec![ran("MotionSendExec", 0), moved("MotionRecvExec", rows, 0, 0)]);
        let metrics = SliceMetrics::from([(SliceId(1), (0..).zip(rows).map(receive).collect())]);
        let moving = redistribute(2, "a", scan("t", &["a"], 100));
        let shown = shape(&analyzed(gather(1, three(), moving), metrics));
        shown.into_iter().filter(|line| line.contains("Skew: ")).collect::<Vec<_>>()
    };
    assert_eq!(skewed([2_000, 40_000, 3_000]), ["         Skew: 2.7x (seg1)"]);
    assert!(skewed([20_000, 40_000, 30_000]).is_empty());
    assert!(skewed([2, 40, 3]).is_empty());
}

#[test]
fn a_limit_that_its_input_took_over_has_the_input_s_rows() {
    let rows = scan("t", &["a"], 100);
    let merge = Some(ordering(&rows, &[("a", false, false)]));
    let sorted: Plan = Arc::new(SortExec::new(ordering(&rows, &[("a", false, false)]), rows));
    let gathered = motion(1, MotionKind::Gather { merge }, three(), Gang::Entry, sorted);
    let whole: Plan = Arc::new(GlobalLimitExec::new(gathered, 0, Some(5)));
    let root = vec![ran("SortPreservingMergeExec", 5), ran("MotionRecvExec", 40)];
    let metrics = SliceMetrics::from([(SliceId(0), BTreeMap::from([(ContentId::MASTER, root)]))]);
    let shown = shape(&analyzed(whole, metrics));
    assert_eq!(shown[0], " Limit  (actual rows=5 loops=1)");
    assert_eq!(shown[1], "   ->  Gather Motion 3:1  (slice1; segments: 3)  (actual time=0.000ms rows=40 loops=1)");
}

#[test]
fn init_plans_stand_below_the_root_with_slices_of_their_own() {
    let mut explained = planned(two_stages());
    let init =
        |name: &str, value| Part { table: table(gather(1, three(), scan(name, &["a"], 10))), metrics: None, value };
    explained.init_plans = vec![init("first", None), init("second", Some(ScalarValue::Int64(Some(42))))];
    assert_lines(
        shape(&explained).into_iter().take(10).collect(),
        "
 Gather Motion 3:1  (slice1; segments: 3)
   Merge Key: g
   InitPlan 1 (returns $0)  (slice4)
     ->  Gather Motion 3:1  (slice3; segments: 3)
           ->  Seq Scan on first
   InitPlan 2 (returns $1)  (slice6)
     ->  Gather Motion 3:1  (slice5; segments: 3)
           Returned: 42
           ->  Seq Scan on second
   ->  Sort
",
    );
}

/// What stands for a value that is not known yet is neither folded nor moved away from where a constant would be.
#[tokio::test]
async fn a_placeholder_survives_the_optimizer() {
    let state = SessionStateBuilder::new().with_default_features().build();
    let name: Expr = placeholder(0, DataType::Int64);
    let rows = LogicalPlanBuilder::values(vec![vec![lit(1i64)], vec![lit(2i64)]]).unwrap();
    let plan = rows.filter(col("column1").gt(name.clone() + lit(1i64))).unwrap();
    let plan = plan.project(vec![name.alias("value")]).unwrap().build().unwrap();
    let physical = state.create_physical_plan(&state.optimize(&plan).unwrap()).await.unwrap();
    let shown = shape(&Explained { verbose: true, ..planned(physical) });
    assert!(shown.iter().any(|line| line.ends_with("Filter: (column1 > ($0 + 1))")), "{shown:?}");
    let type_of = |e: &Expr| datafusion::logical_expr::ExprSchemable::get_type(e, &DFSchema::empty()).unwrap();
    assert_eq!(type_of(&placeholder(3, DataType::Utf8View)), DataType::Utf8View);
}

/// Titles and details of one query's plan by DataFusion alone.
async fn shape_of(sql: &str) -> String {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    for setup in [
        "CREATE TABLE t AS SELECT * FROM (VALUES (1, 2, 'x'), (3, NULL, 'y'), (NULL, 7, NULL)) AS r (a, b, s)",
        "CREATE TABLE u AS SELECT * FROM (VALUES (1, 1.5), (2, 2.5), (NULL, 3.5)) AS r (a, c)",
    ] {
        context.sql(setup).await.unwrap().collect().await.unwrap();
    }
    let state = context.state();
    let logical = state.create_logical_plan(sql).await.unwrap();
    let physical = state.create_physical_plan(&logical).await.unwrap();
    shape(&planned(physical)).join("\n")
}

#[tokio::test]
async fn every_kind_of_operator_has_its_name() {
    let mut wrong = vec![];
    for (sql, expected) in [
        ("SELECT count(*) FROM t WHERE s LIKE 'x%' AND a IN (1, 2, 3, 4, 5)", " Aggregate\n"),
        ("SELECT a, sum(b) FROM t GROUP BY GROUPING SETS ((a), ())", "Group Key: a\n"),
        ("SELECT a, sum(b) FROM t GROUP BY GROUPING SETS ((a), ())", "Group Key: ()\n"),
        (
            "SELECT rank() OVER (PARTITION BY a ORDER BY b DESC) FROM t",
            " WindowAgg\n   Partition By: a\n   Order By: b DESC\n",
        ),
        ("SELECT a FROM t UNION ALL SELECT a FROM u", " Append\n   ->  Values Scan\n   ->  Values Scan"),
        ("SELECT * FROM t JOIN u ON t.a < u.a", " Nested Loop\n   Join Filter: (a < a)\n"),
        ("SELECT * FROM t CROSS JOIN u", " Nested Loop\n   ->  Values Scan"),
        ("VALUES (1), (2)", " Values Scan"),
        ("SELECT 1", " Result"),
        ("SELECT * FROM generate_series(1, 5)", " Function Scan on generate_series"),
        ("SELECT * FROM t WHERE false", " Result\n   One-Time Filter: false"),
        ("SELECT unnest([1, 2, 3])", " ProjectSet\n"),
        ("SELECT a FROM t ORDER BY a OFFSET 3", " Limit\n"),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
            "->  WorkTable Scan on r\n",
        ),
        ("SELECT * FROM t WHERE s NOT LIKE 'x%'", "Filter: (s NOT LIKE 'x%')"),
        ("SELECT * FROM t WHERE a IS NULL OR NOT (b IN (1, 2, 3, 4, 5))", "(a IS NULL)"),
        (
            "SELECT * FROM t WHERE CASE WHEN a = 1 THEN b ELSE 0 END > 2",
            "Filter: (CASE WHEN (a = 1) THEN b ELSE 0 END > 2)",
        ),
        ("SELECT * FROM u WHERE c > 1.5 AND a > 1 AND a < 9", "Filter: ((c > 1.5) AND (a > 1) AND (a < 9))"),
        ("SELECT * FROM t WHERE CAST(s AS INT) = 5", "Filter: (s::integer = 5)"),
        ("SELECT * FROM t WHERE abs(a) = 5", "Filter: (abs(a) = 5)"),
    ] {
        let shown = shape_of(sql).await;
        if !shown.contains(expected) {
            wrong.push(format!("{sql}\n{shown}\nlacks\n{expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn json_has_postgresql_s_and_greenplum_s_keys() {
    let explained = analyzed(two_stages(), run_of_two_stages());
    assert!(!json(&explained, false).unwrap().contains("Total Cost"));
    let text = json(&explained, true).unwrap();
    assert!(
        text.starts_with("[\n  {\n    \"Plan\": {\n      \"Node Type\": \"Gather Motion\",\n      \"Senders\": 3,")
    );
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (pointer, expected) in [
        ("/0/Plan/Receivers", serde_json::json!(1)),
        ("/0/Plan/Slice", serde_json::json!(1)),
        ("/0/Plan/Segments", serde_json::json!(3)),
        ("/0/Plan/Gang Type", serde_json::json!("primary reader")),
        ("/0/Plan/Merge Key", serde_json::json!(["g"])),
        ("/0/Plan/Actual Rows", serde_json::json!(3)),
        ("/0/Plan/Sent Bytes", serde_json::json!(48)),
        ("/0/Plan/Received Batches", serde_json::json!(3)),
        ("/0/Plan/Maximum Waited Time", serde_json::json!(1.234)),
        ("/0/Plan/Maximum Waited Time Segment", serde_json::json!(-1)),
        ("/0/Plan/Plans/0/Node Type", serde_json::json!("Sort")),
        ("/0/Plan/Plans/0/Parent Relationship", serde_json::json!("Outer")),
        ("/0/Plan/Plans/0/Plans/0/Group Key", serde_json::json!(["g"])),
        ("/0/Plan/Plans/0/Plans/0/Skew", serde_json::json!(2.0)),
        ("/0/Planning Time", serde_json::json!(1.5)),
        ("/0/Execution Time", serde_json::json!(12.0)),
        ("/0/Total Rows", serde_json::json!(3)),
        ("/0/Slice statistics/0", serde_json::json!({"Slice": 0, "Executor Memory": 0})),
        ("/0/Slice statistics/1/Executor Memory/Workers", serde_json::json!(3)),
    ] {
        assert_eq!(parsed.pointer(pointer), Some(&expected), "{pointer} of {text}");
    }
    let hash = json(&planned(join(JoinType::Inner, false)), true).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&hash).unwrap();
    assert_eq!(parsed.pointer("/0/Plan/Plans/0/Hash Cond").unwrap(), "(b = a)");
    assert_eq!(parsed.pointer("/0/Plan/Plans/0/Plans/1/Node Type").unwrap(), "Hash");
    assert_eq!(parsed.pointer("/0/Plan/Plans/0/Plans/1/Parent Relationship").unwrap(), "Inner");
    assert!(parsed.pointer("/0/Execution Time").is_none());
}

#[test]
fn shared_expressions_are_shown_where_they_are_used() {
    let rows = scan("t", &["a", "b"], 100);
    let sum: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(column(&rows, "a"), Operator::Plus, column(&rows, "b")));
    let shared = ProjectionExpr { expr: sum, alias: "__common_expr_1".into() };
    let projected: Plan = Arc::new(ProjectionExec::try_new(vec![shared], rows).unwrap());
    let used: Arc<dyn PhysicalExpr> = Arc::new(Column::new("__common_expr_1", 0));
    let predicate = Arc::new(BinaryExpr::new(used, Operator::Gt, number(3)));
    let whole: Plan = Arc::new(FilterExec::try_new(predicate, projected).unwrap());
    assert_eq!(shape(&planned(whole))[1], "   Filter: ((a + b) > 3)");
}
