//! What each operator did, for EXPLAIN ANALYZE.

use crate::route_metrics::{BATCHES_MOVED, BYTES_MOVED, WAITED};
use crate::{MotionMetrics, MotionRecvExec, MotionSendExec, OperatorMetrics, PacedExec, SegmentIdExec};
use damson_cluster::ScanCounts;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;

/// One operator of a slice that ran, with its name: the master matches them to its plan by walking both.
///
/// Depth first; operators that the QE's own planning inserts are left out: cooperative yields, and the second half of a
/// scan with `gp_segment_id`.
pub fn collect(plan: &Arc<dyn ExecutionPlan>) -> Vec<OperatorMetrics> {
    let mut operators = vec![];
    visit(plan, &mut operators);
    operators
}

fn visit(plan: &Arc<dyn ExecutionPlan>, operators: &mut Vec<OperatorMetrics>) {
    let inserted = plan.downcast_ref::<CooperativeExec>().is_some()
        || plan.downcast_ref::<PacedExec>().is_some()
        || plan.downcast_ref::<SegmentIdExec>().is_some();
    if !inserted {
        operators.push(of(plan));
    }
    plan.children().into_iter().for_each(|child| visit(child, operators));
}

fn of(plan: &Arc<dyn ExecutionPlan>) -> OperatorMetrics {
    let mut operator = OperatorMetrics { name: kind(plan).into(), ..OperatorMetrics::default() };
    if plan.downcast_ref::<PlaceholderRowExec>().is_some() {
        // It counts nothing, and is one row.
        operator.rows = 1;
    }
    let Some(metrics) = plan.metrics() else { return operator };
    if plan.downcast_ref::<MotionSendExec>().is_some() || plan.downcast_ref::<MotionRecvExec>().is_some() {
        operator.motion = Some(motion(&metrics));
    }
    if plan.name() == TABLE_SCAN {
        operator.scan = Some(scan(&metrics));
    }
    for metric in metrics.iter() {
        match metric.value() {
            MetricValue::OutputRows(rows) => operator.rows += rows.value() as u64,
            MetricValue::ElapsedCompute(time) => operator.compute_ns += time.value() as u64,
            MetricValue::SpilledBytes(bytes) => operator.spilled_bytes += bytes.value() as u64,
            MetricValue::CurrentMemoryUsage(bytes) => operator.memory_bytes_peak += bytes.value() as u64,
            MetricValue::PeakMemoryUsage { gauge, .. } => operator.memory_bytes_peak += gauge.value() as u64,
            MetricValue::Gauge { name, gauge } if name.contains("mem") => {
                operator.memory_bytes_peak += gauge.value() as u64;
            }
            MetricValue::Time { name, time } if OTHER_TIMES.contains(&name.as_ref()) => {
                operator.compute_ns += time.value() as u64;
            }
            _ => {}
        }
    }
    operator
}

fn motion(metrics: &MetricsSet) -> MotionMetrics {
    let mut motion = MotionMetrics::default();
    for metric in metrics.iter() {
        match metric.value() {
            MetricValue::Count { name, count } if name == BATCHES_MOVED => motion.batches += count.value() as u64,
            MetricValue::Count { name, count } if name == BYTES_MOVED => motion.bytes += count.value() as u64,
            MetricValue::Time { name, time } if name == WAITED => motion.waited_ns += time.value() as u64,
            _ => {}
        }
    }
    motion
}

/// By the counters' names, which are those of the fields.
fn scan(metrics: &MetricsSet) -> ScanCounts {
    let count = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64);
    ScanCounts {
        files: count("files"),
        files_pruned: count("files_pruned"),
        row_groups: count("row_groups"),
        row_groups_pruned: count("row_groups_pruned"),
        row_groups_filtered: count("row_groups_filtered"),
        chunks: count("chunks"),
        chunks_pruned: count("chunks_pruned"),
    }
}

/// What the storage crate calls its scan of a table.
const TABLE_SCAN: &str = "TableScan";

/// Times that are not in an operator's elapsed compute already: a scan's decoding and a writer's encoding.
const OTHER_TIMES: &[&str] = &["time_elapsed_processing", "encode_time"];

/// The operator's name; projections have their own because the QE's planning may remove or add them.
fn kind(plan: &Arc<dyn ExecutionPlan>) -> &str {
    if plan.downcast_ref::<ProjectionExec>().is_some() { "ProjectionExec" } else { plan.name() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Schema;

    #[test]
    fn a_row_without_a_table_is_a_row() {
        let plan: Arc<dyn ExecutionPlan> = Arc::new(PlaceholderRowExec::new(Arc::new(Schema::empty())));
        let operators = collect(&plan);
        assert_eq!((operators.len(), operators[0].name.as_str(), operators[0].rows), (1, "PlaceholderRowExec", 1));
    }
}
