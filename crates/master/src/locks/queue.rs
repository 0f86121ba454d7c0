//! Who holds a lock and who waits, without a clock and without waiting: a state machine.

use super::mode::LockMode;
use super::tag::LockTag;
use std::collections::{HashMap, HashSet};

/// A transaction of one master's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransactionId(pub u64);

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Granted,
    /// Some later call grants it.
    Waits,
    /// Waiting would never end. The transactions that wait for each other, from the one that asked.
    Deadlock(Vec<TransactionId>),
}

/// Locks of all tables, and of the files that are being loaded into them.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: HashMap<LockTag, Queue>,
    /// Of what a transaction holds locks, or awaits one.
    of: HashMap<TransactionId, HashSet<LockTag>>,
    /// That of which a transaction awaits a lock.
    awaited: HashMap<TransactionId, LockTag>,
}

#[derive(Debug, Default)]
struct Queue {
    held: Vec<(TransactionId, LockMode)>,
    /// In turn. A transaction waits for one lock at a time.
    waiting: Vec<(TransactionId, LockMode)>,
}

impl Queue {
    fn holds(&self, transaction: TransactionId) -> bool {
        self.held.iter().any(|(holder, _)| *holder == transaction)
    }

    /// Those whom `transaction`, who comes after the first `before` of those that wait, has to wait for.
    fn blockers(&self, transaction: TransactionId, mode: LockMode, before: usize) -> Vec<TransactionId> {
        // Who holds a lock already passes those that wait: they wait for it, too.
        let turn = if self.holds(transaction) { 0 } else { before };
        let others = self.held.iter().chain(&self.waiting[..turn]);
        others.filter(|(other, held)| *other != transaction && mode.excludes(*held)).map(|(other, _)| *other).collect()
    }

    fn grant(&mut self, transaction: TransactionId, mode: LockMode) {
        if !self.held.contains(&(transaction, mode)) {
            self.held.push((transaction, mode));
        }
    }

    /// Grants what can be; gives the transactions that need not wait any more.
    fn advance(&mut self) -> Vec<TransactionId> {
        let mut granted = vec![];
        let mut at = 0;
        while let Some(&(transaction, mode)) = self.waiting.get(at) {
            if self.blockers(transaction, mode, at).is_empty() {
                self.waiting.remove(at);
                self.grant(transaction, mode);
                granted.push(transaction);
                // One that was passed over may be blocked by nothing but its turn.
                at = 0;
            } else {
                at += 1;
            }
        }
        granted
    }
}

impl Queues {
    /// Asks for a lock, which is held until [`Queues::release`].
    pub(super) fn ask(&mut self, tag: LockTag, transaction: TransactionId, mode: LockMode) -> Asked {
        let queue = self.queues.entry(tag).or_default();
        self.of.entry(transaction).or_default().insert(tag);
        let blockers = queue.blockers(transaction, mode, queue.waiting.len());
        if blockers.is_empty() {
            queue.grant(transaction, mode);
            return Asked::Granted;
        }
        queue.waiting.push((transaction, mode));
        self.awaited.insert(transaction, tag);
        match self.cycle(transaction) {
            None => Asked::Waits,
            Some(cycle) => {
                self.give_up(tag, transaction);
                Asked::Deadlock(cycle)
            }
        }
    }

    /// Whether a request would not be granted at once.
    pub(super) fn would_wait(&self, tag: LockTag, transaction: TransactionId, mode: LockMode) -> bool {
        let blockers = |queue: &Queue| queue.blockers(transaction, mode, queue.waiting.len());
        self.queues.get(&tag).is_some_and(|queue| !blockers(queue).is_empty())
    }

    /// Takes back a request that waits; gives those that need not wait any more.
    pub(super) fn give_up(&mut self, tag: LockTag, transaction: TransactionId) -> Vec<TransactionId> {
        self.awaited.remove(&transaction);
        self.change(tag, |queue| queue.waiting.retain(|(waiter, _)| *waiter != transaction))
    }

    /// Ends all locks and requests of a transaction; gives those that need not wait any more.
    pub(super) fn release(&mut self, transaction: TransactionId) -> Vec<TransactionId> {
        self.awaited.remove(&transaction);
        let tags = self.of.remove(&transaction).unwrap_or_default();
        let release = |queue: &mut Queue| {
            queue.held.retain(|(holder, _)| *holder != transaction);
            queue.waiting.retain(|(waiter, _)| *waiter != transaction);
        };
        tags.into_iter().flat_map(|tag| self.change(tag, release)).collect()
    }

    /// Every lock, with whether it is granted, by what is locked and transaction.
    pub(super) fn all(&self) -> Vec<(LockTag, TransactionId, LockMode, bool)> {
        let mut all = vec![];
        for (&tag, queue) in &self.queues {
            all.extend(queue.held.iter().map(|&(transaction, mode)| (tag, transaction, mode, true)));
            all.extend(queue.waiting.iter().map(|&(transaction, mode)| (tag, transaction, mode, false)));
        }
        all.sort();
        all
    }

    fn change(&mut self, tag: LockTag, change: impl FnOnce(&mut Queue)) -> Vec<TransactionId> {
        let Some(queue) = self.queues.get_mut(&tag) else { return vec![] };
        change(queue);
        let granted = queue.advance();
        granted.iter().for_each(|transaction| _ = self.awaited.remove(transaction));
        if queue.held.is_empty() && queue.waiting.is_empty() {
            self.queues.remove(&tag);
        }
        granted
    }

    /// The transactions by which `start` waits for itself.
    fn cycle(&self, start: TransactionId) -> Option<Vec<TransactionId>> {
        let mut seen = HashSet::new();
        let mut open = vec![vec![start]];
        while let Some(path) = open.pop() {
            let last = path[path.len() - 1];
            for next in self.waits_for(last) {
                if next == start {
                    return Some(path);
                }
                if seen.insert(next) {
                    open.push(path.iter().copied().chain([next]).collect());
                }
            }
        }
        None
    }

    fn waits_for(&self, transaction: TransactionId) -> Vec<TransactionId> {
        let Some(queue) = self.awaited.get(&transaction).and_then(|tag| self.queues.get(tag)) else {
            return vec![];
        };
        let at = queue.waiting.iter().position(|(waiter, _)| *waiter == transaction);
        at.map_or_else(Vec::new, |at| queue.blockers(transaction, queue.waiting[at].1, at))
    }
}

#[cfg(test)]
mod tests {
    use super::LockMode::{AccessExclusive, Exclusive, RowExclusive, Share};
    use super::*;
    use damson_cluster::TableId;

    const A: LockTag = LockTag::Table(TableId(1));
    const B: LockTag = LockTag::File(TableId(1), 2);

    fn t(id: u64) -> TransactionId {
        TransactionId(id)
    }

    #[test]
    fn in_turn_unless_they_agree() {
        let mut queues = Queues::default();
        assert_eq!(queues.ask(A, t(1), RowExclusive), Asked::Granted);
        assert_eq!(queues.ask(A, t(2), RowExclusive), Asked::Granted);
        assert_eq!(queues.ask(A, t(3), Exclusive), Asked::Waits);
        // It agrees with those that hold it, and comes after one that waits.
        assert_eq!(queues.ask(A, t(4), RowExclusive), Asked::Waits);
        assert_eq!(queues.ask(B, t(4), Share), Asked::Granted);
        // Who is in already need not wait for those that wait for it.
        assert_eq!(queues.ask(A, t(1), RowExclusive), Asked::Granted);
        assert_eq!(queues.release(t(1)), []);
        assert_eq!(queues.release(t(2)), [t(3)]);
        assert_eq!(queues.release(t(3)), [t(4)]);
        assert_eq!(queues.release(t(4)), []);
        assert!(queues.queues.is_empty(), "nothing is kept of what nobody locks");
    }

    #[test]
    fn giving_up_lets_the_next_pass() {
        let mut queues = Queues::default();
        assert_eq!(queues.ask(A, t(1), RowExclusive), Asked::Granted);
        assert_eq!(queues.ask(A, t(2), AccessExclusive), Asked::Waits);
        assert_eq!(queues.ask(A, t(3), RowExclusive), Asked::Waits);
        assert_eq!(queues.give_up(A, t(2)), [t(3)]);
        assert_eq!(queues.release(t(2)), []);
    }

    #[test]
    fn who_would_close_a_circle_is_told() {
        let mut queues = Queues::default();
        for (tag, transaction) in [(A, t(1)), (B, t(2))] {
            assert_eq!(queues.ask(tag, transaction, Exclusive), Asked::Granted);
        }
        assert_eq!(queues.ask(B, t(1), Exclusive), Asked::Waits);
        assert_eq!(queues.ask(A, t(2), Exclusive), Asked::Deadlock(vec![t(2), t(1)]));
        // It waits for nothing then, and the other goes on when it has gone.
        assert_eq!(queues.release(t(2)), [t(1)]);

        // Two that both want more of what they share.
        let mut queues = Queues::default();
        assert_eq!(queues.ask(A, t(1), RowExclusive), Asked::Granted);
        assert_eq!(queues.ask(A, t(2), RowExclusive), Asked::Granted);
        assert_eq!(queues.ask(A, t(1), Exclusive), Asked::Waits);
        assert_eq!(queues.ask(A, t(2), Exclusive), Asked::Deadlock(vec![t(2), t(1)]));
        assert_eq!(queues.release(t(2)), [t(1)]);
    }

    /// Random requests: no two holders exclude each other, nobody waits without a reason, and no circle is left standing.
    #[test]
    fn invariants_hold() {
        let mut queues = Queues::default();
        let mut random = 7u64;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut deadlocks, mut waits) = (0, 0);
        for _ in 0..20_000 {
            let transaction = t(next(6));
            let tag = [A, B, LockTag::Table(TableId(2))][next(3) as usize];
            let is_waiting = queues.queues.values().any(|q| q.waiting.iter().any(|(w, _)| *w == transaction));
            match next(4) {
                0 => _ = queues.release(transaction),
                _ if is_waiting => {}
                _ => match queues.ask(tag, transaction, LockMode::ALL[next(8) as usize]) {
                    Asked::Granted => {}
                    Asked::Waits => waits += 1,
                    Asked::Deadlock(_) => deadlocks += 1,
                },
            }
            for queue in queues.queues.values() {
                for (i, (a, mode)) in queue.held.iter().enumerate() {
                    assert!(queue.held[..i].iter().all(|(b, other)| a == b || !mode.excludes(*other)));
                }
                for (at, (waiter, mode)) in queue.waiting.iter().enumerate() {
                    assert!(!queue.blockers(*waiter, *mode, at).is_empty());
                }
            }
            (0..6).for_each(|id| assert_eq!(queues.cycle(t(id)), None));
        }
        assert!(deadlocks > 100 && waits > 1000, "{deadlocks} {waits}");
        (0..6).for_each(|id| _ = queues.release(t(id)));
        assert!(queues.queues.is_empty() && queues.of.is_empty() && queues.awaited.is_empty());
    }
}
