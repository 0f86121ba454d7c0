//! Hands rows on in pieces that the operator above gets through quickly.

use crate::limits::{PIECE_MS_MAX, PIECE_ROWS_MAX};
use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt, ready};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Below the probe side of a nested loop join, which compares a whole probe batch with every row of the build side
/// before it yields: for minutes, where both are large, and nothing could cancel it. Cuts batches so that the join takes
/// about [`PIECE_MS_MAX`] for each, and yields to the runtime between them. Put in by the QE's own planning.
///
/// # Distribution
/// Kept.
///
/// # Ordering
/// Kept.
///
/// # Memory
/// One batch; the pieces share its arrays.
///
/// # Cancellation
/// Within a piece's time.
#[derive(Debug)]
pub struct PacedExec {
    input: Arc<dyn ExecutionPlan>,
}

impl PacedExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        PacedExec { input }
    }
}

impl DisplayAs for PacedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacedExec")
    }
}

impl ExecutionPlan for PacedExec {
    fn name(&self) -> &str {
        "PacedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(PacedExec::new(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let paced = Paced { input, rest: None, pace: Pace::default(), given_at: None };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), paced)))
    }
}

/// The rows of a piece, by how long the last one took.
struct Pace {
    rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { rows: 1 }
    }
}

impl Pace {
    fn took(&mut self, time: Duration) {
        if time > Duration::from_millis(PIECE_MS_MAX) {
            self.rows = (self.rows / 2).max(1);
        } else if time < Duration::from_millis(PIECE_MS_MAX / 4) {
            self.rows = (self.rows * 2).min(PIECE_ROWS_MAX);
        }
    }
}

struct Paced {
    input: SendableRecordBatchStream,
    /// What is left of the last batch.
    rest: Option<RecordBatch>,
    pace: Pace,
    /// When the consumer got its last piece, if it has not come back since.
    given_at: Option<Instant>,
}

impl Stream for Paced {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(given_at) = self.given_at.take() {
            let time = given_at.elapsed();
            self.pace.took(time);
            if time > Duration::from_millis(PIECE_MS_MAX / 4) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match ready!(self.input.poll_next_unpin(cx)) {
                Some(Ok(batch)) => batch,
                end => return Poll::Ready(end),
            },
        };
        let rows = self.pace.rows.min(batch.num_rows());
        if rows < batch.num_rows() {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        self.given_at = Some(Instant::now());
        Poll::Ready(Some(Ok(batch.slice(0, rows))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use datafusion::physical_plan::test::TestMemoryExec;

    #[tokio::test]
    async fn every_row_arrives_once_in_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, false)]));
        let batch = |from: i32, to: i32| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int32Array::from_iter_values(from..to))]).unwrap()
        };
        let batches = vec![batch(0, 5000), batch(5000, 5000), batch(5000, 20_000)];
        let input = TestMemoryExec::try_new_exec(&[batches], Arc::clone(&schema), None).unwrap();
        let mut rows = PacedExec::new(input).execute(0, Arc::default()).unwrap();
        let (mut seen, mut largest) = (vec![], 0);
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            largest = largest.max(batch.num_rows());
            seen.extend_from_slice(batch.column(0).as_primitive::<Int32Type>().values());
        }
        assert_eq!(seen, (0..20_000).collect::<Vec<_>>());
        assert!(largest > 1, "a quick consumer gets larger pieces");
    }

    #[test]
    fn pieces_follow_the_time_that_they_take() {
        let mut pace = Pace::default();
        (0..30).for_each(|_| pace.took(Duration::ZERO));
        assert_eq!(pace.rows, PIECE_ROWS_MAX);
        (0..30).for_each(|_| pace.took(Duration::from_millis(PIECE_MS_MAX + 1)));
        assert_eq!(pace.rows, 1);
        pace.took(Duration::from_millis(PIECE_MS_MAX / 2));
        assert_eq!(pace.rows, 1);
    }
}
