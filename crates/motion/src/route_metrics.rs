//! What a motion's routes count, as metrics of its operator.

use damson_interconnect::Moved;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};

/// Fed with what has passed since the last look, so that the operator's figures are complete however it ends.
#[derive(Clone)]
pub(crate) struct RouteMetrics {
    rows: Count,
    batches: Count,
    bytes: Count,
    spilled_bytes: Count,
}

/// Names of the metrics that DataFusion has none for.
pub(crate) const BATCHES_MOVED: &str = "batches_moved";
pub(crate) const BYTES_MOVED: &str = "bytes_moved";
pub(crate) const WAITED: &str = "waited";

impl RouteMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        RouteMetrics {
            rows: MetricBuilder::new(metrics).output_rows(partition),
            batches: MetricBuilder::new(metrics).counter(BATCHES_MOVED, partition),
            bytes: MetricBuilder::new(metrics).counter(BYTES_MOVED, partition),
            spilled_bytes: MetricBuilder::new(metrics).spilled_bytes(partition),
        }
    }

    pub(crate) fn add(&self, moved: Moved) {
        self.rows.add(moved.rows as usize);
        self.batches.add(moved.batches as usize);
        self.bytes.add(moved.bytes as usize);
        if moved.spilled_bytes > 0 {
            self.spilled_bytes.add(moved.spilled_bytes as usize);
        }
    }
}
