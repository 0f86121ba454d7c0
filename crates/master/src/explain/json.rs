//! `EXPLAIN (FORMAT json)`, with PostgreSQL's and Greenplum's keys.

use super::actual::{Actual, MotionEnd, SliceMemory};
use super::describe::gang_type;
use super::document::{Document, Explained, document};
use super::node::{Node, Value};
use crate::error::{SqlResult, internal};
use damson_cluster::ScanCounts;
use serde::{Serialize, Serializer};
use serde_json::Value as Scalar;
use std::time::Duration;

/// The whole explanation as one text; `costs`: with the estimates.
///
/// # Errors
/// None in practice: there is nothing in it that JSON cannot hold.
pub(crate) fn json(explained: &Explained, costs: bool) -> SqlResult<String> {
    let Document { root, slices } = document(explained);
    let mut whole = Object::default();
    whole.push("Plan", plan(&root, None, costs));
    whole.scalar("Planning Time", milliseconds(explained.planning));
    if let Some(execution) = &explained.execution {
        whole.push("Slice statistics", Json::Array(slices.iter().map(slice).collect()));
        whole.scalar("Execution Time", milliseconds(execution.elapsed));
        whole.scalar("Total Rows", execution.rows);
    }
    serde_json::to_string_pretty(&Json::Array(vec![Json::Object(whole)])).map_err(internal)
}

/// JSON whose objects keep the order of their keys.
enum Json {
    Scalar(Scalar),
    Object(Object),
    Array(Vec<Json>),
}

#[derive(Default)]
struct Object(Vec<(String, Json)>);

impl Object {
    fn push(&mut self, key: impl Into<String>, value: Json) {
        self.0.push((key.into(), value));
    }

    fn scalar(&mut self, key: impl Into<String>, value: impl Into<Scalar>) {
        self.push(key, Json::Scalar(value.into()));
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Scalar(value) => value.serialize(serializer),
            Json::Array(items) => serializer.collect_seq(items),
            Json::Object(object) => serializer.collect_map(object.0.iter().map(|(key, value)| (key, value))),
        }
    }
}

fn plan(node: &Node, parent: Option<&Node>, costs: bool) -> Json {
    let mut object = Object::default();
    object.scalar("Node Type", node.description.node_type.as_str());
    if let Some(parent) = parent {
        object.scalar("Parent Relationship", relationship(node, parent));
    }
    if let Some(label) = &node.label {
        // Without the slice, which has its own key.
        object.scalar("Subplan Name", label.split("  ").next().unwrap_or(label));
    }
    for (key, value) in &node.description.facts {
        object.scalar(*key, value.clone());
    }
    object.scalar("Slice", node.place.slice);
    object.scalar("Segments", if node.place.gang == damson_motion::Gang::Entry { 0 } else { node.place.gang.size() });
    object.scalar("Gang Type", gang_type(&node.place));
    if costs {
        object.scalar("Startup Cost", rounded(node.cost.startup, 2));
        object.scalar("Total Cost", rounded(node.cost.total, 2));
        object.scalar("Plan Rows", node.cost.rows.round() as u64);
        object.scalar("Plan Width", node.cost.width.round() as u64);
    }
    details(node, &mut object);
    if let Some(actual) = &node.actual {
        figures(actual, &mut object);
    }
    if !node.children.is_empty() {
        let inputs = node.children.iter().map(|child| plan(child, Some(node), costs));
        object.push("Plans", Json::Array(inputs.collect()));
    }
    Json::Object(object)
}

/// PostgreSQL's `Outer`, `Inner`, `Member` or `InitPlan`.
fn relationship(node: &Node, parent: &Node) -> &'static str {
    let mut inputs = parent.children.iter().filter(|child| child.label.is_none());
    let is_first = inputs.next().is_some_and(|first| std::ptr::eq(first, node));
    match (&node.label, parent.description.node_type.as_str(), is_first) {
        (Some(_), _, _) => "InitPlan",
        (None, "Append", _) => "Member",
        (None, _, true) => "Outer",
        (None, _, false) => "Inner",
    }
}

/// A key that occurs several times (each of several grouping sets has a `Group Key`) becomes `Grouping Sets`.
fn details(node: &Node, object: &mut Object) {
    let details = &node.description.details;
    let several = |key: &str| details.iter().filter(|(other, _)| *other == key).count() > 1;
    let mut sets = vec![];
    for (key, value) in details {
        let json = match value {
            Value::Text(text) => Json::Scalar(text.as_str().into()),
            Value::List(list) => Json::Array(list.iter().map(|item| Json::Scalar(item.as_str().into())).collect()),
        };
        if several(key) {
            let mut set = Object::default();
            set.push(*key, json);
            sets.push(Json::Object(set));
        } else {
            object.push(*key, json);
        }
    }
    if !sets.is_empty() {
        object.push("Grouping Sets", Json::Array(sets));
    }
}

fn figures(actual: &Actual, object: &mut Object) {
    if let Some(time) = actual.time_ms {
        object.scalar("Actual Total Time", rounded(time, 3));
    }
    object.scalar("Actual Rows", actual.rows);
    object.scalar("Actual Loops", 1);
    if let Some(spread) = &actual.spread {
        object.scalar("Workers", spread.workers);
        object.scalar("Average Rows", rounded(spread.average, 3));
        object.scalar("Minimum Rows", spread.min.0);
        object.scalar("Minimum Rows Segment", spread.min.1.0);
        object.scalar("Maximum Rows", spread.max.0);
        object.scalar("Maximum Rows Segment", spread.max.1.0);
        object.scalar("Skew", rounded(spread.skew, 3));
    }
    if let Some(removed) = actual.removed {
        object.scalar("Rows Removed by Filter", removed);
    }
    if let Some(counts) = &actual.scan {
        scan(counts, object);
    }
    if let Some((_, content)) = actual.skewed {
        object.scalar("Skewed Segment", content.0);
    }
    motion_end("Sent", "Blocked", actual.sent.as_ref(), object);
    motion_end("Received", "Waited", actual.received.as_ref(), object);
    if actual.memory_bytes > 0 {
        object.scalar("Memory Bytes", actual.memory_bytes);
    }
    if actual.spilled_bytes > 0 {
        object.scalar("Spilled Bytes", actual.spilled_bytes);
    }
}

fn scan(counts: &ScanCounts, object: &mut Object) {
    object.scalar("Files", counts.files);
    object.scalar("Files Pruned", counts.files_pruned);
    object.scalar("Row Groups", counts.row_groups);
    object.scalar("Row Groups Pruned by Statistics", counts.row_groups_pruned);
    object.scalar("Row Groups Pruned by Bloom Filters", counts.row_groups_filtered);
    object.scalar("Pages", counts.chunks);
    object.scalar("Pages Pruned", counts.chunks_pruned);
}

fn motion_end(moved: &str, waited: &str, end: Option<&MotionEnd>, object: &mut Object) {
    let Some(end) = end else { return };
    let (max, at) = end.max_waited_ms;
    object.scalar(format!("{moved} Batches"), end.batches);
    object.scalar(format!("{moved} Bytes"), end.bytes);
    object.scalar(format!("Average {waited} Time"), rounded(end.average_waited_ms, 3));
    object.scalar(format!("Maximum {waited} Time"), rounded(max, 3));
    object.scalar(format!("Maximum {waited} Time Segment"), at.0);
}

fn slice(slice: &SliceMemory) -> Json {
    let mut object = Object::default();
    object.scalar("Slice", slice.slice);
    if slice.entry {
        object.scalar("Executor Memory", slice.max.0);
    } else {
        let mut memory = Object::default();
        memory.scalar("Average", slice.average_bytes.round() as u64);
        memory.scalar("Workers", slice.workers);
        memory.scalar("Maximum Memory Used", slice.max.0);
        memory.scalar("Maximum Memory Segment", slice.max.1.0);
        object.push("Executor Memory", Json::Object(memory));
    }
    if slice.spilled_bytes > 0 {
        object.scalar("Spilled Bytes", slice.spilled_bytes);
    }
    Json::Object(object)
}

fn milliseconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3, 3)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
