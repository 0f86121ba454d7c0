//! Which order a history's transactions must have had, and whether there is one.

use std::collections::{BTreeMap, BTreeSet};

/// What was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    ReadCommitted,
    RepeatableRead,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::ReadCommitted => "READ COMMITTED",
            Level::RepeatableRead => "REPEATABLE READ",
        }
    }
}

/// What a client did, and saw. No element is appended twice.
#[derive(Clone, Debug)]
pub enum Op {
    Append { key: usize, element: u32 },
    Read { key: usize, list: Vec<u32> },
}

/// How a transaction ended, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Committed,
    /// It was rolled back, or failed before its COMMIT was sent, or its COMMIT was refused.
    Aborted,
    /// The answer to its COMMIT did not come: it happened then, or later, or never.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Transaction {
    pub client: usize,
    pub ops: Vec<Op>,
    pub end: End,
}

/// Which of a client's transactions must be in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOrder {
    All,
    /// One that only reads may see what was there before the client's last: a master that was stopped, and does not know yet that
    /// another took over, answers as of then. What it would write is refused.
    Writers,
}

/// Whether the level allows the history, of which `lists` is what is left, by key, when nothing can happen any more.
///
/// # Errors
/// The anomaly.
pub fn check(level: Level, order: ClientOrder, history: &[Transaction], lists: &[Vec<u32>]) -> Result<(), String> {
    let writers = writers(history);
    let happened = happened(history, lists);
    check_appends(history, &happened, lists, &writers)?;
    check_reads(history, lists, &writers)?;
    let edges = Edges::of(history, &happened, order, lists, &writers);
    let mut graph = edges.before.clone();
    if level == Level::RepeatableRead {
        // Snapshot isolation: no circle in which no two anti-dependencies follow each other (Cerone and Gotsman, "Analysing Snapshot
        // Isolation", PODC 2016).
        for (from, middle) in &edges.before {
            graph.extend(edges.overtaken.iter().filter(|(by, _)| by == middle).map(|(_, to)| (*from, *to)));
        }
    }
    match circle(&graph) {
        None => Ok(()),
        Some(circle) => {
            let told: Vec<String> = circle.iter().map(|at| format!("{at}: {:?}", history[*at])).collect();
            Err(format!("each of these comes before the next, and the last before the first:\n{}", told.join("\n")))
        }
    }
}

/// Which transactions happened. Of those whose client does not know it, the ones of which anything is left; that all is left, is
/// checked afterwards. One that left nothing may have happened if it only read: then it forbids nothing to others.
fn happened(history: &[Transaction], lists: &[Vec<u32>]) -> Vec<bool> {
    let there: BTreeSet<u32> = lists.iter().flatten().copied().collect();
    let left_something = |transaction: &Transaction| {
        transaction.ops.iter().any(|op| matches!(op, Op::Append { element, .. } if there.contains(element)))
    };
    let happened = |transaction: &Transaction| match transaction.end {
        End::Committed => true,
        End::Aborted => false,
        End::Unknown => left_something(transaction),
    };
    history.iter().map(happened).collect()
}

/// Who appended each element: the transaction, and whether it was its last to that list.
fn writers(history: &[Transaction]) -> BTreeMap<u32, (usize, bool)> {
    let mut writers = BTreeMap::new();
    for (at, transaction) in history.iter().enumerate() {
        let mut last = BTreeMap::new();
        for op in &transaction.ops {
            if let Op::Append { key, element } = op {
                writers.insert(*element, (at, false));
                last.insert(*key, *element);
            }
        }
        last.values().for_each(|element| _ = writers.insert(*element, (at, true)));
    }
    writers
}

/// Every append of a transaction that happened is there once, and no other.
fn check_appends(
    history: &[Transaction],
    happened: &[bool],
    lists: &[Vec<u32>],
    writers: &BTreeMap<u32, (usize, bool)>,
) -> Result<(), String> {
    let mut there = BTreeSet::new();
    for element in lists.iter().flatten() {
        if !there.insert(*element) {
            return Err(format!("{element} is there twice"));
        }
        match writers.get(element) {
            Some((writer, _)) if happened[*writer] => {}
            _ => return Err(format!("{element} is there, and was never committed")),
        }
    }
    for (transaction, _) in history.iter().zip(happened).filter(|(_, happened)| **happened) {
        for op in &transaction.ops {
            if let Op::Append { key, element } = op
                && !lists[*key].contains(element)
            {
                return Err(format!("lost update: {element} of {transaction:?}"));
            }
        }
    }
    Ok(())
}

/// Whoever reads sees a beginning of the list, of whole transactions, and what it appended itself.
fn check_reads(
    history: &[Transaction],
    lists: &[Vec<u32>],
    writers: &BTreeMap<u32, (usize, bool)>,
) -> Result<(), String> {
    for (at, transaction) in history.iter().enumerate() {
        let mut own: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for op in &transaction.ops {
            let (key, list) = match op {
                Op::Append { key, element } => {
                    own.entry(*key).or_default().push(*element);
                    continue;
                }
                Op::Read { key, list } => (key, list),
            };
            let own = own.get(key).cloned().unwrap_or_default();
            let Some(others) = list.strip_suffix(own.as_slice()) else {
                return Err(format!("it does not see its own {own:?}: {transaction:?}"));
            };
            if !lists[*key].starts_with(others) {
                return Err(format!("{list:?} was never there: {transaction:?}, of {:?}", lists[*key]));
            }
            match others.last().and_then(|element| writers.get(element)) {
                Some((writer, is_last)) if *writer == at || !is_last => {
                    return Err(format!("a version in between: {list:?} in {transaction:?}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Pairs of transactions, by their places in the history.
struct Edges {
    /// The first comes before the second: it wrote what the second wrote after it, or read, or the client's next one is the second.
    before: BTreeSet<(usize, usize)>,
    /// The first read what the second then wrote over.
    overtaken: BTreeSet<(usize, usize)>,
}

impl Edges {
    fn of(
        history: &[Transaction],
        happened: &[bool],
        order: ClientOrder,
        lists: &[Vec<u32>],
        writers: &BTreeMap<u32, (usize, bool)>,
    ) -> Self {
        let (mut before, mut overtaken) = (BTreeSet::new(), BTreeSet::new());
        let writer = |element: &u32| writers[element].0;
        for list in lists {
            before.extend(list.windows(2).map(|pair| (writer(&pair[0]), writer(&pair[1]))));
        }
        let mut latest: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, transaction) in history.iter().enumerate().filter(|(at, _)| happened[*at]) {
            let writes = transaction.ops.iter().any(|op| matches!(op, Op::Append { .. }));
            if writes || order == ClientOrder::All {
                before.extend(latest.get(&transaction.client).map(|earlier| (*earlier, at)));
            }
            // One whose answer did not come may be later than what its client did next.
            if transaction.end == End::Committed {
                latest.insert(transaction.client, at);
            }
            for op in &transaction.ops {
                let Op::Read { key, list } = op else { continue };
                let others = list.iter().rev().find(|element| writer(element) != at);
                before.extend(others.map(|element| (writer(element), at)));
                let next = lists[*key].get(list.len()..).unwrap_or_default().iter().find(|e| writer(e) != at);
                overtaken.extend(next.map(|element| (at, writer(element))));
            }
        }
        before.retain(|(from, to)| from != to);
        Edges { before, overtaken }
    }
}

/// Nodes of a circle, in order.
fn circle(edges: &BTreeSet<(usize, usize)>) -> Option<Vec<usize>> {
    let mut left: BTreeSet<(usize, usize)> = edges.clone();
    // What nothing comes before is in no circle.
    loop {
        let targets: BTreeSet<usize> = left.iter().map(|(_, to)| *to).collect();
        let before = left.len();
        left.retain(|(from, _)| targets.contains(from));
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            break;
        }
    }
    // Each that is left has one before it: going back must come to a place twice.
    let mut path = vec![left.first()?.0];
    loop {
        let at = *path.last()?;
        let earlier = left.iter().find(|(_, to)| *to == at)?.0;
        if let Some(start) = path.iter().position(|node| *node == earlier) {
            let mut circle = path.split_off(start);
            circle.reverse();
            return Some(circle);
        }
        path.push(earlier);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(client: usize, ops: Vec<Op>) -> Transaction {
        Transaction { client, ops, end: End::Committed }
    }

    fn append(key: usize, element: u32) -> Op {
        Op::Append { key, element }
    }

    fn read(key: usize, list: &[u32]) -> Op {
        Op::Read { key, list: list.to_vec() }
    }

    fn anomaly(level: Level, history: &[Transaction], lists: &[&[u32]]) -> bool {
        let lists: Vec<Vec<u32>> = lists.iter().map(|list| list.to_vec()).collect();
        check(level, ClientOrder::All, history, &lists).is_err()
    }

    fn unknown(client: usize, ops: Vec<Op>) -> Transaction {
        Transaction { client, ops, end: End::Unknown }
    }

    #[test]
    fn what_could_have_been_is_allowed() {
        let history = [
            transaction(0, vec![append(0, 1), append(1, 2), read(0, &[1])]),
            transaction(1, vec![read(0, &[1]), read(1, &[2]), append(1, 3)]),
            transaction(2, vec![read(0, &[1]), read(1, &[2, 3]), append(2, 5)]),
            transaction(0, vec![read(2, &[]), append(0, 6)]),
        ];
        for level in [Level::ReadCommitted, Level::RepeatableRead] {
            assert!(!anomaly(level, &history, &[&[1, 6], &[2, 3], &[5]]));
        }
        // Write skew.
        let skew = [transaction(0, vec![read(0, &[]), append(1, 1)]), transaction(1, vec![read(1, &[]), append(0, 2)])];
        assert!(!anomaly(Level::RepeatableRead, &skew, &[&[2], &[1]]));
    }

    #[test]
    fn anomalies_are_found() {
        let two = |level: Level, a: Vec<Op>, b: Vec<Op>, lists: &[&[u32]]| {
            anomaly(level, &[transaction(0, a), transaction(1, b)], lists)
        };
        let (weak, strong) = (Level::ReadCommitted, Level::RepeatableRead);
        // Lost, twice, from nowhere.
        assert!(two(weak, vec![append(0, 1)], vec![append(0, 2)], &[&[2]]));
        assert!(two(weak, vec![append(0, 1)], vec![], &[&[1, 1]]));
        assert!(two(weak, vec![append(0, 1)], vec![], &[&[1, 2]]));
        // An aborted and an intermediate version.
        let aborted = Transaction { end: End::Aborted, ..transaction(0, vec![append(0, 1)]) };
        assert!(anomaly(weak, &[aborted, transaction(1, vec![read(0, &[1])])], &[&[]]));
        assert!(two(weak, vec![append(0, 1), append(0, 2)], vec![read(0, &[1])], &[&[1, 2]]));
        // Its own write is not there.
        assert!(two(weak, vec![append(0, 1), read(0, &[])], vec![], &[&[1]]));
        // Two that each wrote before the other, and two that each read the other.
        assert!(two(weak, vec![append(0, 1), append(1, 2)], vec![append(0, 3), append(1, 4)], &[&[1, 3], &[4, 2]]));
        assert!(two(weak, vec![append(0, 1), read(1, &[2])], vec![append(1, 2), read(0, &[1])], &[&[1], &[2]]));
        // Read skew: allowed by the weaker level alone.
        let skewed = (vec![read(0, &[]), read(1, &[2])], vec![append(0, 1), append(1, 2)]);
        assert!(two(strong, skewed.0.clone(), skewed.1.clone(), &[&[1], &[2]]));
        assert!(!two(weak, skewed.0, skewed.1, &[&[1], &[2]]));
        // A lost update: both read nothing and wrote.
        let update = |element| vec![read(0, &[]), append(0, element)];
        assert!(two(strong, update(1), update(2), &[&[1, 2]]));
        // A client does not see what it did before.
        let own = [transaction(0, vec![append(0, 1)]), transaction(0, vec![read(0, &[])])];
        assert!(anomaly(strong, &own, &[&[1]]));
    }

    #[test]
    fn what_may_have_happened_did_or_did_not() {
        let maybe = |ops: Vec<Op>, lists: &[&[u32]]| anomaly(Level::RepeatableRead, &[unknown(0, ops)], lists);
        let two = || vec![append(0, 1), append(1, 2)];
        assert!(!maybe(two(), &[&[1], &[2]]) && !maybe(two(), &[&[], &[]]));
        assert!(maybe(two(), &[&[1], &[]]), "in part");
        // It is later than its client's next one, or was seen by it.
        let later = |list: &'static [u32], left: &'static [u32]| {
            let history = [unknown(0, vec![append(0, 1)]), transaction(0, vec![read(0, list), append(1, 2)])];
            anomaly(Level::RepeatableRead, &history, &[left, &[2]])
        };
        assert!(!later(&[], &[1]) && !later(&[1], &[1]) && !later(&[], &[]));
        assert!(later(&[1], &[]), "seen, and gone");
        // Never before what its client knew before.
        let before = [transaction(0, vec![append(0, 1)]), unknown(0, vec![read(0, &[]), append(1, 2)])];
        assert!(anomaly(Level::RepeatableRead, &before, &[&[1], &[2]]));
        assert!(!anomaly(Level::RepeatableRead, &before, &[&[1], &[]]));
        // It is in circles as any other.
        let lost = [transaction(0, vec![read(0, &[]), append(0, 1)]), unknown(1, vec![read(0, &[]), append(0, 2)])];
        assert!(anomaly(Level::RepeatableRead, &lost, &[&[1, 2]]));
        assert!(!anomaly(Level::RepeatableRead, &lost, &[&[1]]));
    }

    #[test]
    fn who_only_reads_may_be_behind_where_a_master_can_be_deposed() {
        let behind = |ops: Vec<Op>, others: Vec<u32>| {
            let history = [transaction(0, vec![append(0, 1)]), transaction(0, ops)];
            check(Level::RepeatableRead, ClientOrder::Writers, &history, &[vec![1], others]).is_err()
        };
        assert!(!behind(vec![read(0, &[])], vec![]));
        assert!(behind(vec![read(0, &[]), append(1, 2)], vec![2]), "what a deposed master writes is refused");
    }
}
