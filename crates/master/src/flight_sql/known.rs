//! Clients by what they call with, and those that are still to be told that their sessions have ended.

use super::limits::ENDED_KEPT;
use super::peer::{ClientAddress, Connection, ConnectionHandle};
use crate::error::SqlError;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Token(String),
    /// A connection, and the user that it names on every call.
    Connection(ClientAddress, String),
}

/// What a table knows of its clients.
pub(super) trait Lives {
    /// Why it is no client any more; None while it is one.
    fn ended(&self) -> Option<SqlError>;
}

/// A server's clients. Who shows a token that is not in it is told that it has no session. Who shows none gets a new session, and so has to be told
/// that it had one: its settings are gone, and its transaction.
pub(super) struct Known<C> {
    by_key: HashMap<Key, Entered<C>>,
    untold: HashMap<Key, Untold>,
    untold_max: usize,
    /// Endings that were put down to be told.
    count: u64,
    /// With so many clients, those whose sessions have ended are looked for.
    look_at: usize,
}

struct Entered<C> {
    client: Arc<C>,
    connection: ConnectionHandle,
}

/// How a session ended that its client does not know of.
struct Untold {
    number: u64,
    why: SqlError,
    connection: ConnectionHandle,
}

pub(super) enum Found<C> {
    Client(Arc<C>),
    /// There was one. Found once.
    Ended(SqlError),
    Nobody,
}

impl<C: Lives> Known<C> {
    pub(super) fn new(untold_max: usize) -> Self {
        Known { by_key: HashMap::new(), untold: HashMap::new(), untold_max, count: 0, look_at: 0 }
    }

    /// Who calls over a connection. What became of a client is told over its own alone, not over a later one from the same port.
    pub(super) fn find(&mut self, key: &Key, connection: &Connection) -> Found<C> {
        if let Some(untold) = self.untold.remove(key)
            && untold.connection.is_of(connection)
        {
            return Found::Ended(untold.why);
        }
        let Some(entered) = self.by_key.get(key) else { return Found::Nobody };
        let Some(why) = entered.client.ended() else { return Found::Client(Arc::clone(&entered.client)) };
        let is_told = matches!(key, Key::Token(_)) || entered.connection.is_of(connection);
        self.by_key.remove(key);
        if is_told { Found::Ended(why) } else { Found::Nobody }
    }

    /// The client, or one that is there already, as when two first calls of a connection come at once, if it `is_same`.
    pub(super) fn insert(
        &mut self,
        key: Key,
        client: C,
        connection: &Connection,
        is_same: impl Fn(&C) -> bool,
    ) -> Arc<C> {
        let entered = Entered { client: Arc::new(client), connection: connection.handle() };
        let there = match self.by_key.entry(key) {
            Entry::Occupied(there) if is_same(&there.get().client) => there.into_mut(),
            entry => entry.insert_entry(entered).into_mut(),
        };
        Arc::clone(&there.client)
    }

    /// Those that have ended too, and have not called since.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<C>> {
        self.by_key.values().map(|entered| &entered.client)
    }

    /// It says itself that it goes.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<C>> {
        self.untold.remove(key);
        self.by_key.remove(key).map(|entered| entered.client)
    }

    /// Those that were ended and have not called since: their sessions' places are others' already. At any time they are no more than
    /// those that live, and [`ENDED_KEPT`].
    pub(super) fn forget_ended(&mut self) {
        if self.by_key.len() >= self.look_at.max(ENDED_KEPT) {
            self.forget_all_ended();
            self.look_at = 2 * self.by_key.len();
        }
    }

    /// What is to be told of them stays, while their connections are there.
    pub(super) fn forget_all_ended(&mut self) {
        let Known { by_key, untold, count, .. } = self;
        untold.retain(|_, untold| untold.connection.is_open());
        by_key.retain(|key, entered| {
            let Some(why) = entered.client.ended() else { return true };
            if matches!(key, Key::Connection(..)) && entered.connection.is_open() {
                *count += 1;
                let connection = entered.connection.clone();
                untold.insert(key.clone(), Untold { number: *count, why, connection });
            }
            false
        });
        self.bound_untold();
    }

    /// Of too many endings the oldest are never told.
    fn bound_untold(&mut self) {
        let Some(excess) = self.untold.len().checked_sub(self.untold_max).filter(|excess| *excess > 0) else { return };
        let mut numbers: Vec<u64> = self.untold.values().map(|untold| untold.number).collect();
        let (_, last, _) = numbers.select_nth_unstable(excess - 1);
        let last = *last;
        self.untold.retain(|_, untold| untold.number > last);
        tracing::warn!(count = excess, "clients were forgotten that do not know that their sessions have ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A session, which somebody ends.
    #[derive(Default)]
    struct Fake(AtomicBool);

    impl Lives for Fake {
        fn ended(&self) -> Option<SqlError> {
            self.0.load(Ordering::Relaxed).then(|| SqlError::new(SqlState::ADMIN_SHUTDOWN, "it was ended"))
        }
    }

    impl Fake {
        fn end(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn connection(port: u16) -> Connection {
        Connection::new(ClientAddress { address: ([127, 0, 0, 1], port).into(), is_encrypted: false })
    }

    fn key(connection: &Connection) -> Key {
        Key::Connection(connection.address(), "ann".into())
    }

    fn enter(known: &mut Known<Fake>, key: Key, connection: &Connection) -> Arc<Fake> {
        known.insert(key, Fake::default(), connection, |_| true)
    }

    fn is_told(known: &mut Known<Fake>, connection: &Connection) -> bool {
        matches!(known.find(&key(connection), connection), Found::Ended(_))
    }

    fn is_nobody(known: &mut Known<Fake>, key: &Key, connection: &Connection) -> bool {
        matches!(known.find(key, connection), Found::Nobody)
    }

    #[test]
    fn who_was_forgotten_is_told_once() {
        let mut known = Known::new(10);
        let all: Vec<Connection> = (0..5).map(connection).collect();
        let sessions: Vec<_> = all.iter().map(|one| enter(&mut known, key(one), one)).collect();
        sessions[..3].iter().for_each(|session| session.end());
        assert!(is_told(&mut known, &all[0]), "it is there still");
        known.forget_all_ended();
        assert!(is_told(&mut known, &all[1]), "it is not there any more");
        for told in &all[..2] {
            assert!(is_nobody(&mut known, &key(told), told));
        }
        // Others forget nothing that is to be told.
        known.forget_all_ended();
        assert!(is_told(&mut known, &all[2]));
        assert!(matches!(known.find(&key(&all[3]), &all[3]), Found::Client(_)));
        // Who goes by itself knows it.
        sessions[4].end();
        known.forget_all_ended();
        known.remove(&key(&all[4]));
        assert!(is_nobody(&mut known, &key(&all[4]), &all[4]));
    }

    #[test]
    fn a_token_that_was_forgotten_stands_for_nobody() {
        let (mut known, connection) = (Known::new(10), connection(1));
        let token = |number: u8| Key::Token(format!("t{number}"));
        enter(&mut known, token(1), &connection).end();
        assert!(matches!(known.find(&token(1), &self::connection(2)), Found::Ended(_)), "over any connection");
        enter(&mut known, token(2), &connection).end();
        known.forget_all_ended();
        assert!(known.untold.is_empty() && is_nobody(&mut known, &token(2), &connection));
    }

    #[test]
    fn a_connection_takes_with_it_what_it_was_not_told() {
        let mut known = Known::new(10);
        let (first, second, third) = (connection(1), connection(2), connection(3));
        for connection in [&first, &second, &third] {
            enter(&mut known, key(connection), connection).end();
        }
        drop(first);
        known.forget_all_ended();
        assert_eq!(known.untold.len(), 2);
        drop(second);
        // From the port of one that had a session, and of one that was still there when it was forgotten.
        for port in [1, 2] {
            let later = connection(port);
            assert!(is_nobody(&mut known, &key(&later), &later));
        }
        drop(third);
        let fourth = connection(3);
        enter(&mut known, key(&fourth), &fourth).end();
        known.forget_all_ended();
        assert!(is_told(&mut known, &fourth));
    }

    #[test]
    fn of_too_many_the_last_are_told() {
        let mut known = Known::new(2);
        let all: Vec<Connection> = (0..4).map(connection).collect();
        for one in &all {
            enter(&mut known, key(one), one).end();
            known.forget_all_ended();
        }
        let told: Vec<bool> = all.iter().map(|one| is_told(&mut known, one)).collect();
        assert_eq!(told, [false, false, true, true]);
    }

    #[test]
    fn those_that_live_are_kept_and_looked_at_seldom() {
        let mut known = Known::new(10);
        let all: Vec<Connection> = (0..2 * ENDED_KEPT as u16).map(connection).collect();
        for one in &all[..ENDED_KEPT] {
            known.forget_ended();
            enter(&mut known, key(one), one);
        }
        let Found::Client(ended) = known.find(&key(&all[0]), &all[0]) else { panic!("it lives") };
        known.forget_ended();
        ended.end();
        for one in &all[ENDED_KEPT..] {
            assert!(known.by_key.contains_key(&key(&all[0])), "twice as many are waited for");
            known.forget_ended();
            enter(&mut known, key(one), one);
        }
        known.forget_ended();
        assert_eq!((known.by_key.len(), known.untold.len()), (2 * ENDED_KEPT - 1, 1));
    }

    /// What a connection's client may find next.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Next {
        Nobody,
        Client,
        Ended,
    }

    /// Nobody gets a new session that has not heard of the end of its last one.
    #[test]
    fn in_any_order_each_ending_is_told_once() {
        const PORTS: u16 = 6;
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut known: Known<Fake> = Known::new(usize::from(PORTS));
            let mut open: Vec<Connection> = (0..PORTS).map(connection).collect();
            let mut next = [Next::Nobody; PORTS as usize];
            for step in 0..100 {
                let port = random.random_range(0..PORTS);
                let at = usize::from(port);
                let key = key(&open[at]);
                match random.random_range(0..5) {
                    0 => known.forget_all_ended(),
                    1 if next[at] == Next::Client => {
                        known.by_key[&key].client.end();
                        next[at] = Next::Ended;
                    }
                    2 if next[at] == Next::Ended => {
                        open[at] = connection(port);
                        next[at] = Next::Nobody;
                    }
                    _ => {
                        let found = match known.find(&key, &open[at]) {
                            Found::Client(_) => Next::Client,
                            Found::Ended(_) => Next::Ended,
                            Found::Nobody => {
                                enter(&mut known, key, &open[at]);
                                Next::Nobody
                            }
                        };
                        assert_eq!(found, next[at], "seed {seed}, step {step}");
                        next[at] = if found == Next::Ended { Next::Nobody } else { Next::Client };
                    }
                }
            }
        }
    }
}
