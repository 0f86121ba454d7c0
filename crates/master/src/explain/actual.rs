//! What the QEs reported, by operator of the plan that the master made.
//!
//! A QE plans its slice again before it runs it: projections come and go, limits sink into other operators, a scan
//! becomes several operators. Its report is a list of operators in the order of a depth-first walk, so each QE's list is
//! aligned with the master's by name, as two texts are in a diff; what has no counterpart stays without figures.

use super::node::Node;
use super::tree::Step;
use crate::dispatch::SliceMetrics;
use damson_cluster::{ContentId, ScanCounts, SliceId};
use damson_motion::{MotionMetrics, OperatorMetrics};
use std::collections::BTreeMap;

/// What a node did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Actual {
    /// Of all QEs together.
    pub rows: u64,
    /// CPU time of the slowest QE in the node's own operators; None where no operator is the node's own.
    pub time_ms: Option<f64>,
    /// How the rows are spread; None with one QE or no row.
    pub spread: Option<Spread>,
    /// Rows that the node's filter held back, of all QEs.
    pub removed: Option<u64>,
    /// Of a table's scan, of all QEs.
    pub scan: Option<ScanCounts>,
    /// Of a motion, what its senders did.
    pub sent: Option<MotionEnd>,
    /// Of a motion, what its receivers did.
    pub received: Option<MotionEnd>,
    /// Of a motion by hash, if one receiver gets far more rows than the average one: how many times, and which.
    pub skewed: Option<(f64, ContentId)>,
    /// Of the QE that had most.
    pub memory_bytes: u64,
    /// Of all QEs.
    pub spilled_bytes: u64,
}

/// Rows over the QEs of a gang.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    pub workers: usize,
    pub average: f64,
    pub min: (u64, ContentId),
    pub max: (u64, ContentId),
    /// Largest over average: 1 is even.
    pub skew: f64,
}

/// The QEs at one end of a motion, by their routes' counters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MotionEnd {
    pub workers: usize,
    pub batches: u64,
    pub bytes: u64,
    /// Senders without credit, receivers without data.
    pub average_waited_ms: f64,
    pub max_waited_ms: (f64, ContentId),
}

/// A receiver with so many times the average rows makes the others wait for it; a smaller factor is ordinary.
const SKEW_SHOWN_FROM: f64 = 1.5;
/// Fewer rows at the fullest receiver take no time worth a line, and a handful of groups is always uneven.
const SKEW_ROWS_MIN: u64 = 10_000;

/// Executor memory of one slice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SliceMemory {
    /// As it is shown.
    pub slice: u32,
    /// True for a slice of the master.
    pub entry: bool,
    pub workers: usize,
    pub average_bytes: f64,
    pub max: (u64, ContentId),
    pub spilled_bytes: u64,
}

/// By step, what each QE reported about it.
pub(super) type Reports<'a> = Vec<BTreeMap<ContentId, &'a OperatorMetrics>>;

pub(super) fn reports<'a>(steps: &[Step], metrics: &'a SliceMetrics) -> Reports<'a> {
    let mut reports: Reports<'a> = vec![BTreeMap::new(); steps.len()];
    for (slice, by_content) in metrics {
        let positions: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].slice == *slice).collect();
        let planned: Vec<&str> = positions.iter().map(|&i| kind(&steps[i].operator)).collect();
        for (content, operators) in by_content {
            let ran: Vec<&str> = operators.iter().map(|o| kind(&o.name)).collect();
            for (planned, ran) in align(&planned, &ran) {
                reports[positions[planned]].insert(*content, &operators[ran]);
            }
        }
    }
    reports
}

/// An operator's name without what differs between the master's plan and a QE's.
fn kind(operator: &str) -> &str {
    let name = operator.trim_end_matches("(TopK)").trim_end_matches("Exec");
    match name {
        "TableScan" | "DataSource" => "Scan",
        "CopyRead" => "FileScan",
        "GlobalLimit" | "LocalLimit" => "Limit",
        "BoundedWindowAgg" => "WindowAgg",
        name => name,
    }
}

/// Pairs of positions whose kinds are equal, rising in both: the heaviest common subsequence. Projections weigh little,
/// because the QEs' planning adds and drops them.
fn align(planned: &[&str], ran: &[&str]) -> Vec<(usize, usize)> {
    let weight = |kind: &str| if kind == "Projection" { 1 } else { 4 };
    let columns = ran.len() + 1;
    // best[i * columns + j]: the weight of the best alignment of planned[i..] with ran[j..].
    let mut best = vec![0u32; (planned.len() + 1) * columns];
    for i in (0..planned.len()).rev() {
        for j in (0..ran.len()).rev() {
            let skipped = best[(i + 1) * columns + j].max(best[i * columns + j + 1]);
            let paired = if planned[i] == ran[j] { best[(i + 1) * columns + j + 1] + weight(planned[i]) } else { 0 };
            best[i * columns + j] = skipped.max(paired);
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, vec![]);
    while i < planned.len() && j < ran.len() {
        let here = best[i * columns + j];
        if planned[i] == ran[j] && here == best[(i + 1) * columns + j + 1] + weight(planned[i]) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if here == best[(i + 1) * columns + j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Gives a node and those below it their figures.
pub(super) fn fill(node: &mut Node, reports: &Reports<'_>) {
    node.children.iter_mut().for_each(|child| fill(child, reports));
    let steps = &node.steps;
    // The main operator, else the next one outwards: those keep its rows.
    let mut sources: Vec<usize> = steps.main.into_iter().collect();
    sources.extend(steps.chain.iter().rev().copied());
    sources.extend(&steps.fallback);
    let source = sources.into_iter().find(|&step| !reports[step].is_empty());
    let input = node.children.first().and_then(|child| child.actual.as_ref());
    let mut actual = match (steps.rows_of_input, source) {
        (true, _) => match input {
            Some(input) => Actual { rows: input.rows, spread: input.spread.clone(), ..Actual::default() },
            None => return,
        },
        (false, Some(step)) => {
            let rows: Vec<(ContentId, u64)> = reports[step].iter().map(|(content, o)| (*content, o.rows)).collect();
            Actual { rows: rows.iter().map(|(_, rows)| rows).sum(), spread: spread(&rows), ..Actual::default() }
        }
        (false, None) => return,
    };
    let own = by_content(&steps.chain, reports);
    actual.time_ms = own.values().map(|o| o.compute_ns as f64 / 1e6).reduce(f64::max);
    actual.memory_bytes = own.values().map(|o| o.memory_bytes_peak).max().unwrap_or(0);
    actual.spilled_bytes = own.values().map(|o| o.spilled_bytes).sum();
    actual.scan = scanned(&steps.chain, reports);
    actual.removed = steps.filtered.and_then(|scan| removed(scan, steps.main?, reports));
    if let Some(send) = steps.send {
        actual.sent = motion_end(&reports[send]);
        actual.received = steps.main.and_then(|receive| motion_end(&reports[receive]));
    }
    if steps.by_hash {
        actual.skewed = actual.spread.as_ref().and_then(skewed);
    }
    node.actual = Some(actual);
}

/// The node's operators together, by QE.
fn by_content(chain: &[usize], reports: &Reports<'_>) -> BTreeMap<ContentId, OperatorMetrics> {
    let mut sums: BTreeMap<ContentId, OperatorMetrics> = BTreeMap::new();
    for (content, operator) in chain.iter().flat_map(|&step| &reports[step]) {
        let sum = sums.entry(*content).or_default();
        sum.compute_ns += operator.compute_ns;
        sum.memory_bytes_peak += operator.memory_bytes_peak;
        sum.spilled_bytes += operator.spilled_bytes;
    }
    sums
}

fn scanned(chain: &[usize], reports: &Reports<'_>) -> Option<ScanCounts> {
    let counts = chain.iter().flat_map(|&step| reports[step].values()).filter_map(|operator| operator.scan);
    counts.reduce(|mut sum, counts| {
        sum += counts;
        sum
    })
}

fn removed(scan: usize, filter: usize, reports: &Reports<'_>) -> Option<u64> {
    let rows = |step: usize| reports[step].values().map(|o| o.rows).sum::<u64>();
    let known = !reports[scan].is_empty() && reports[scan].len() == reports[filter].len();
    known.then(|| rows(scan).saturating_sub(rows(filter)))
}

/// None without a report.
fn motion_end(reports: &BTreeMap<ContentId, &OperatorMetrics>) -> Option<MotionEnd> {
    let of_motion = reports.iter().filter_map(|(content, operator)| Some((*content, operator.motion?)));
    let ends: Vec<(ContentId, MotionMetrics)> = of_motion.collect();
    let (max_at, max) = ends.iter().rev().max_by_key(|(_, end)| end.waited_ns)?;
    let waited_ns: u64 = ends.iter().map(|(_, end)| end.waited_ns).sum();
    Some(MotionEnd {
        workers: ends.len(),
        batches: ends.iter().map(|(_, end)| end.batches).sum(),
        bytes: ends.iter().map(|(_, end)| end.bytes).sum(),
        average_waited_ms: waited_ns as f64 / ends.len() as f64 / 1e6,
        max_waited_ms: (max.waited_ns as f64 / 1e6, *max_at),
    })
}

fn skewed(spread: &Spread) -> Option<(f64, ContentId)> {
    let (rows, content) = spread.max;
    (rows >= SKEW_ROWS_MIN && spread.skew >= SKEW_SHOWN_FROM).then_some((spread.skew, content))
}

fn spread(rows: &[(ContentId, u64)]) -> Option<Spread> {
    let total: u64 = rows.iter().map(|(_, rows)| rows).sum();
    if rows.len() < 2 || total == 0 {
        return None;
    }
    let min = rows.iter().map(|(content, rows)| (*rows, *content)).min()?;
    // Of equals, the first segment.
    let max = rows.iter().rev().map(|(content, rows)| (*rows, *content)).max_by_key(|(rows, _)| *rows)?;
    let average = total as f64 / rows.len() as f64;
    Some(Spread { workers: rows.len(), average, min, max, skew: max.0 as f64 / average })
}

/// Executor memory by slice; `shown` gives the number that a slice is shown with.
pub(super) fn memory(metrics: &SliceMetrics, shown: impl Fn(SliceId) -> u32) -> Vec<SliceMemory> {
    let of_slice = |(slice, by_content): (&SliceId, &BTreeMap<ContentId, Vec<OperatorMetrics>>)| {
        let bytes = |operators: &[OperatorMetrics]| operators.iter().map(|o| o.memory_bytes_peak).sum::<u64>();
        let used: Vec<(u64, ContentId)> = by_content.iter().map(|(content, o)| (bytes(o), *content)).collect();
        // Of equals, the first segment.
        let max = used.iter().rev().copied().max_by_key(|(bytes, _)| *bytes)?;
        let total: u64 = used.iter().map(|(bytes, _)| bytes).sum();
        Some(SliceMemory {
            slice: shown(*slice),
            entry: by_content.keys().all(|content| content.is_master()),
            workers: used.len(),
            average_bytes: total as f64 / used.len() as f64,
            max,
            spilled_bytes: by_content.values().flatten().map(|o| o.spilled_bytes).sum(),
        })
    };
    metrics.iter().filter_map(of_slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_that_a_qe_adds_or_drops_do_not_shift_the_others() {
        let planned = ["MotionSend", "Projection", "HashJoin", "Filter", "Scan", "Scan"];
        assert_eq!(align(&planned, &planned).len(), 6);
        let added = ["MotionSend", "HashJoin", "Projection", "Filter", "Scan", "IntervalDecode", "Scan"];
        assert_eq!(align(&planned, &added), [(0, 0), (2, 1), (3, 3), (4, 4), (5, 6)]);
        let dropped = ["MotionSend", "HashJoin", "Scan", "Scan"];
        assert_eq!(align(&planned, &dropped), [(0, 0), (2, 1), (4, 2), (5, 3)]);
        assert_eq!(align(&planned, &[]), []);
        assert_eq!(align(&[], &planned), []);
        assert_eq!(align(&["Sort"], &["Aggregate"]), []);
    }

    #[test]
    fn names_are_compared_by_what_they_do() {
        for (master, qe) in [
            ("TableScanExec", "DataSourceExec"),
            ("TableWriteExec", "TableWrite"),
            ("SortExec(TopK)", "SortExec"),
            ("GlobalLimitExec", "LocalLimitExec"),
        ] {
            assert_eq!(kind(master), kind(qe));
        }
        assert_ne!(kind("SortExec"), kind("SortPreservingMergeExec"));
    }

    #[test]
    fn skew_is_the_largest_over_the_average() {
        let rows = |counts: &[u64]| {
            let contents = (0..).map(ContentId);
            spread(&contents.zip(counts.iter().copied()).collect::<Vec<_>>())
        };
        let uneven = rows(&[10, 10, 40, 0]).unwrap();
        assert_eq!((uneven.workers, uneven.average, uneven.skew), (4, 15.0, 40.0 / 15.0));
        assert_eq!((uneven.min, uneven.max), ((0, ContentId(3)), (40, ContentId(2))));
        assert_eq!(rows(&[7, 7]).unwrap().max.1, ContentId(0));
        let large = |counts: &[u64]| skewed(&rows(counts).unwrap());
        assert_eq!(large(&[10_000, 1_000, 1_000]), Some((2.5, ContentId(0))));
        assert_eq!(large(&[9_999, 1_000, 1_000]), None, "few rows");
        assert_eq!(large(&[1_000_000, 600_000, 700_000]), None, "a small factor");
        assert_eq!(rows(&[7]), None);
        assert_eq!(rows(&[0, 0]), None);
    }
}
