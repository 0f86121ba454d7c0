//! The language of the golden scripts: what the two ends of routes do and say, as lines that read as a story. The
//! simulation's traces are in it too.
//!
//! A command is a route and what happens to it, `q1 m2 seg0->seg1 data 300`; indented lines below it are what came of it:
//!
//! | command | meaning |
//! |---|---|
//! | `data 300`, `data 100 200` | the sender has a batch, of one message or of several |
//! | `end`, `raise TEXT` | the sender's last word |
//! | `arrive`, `answer` | the next message reaches the receiver, the sender |
//! | `lose TEXT` | the connection is lost, with what was on its way |
//! | `claim 1000` | a reader claims the route, or its credit changes |
//! | `take`, `stop` | the reader takes the next message, or goes |
//! | `cancel` | the receiver's query is cancelled |
//! | `again` | the last message reaches the receiver a second time |
//! | `forge data 300`, `forge part 300`, `forge end`, `forge credit 9`, `forge taken 9` | a peer without manners says this |

use super::{Admission, Arrival, Outcome, ReceiveState, SendState, ToReceiver, ToSender};
use crate::RouteError;
use damson_cluster::{ContentId, MotionId, QueryId, RouteKey};
use std::collections::{HashMap, VecDeque};

/// Runs a script; its commands with what came of them. A line that begins with `#` starts another story.
pub(crate) fn run(script: &str) -> String {
    let mut routes = HashMap::new();
    let mut told = String::new();
    let lines = script.lines().filter(|line| !line.starts_with(' '));
    for line in lines {
        told.push_str(line);
        told.push('\n');
        if line.starts_with('#') {
            routes.clear();
        } else if !line.is_empty() {
            let (route, command) = parse(line).unwrap_or_else(|| panic!("no command: {line}"));
            for outcome in routes.entry(route).or_insert_with(|| Pair::new(route)).act(command) {
                told.push_str(&format!("  {outcome}\n"));
            }
        }
    }
    told
}

/// `q1 m2 seg0->seg1 data 300`: the route, and what follows it.
fn parse(line: &str) -> Option<(RouteKey, &str)> {
    let mut words = line.splitn(4, ' ');
    let query = QueryId(words.next()?.strip_prefix('q')?.parse().ok()?);
    let motion = MotionId(words.next()?.strip_prefix('m')?.parse().ok()?);
    let (sender, receiver) = words.next()?.split_once("->")?;
    let content = |name: &str| match name.strip_prefix("seg") {
        Some(number) => number.parse().ok().map(ContentId),
        None => (name == "master").then_some(ContentId::MASTER),
    };
    let route = RouteKey { query, motion, sender: content(sender)?, receiver: content(receiver)? };
    Some((route, words.next()?))
}

pub(crate) fn of_sender(message: &ToReceiver) -> String {
    match message {
        ToReceiver::Data { bytes, is_last: true } => format!("data {bytes}"),
        ToReceiver::Data { bytes, is_last: false } => format!("part {bytes}"),
        ToReceiver::End => "end".into(),
        ToReceiver::Fail(error) => format!("fail ({error})"),
    }
}

pub(crate) fn of_receiver(message: &ToSender) -> String {
    match message {
        ToSender::Credit(bytes) => format!("credit {bytes}"),
        ToSender::Taken(bytes) => format!("taken {bytes}"),
        ToSender::Stop => "stop".into(),
        ToSender::Fail(error) => format!("fail ({error})"),
    }
}

/// A route's two ends and what is on the way between them.
pub(super) struct Pair {
    route: RouteKey,
    pub(super) sender: SendState,
    pub(super) receiver: ReceiveState,
    pub(super) to_receiver: VecDeque<ToReceiver>,
    pub(super) to_sender: VecDeque<ToSender>,
    /// Kept by the receiver, for the reader.
    pub(super) arrived: VecDeque<u64>,
    last_arrived: Option<ToReceiver>,
}

impl Pair {
    pub(super) fn new(route: RouteKey) -> Self {
        Pair {
            route,
            sender: SendState::new(route),
            receiver: ReceiveState::new(route),
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
            arrived: VecDeque::new(),
            last_arrived: None,
        }
    }

    /// What comes of a command, line by line.
    pub(super) fn act(&mut self, command: &str) -> Vec<String> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let number = || rest.parse::<u64>().expect("a number of bytes");
        let (from, to) = (self.route.sender, self.route.receiver);
        match verb {
            "data" => self.send(rest.split(' ').map(|bytes| bytes.parse().expect("a number of bytes")).collect()),
            "end" => self.last_word(ToReceiver::End),
            "raise" => {
                self.last_word(ToReceiver::Fail(RouteError::Remote { code: "22012".into(), message: rest.into() }))
            }
            "arrive" => {
                let message = self.to_receiver.pop_front().expect("something is on its way");
                self.arrive(message)
            }
            "again" => self.arrive(self.last_arrived.clone().expect("something has arrived")),
            "answer" => {
                let message = self.to_sender.pop_front().expect("an answer is on its way");
                self.hear(message)
            }
            "lose" => {
                let error = RouteError::PeerLost { route: self.route, reason: rest.into() };
                self.to_receiver.clear();
                self.to_sender.clear();
                self.sender.fail(error.clone());
                self.receiver_does(|receiver| _ = receiver.receive(ToReceiver::Fail(error)));
                // Nothing reaches the sender any more.
                self.to_sender.clear();
                vec![format!("{from} {}", self.sender_state()), format!("{to} {}", self.reader_state())]
            }
            "claim" => self.receiver_does(|receiver| receiver.set_credit(number())),
            "take" => match self.arrived.pop_front() {
                Some(bytes) => {
                    let said = self.receiver_does(|receiver| receiver.take(bytes));
                    let left = self.receiver.buffered_bytes();
                    [vec![format!("{to} takes {bytes}, {left} are left")], said].concat()
                }
                None => vec![format!("{to} {}", self.reader_state())],
            },
            "stop" => {
                self.arrived.clear();
                let said = self.receiver_does(ReceiveState::stop);
                [vec![format!("{to} reads no more")], said].concat()
            }
            "cancel" => {
                let query = self.route.query;
                let said = self.receiver_does(|receiver| receiver.fail(RouteError::Cancelled { query }));
                [vec![format!("{to} {}", self.reader_state())], said].concat()
            }
            "forge" => self.forge(rest),
            _ => panic!("no command is called {verb}"),
        }
    }

    fn forge(&mut self, message: &str) -> Vec<String> {
        let (verb, bytes) = message.split_once(' ').unwrap_or((message, "0"));
        let bytes = bytes.parse().expect("a number of bytes");
        match verb {
            "data" => self.arrive(ToReceiver::Data { bytes, is_last: true }),
            "part" => self.arrive(ToReceiver::Data { bytes, is_last: false }),
            "end" => self.arrive(ToReceiver::End),
            "credit" => self.hear(ToSender::Credit(bytes)),
            "taken" => self.hear(ToSender::Taken(bytes)),
            _ => panic!("no message is called {verb}"),
        }
    }

    fn send(&mut self, messages: Vec<u64>) -> Vec<String> {
        let from = self.route.sender;
        let bytes = messages.iter().sum();
        match self.sender.admit(bytes) {
            Admission::Send => {
                self.sender.sent(bytes);
                let last = messages.len() - 1;
                let messages = messages.into_iter().enumerate();
                self.to_receiver.extend(messages.map(|(i, bytes)| ToReceiver::Data { bytes, is_last: i == last }));
                vec![format!("{from} sends {bytes}")]
            }
            Admission::Wait => vec![format!("{from} waits")],
            Admission::Stopped | Admission::Failed(_) => match self.sender.admit(bytes) {
                Admission::Failed(error) => vec![format!("{from} fails: {error}")],
                _ => vec![format!("{from} {}", self.sender_state())],
            },
        }
    }

    fn last_word(&mut self, word: ToReceiver) -> Vec<String> {
        let from = self.route.sender;
        if !self.sender.end() {
            return vec![format!("{from} {}", self.sender_state())];
        }
        let text = of_sender(&word);
        self.to_receiver.push_back(word);
        vec![format!("{from} sends {text}")]
    }

    fn arrive(&mut self, message: ToReceiver) -> Vec<String> {
        self.last_arrived = Some(message.clone());
        let text = of_sender(&message);
        let bytes = if let ToReceiver::Data { bytes, .. } = message { Some(bytes) } else { None };
        let mut arrival = Arrival::Drop;
        let said = self.receiver_does(|receiver| arrival = receiver.receive(message));
        if arrival == Arrival::Keep && self.is_readable() {
            self.arrived.extend(bytes);
        }
        let done = if arrival == Arrival::Keep { "keeps" } else { "drops" };
        let (to, buffered) = (self.route.receiver, self.receiver.buffered_bytes());
        [vec![format!("{to} {done} {text}, {buffered} are buffered")], said].concat()
    }

    fn hear(&mut self, message: ToSender) -> Vec<String> {
        let text = of_receiver(&message);
        self.sender.receive(message);
        let from = self.route.sender;
        let heard = format!("{from} hears {text}");
        match self.sender.error() {
            Some(RouteError::Protocol { .. }) => vec![heard, format!("{from} {}", self.sender_state())],
            _ => vec![heard],
        }
    }

    fn receiver_does(&mut self, action: impl FnOnce(&mut ReceiveState)) -> Vec<String> {
        action(&mut self.receiver);
        let RouteKey { sender, receiver, .. } = self.route;
        let mut said = vec![];
        while let Some(message) = self.receiver.next_message() {
            said.push(format!("{receiver} tells {sender}: {}", of_receiver(&message)));
            self.to_sender.push_back(message);
        }
        if !self.is_readable() {
            self.arrived.clear();
        }
        said
    }

    fn is_readable(&self) -> bool {
        !matches!(self.receiver.outcome(), Outcome::Failed(_))
    }

    fn reader_state(&self) -> String {
        match self.receiver.outcome() {
            Outcome::Open => "waits".into(),
            Outcome::Ended if self.arrived.is_empty() => "is at the end".into(),
            Outcome::Ended => "has everything".into(),
            Outcome::Failed(error) => format!("has failed: {error}"),
        }
    }

    fn sender_state(&self) -> String {
        match self.sender.error() {
            Some(error) => format!("has failed: {error}"),
            None if self.sender.is_stopped() => "is stopped".into(),
            None if self.sender.is_open() => "goes on".into(),
            None => "has ended".into(),
        }
    }
}
