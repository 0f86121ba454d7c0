//! The sending side of a route to a peer: its state machine, and the frames that wait for the connection.

use crate::counters::{Direction, RouteCounters, RouteStats};
use crate::route::{Admission, SendState, ToReceiver, ToSender};
use crate::wire::Frame;
use crate::{RouteError, Ticket};
use damson_cluster::RouteKey;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// One route's departures; shared by the sender, the node and the task that feeds the peer's stream. The credit bounds
/// the frames in it.
pub(crate) struct Outbox {
    pub(crate) route: RouteKey,
    /// Shown to the receiver's node.
    pub(crate) ticket: Ticket,
    pub(crate) sent: RouteCounters,
    state: Mutex<State>,
}

/// Held by the task that feeds the peer's stream. A task that ends without a word, because it panicked or its node is going
/// away, fails the route: its sender would wait for ever.
pub(crate) struct Carrier(Arc<Outbox>);

struct State {
    machine: SendState,
    frames: VecDeque<Frame>,
    /// No frame follows those that are queued.
    is_complete: bool,
    /// Once the stream to the peer is over: whether everything arrived.
    delivery: Option<Result<(), RouteError>>,
    sender: Option<Waker>,
    stream: Option<Waker>,
}

impl Outbox {
    pub(crate) fn new(route: RouteKey, ticket: Ticket) -> Self {
        let state = State {
            machine: SendState::new(route),
            frames: VecDeque::new(),
            is_complete: false,
            delivery: None,
            sender: None,
            stream: None,
        };
        Outbox { route, ticket, sent: RouteCounters::default(), state: Mutex::new(state) }
    }

    /// Applies a change and wakes both ends: the sender may find credit, or either that the route is over.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let sender = state.sender.take();
        let has_frames = !state.frames.is_empty() || state.is_complete;
        let stream = if has_frames { state.stream.take() } else { None };
        drop(state);
        sender.into_iter().chain(stream).for_each(Waker::wake);
        result
    }

    /// Whether the sender may send; never [`Admission::Wait`].
    pub(crate) fn poll_admit(&self, context: &mut Context<'_>, bytes: u64) -> Poll<Admission> {
        let mut state = self.state.lock();
        match state.machine.admit(bytes) {
            Admission::Wait => {
                state.sender = Some(context.waker().clone());
                Poll::Pending
            }
            admission => Poll::Ready(admission),
        }
    }

    /// Whether the receiver wants no more, or the route has failed.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.machine.is_open() {
            return Poll::Ready(());
        }
        state.sender = Some(context.waker().clone());
        Poll::Pending
    }

    /// The sender has memory for so many unacknowledged bytes.
    pub(crate) fn set_window(&self, bytes: u64) {
        self.change(|state| state.machine.set_window(bytes));
    }

    /// The messages of a batch, which was admitted.
    pub(crate) fn push(&self, frames: impl IntoIterator<Item = Frame>, bytes: u64) {
        self.change(|state| {
            // Between admission and now, the route may have ended.
            if state.machine.is_open() {
                state.machine.sent(bytes);
                state.frames.extend(frames);
            }
        });
    }

    /// The sender ends the route, with [`ToReceiver::End`] or [`ToReceiver::Fail`].
    ///
    /// # Errors
    /// The failure that came before.
    pub(crate) fn end(&self, last_word: ToReceiver) -> Result<(), RouteError> {
        self.change(|state| {
            self.sent.sender_ends(&state.machine, &last_word);
            if let Some(error) = state.machine.error() {
                return Err(error.clone());
            }
            if state.machine.end() {
                state.complete(last_word);
            }
            Ok(())
        })
    }

    /// The query has ended here: both ends fail, unless the route was complete.
    pub(crate) fn cancel(&self, reason: RouteError) {
        self.change(|state| {
            if state.machine.is_open() {
                state.machine.fail(reason.clone());
                state.complete(ToReceiver::Fail(reason));
            }
        });
    }

    /// The receiver's word.
    pub(crate) fn receive(&self, message: ToSender) {
        self.change(|state| {
            let was_open = state.machine.is_open();
            state.machine.receive(message);
            if was_open && !state.machine.is_open() {
                state.frames.clear();
                state.is_complete = true;
            }
        });
    }

    /// The stream to the peer is over: the peer has ended it, or the connection has gone. The first word counts.
    fn over(&self, result: Result<(), String>) {
        let lost = |reason: String| RouteError::PeerLost { route: self.route, reason };
        self.change(|state| {
            if state.delivery.is_some() {
                return;
            }
            let reason = result.clone().err().unwrap_or_else(|| "the peer ended the route".into());
            // Nothing happens to a route that has ended; whether its end arrived is told below.
            state.machine.fail(lost(reason));
            state.frames.clear();
            state.is_complete = true;
            state.delivery = Some(result.map_err(lost));
        });
    }

    /// Whether all that was sent has arrived at the peer's node, after the route's end; a receiver that has stopped wants
    /// nothing more.
    pub(crate) fn poll_delivered(&self, context: &mut Context<'_>) -> Poll<Result<(), RouteError>> {
        let mut state = self.state.lock();
        if let Some(error) = state.machine.error() {
            return Poll::Ready(Err(error.clone()));
        }
        if state.machine.is_stopped() {
            return Poll::Ready(Ok(()));
        }
        if let Some(delivery) = &state.delivery {
            return Poll::Ready(delivery.clone());
        }
        state.sender = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next frame for the peer; None when the stream is over.
    pub(crate) fn poll_frame(&self, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if state.is_complete {
            return Poll::Ready(None);
        }
        state.stream = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().machine.is_stopped()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().machine.is_open()
    }

    pub(crate) fn route_stats(&self) -> RouteStats {
        self.sent.stats(self.route, Direction::Send)
    }
}

impl Carrier {
    pub(crate) fn of(outbox: Arc<Outbox>) -> Self {
        Carrier(outbox)
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.0
    }

    /// The stream is over: in order, or with what broke it.
    pub(crate) fn over(self, result: Result<(), String>) {
        self.0.over(result);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.over(Err("what carried it has gone".into()));
    }
}

impl State {
    fn complete(&mut self, last_word: ToReceiver) {
        // A failure overtakes the data.
        if last_word != ToReceiver::End {
            self.frames.clear();
        }
        self.frames.push_back(Frame::signal(&last_word));
        self.is_complete = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QuerySecret;
    use damson_cluster::{ContentId, MotionId, QueryId};
    use futures::FutureExt;
    use std::future::poll_fn;

    fn outbox() -> Arc<Outbox> {
        let (sender, receiver) = (ContentId(0), ContentId(1));
        let route = RouteKey { query: QueryId(1), motion: MotionId(1), sender, receiver };
        Arc::new(Outbox::new(route, QuerySecret::from_bytes([1; 16]).ticket(&route)))
    }

    #[test]
    fn a_carrier_that_goes_away_fails_the_route() {
        let outbox = outbox();
        let carrier = Carrier::of(Arc::clone(&outbox));
        outbox.end(ToReceiver::End).unwrap();
        let delivered = || poll_fn(|context| outbox.poll_delivered(context)).now_or_never();
        assert_eq!(delivered(), None);
        let panicking = std::thread::spawn(move || {
            let _carrier = carrier;
            std::panic::resume_unwind(Box::new("a defect"));
        });
        panicking.join().unwrap_err();
        assert!(matches!(delivered(), Some(Err(RouteError::PeerLost { .. }))));
    }

    #[test]
    fn what_was_delivered_stays_so() {
        let outbox = outbox();
        outbox.end(ToReceiver::End).unwrap();
        Carrier::of(Arc::clone(&outbox)).over(Ok(()));
        assert_eq!(poll_fn(|context| outbox.poll_delivered(context)).now_or_never(), Some(Ok(())));
    }
}
