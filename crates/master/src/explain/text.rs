//! EXPLAIN's text, as psql shows Greenplum's.

use super::actual::{Actual, MotionEnd, SliceMemory};
use super::document::{Document, Explained, document};
use super::node::{Node, Value};
use damson_cluster::ScanCounts;
use std::time::Duration;

/// What an arrow takes, and how far a node's lines stand to the right of it.
const ARROW: &str = "->  ";
const DETAIL_INDENT: usize = 2;

/// One line a row; every line begins with a space. `costs`: whether the estimates are shown.
pub(crate) fn lines(explained: &Explained, costs: bool) -> Vec<String> {
    let Document { root, slices } = document(explained);
    let mut lines = vec![];
    node(&root, None, costs, &mut lines);
    let Some(execution) = &explained.execution else { return lines };
    lines.push(format!(" Planning Time: {} ms", milliseconds(explained.planning)));
    lines.extend(slices.iter().map(memory));
    lines.push(format!(" Execution Time: {} ms", milliseconds(execution.elapsed)));
    lines.push(format!(" Total rows: {}", execution.rows));
    lines
}

/// `indent`: columns before the arrow; None for the root, which has no arrow.
fn node(node: &Node, indent: Option<usize>, costs: bool, lines: &mut Vec<String>) {
    let mut arrow_at = indent;
    if let (Some(label), Some(at)) = (&node.label, indent) {
        lines.push(format!("{:at$}{label}", ""));
        arrow_at = Some(at + DETAIL_INDENT);
    }
    let title = title(node, costs);
    let inner = match arrow_at {
        None => {
            lines.push(format!(" {title}"));
            1 + DETAIL_INDENT
        }
        Some(at) => {
            lines.push(format!("{:at$}{ARROW}{title}", ""));
            at + ARROW.len() + DETAIL_INDENT
        }
    };
    let details = node.description.details.iter().map(|(key, value)| match value {
        Value::Text(text) => format!("{key}: {text}"),
        Value::List(list) => format!("{key}: {}", list.join(", ")),
    });
    let figures = node.actual.iter().flat_map(figures);
    lines.extend(details.chain(figures).map(|line| format!("{:inner$}{line}", "")));
    for child in &node.children {
        self::node(child, Some(inner), costs, lines);
    }
}

fn title(node: &Node, costs: bool) -> String {
    let (description, cost) = (&node.description, &node.cost);
    let mut title = format!("{}{}", description.node_type, description.suffix);
    if costs {
        let (startup, total) = (cost.startup, cost.total);
        title += &format!("  (cost={startup:.2}..{total:.2} rows={:.0} width={:.0})", cost.rows, cost.width);
    }
    if let Some(actual) = &node.actual {
        // A motion's own time is its ends' waiting.
        let is_untimed = |time: &f64| *time == 0.0 && (actual.sent.is_some() || actual.received.is_some());
        title += if costs { " " } else { "  " };
        title += &match actual.time_ms.filter(|time| !is_untimed(time)) {
            Some(time) => format!("(actual time={time:.3}ms rows={} loops=1)", actual.rows),
            None => format!("(actual rows={} loops=1)", actual.rows),
        };
    }
    title
}

/// The lines that a run adds.
fn figures(actual: &Actual) -> Vec<String> {
    let mut lines = vec![];
    if let Some(spread) = &actual.spread {
        let ((min, min_at), (max, max_at)) = (spread.min, spread.max);
        lines.push(format!(
            "Rows: avg {} x {} workers, min {min} ({min_at}), max {max} ({max_at}), skew {:.2}",
            average(spread.average),
            spread.workers,
            spread.skew
        ));
    }
    if let Some(removed) = actual.removed.filter(|removed| *removed > 0) {
        lines.push(format!("Rows Removed by Filter: {removed}"));
    }
    lines.extend(actual.scan.iter().flat_map(scan));
    if let Some((factor, content)) = actual.skewed {
        lines.push(format!("Skew: {factor:.1}x ({content})"));
    }
    lines.extend(actual.sent.as_ref().map(|end| motion_end("Sent", "blocked", end)));
    lines.extend(actual.received.as_ref().map(|end| motion_end("Received", "waited", end)));
    if actual.memory_bytes > 0 {
        lines.push(format!("Memory: {} bytes", kibibytes(actual.memory_bytes as f64)));
    }
    if actual.spilled_bytes > 0 {
        lines.push(format!("Spilled: {} bytes", kibibytes(actual.spilled_bytes as f64)));
    }
    lines
}

/// What a scan had to look at, and what it was spared.
fn scan(counts: &ScanCounts) -> Vec<String> {
    let line = |what: &str, all: u64, spared: &[(u64, &str)]| {
        let spared = spared.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!("{count} {how}"));
        let spared = spared.collect::<Vec<_>>().join(", ");
        let spared = if spared.is_empty() { spared } else { format!(" ({spared})") };
        (all > 0).then(|| format!("{what}: {all}{spared}"))
    };
    let groups = [(counts.row_groups_pruned, "pruned by statistics"), (counts.row_groups_filtered, "by Bloom filters")];
    let lines = [
        line("Files", counts.files, &[(counts.files_pruned, "pruned")]),
        line("Row Groups", counts.row_groups, &groups),
        line("Pages", counts.chunks, &[(counts.chunks_pruned, "pruned")]),
    ];
    lines.into_iter().flatten().collect()
}

fn motion_end(moved: &str, waited: &str, end: &MotionEnd) -> String {
    let (batches, size, (max, at)) = (end.batches, size(end.bytes), end.max_waited_ms);
    let plural = if batches == 1 { "" } else { "es" };
    let time = match end.workers {
        1 => format!("{max:.1} ms"),
        _ => format!("{:.1} ms avg, {max:.1} ms max ({at})", end.average_waited_ms),
    };
    format!("{moved}: {batches} batch{plural}, {size}; {waited} {time}")
}

fn memory(slice: &SliceMemory) -> String {
    let (max, at) = slice.max;
    let max = kibibytes(max as f64);
    let used = match slice.workers {
        1 if slice.slice == 0 => format!("{max} bytes."),
        1 if slice.entry => format!("{max} bytes (entry db)."),
        1 => format!("{max} bytes ({at})."),
        workers => {
            let average = kibibytes(slice.average_bytes);
            format!("{average} bytes avg x {workers} workers, {max} bytes max ({at}).")
        }
    };
    let spilled = match slice.spilled_bytes {
        0 => String::new(),
        bytes => format!("  Spilled: {} bytes.", kibibytes(bytes as f64)),
    };
    format!("   (slice{})    Executor memory: {used}{spilled}", slice.slice)
}

/// `9999 bytes`, `42 kB`, `56 MB`, … as PostgreSQL's `pg_size_pretty`.
fn size(bytes: u64) -> String {
    const LARGE: f64 = 10.0 * 1024.0;
    let (mut size, mut unit) = (bytes as f64, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < LARGE {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    format!("{size:.0} {unit}")
}

/// `42K`, rounded up.
fn kibibytes(bytes: f64) -> String {
    format!("{:.0}K", (bytes / 1024.0).ceil())
}

fn average(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
}
