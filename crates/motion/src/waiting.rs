//! The time that a motion's operator spends waiting, as one of its metrics.

use datafusion::physical_plan::metrics::Time;
use futures::{Stream, StreamExt};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

/// Measures from each "not yet" to the next look, which follows when there is something to see. What is always ready costs
/// no look at the clock.
pub(crate) struct Waiting {
    time: Time,
    since: Option<Instant>,
}

impl Waiting {
    pub(crate) fn new(time: Time) -> Self {
        Waiting { time, since: None }
    }

    fn note<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        match &polled {
            Poll::Pending if self.since.is_none() => self.since = Some(Instant::now()),
            Poll::Pending => {}
            Poll::Ready(_) => self.end(),
        }
        polled
    }

    fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.time.add_duration(since.elapsed());
        }
    }

    /// Awaits a future, measuring.
    pub(crate) async fn of<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| self.note(future.as_mut().poll(context))).await
    }
}

/// A wait that is given up was one, too.
impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

/// A stream, measuring.
pub(crate) struct WaitingStream<S> {
    pub(crate) batches: S,
    pub(crate) waiting: Waiting,
}

impl<S: Stream + Unpin> Stream for WaitingStream<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.waiting.note(this.batches.poll_next_unpin(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::stream;
    use std::time::Duration;

    #[tokio::test]
    async fn what_is_ready_takes_no_time() {
        let time = Time::new();
        assert_eq!(Waiting::new(time.clone()).of(async { 7 }).await, 7);
        assert_eq!(time.value(), 0);
    }

    #[tokio::test]
    async fn waits_are_measured_also_those_given_up() {
        let pause = Duration::from_millis(5);
        let time = Time::new();
        let mut waiting = Waiting::new(time.clone());
        waiting.of(tokio::time::sleep(pause)).await;
        let first = time.value();
        assert!(first >= pause.as_nanos() as usize, "{first} ns");

        let mut nothing = WaitingStream { batches: stream::pending::<()>(), waiting };
        assert!(nothing.next().now_or_never().is_none());
        std::thread::sleep(pause);
        drop(nothing);
        assert!(time.value() >= first + pause.as_nanos() as usize);
    }
}
