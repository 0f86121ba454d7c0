//! What each route did: counted by its ends, shown by `gp_interconnect_stats` and EXPLAIN ANALYZE.

mod history;
mod stats;

pub(crate) use history::History;
pub(crate) use stats::summary;
pub use stats::{Direction, Moved, RouteState, RouteStats, Transport};

use crate::route::{SendState, ToReceiver};
use damson_cluster::RouteKey;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

/// One end of one route, counting. Made and owned by the route's inbox (its receiving end, and the sending one within a
/// process) or outbox. A batch costs three additions; the clock is read only around a wait.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    transport: OnceLock<Transport>,
    /// How the end came; the first word counts.
    end: OnceLock<RouteState>,
    batches: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    blocked_ns: AtomicU64,
    /// When the present wait began, by [`now_ns`]; 0 outside one.
    waiting_since_ns: AtomicU64,
    spilled_bytes: AtomicU64,
}

impl RouteCounters {
    /// What carries the route, once that is known.
    pub(crate) fn carried_by(&self, transport: Transport) {
        // A route has one carrier: a second word says the same.
        let _ = self.transport.set(transport);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn add_batch(&self) {
        self.batches.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Relaxed);
    }

    pub(crate) fn add_spilled(&self, bytes: u64) {
        self.spilled_bytes.fetch_add(bytes, Relaxed);
    }

    /// The end is over. Waits are, too.
    pub(crate) fn end(&self, state: RouteState) {
        self.wait_ends();
        let _ = self.end.set(state);
    }

    /// The sender says its last word on `route`. Noted before the receiver can hear it, who may then close the query:
    /// what is not noted by then counts as cancelled.
    pub(crate) fn sender_ends(&self, route: &SendState, last_word: &ToReceiver) {
        self.end(match last_word {
            _ if route.is_stopped() => RouteState::Stopped,
            ToReceiver::End if route.error().is_none() => RouteState::Ended,
            _ => RouteState::Failed,
        });
    }

    pub(crate) fn wait_begins(&self) {
        if self.waiting_since_ns.load(Relaxed) == 0 {
            self.waiting_since_ns.store(now_ns(), Relaxed);
        }
    }

    pub(crate) fn wait_ends(&self) {
        if self.waiting_since_ns.load(Relaxed) != 0 {
            let since = self.waiting_since_ns.swap(0, Relaxed);
            self.blocked_ns.fetch_add(now_ns().saturating_sub(since), Relaxed);
        }
    }

    /// Polls until ready; the time in between is the end's blocked time, also when the future is dropped before.
    pub(crate) async fn blocked<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let wait = Wait(self);
        poll_fn(|context| {
            let polled = poll(context);
            if polled.is_pending() {
                wait.0.wait_begins();
            }
            polled
        })
        .await
    }

    /// What has passed so far.
    pub(crate) fn moved(&self) -> Moved {
        // A wait that ends between the two loads is missed until the next look.
        let since = self.waiting_since_ns.load(Relaxed);
        let waiting_ns = if since == 0 { 0 } else { now_ns().saturating_sub(since) };
        Moved {
            batches: self.batches.load(Relaxed),
            rows: self.rows.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            blocked_ns: self.blocked_ns.load(Relaxed) + waiting_ns,
            spilled_bytes: self.spilled_bytes.load(Relaxed),
        }
    }

    pub(crate) fn stats(&self, route: RouteKey, direction: Direction) -> RouteStats {
        let (content, peer) = match direction {
            Direction::Send => (route.sender, route.receiver),
            Direction::Receive => (route.receiver, route.sender),
        };
        RouteStats {
            query: route.query,
            motion: route.motion,
            direction,
            content,
            peer: Some(peer),
            routes: 1,
            transport: self.transport.get().copied(),
            state: self.end.get().copied().unwrap_or(RouteState::Open),
            moved: self.moved(),
        }
    }
}

/// Ends a wait with the future that waits.
struct Wait<'a>(&'a RouteCounters);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.wait_ends();
    }
}

/// Nanoseconds of the process's monotonic clock, never 0.
fn now_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RouteError;
    use crate::route::ToSender;
    use damson_cluster::{ContentId, MotionId, QueryId};
    use std::future::Future;
    use std::pin::pin;
    use std::task::Waker;
    use std::time::Duration;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn only_waits_cost_time() {
        let counters = RouteCounters::default();
        let polled = pin!(counters.blocked(|_| Poll::Ready(7))).poll(&mut context());
        assert_eq!((polled, counters.moved().blocked_ns), (Poll::Ready(7), 0));

        let mut polls = 0;
        let mut waiting = pin!(counters.blocked(|_| {
            polls += 1;
            if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
        }));
        assert!(waiting.as_mut().poll(&mut context()).is_pending());
        std::thread::sleep(Duration::from_millis(5));
        assert!(counters.moved().blocked_ns >= 5_000_000, "a wait shows while it lasts");
        assert!(waiting.as_mut().poll(&mut context()).is_pending());
        assert!(counters.moved().blocked_ns >= 5_000_000, "the second look does not begin it anew");
        assert!(waiting.as_mut().poll(&mut context()).is_ready());
    }

    #[test]
    fn a_wait_ends_when_it_is_given_up() {
        let counters = RouteCounters::default();
        {
            let mut waiting = pin!(counters.blocked(|_| Poll::<()>::Pending));
            assert!(waiting.as_mut().poll(&mut context()).is_pending());
        }
        let blocked = counters.moved().blocked_ns;
        assert!(blocked > 0);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(counters.moved().blocked_ns, blocked);
    }

    #[test]
    fn a_sender_ends_as_its_route_stands() {
        let route = RouteKey { query: QueryId(1), motion: MotionId(2), sender: ContentId(3), receiver: ContentId(4) };
        let ended_as = |told: Option<ToSender>, last_word: ToReceiver| {
            let (mut machine, counters) = (SendState::new(route), RouteCounters::default());
            told.into_iter().for_each(|message| machine.receive(message));
            counters.sender_ends(&machine, &last_word);
            counters.stats(route, Direction::Send).state
        };
        let failure = || RouteError::Cancelled { query: QueryId(1) };
        assert_eq!(ended_as(None, ToReceiver::End), RouteState::Ended);
        assert_eq!(ended_as(None, ToReceiver::Fail(failure())), RouteState::Failed);
        assert_eq!(ended_as(Some(ToSender::Stop), ToReceiver::End), RouteState::Stopped);
        assert_eq!(ended_as(Some(ToSender::Fail(failure())), ToReceiver::End), RouteState::Failed);
    }

    #[test]
    fn each_end_names_the_other() {
        let route = RouteKey { query: QueryId(1), motion: MotionId(2), sender: ContentId(3), receiver: ContentId(4) };
        let counters = RouteCounters::default();
        counters.add_batch();
        counters.add_rows(10);
        counters.add_bytes(80);
        counters.add_spilled(5);
        let receive = counters.stats(route, Direction::Receive);
        assert_eq!((receive.content, receive.peer), (ContentId(4), Some(ContentId(3))));
        assert_eq!((receive.state, receive.transport), (RouteState::Open, None));
        let moved = Moved { batches: 1, rows: 10, bytes: 80, blocked_ns: 0, spilled_bytes: 5 };
        assert_eq!(receive.moved, moved);
        counters.carried_by(Transport::FlightUnix);
        counters.end(RouteState::Ended);
        counters.end(RouteState::Stopped);
        let send = counters.stats(route, Direction::Send);
        assert_eq!((send.content, send.peer), (ContentId(3), Some(ContentId(4))));
        assert_eq!((send.state, send.transport), (RouteState::Ended, Some(Transport::FlightUnix)));
    }
}
