//! The receiving side of one route: its state machine, what has arrived, and who waits for it.

use crate::counters::{Direction, RouteCounters, RouteStats, Transport};
use crate::route::{Admission, Arrival, Outcome, ReceiveState, SendState, ToReceiver, ToSender};
use crate::wire::ReceivedFrame;
use crate::{QuerySecret, RouteError, Ticket};
use arrow::array::RecordBatch;
use damson_cluster::RouteKey;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// What a route carries.
pub(crate) enum Item {
    /// From a sender of this process, by pointer.
    Batch(RecordBatch),
    /// From a peer, decoded where it is taken.
    Frame(ReceivedFrame),
}

/// One route's arrivals. Made by whichever end comes first; shared by the node, the feeder (a sender of this process or
/// the task that reads a peer's stream) and the reader.
pub(crate) struct Inbox {
    pub(crate) route: RouteKey,
    pub(crate) received: RouteCounters,
    /// By the sender of this process, if that is the feeder.
    pub(crate) sent: RouteCounters,
    state: Mutex<State>,
}

struct State {
    machine: ReceiveState,
    /// Arrived items and their bytes.
    queue: VecDeque<(Item, u64)>,
    feeder: Feeder,
    is_claimed: bool,
    made: Instant,
    reader: Option<Waker>,
    /// The waiting sender of this process, or the stream of messages to the peer.
    feeding: Option<Waker>,
}

enum Feeder {
    None,
    /// The sender's machine sits here: no network is between the two.
    Local(SendState),
    Remote(Ticket),
}

impl Inbox {
    pub(crate) fn new(route: RouteKey, now: Instant) -> Self {
        let state = State {
            machine: ReceiveState::new(route),
            queue: VecDeque::new(),
            feeder: Feeder::None,
            is_claimed: false,
            made: now,
            reader: None,
            feeding: None,
        };
        Inbox { route, received: RouteCounters::default(), sent: RouteCounters::default(), state: Mutex::new(state) }
    }

    /// Applies a change, passes what the machine says to the sender, and wakes whoever it concerns.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        if matches!(state.machine.outcome(), Outcome::Failed(_)) {
            state.queue.clear();
        }
        let has_news = state.pass_messages();
        let reader = if state.is_readable() { state.reader.take() } else { None };
        let feeding = if has_news { state.feeding.take() } else { None };
        if reader.is_some() {
            self.received.wait_ends();
        }
        drop(state);
        reader.into_iter().chain(feeding).for_each(Waker::wake);
        result
    }

    /// A reader claims the route. False if there was one before.
    pub(crate) fn claim(&self, credit_bytes: u64) -> bool {
        self.change(|state| {
            state.machine.set_credit(credit_bytes);
            !std::mem::replace(&mut state.is_claimed, true)
        })
    }

    /// Announces another credit, if the route has been claimed with a larger one.
    pub(crate) fn lower_credit(&self, credit_bytes: u64) {
        self.change(|state| {
            if state.is_claimed && state.machine.credit_bytes() > credit_bytes {
                state.machine.set_credit(credit_bytes);
            }
        });
    }

    /// The next item; None after end-of-stream. An error overtakes what has arrived.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Result<Item, RouteError>>> {
        self.change(|state| {
            if let Some((item, bytes)) = state.queue.pop_front() {
                state.machine.take(bytes);
                self.received.add_bytes(bytes);
                return Poll::Ready(Some(Ok(item)));
            }
            match state.machine.outcome() {
                Outcome::Ended => Poll::Ready(None),
                Outcome::Failed(error) => Poll::Ready(Some(Err(error))),
                Outcome::Open => {
                    self.received.wait_begins();
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    /// The reader has gone.
    pub(crate) fn stop(&self) {
        self.change(|state| {
            state.queue.clear();
            state.machine.stop();
        });
    }

    /// Fails the route from the receiver's side.
    pub(crate) fn fail(&self, error: RouteError) {
        self.change(|state| state.machine.fail(error));
    }

    /// Makes a sender of this process the route's only feeder.
    ///
    /// # Errors
    /// The route has one.
    pub(crate) fn attach(&self) -> Result<(), RouteError> {
        self.sent.carried_by(Transport::InProcess);
        self.received.carried_by(Transport::InProcess);
        self.set_feeder(Feeder::Local(SendState::new(self.route)))
    }

    /// Makes a peer's stream, which showed this ticket, the route's only feeder.
    ///
    /// # Errors
    /// The route has one: a ticket is good for one stream.
    pub(crate) fn attach_peer(&self, ticket: Ticket) -> Result<(), RouteError> {
        self.set_feeder(Feeder::Remote(ticket))
    }

    fn set_feeder(&self, feeder: Feeder) -> Result<(), RouteError> {
        self.change(|state| {
            if !matches!(state.feeder, Feeder::None) {
                let message = "the route has a sender already".into();
                return Err(RouteError::Protocol { route: self.route, message });
            }
            state.feeder = feeder;
            Ok(())
        })
    }

    /// False if a peer feeds the route without the right to. A peer that came before the query was opened here could not be
    /// asked then.
    pub(crate) fn has_right_feeder(&self, secret: &QuerySecret) -> bool {
        match &self.state.lock().feeder {
            Feeder::Remote(ticket) => secret.verify(&self.route, ticket),
            Feeder::None | Feeder::Local(_) => true,
        }
    }

    /// A peer's word; its data comes with the frame. False when the peer need not send any more.
    pub(crate) fn receive(&self, message: ToReceiver, frame: Option<ReceivedFrame>) -> bool {
        self.change(|state| {
            let bytes = if let ToReceiver::Data { bytes, .. } = message { bytes } else { 0 };
            if state.machine.receive(message) == Arrival::Keep {
                state.queue.extend(frame.map(|frame| (Item::Frame(frame), bytes)));
            }
            state.machine.is_open()
        })
    }

    /// What the peer must be told next; None once the route is over and everything has been told.
    pub(crate) fn poll_message(&self, context: &mut Context<'_>) -> Poll<Option<ToSender>> {
        let mut state = self.state.lock();
        if let Some(message) = state.machine.next_message() {
            return Poll::Ready(Some(message));
        }
        if !state.machine.is_open() {
            return Poll::Ready(None);
        }
        state.feeding = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether the sender of this process may send; never [`Admission::Wait`].
    pub(crate) fn poll_admit(&self, context: &mut Context<'_>, bytes: u64) -> Poll<Admission> {
        let mut state = self.state.lock();
        match state.local_sender().admit(bytes) {
            Admission::Wait => {
                state.feeding = Some(context.waker().clone());
                Poll::Pending
            }
            admission => Poll::Ready(admission),
        }
    }

    /// Whether the reader wants no more from the sender of this process, or the route has failed.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.local_sender().is_open() {
            return Poll::Ready(());
        }
        state.feeding = Some(context.waker().clone());
        Poll::Pending
    }

    /// A batch of the sender of this process, which was admitted.
    pub(crate) fn push(&self, batch: RecordBatch, bytes: u64) {
        self.change(|state| {
            state.local_sender().sent(bytes);
            if state.machine.receive(ToReceiver::Data { bytes, is_last: true }) == Arrival::Keep {
                state.queue.push_back((Item::Batch(batch), bytes));
            }
        });
    }

    /// The sender of this process ends the route, with [`ToReceiver::End`] or [`ToReceiver::Fail`].
    ///
    /// # Errors
    /// The failure that came before.
    pub(crate) fn end(&self, last_word: ToReceiver) -> Result<(), RouteError> {
        self.change(|state| {
            self.sent.sender_ends(state.local_sender(), &last_word);
            if let Some(error) = state.local_sender().error() {
                return Err(error.clone());
            }
            if state.local_sender().end() {
                state.machine.receive(last_word);
            }
            Ok(())
        })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().local_sender().is_stopped()
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.state.lock().is_claimed
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().machine.is_open()
    }

    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.state.lock().machine.buffered_bytes()
    }

    /// Of the receiving end, and of the sending one if it is here.
    pub(crate) fn route_stats(&self) -> impl Iterator<Item = RouteStats> {
        let is_local = matches!(self.state.lock().feeder, Feeder::Local(_));
        let sent = is_local.then(|| self.sent.stats(self.route, Direction::Send));
        [self.received.stats(self.route, Direction::Receive)].into_iter().chain(sent)
    }

    pub(crate) fn made(&self) -> Instant {
        self.state.lock().made
    }
}

impl State {
    fn local_sender(&mut self) -> &mut SendState {
        match &mut self.feeder {
            Feeder::Local(sender) => sender,
            Feeder::None | Feeder::Remote(_) => panic!("only an attached sender of this process asks"),
        }
    }

    fn is_readable(&self) -> bool {
        !self.queue.is_empty() || !self.machine.is_open()
    }

    /// Hands the machine's messages to a sender of this process. True if the feeder should look again.
    fn pass_messages(&mut self) -> bool {
        match &mut self.feeder {
            Feeder::Local(sender) => {
                let mut has_news = false;
                while let Some(message) = self.machine.next_message() {
                    sender.receive(message);
                    has_news = true;
                }
                has_news
            }
            // Its stream asks the machine itself.
            Feeder::Remote(_) => self.machine.has_news(),
            Feeder::None => false,
        }
    }
}
