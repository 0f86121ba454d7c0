//! When a sender lets out rows that wait for more of their destination.

use crate::limits::{FLUSH_MS, FLUSH_SHARE};
use arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Runs from the moment that the input has nothing at hand while rows wait, until they are let out. An input that always
/// has a batch at hand costs no timer: its rows go when there are enough of them.
#[derive(Default)]
pub(crate) struct FlushTimer {
    running: Option<Pin<Box<Sleep>>>,
    /// What the last flush took.
    cost: Duration,
}

/// What a sender does next.
pub(crate) enum Next {
    Batch(Result<RecordBatch>),
    /// The input has ended.
    End,
    /// Rows have waited long enough.
    Flush,
    /// Nobody wants rows any more.
    Closed,
}

impl FlushTimer {
    /// Waits for the input; if rows are waiting (`is_gathering`), not for long; and not beyond the time when its rows would go
    /// nowhere.
    pub(crate) async fn next(
        &mut self,
        input: &mut SendableRecordBatchStream,
        is_gathering: bool,
        poll_closed: impl Fn(&mut Context<'_>) -> Poll<()>,
    ) -> Next {
        if !is_gathering {
            self.running = None;
        }
        let next = poll_fn(|context| {
            if let Poll::Ready(next) = input.poll_next_unpin(context) {
                return Poll::Ready(next.map_or(Next::End, Next::Batch));
            }
            if poll_closed(context).is_ready() {
                return Poll::Ready(Next::Closed);
            }
            if !is_gathering {
                return Poll::Pending;
            }
            let timer = self.running.get_or_insert_with(|| Box::pin(sleep(delay(self.cost))));
            timer.as_mut().poll(context).map(|()| Next::Flush)
        });
        next.await
    }

    /// Notes that the rows of a flush that began at `start` are out.
    pub(crate) fn flushed(&mut self, start: Instant) {
        self.running = None;
        self.cost = start.elapsed();
    }
}

/// How long rows wait. Flushes to very many destinations take long themselves; they are then so rare that they take a
/// bounded share of the time.
fn delay(cost: Duration) -> Duration {
    Duration::from_millis(FLUSH_MS).max(cost * FLUSH_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::{FutureExt, Stream, stream};
    use std::sync::Arc;

    fn input(batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(Arc::new(Schema::empty()), batches))
    }

    fn open(_: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn empty() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    #[tokio::test]
    async fn a_batch_at_hand_starts_no_timer() {
        let mut timer = FlushTimer::default();
        let mut input = input(stream::iter([Ok(empty())]));
        assert!(matches!(timer.next(&mut input, true, open).await, Next::Batch(Ok(_))));
        assert!(matches!(timer.next(&mut input, true, open).await, Next::End));
        assert!(timer.running.is_none());
    }

    #[tokio::test]
    async fn rows_that_wait_are_let_out() {
        let mut timer = FlushTimer::default();
        let mut input = input(stream::pending());
        let start = Instant::now();
        assert!(matches!(timer.next(&mut input, true, open).await, Next::Flush));
        assert!(start.elapsed() >= Duration::from_millis(FLUSH_MS));
        timer.flushed(Instant::now());
        assert!(
            timer.next(&mut input, false, open).now_or_never().is_none(),
            "without rows, there is nothing to let out"
        );
        assert!(timer.running.is_none());
    }

    /// A row every now and then must not put off the flush of those before it.
    #[tokio::test]
    async fn batches_do_not_restart_the_timer() {
        let mut timer = FlushTimer::default();
        let (batches, receiver) = futures::channel::mpsc::unbounded();
        let mut input = input(receiver);
        assert!(timer.next(&mut input, true, open).now_or_never().is_none());
        let due = timer.running.as_ref().unwrap().deadline();
        batches.unbounded_send(Ok(empty())).unwrap();
        assert!(matches!(timer.next(&mut input, true, open).await, Next::Batch(Ok(_))));
        assert!(timer.next(&mut input, true, open).now_or_never().is_none());
        assert_eq!(timer.running.as_ref().unwrap().deadline(), due);
    }

    #[test]
    fn long_flushes_are_rarer() {
        assert_eq!(delay(Duration::ZERO), Duration::from_millis(FLUSH_MS));
        assert_eq!(delay(Duration::from_micros(100)), Duration::from_millis(FLUSH_MS));
        assert_eq!(delay(Duration::from_millis(10)), Duration::from_millis(10) * FLUSH_SHARE);
    }
}
