//! The simulated network: the real machines of every route, connections that keep their order and nothing else, and a
//! record of what happened.

use super::operator::{Batch, Routes, Step};
use crate::RouteError;
use crate::route::story::{of_receiver, of_sender};
use crate::route::{Admission, Arrival, Outcome, ReceiveState, SendState, ToReceiver, ToSender};
use damson_cluster::{ContentId, QueryId, RouteKey};
use std::collections::{BTreeMap, VecDeque};

/// Events that are told of a failure.
const TRACE_EVENTS_MAX: usize = 80;

/// Bytes that a row counts.
const ROW_BYTES: u64 = 100;

#[derive(Default)]
pub(super) struct Network {
    pub(super) links: Vec<Link>,
    credit_bytes: u64,
    /// By sending and receiving content: words in order, of whichever link.
    connections: BTreeMap<(ContentId, ContentId), VecDeque<(usize, Word)>>,
    trace: VecDeque<(RouteKey, Event)>,
}

/// A route's two ends.
pub(super) struct Link {
    pub(super) route: RouteKey,
    pub(super) sender: SendState,
    receiver: ReceiveState,
    /// For the reader.
    kept: VecDeque<Batch>,
    sent: Vec<Batch>,
    taken: Vec<Batch>,
    /// The largest batch sent.
    batch_bytes_max: u64,
    /// The reader went before it had everything.
    is_left: bool,
}

enum Word {
    Rows(Batch),
    Last(ToReceiver),
    Answer(ToSender),
}

enum Event {
    Data(u64),
    Waits(u64),
    LastWord(String),
    Arrives(String, bool),
    Hears(String),
    Claims(u64),
    Takes(u64),
    Stops,
    Cancelled,
    Lost,
}

/// What a delivery may have changed for.
pub(super) enum Reached {
    Sender(usize),
    Receiver(usize),
}

pub(super) fn bytes_of(batch: &Batch) -> u64 {
    batch.len() as u64 * ROW_BYTES
}

impl Network {
    /// `credit_bytes`: of every route.
    pub(super) fn new(routes: Vec<RouteKey>, credit_bytes: u64) -> Self {
        let link = |route| Link {
            route,
            sender: SendState::new(route),
            receiver: ReceiveState::new(route),
            kept: VecDeque::new(),
            sent: vec![],
            taken: vec![],
            batch_bytes_max: 0,
            is_left: false,
        };
        Network { links: routes.into_iter().map(link).collect(), credit_bytes, ..Network::default() }
    }

    /// Connections with something on its way.
    pub(super) fn busy(&self) -> Vec<(ContentId, ContentId)> {
        self.connections.iter().filter(|(_, words)| !words.is_empty()).map(|(&connection, _)| connection).collect()
    }

    /// The next word of a connection arrives.
    pub(super) fn deliver(&mut self, connection: (ContentId, ContentId)) -> Reached {
        let (number, word) = self.connections.get_mut(&connection).and_then(VecDeque::pop_front).expect("a busy one");
        let link = &mut self.links[number];
        let (message, batch) = match word {
            Word::Answer(answer) => {
                let event = Event::Hears(of_receiver(&answer));
                link.sender.receive(answer);
                self.note(number, event);
                return Reached::Sender(number);
            }
            Word::Rows(batch) => (ToReceiver::Data { bytes: bytes_of(&batch), is_last: true }, Some(batch)),
            Word::Last(word) => (word, None),
        };
        let text = of_sender(&message);
        let arrival = link.receiver.receive(message);
        if arrival == Arrival::Keep {
            link.kept.extend(batch);
        }
        let (buffered, bound) = (link.receiver.buffered_bytes(), self.credit_bytes.max(link.batch_bytes_max));
        assert!(buffered <= bound, "{} buffers {buffered} bytes, more than {bound}", link.route);
        self.note(number, Event::Arrives(text, arrival == Arrival::Keep));
        self.flush(number);
        Reached::Receiver(number)
    }

    pub(super) fn claim(&mut self, number: usize) {
        self.links[number].receiver.set_credit(self.credit_bytes);
        self.note(number, Event::Claims(self.credit_bytes));
        self.flush(number);
    }

    /// Asks for a batch, and sends it if it may go.
    pub(super) fn send(&mut self, number: usize, batch: &Batch) -> Admission {
        let (bytes, link) = (bytes_of(batch), &mut self.links[number]);
        let admission = link.sender.admit(bytes);
        match admission {
            Admission::Send => {
                link.sender.sent(bytes);
                link.sent.push(batch.clone());
                link.batch_bytes_max = link.batch_bytes_max.max(bytes);
                self.note(number, Event::Data(bytes));
                self.put(number, Word::Rows(batch.clone()));
            }
            Admission::Wait => self.note(number, Event::Waits(bytes)),
            Admission::Stopped | Admission::Failed(_) => {}
        }
        admission
    }

    /// The sender's last word, if the route is still open.
    pub(super) fn end(&mut self, number: usize, word: ToReceiver) {
        if self.links[number].sender.end() {
            self.note(number, Event::LastWord(of_sender(&word)));
            self.put(number, Word::Last(word));
        }
    }

    /// Both nodes of a link end its query.
    pub(super) fn cancel(&mut self, number: usize) {
        let error = RouteError::Cancelled { query: QueryId(1) };
        let link = &mut self.links[number];
        link.receiver.fail(error.clone());
        let was_open = link.sender.is_open();
        link.sender.fail(error.clone());
        self.note(number, Event::Cancelled);
        self.flush(number);
        if was_open {
            self.put(number, Word::Last(ToReceiver::Fail(error)));
        }
    }

    /// The connection between two contents breaks, in both directions. Links that are touched.
    pub(super) fn lose(&mut self, one: ContentId, other: ContentId) -> Vec<usize> {
        self.connections.remove(&(one, other));
        self.connections.remove(&(other, one));
        let is_between = |route: &RouteKey| [(one, other), (other, one)].contains(&(route.sender, route.receiver));
        let touched: Vec<_> = (0..self.links.len()).filter(|&number| is_between(&self.links[number].route)).collect();
        for &number in &touched {
            let link = &mut self.links[number];
            let error = RouteError::PeerLost { route: link.route, reason: "connection reset".into() };
            link.sender.fail(error.clone());
            link.receiver.receive(ToReceiver::Fail(error));
            self.note(number, Event::Lost);
            self.flush(number);
        }
        self.connections.remove(&(one, other));
        self.connections.remove(&(other, one));
        touched
    }

    /// The receiver's words, onto the connection.
    fn flush(&mut self, number: usize) {
        if matches!(self.links[number].receiver.outcome(), Outcome::Failed(_)) {
            self.links[number].kept.clear();
        }
        while let Some(answer) = self.links[number].receiver.next_message() {
            self.put(number, Word::Answer(answer));
        }
    }

    fn put(&mut self, number: usize, word: Word) {
        let RouteKey { sender, receiver, .. } = self.links[number].route;
        let connection = if let Word::Answer(_) = word { (receiver, sender) } else { (sender, receiver) };
        self.connections.entry(connection).or_default().push_back((number, word));
    }

    fn note(&mut self, number: usize, event: Event) {
        if self.trace.len() == TRACE_EVENTS_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back((self.links[number].route, event));
    }

    /// What must hold when everything is over. `is_whole`: nothing has failed.
    pub(super) fn check_end(&self, is_whole: bool) -> Result<(), String> {
        for link in &self.links {
            let route = link.route;
            if link.receiver.buffered_bytes() > 0 || !link.kept.is_empty() {
                return Err(format!("{route} still buffers {} bytes", link.receiver.buffered_bytes()));
            }
            let outcome = link.receiver.outcome();
            match &outcome {
                Outcome::Open => return Err(format!("{route} is still open at the receiver")),
                Outcome::Failed(error @ RouteError::Protocol { .. }) => return Err(error.to_string()),
                Outcome::Failed(error) if is_whole => return Err(format!("{route} has failed: {error}")),
                Outcome::Failed(_) | Outcome::Ended => {}
            }
            if let Some(error @ RouteError::Protocol { .. }) = link.sender.error() {
                return Err(error.to_string());
            }
            if link.sender.is_open() {
                return Err(format!("{route} is still open at the sender"));
            }
            if !link.sent.starts_with(&link.taken) {
                return Err(format!("{route} gave its reader something else than it got"));
            }
            // A reader that saw the end, and did not leave before, has all.
            let is_read_to_the_end = !link.is_left;
            if is_whole && is_read_to_the_end && link.sent.len() != link.taken.len() {
                return Err(format!("{route} ended after {} of {} batches", link.taken.len(), link.sent.len()));
            }
        }
        Ok(())
    }

    pub(super) fn trace(&self) -> String {
        self.trace.iter().map(|(route, event)| format!("{}\n", event.told(*route))).collect()
    }
}

impl Event {
    fn told(&self, route: RouteKey) -> String {
        let RouteKey { sender, receiver, .. } = route;
        match self {
            Event::Data(bytes) => format!("{route} data {bytes}"),
            Event::Waits(bytes) => format!("{route} data {bytes}\n  {sender} waits"),
            Event::LastWord(word) => format!("{route} {word}"),
            Event::Arrives(message, true) => format!("{route} arrive\n  {receiver} keeps {message}"),
            Event::Arrives(message, false) => format!("{route} arrive\n  {receiver} drops {message}"),
            Event::Hears(answer) => format!("{route} answer\n  {sender} hears {answer}"),
            Event::Claims(bytes) => format!("{route} claim {bytes}"),
            Event::Takes(bytes) => format!("{route} take\n  {receiver} takes {bytes}"),
            Event::Stops => format!("{route} stop"),
            Event::Cancelled => format!("{route} cancel"),
            Event::Lost => format!("{route} lose connection reset"),
        }
    }
}

impl Routes for Network {
    fn take(&mut self, number: usize) -> Step {
        let link = &mut self.links[number];
        if let Some(batch) = link.kept.pop_front() {
            let bytes = bytes_of(&batch);
            link.receiver.take(bytes);
            link.taken.push(batch.clone());
            self.note(number, Event::Takes(bytes));
            self.flush(number);
            return Step::Rows(batch);
        }
        match link.receiver.outcome() {
            Outcome::Open => Step::Wait,
            Outcome::Ended => Step::End,
            Outcome::Failed(_) => Step::Failed,
        }
    }

    fn stop(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.is_left |= link.receiver.is_open() || !link.kept.is_empty();
        link.kept.clear();
        link.receiver.stop();
        self.note(number, Event::Stops);
        self.flush(number);
    }
}
