//! Who has a place and who waits for one, without a clock and without waiting: a state machine.

use damson_cluster::SessionId;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// A statement that has asked for a place; later ones have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(pub u64);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Admitted,
    /// Some later call gives its ticket.
    Waits,
}

/// The places of a master. Whoever waits is admitted in turn, and nobody waits while a place is free.
#[derive(Debug)]
pub(super) struct Queue {
    places: NonZeroUsize,
    admitted: BTreeMap<Ticket, Place>,
    waiting: BTreeMap<Ticket, Serial>,
    /// Those of them that have one, by session.
    waiting_of: BTreeSet<(SessionId, Ticket)>,
}

/// The session, if its client sends one statement after the other: it may not take a cursor's rows before the next statement is done.
type Serial = Option<SessionId>;

#[derive(Clone, Copy, Debug)]
struct Place {
    session: Serial,
    /// Since when its statement waits for its client.
    unused_since: Option<Instant>,
}

impl Queue {
    pub(super) fn new(places: NonZeroUsize) -> Self {
        Queue { places, admitted: BTreeMap::new(), waiting: BTreeMap::new(), waiting_of: BTreeSet::new() }
    }

    /// Asks for a place, until [`Queue::leave`]. A place of the session's own whose statement waits for the client is handed on.
    pub(super) fn ask(&mut self, ticket: Ticket, session: Serial) -> Asked {
        if self.admitted.len() < self.places.get() || self.give_up_unused_of(session) {
            self.admitted.insert(ticket, Place { session, unused_since: None });
            return Asked::Admitted;
        }
        self.waiting.insert(ticket, session);
        self.waiting_of.extend(session.map(|session| (session, ticket)));
        Asked::Waits
    }

    /// Its statement has ended, or does not wait any more. Gives who need not wait now.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Ticket> {
        if let Some(session) = self.waiting.remove(&ticket) {
            self.forget(session, ticket);
            return None;
        }
        self.admitted.remove(&ticket)?;
        let (&next, _) = self.waiting.first_key_value()?;
        Some(self.admit(next))
    }

    /// Its statement waits for its client from now on. Gives who need not wait now: another of the session's.
    pub(super) fn is_unused(&mut self, ticket: Ticket, now: Instant) -> Option<Ticket> {
        // It may have been given to another.
        let place = self.admitted.get_mut(&ticket)?;
        place.unused_since = Some(now);
        let session = place.session?;
        let &(_, next) = self.waiting_of.range((session, Ticket(0))..=(session, Ticket(u64::MAX))).next()?;
        self.admitted.remove(&ticket);
        Some(self.admit(next))
    }

    /// Its statement goes on; without a place, if that was given to another.
    pub(super) fn is_used(&mut self, ticket: Ticket) {
        if let Some(place) = self.admitted.get_mut(&ticket) {
            place.unused_since = None;
        }
    }

    /// Gives places that are unused for so long to who waits, those first that are unused for longest. Gives who need not wait now.
    pub(super) fn tick(&mut self, now: Instant, unused_max: Duration) -> Vec<Ticket> {
        if self.waiting.is_empty() {
            return vec![];
        }
        let since = |(ticket, place): (&Ticket, &Place)| Some((place.unused_since?, *ticket));
        let mut unused: Vec<(Instant, Ticket)> = self.admitted.iter().filter_map(since).collect();
        unused.retain(|(since, _)| now.saturating_duration_since(*since) >= unused_max);
        unused.sort_unstable();
        let wanted = self.waiting.len();
        unused.into_iter().take(wanted).filter_map(|(_, ticket)| self.leave(ticket)).collect()
    }

    fn give_up_unused_of(&mut self, session: Serial) -> bool {
        let is_unused = |place: &Place| session.is_some() && place.session == session && place.unused_since.is_some();
        let unused = self.admitted.iter().find(|(_, place)| is_unused(place)).map(|(ticket, _)| *ticket);
        unused.is_some_and(|ticket| self.admitted.remove(&ticket).is_some())
    }

    fn admit(&mut self, ticket: Ticket) -> Ticket {
        let session = self.waiting.remove(&ticket).expect("it waits");
        self.forget(session, ticket);
        self.admitted.insert(ticket, Place { session, unused_since: None });
        ticket
    }

    fn forget(&mut self, session: Serial, ticket: Ticket) {
        if let Some(session) = session {
            self.waiting_of.remove(&(session, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;

    const UNUSED_MAX: Duration = Duration::from_secs(10);

    fn queue(places: usize) -> Queue {
        Queue::new(NonZeroUsize::new(places).unwrap())
    }

    /// Of some session that may have others.
    fn ask(queue: &mut Queue, number: u64) -> Asked {
        queue.ask(Ticket(number), None)
    }

    #[test]
    fn who_comes_first_is_admitted_first() {
        let mut queue = queue(2);
        let asked = [1, 2, 3, 4, 5].map(|number| ask(&mut queue, number));
        assert_eq!(asked, [Asked::Admitted, Asked::Admitted, Asked::Waits, Asked::Waits, Asked::Waits]);
        // One that does not wait any more frees no place.
        assert_eq!(queue.leave(Ticket(3)), None);
        assert_eq!(queue.leave(Ticket(2)), Some(Ticket(4)));
        assert_eq!(queue.leave(Ticket(2)), None, "it has no place to give back");
        assert_eq!(queue.leave(Ticket(1)), Some(Ticket(5)));
        assert_eq!([queue.leave(Ticket(4)), queue.leave(Ticket(5))], [None; 2]);
        assert_eq!(ask(&mut queue, 6), Asked::Admitted);
    }

    #[test]
    fn a_session_does_not_wait_for_its_own_client() {
        let (mut queue, now, session) = (queue(1), Instant::now(), Some(SessionId(7)));
        assert_eq!(queue.ask(Ticket(1), session), Asked::Admitted);
        // While the first works, the second waits, as anybody's would; then it has the place, before those who came earlier.
        assert_eq!(ask(&mut queue, 2), Asked::Waits);
        assert_eq!(queue.ask(Ticket(3), session), Asked::Waits);
        assert_eq!(queue.is_unused(Ticket(1), now), Some(Ticket(3)));
        assert_eq!(queue.is_unused(Ticket(3), now), None);
        assert_eq!(queue.ask(Ticket(4), session), Asked::Admitted);
        // The first ones go on, and end, without one.
        queue.is_used(Ticket(1));
        assert_eq!([queue.leave(Ticket(1)), queue.leave(Ticket(3))], [None; 2]);
        assert_eq!(queue.leave(Ticket(4)), Some(Ticket(2)));
    }

    #[test]
    fn places_that_are_unused_for_long_are_given_to_who_waits() {
        let (mut queue, start) = (queue(3), Instant::now());
        let second = |count| start + Duration::from_secs(count);
        (1..=3).for_each(|number| assert_eq!(ask(&mut queue, number), Asked::Admitted));
        assert_eq!(queue.is_unused(Ticket(1), second(2)), None);
        assert_eq!(queue.is_unused(Ticket(2), second(1)), None);
        assert_eq!(queue.is_unused(Ticket(3), second(0)), None);
        queue.is_used(Ticket(3));
        assert_eq!(queue.tick(second(100), UNUSED_MAX), [], "nobody waits for one");
        assert_eq!([4, 5, 6].map(|number| ask(&mut queue, number)), [Asked::Waits; 3]);
        assert_eq!(queue.tick(second(10), UNUSED_MAX), []);
        assert_eq!(queue.tick(second(11), UNUSED_MAX), [Ticket(4)]);
        assert_eq!(queue.tick(second(12), UNUSED_MAX), [Ticket(5)]);
        assert_eq!(queue.tick(second(100), UNUSED_MAX), [], "the third works, and so do those that were admitted");
        assert_eq!(queue.leave(Ticket(3)), Some(Ticket(6)));
    }

    /// Statements as they come, in any order of what happens to them.
    #[test]
    fn whatever_happens_places_are_neither_lost_nor_given_twice() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let places = random.random_range(1..6);
            let (mut queue, mut now) = (queue(places), Instant::now());
            let (mut next, mut waits) = (0, vec![]);
            // Of the statements that were admitted and have not ended, whether they have their places still, as far as it is known.
            let mut works: HashMap<Ticket, Serial> = HashMap::new();
            for _ in 0..500 {
                now += Duration::from_millis(random.random_range(0..4_000));
                let some = |random: &mut StdRng, works: &HashMap<Ticket, Serial>| {
                    let mut all: Vec<Ticket> = works.keys().copied().collect();
                    all.sort_unstable();
                    all.choose(random).copied()
                };
                let before: Vec<(Ticket, Serial)> = queue.waiting.iter().map(|(t, s)| (*t, *s)).collect();
                let mut in_turn = true;
                let granted = match random.random_range(0..10) {
                    0..4 => {
                        next += 1;
                        let (ticket, session) = (Ticket(next), random.random_range(0..8));
                        let session = (session < 6).then_some(SessionId(session));
                        match queue.ask(ticket, session) {
                            Asked::Admitted => assert!(works.insert(ticket, session).is_none()),
                            Asked::Waits => waits.push(ticket),
                        }
                        vec![]
                    }
                    4..6 => match some(&mut random, &works) {
                        Some(ticket) => {
                            works.remove(&ticket);
                            queue.leave(ticket).into_iter().collect()
                        }
                        None => vec![],
                    },
                    6 => match waits.choose(&mut random).copied() {
                        Some(ticket) => {
                            waits.retain(|other| *other != ticket);
                            assert_eq!(queue.leave(ticket), None);
                            vec![]
                        }
                        None => vec![],
                    },
                    7 => match some(&mut random, &works) {
                        Some(ticket) => {
                            in_turn = false;
                            let granted: Vec<Ticket> = queue.is_unused(ticket, now).into_iter().collect();
                            let of_session = before.iter().find(|(_, session)| *session == works[&ticket]);
                            let first = of_session.filter(|(_, session)| session.is_some()).map(|(first, _)| *first);
                            assert!(granted.iter().all(|granted| Some(*granted) == first), "seed {seed}");
                            granted
                        }
                        None => vec![],
                    },
                    8 => {
                        if let Some(ticket) = some(&mut random, &works) {
                            queue.is_used(ticket);
                        }
                        vec![]
                    }
                    _ => queue.tick(now, UNUSED_MAX),
                };
                if in_turn {
                    let first: Vec<Ticket> = before.iter().map(|(ticket, _)| *ticket).take(granted.len()).collect();
                    assert_eq!(granted, first, "seed {seed}: in turn");
                }
                for ticket in granted {
                    let (_, session) = before.iter().find(|(other, _)| *other == ticket).expect("it waited");
                    waits.retain(|other| *other != ticket);
                    assert!(works.insert(ticket, *session).is_none(), "seed {seed}: admitted twice");
                }
                assert!(queue.admitted.len() <= places, "seed {seed}: more than there are places");
                assert!(queue.waiting.is_empty() || queue.admitted.len() == places, "seed {seed}: a place is lost");
                assert!(queue.admitted.keys().all(|ticket| works.contains_key(ticket)), "seed {seed}: nobody's place");
                assert_eq!(queue.waiting.keys().copied().collect::<Vec<_>>(), waits, "seed {seed}");
                let serial = queue.waiting.values().filter(|session| session.is_some()).count();
                assert_eq!(queue.waiting_of.len(), serial, "seed {seed}");
            }
            works.keys().chain(&waits).for_each(|ticket| _ = queue.leave(*ticket));
            // Whoever was admitted by these has left, too, or leaves now.
            waits.iter().for_each(|ticket| _ = queue.leave(*ticket));
            assert!(queue.admitted.is_empty() && queue.waiting.is_empty(), "seed {seed}");
        }
    }
}
