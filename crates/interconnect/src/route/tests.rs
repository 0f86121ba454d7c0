//! Golden scripts: each line is an event and what came of it. The two machines are joined by two queues, so that scripts
//! decide what arrives when. `UPDATE_SCRIPTS=1` writes what came of the events: read the difference.

use super::{Admission, Arrival, Outcome, ReceiveState, SendState, ToReceiver, ToSender};
use crate::RouteError;
use damson_cluster::{ContentId, MotionId, QueryId, RouteKey};
use proptest::prelude::*;
use std::collections::VecDeque;

#[test]
fn scripts() {
    for (name, script) in [
        ("credit", include_str!("scripts/credit.txt")),
        ("end", include_str!("scripts/end.txt")),
        ("stop", include_str!("scripts/stop.txt")),
        ("fail", include_str!("scripts/fail.txt")),
        ("rules", include_str!("scripts/rules.txt")),
    ] {
        let mut pair = Pair::new();
        let mut actual = String::new();
        for line in script.lines() {
            let event = line.split("=>").next().unwrap_or_default().trim();
            match event {
                "" => actual.push_str(line),
                _ if event.starts_with('#') => {
                    pair = Pair::new();
                    actual.push_str(line);
                }
                _ => actual.push_str(&format!("{event} => {}", pair.step(event))),
            }
            actual.push('\n');
        }
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            let path = format!("{}/src/route/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, &actual).unwrap();
        } else {
            assert_eq!(actual, script, "{name}.txt");
        }
    }
}

/// A route's two ends and what is on the way between them.
struct Pair {
    sender: SendState,
    receiver: ReceiveState,
    to_receiver: VecDeque<ToReceiver>,
    to_sender: VecDeque<ToSender>,
    arrived: VecDeque<u64>,
}

const ROUTE: RouteKey =
    RouteKey { query: QueryId(1), motion: MotionId(2), sender: ContentId(0), receiver: ContentId(1) };

impl Pair {
    fn new() -> Self {
        Pair {
            sender: SendState::new(),
            receiver: ReceiveState::new(ROUTE),
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
            arrived: VecDeque::new(),
        }
    }

    fn step(&mut self, event: &str) -> String {
        let (verb, rest) = event.split_once(' ').unwrap_or((event, ""));
        let number = || rest.parse::<u64>().expect("a number of bytes");
        let cause = || RouteError::Remote { code: "22012".into(), message: rest.into() };
        match verb {
            // What the sender does.
            "send" => match self.sender.admit(number()) {
                Admission::Send => {
                    self.sender.sent(number());
                    self.to_receiver.push_back(ToReceiver::Data { bytes: number(), is_last: true });
                    "sent".into()
                }
                Admission::Wait => "waits".into(),
                Admission::Stopped => "stopped".into(),
                Admission::Failed(error) => format!("failed: {error}"),
            },
            "end" => self.sender_ends(ToReceiver::End),
            "raise" => self.sender_ends(ToReceiver::Fail(cause())),
            "lose" => {
                self.sender.fail(RouteError::PeerLost { route: ROUTE, reason: rest.into() });
                "lost".into()
            }
            // What arrives, one by one.
            "arrive" => {
                let message = self.to_receiver.pop_front().expect("something is on its way");
                self.arrive(message)
            }
            "answer" => {
                let message = self.to_sender.pop_front().expect("an answer is on its way");
                let text = format!("{message:?}");
                self.sender.receive(message);
                text
            }
            // What a peer without manners sends.
            "inject" => self.arrive(ToReceiver::Data { bytes: number(), is_last: true }),
            "inject-part" => self.arrive(ToReceiver::Data { bytes: number(), is_last: false }),
            "inject-end" => self.arrive(ToReceiver::End),
            // What the reader does.
            "claim" => self.receiver_does(|receiver| receiver.set_credit(number())),
            "take" => match self.arrived.pop_front() {
                Some(bytes) => {
                    let said = self.receiver_does(|receiver| receiver.take(bytes));
                    format!("{bytes}, {said}")
                }
                None => match self.receiver.outcome() {
                    Outcome::Open => "waits".into(),
                    Outcome::Ended => "end".into(),
                    Outcome::Failed(error) => format!("error: {error}"),
                },
            },
            "stop" => {
                self.arrived.clear();
                self.receiver_does(ReceiveState::stop)
            }
            "cancel" => self.receiver_does(|receiver| receiver.fail(RouteError::Cancelled { query: ROUTE.query })),
            _ => panic!("no event is called {verb}"),
        }
    }

    fn sender_ends(&mut self, last_word: ToReceiver) -> String {
        if self.sender.end() {
            self.to_receiver.push_back(last_word);
            "ended".into()
        } else {
            "was over".into()
        }
    }

    fn arrive(&mut self, message: ToReceiver) -> String {
        let text = match &message {
            ToReceiver::Data { bytes, .. } => format!("data {bytes}"),
            ToReceiver::End => "end".into(),
            ToReceiver::Fail(error) => format!("error {error}"),
        };
        let bytes = if let ToReceiver::Data { bytes, .. } = message { Some(bytes) } else { None };
        let mut arrival = Arrival::Drop;
        let said = self.receiver_does(|receiver| arrival = receiver.receive(message));
        if arrival == Arrival::Keep {
            self.arrived.extend(bytes);
        }
        let kept = if arrival == Arrival::Keep { "kept" } else { "dropped" };
        format!("{text} {kept}, {said}")
    }

    fn receiver_does(&mut self, action: impl FnOnce(&mut ReceiveState)) -> String {
        action(&mut self.receiver);
        let mut said = vec![];
        while let Some(message) = self.receiver.next_message() {
            said.push(format!("says {message:?}"));
            self.to_sender.push_back(message);
        }
        if matches!(self.receiver.outcome(), Outcome::Failed(_)) {
            self.arrived.clear();
        }
        said.push(format!("buffers {}", self.receiver.buffered_bytes()));
        said.join(", ")
    }
}

#[derive(Clone, Debug)]
enum Event {
    Send(u64),
    Arrive,
    Answer,
    Take,
    Credit(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1u64..3000).prop_map(Event::Send),
        3 => Just(Event::Arrive),
        2 => Just(Event::Answer),
        2 => Just(Event::Take),
        1 => (0u64..2000).prop_map(Event::Credit),
    ]
}

proptest! {
    /// Whatever the order of events: nothing is lost or reordered, memory is bounded, and nobody waits for ever.
    #[test]
    fn any_order_of_events(events in proptest::collection::vec(event(), 0..200)) {
        let mut pair = Pair::new();
        let (mut sent, mut taken) = (vec![], vec![]);
        let (mut credit_peak, mut largest) = (0, 0);
        for event in events {
            match event {
                Event::Send(bytes) if pair.sender.admit(bytes) == Admission::Send => {
                    pair.step(&format!("send {bytes}"));
                    sent.push(bytes);
                    largest = largest.max(bytes);
                }
                Event::Arrive if !pair.to_receiver.is_empty() => drop(pair.step("arrive")),
                Event::Answer if !pair.to_sender.is_empty() => drop(pair.step("answer")),
                Event::Take => {
                    taken.extend(pair.arrived.front());
                    pair.step("take");
                }
                Event::Credit(bytes) => {
                    credit_peak = credit_peak.max(bytes);
                    pair.step(&format!("claim {bytes}"));
                }
                _ => {}
            }
            prop_assert!(pair.receiver.is_open(), "{:?}", pair.receiver);
            prop_assert!(pair.receiver.buffered_bytes() <= credit_peak.max(largest));
        }
        while !pair.to_receiver.is_empty() || !pair.arrived.is_empty() || !pair.to_sender.is_empty() {
            if !pair.to_receiver.is_empty() {
                pair.step("arrive");
            }
            if let Some(&bytes) = pair.arrived.front() {
                taken.push(bytes);
                pair.step("take");
            }
            if !pair.to_sender.is_empty() {
                pair.step("answer");
            }
        }
        prop_assert_eq!(sent, taken);
        prop_assert_eq!(pair.sender.admit(u64::MAX), Admission::Send);
    }
}
