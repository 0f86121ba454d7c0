//! What each operator is called, and what is said about it.

use super::expression::Printer;
use super::join;
use super::literal::plain_name;
use super::node::{Description, Place};
use crate::backup::shown_url;
use damson_cluster::{Once, SegmentSet};
use damson_motion::{
    CopyReadExec, CopyWriteExec, FileScanExec, Gang, HashFilterExec, Kept, ModifyKind, MotionDef, MotionKind,
    NextValuesExec, SplitUpdateExec, TableModifyExec, TableScanExec, TableWriteExec,
};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::partial_sort::PartialSortExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::work_table::WorkTableExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use std::sync::Arc;

/// Operators that keep their input's rows; shown as part of it.
pub(super) fn is_hidden(plan: &Arc<dyn ExecutionPlan>) -> bool {
    const HIDDEN: &[&str] =
        &["ProjectionExec", "CooperativeExec", "CoalesceBatchesExec", "BufferExec", "ForgetConstantsExec"];
    let merges = ["CoalescePartitionsExec", "SortPreservingMergeExec", "RepartitionExec"].contains(&plan.name());
    plan.children().len() == 1 && (HIDDEN.contains(&plan.name()) || (merges && plan.fetch().is_none()))
}

/// Any operator but a motion.
pub(super) fn describe(plan: &Arc<dyn ExecutionPlan>) -> Description {
    known(plan).unwrap_or_else(|| Description::new(plan.name().trim_end_matches("Exec")))
}

fn known(plan: &Arc<dyn ExecutionPlan>) -> Option<Description> {
    leaf(plan).or_else(|| join::describe(plan)).or_else(|| one_input(plan)).or_else(|| several_inputs(plan))
}

fn leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<Description> {
    if let Some(scan) = plan.downcast_ref::<TableScanExec>() {
        let name = scan.spec().name.as_str();
        return Some(Description::new("Seq Scan").suffixed(format!(" on {name}")).fact("Relation Name", name));
    }
    if let Some(scan) = plan.downcast_ref::<FileScanExec>() {
        let (name, files) = (scan.spec().name.as_str(), scan.spec().files);
        let description = Description::new("File Scan").suffixed(format!(" on {name} (files: {files})"));
        return Some(description.fact("Relation Name", name).fact("Files", files));
    }
    if plan.downcast_ref::<CopyReadExec>().is_some() {
        return Some(Description::new("External Scan"));
    }
    if let Some(table) = plan.downcast_ref::<WorkTableExec>() {
        let name = table.name();
        return Some(Description::new("WorkTable Scan").suffixed(format!(" on {name}")).fact("CTE Name", name));
    }
    if let Some(rows) = plan.downcast_ref::<LazyMemoryExec>() {
        return Some(function_scan(rows));
    }
    if plan.downcast_ref::<EmptyExec>().is_some() {
        return Some(Description::new("Result").text("One-Time Filter", "false"));
    }
    if plan.downcast_ref::<PlaceholderRowExec>().is_some() {
        return Some(Description::new("Result"));
    }
    (plan.name() == "DataSourceExec").then(|| Description::new("Values Scan"))
}

/// A generator prints itself as `generate_series: start=…`.
fn function_scan(rows: &LazyMemoryExec) -> Description {
    let description = Description::new("Function Scan");
    let generator = rows.generators().first().map(|generator| generator.read().to_string());
    match generator.as_deref().and_then(|text| text.split_once(':')) {
        Some((name, _)) => description.suffixed(format!(" on {name}")).fact("Function Name", name),
        None => description,
    }
}

fn one_input(plan: &Arc<dyn ExecutionPlan>) -> Option<Description> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let condition = Printer::of(filter.input()).sql(filter.predicate());
        return Some(Description::new("Result").text("Filter", condition));
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return Some(describe_aggregate(aggregate));
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let description = Description::new("Sort").blocking();
        let description = description.list("Sort Key", Printer::of(sort.input()).sort_keys(sort.expr()));
        return Some(match sort.fetch() {
            Some(rows) => description.text("Sort Method", format!("top-N heapsort ({rows} rows)")),
            None => description,
        });
    }
    if let Some(sort) = plan.downcast_ref::<PartialSortExec>() {
        let keys = Printer::of(plan.children()[0]).sort_keys(sort.expr());
        return Some(Description::new("Incremental Sort").list("Sort Key", keys));
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return Some(describe_limit(limit.fetch(), limit.skip()));
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Some(describe_limit(Some(limit.fetch()), 0));
    }
    if let Some(merge) = plan.downcast_ref::<CoalescePartitionsExec>() {
        return Some(describe_limit(merge.fetch(), 0));
    }
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return Some(describe_window(window.input(), window.window_expr()));
    }
    if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        return Some(describe_window(window.input(), window.window_expr()));
    }
    if let Some(filter) = plan.downcast_ref::<HashFilterExec>() {
        let description = Description::new("Result");
        return Some(match filter.kept() {
            Kept::Segments(segments) => description.text("One-Time Filter", on_segments(segments)),
            Kept::Leaving(keys) => description.list("Leaving By", Printer::of(plan.children()[0]).all(keys)),
            Kept::Hashed(keys) => description.list("Hash Filter", Printer::of(plan.children()[0]).all(keys)),
        });
    }
    if let Some(write) = plan.downcast_ref::<TableWriteExec>() {
        let name = write.spec().name.as_str();
        let description = Description::new("Insert").blocking().suffixed(format!(" on {name}"));
        return Some(description.fact("Relation Name", name));
    }
    if let Some(modify) = plan.downcast_ref::<TableModifyExec>() {
        let name = modify.spec().write.name.as_str();
        let what = match (modify.spec().kind, modify.spec().once) {
            (ModifyKind::Delete, _) => "Delete",
            (ModifyKind::Update | ModifyKind::SplitUpdate, _) => "Update",
            (ModifyKind::RowGroups, _) => "Take Row Groups",
            (ModifyKind::Merge, Some(Once::OnConflict)) => "Insert",
            (ModifyKind::Merge, _) => "Merge",
        };
        let description = Description::new(what).blocking().suffixed(format!(" on {name}"));
        return Some(description.fact("Relation Name", name));
    }
    if let Some(next) = plan.downcast_ref::<NextValuesExec>() {
        let mut names: Vec<String> = next.values().iter().map(|value| value.sequence.name.clone()).collect();
        names.dedup();
        return Some(Description::new("Next Values").list("Sequences", names));
    }
    if plan.downcast_ref::<SplitUpdateExec>().is_some() {
        return Some(Description::new("Split"));
    }
    if let Some(write) = plan.downcast_ref::<CopyWriteExec>() {
        let place = shown_url(&write.spec().target.place);
        return Some(Description::new("Copy To").blocking().suffixed(format!(" {place}")));
    }
    if plan.downcast_ref::<UnnestExec>().is_some() {
        return Some(Description::new("ProjectSet"));
    }
    match plan.name() {
        "MaterializeExec" => Some(Description::new("Materialize").blocking()),
        "SpoolExec" => Some(Description::new("Spool")),
        "SortPreservingMergeExec" | "RepartitionExec" => Some(describe_limit(plan.fetch(), 0)),
        _ => None,
    }
}

fn several_inputs(plan: &Arc<dyn ExecutionPlan>) -> Option<Description> {
    if let Some(recursive) = plan.downcast_ref::<RecursiveQueryExec>() {
        return Some(Description::new("Recursive Union").fact("CTE Name", recursive.name()));
    }
    let appends = plan.downcast_ref::<UnionExec>().is_some() || plan.name() == "InterleaveExec";
    appends.then(|| Description::new("Append"))
}

fn describe_limit(fetch: Option<usize>, skip: usize) -> Description {
    let description = Description::new("Limit");
    let description = if let Some(fetch) = fetch { description.fact("Limit", fetch) } else { description };
    if skip > 0 { description.fact("Offset", skip) } else { description }
}

fn describe_aggregate(aggregate: &AggregateExec) -> Description {
    let stage = match aggregate.mode() {
        AggregateMode::Partial | AggregateMode::PartialReduce => "Partial ",
        AggregateMode::Final | AggregateMode::FinalPartitioned => "Finalize ",
        AggregateMode::Single | AggregateMode::SinglePartitioned => "",
    };
    let groups = aggregate.group_expr();
    let sorted = *aggregate.input_order_mode() == InputOrderMode::Sorted;
    let strategy = match (groups.is_true_no_grouping(), sorted) {
        (true, _) => "Aggregate",
        (false, true) => "GroupAggregate",
        (false, false) => "HashAggregate",
    };
    let mut description = Description::new(format!("{stage}{strategy}"));
    description.blocking = strategy != "GroupAggregate";
    if groups.is_true_no_grouping() {
        return description;
    }
    let printer = Printer::of(aggregate.input());
    // One line for each grouping set.
    for is_null in groups.groups() {
        let expressions = groups.expr().iter().zip(is_null).filter(|(_, is_null)| !**is_null);
        let keys = printer.all(expressions.map(|((expression, _), _)| expression));
        description = description.list("Group Key", if keys.is_empty() { vec!["()".into()] } else { keys });
    }
    description
}

/// The functions of one operator share their window.
fn describe_window(input: &Arc<dyn ExecutionPlan>, functions: &[Arc<dyn WindowExpr>]) -> Description {
    let mut description = Description::new("WindowAgg");
    let Some(first) = functions.first() else { return description };
    let printer = Printer::of(input);
    if !first.partition_by().is_empty() {
        description = description.list("Partition By", printer.all(first.partition_by()));
    }
    if !first.order_by().is_empty() {
        description = description.list("Order By", printer.sort_keys(first.order_by()));
    }
    description
}

/// `Gather Motion 3:1  (slice1; segments: 3)`; `slice` is the sending one, as it is shown.
pub(super) fn describe_motion(def: &MotionDef, input: &Arc<dyn ExecutionPlan>, slice: u32) -> Description {
    let (senders, receivers) = (def.senders.size(), def.receivers.size());
    let segments = if def.senders == Gang::Entry { String::new() } else { format!("; segments: {senders}") };
    let description = Description::new(def.kind.to_string())
        .suffixed(format!(" {senders}:{receivers}  (slice{slice}{segments})"))
        .fact("Senders", senders)
        .fact("Receivers", receivers);
    let printer = Printer::of(input);
    match &def.kind {
        MotionKind::Gather { merge: Some(keys) } => description.list("Merge Key", printer.sort_keys(keys)),
        MotionKind::Redistribute { keys, .. } => description.list("Hash Key", printer.all(keys)),
        MotionKind::Gather { merge: None }
        | MotionKind::Explicit { .. }
        | MotionKind::RoundRobin { .. }
        | MotionKind::Broadcast => description,
    }
}

fn on_segments(segments: &SegmentSet) -> String {
    let contents: Vec<String> = segments.iter().map(|content| content.0.to_string()).collect();
    match contents.as_slice() {
        [only] => format!("(gp_execution_segment() = {only})"),
        several => format!("(gp_execution_segment() IN ({}))", several.join(", ")),
    }
}

/// A slice's gang in Greenplum's words.
pub(super) fn gang_type(place: &Place) -> &'static str {
    match &place.gang {
        Gang::Entry => "entry db reader",
        Gang::Single(_) if place.writes => "singleton writer",
        Gang::Single(_) => "singleton reader",
        Gang::Segments(_) if place.writes => "primary writer",
        Gang::Segments(_) => "primary reader",
    }
}

/// `EXPLAIN VERBOSE`: the columns that an operator gives.
pub(super) fn output(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    plan.schema().fields().iter().map(|field| plain_name(field.name())).collect()
}
