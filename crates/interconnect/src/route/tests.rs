//! The golden scripts, and the two machines under any order of events. `UPDATE_GOLDEN=1` writes what came of the scripts'
//! commands: read the difference.

use super::story::{self, Pair};
use super::{Admission, Outcome};
use damson_cluster::{ContentId, MotionId, QueryId, RouteKey};
use proptest::prelude::*;

macro_rules! scripts {
    ($($name:ident)*) => { $(#[test] fn $name() { check(stringify!($name), include_str!(concat!("scripts/", stringify!($name), ".txt"))); })* };
}

scripts!(ordinary slow_reader oversize stop failure cancel connection_lost late_frames credit_changes hostile_sender hostile_receiver);

fn check(name: &str, golden: &str) {
    let told = story::run(golden);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = format!("{}/src/route/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, told).unwrap();
    } else if told != golden {
        panic!("{name}.txt tells another story (UPDATE_GOLDEN=1 writes this one):\n{}", difference(golden, &told));
    }
}

/// The lines that differ, each with the command before it.
fn difference(golden: &str, told: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (golden.lines().collect(), told.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let same_end = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(old, new)| old == new).count();
    let from = same.saturating_sub(3);
    let context = old[from..same].iter().map(|line| format!("   {line}"));
    let gone = old[same..old.len() - same_end].iter().map(|line| format!(" - {line}"));
    let come = new[same..new.len() - same_end].iter().map(|line| format!(" + {line}"));
    context.chain(gone).chain(come).collect::<Vec<_>>().join("\n")
}

const ROUTE: RouteKey =
    RouteKey { query: QueryId(1), motion: MotionId(2), sender: ContentId(0), receiver: ContentId(1) };

#[derive(Clone, Debug)]
enum Event {
    Send(Vec<u64>),
    Arrive,
    Answer,
    Take,
    Credit(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => proptest::collection::vec(1u64..2000, 1..4).prop_map(Event::Send),
        3 => Just(Event::Arrive),
        2 => Just(Event::Answer),
        2 => Just(Event::Take),
        1 => (0u64..2000).prop_map(Event::Credit),
    ]
}

proptest! {
    /// Whatever the order of events: nothing is lost or reordered, memory is bounded, no rule is broken, and nobody waits
    /// for ever.
    #[test]
    fn any_order_of_events(events in proptest::collection::vec(event(), 0..200)) {
        let mut pair = Pair::new(ROUTE);
        let (mut sent, mut taken) = (vec![], vec![]);
        let (mut credit_peak, mut largest) = (0, 0);
        for event in events {
            match event {
                Event::Send(messages) if pair.sender.admit(messages.iter().sum()) == Admission::Send => {
                    let words: Vec<_> = messages.iter().map(u64::to_string).collect();
                    pair.act(&format!("data {}", words.join(" ")));
                    largest = largest.max(messages.iter().sum());
                    sent.extend(messages);
                }
                Event::Arrive if !pair.to_receiver.is_empty() => drop(pair.act("arrive")),
                Event::Answer if !pair.to_sender.is_empty() => drop(pair.act("answer")),
                Event::Take => {
                    taken.extend(pair.arrived.front());
                    pair.act("take");
                }
                Event::Credit(bytes) => {
                    credit_peak = credit_peak.max(bytes);
                    pair.act(&format!("claim {bytes}"));
                }
                _ => {}
            }
            prop_assert!(pair.receiver.is_open(), "{:?}", pair.receiver);
            prop_assert!(pair.sender.is_open(), "{:?}", pair.sender);
            prop_assert!(pair.receiver.buffered_bytes() <= credit_peak.max(largest));
        }
        while !pair.to_receiver.is_empty() || !pair.arrived.is_empty() || !pair.to_sender.is_empty() {
            if !pair.to_receiver.is_empty() {
                pair.act("arrive");
            }
            if let Some(&bytes) = pair.arrived.front() {
                taken.push(bytes);
                pair.act("take");
            }
            if !pair.to_sender.is_empty() {
                pair.act("answer");
            }
        }
        prop_assert_eq!(sent, taken);
        prop_assert_eq!(pair.sender.admit(1 << 20), Admission::Send, "everything is acknowledged");
        pair.act("end");
        pair.act("arrive");
        prop_assert_eq!(pair.receiver.outcome(), Outcome::Ended);
    }
}
