//! Where sequences are. Not transactional, as in PostgreSQL: what was given out is gone, whatever becomes of the transaction.

use super::durable::Catalog;
use super::error::CatalogError;
use super::store::{Change, Stored, Transaction};
use damson_cluster::{Counting, Sequence, SequenceId, SequencePosition, ValueBlock, next_block};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Values that one write to the store reserves at most: enough that statements of many rows rarely wait for the disk; a restart
/// skips those that were not used.
const RESERVED_MAX: u64 = 64 << 10;

/// The counters of all sequences, those of transactions that have not committed among them. A counter stays until the master ends:
/// a statement that began before its sequence was dropped, or restarted, goes on with it.
#[derive(Default)]
pub(super) struct Counters {
    counters: Mutex<HashMap<SequenceId, Arc<Mutex<Counter>>>>,
}

impl Counters {
    pub(super) fn of(stored: &Stored) -> Self {
        let beginnings = stored.sequences.iter().map(|def| (def.id, def.beginning()));
        // Those of the past, which a backup may be made of, have a position and no definition.
        let positions = beginnings.chain(stored.positions.iter().map(|(id, position)| (*id, *position)));
        let counters = positions.map(|(id, position)| (id, Arc::new(Mutex::new(Counter::at(position)))));
        Counters { counters: Mutex::new(counters.collect()) }
    }

    fn find(&self, id: SequenceId) -> Result<Arc<Mutex<Counter>>, CatalogError> {
        let counter = self.counters.lock().get(&id).cloned();
        counter.ok_or_else(|| CatalogError::Damaged(format!("sequence {id} has no counter")))
    }
}

/// One sequence's values: what was given out, and what may be without waiting for the disk.
#[derive(Debug)]
struct Counter {
    position: SequencePosition,
    /// Values after `position` that are taken in the store, and how they were counted.
    reserved: Option<(Counting, ValueBlock)>,
    /// Values to reserve next; 0 before the first time. It grows with demand.
    at_once: u64,
}

impl Counter {
    fn at(position: SequencePosition) -> Self {
        Counter { position, reserved: None, at_once: 0 }
    }

    /// Gives out up to `wanted` reserved values; None if there are none.
    fn give(&mut self, counting: &Counting, wanted: u64) -> Option<ValueBlock> {
        // ALTER SEQUENCE has changed what comes next.
        let (reserved_by, block) = self.reserved.take_if(|(by, _)| same_values(by, counting))?;
        let (given, rest) = block.split(wanted);
        self.position = after(&given);
        self.reserved = rest.map(|rest| (reserved_by, rest));
        Some(given)
    }

    /// The next `wanted` values; None if the sequence ends before. `store` makes durable that values up to a position are taken: once, also
    /// where they go round several times.
    fn take(
        &mut self,
        counting: &Counting,
        wanted: u64,
        store: impl FnOnce(SequencePosition) -> Result<(), CatalogError>,
    ) -> Result<Option<Vec<ValueBlock>>, CatalogError> {
        let mut blocks: Vec<ValueBlock> = self.give(counting, wanted).into_iter().collect();
        let missing = wanted - blocks.iter().map(|block| block.count).sum::<u64>();
        if missing == 0 {
            return Ok(Some(blocks));
        }
        let Some((whole, last)) = self.next(counting, missing) else { return Ok(None) };
        // If it fails, they may be taken or not. They were not given out: to take them again is right.
        store(after(&last))?;
        let missing = missing - whole.iter().map(|block| block.count).sum::<u64>();
        blocks.extend(whole);
        self.reserved = Some((counting.clone(), last));
        self.at_once = last.count.max(self.at_once).saturating_mul(2).min(RESERVED_MAX);
        blocks.extend(self.give(counting, missing));
        Ok(Some(blocks))
    }

    /// What to take in the store so that `wanted` values can be given out: blocks that are all given out, and one of which some may be left.
    fn next(&self, counting: &Counting, wanted: u64) -> Option<(Vec<ValueBlock>, ValueBlock)> {
        let (mut position, mut missing, mut whole) = (self.position, wanted, vec![]);
        loop {
            // A restart skips what was reserved: what CACHE says, or a small part of what is left.
            let left = next_block(counting, position, u64::MAX)?.count;
            let ahead = counting.cache.max(self.at_once.min(left / 256));
            let block = next_block(counting, position, missing.max(ahead))?;
            if block.count >= missing {
                return Some((whole, block));
            }
            position = after(&block);
            missing -= block.count;
            whole.push(block);
        }
    }
}

/// Where a sequence is whose last values are a block's.
fn after(block: &ValueBlock) -> SequencePosition {
    SequencePosition { last: block.last(), is_called: true }
}

fn same_values(one: &Counting, other: &Counting) -> bool {
    let values = |counting: &Counting| (counting.increment, counting.min, counting.max, counting.cycle);
    values(one) == values(other)
}

impl Catalog {
    /// Begins to count for a sequence that is made, or restarted.
    pub(super) fn begin_counter(&self, id: SequenceId, position: SequencePosition) {
        self.counters().counters.lock().insert(id, Arc::new(Mutex::new(Counter::at(position))));
    }

    /// The next `count` values, if they need not wait for the store.
    ///
    /// # Errors
    /// As [`Catalog::take_values`].
    pub fn take_reserved_values(
        &self,
        sequence: &Sequence,
        count: u64,
    ) -> Result<Option<Vec<ValueBlock>>, CatalogError> {
        if count == 0 {
            return Ok(Some(vec![]));
        }
        let counter = self.counters().find(sequence.id)?;
        // Whoever has it may be waiting for the disk.
        let Some(mut counter) = counter.try_lock() else { return Ok(None) };
        match &counter.reserved {
            Some((_, block)) if block.count >= count => {}
            _ => return Ok(None),
        }
        Ok(counter.give(&self.counting(sequence), count).map(|block| vec![block]))
    }

    /// The next `count` values, in their order. They are taken in the store before they are given out, so that none is given
    /// twice, whatever becomes of this master; those that were taken and not given are skipped. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::SequenceEnded`] if it ends before; [`CatalogError::Fenced`]; the store's.
    pub fn take_values(&self, sequence: &Sequence, count: u64) -> Result<Vec<ValueBlock>, CatalogError> {
        let counter = self.counters().find(sequence.id)?;
        let counting = self.counting(sequence);
        let mut counter = counter.lock();
        let store = |position| self.put_position(sequence.id, position);
        counter.take(&counting, count, store)?.ok_or_else(|| {
            let (name, up) = (sequence.name.clone(), counting.increment > 0);
            let end = if up { counting.max } else { counting.min };
            CatalogError::SequenceEnded { name, up, end }
        })
    }

    /// Puts a sequence somewhere else: setval. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`], the store's.
    pub fn set_position(&self, id: SequenceId, position: SequencePosition) -> Result<(), CatalogError> {
        let counter = self.counters().find(id)?;
        let mut counter = counter.lock();
        // Also if the store fails, and may have the position: what comes next is written anew.
        counter.reserved = None;
        self.put_position(id, position)?;
        counter.position = position;
        Ok(())
    }

    /// How a sequence counts for all: as the newest snapshot has it, also where a transaction has altered it and may be rolled back.
    fn counting(&self, sequence: &Sequence) -> Counting {
        let state = self.current();
        let committed = state.sequences().find(|def| def.id == sequence.id).map(|def| def.counting.clone());
        committed.unwrap_or_else(|| sequence.counting.clone())
    }

    /// Where a sequence is; None for one that this catalog does not know. Blocks.
    pub fn position(&self, id: SequenceId) -> Option<SequencePosition> {
        self.counters().find(id).ok().map(|counter| counter.lock().position)
    }

    fn put_position(&self, id: SequenceId, position: SequencePosition) -> Result<(), CatalogError> {
        let changes = vec![Change::PutPosition { id, position }];
        self.apply_alone(Transaction { snapshot: None, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(increment: i64, max: i64, cycle: bool, cache: u64) -> Counting {
        Counting { increment, min: 1, max, cycle, cache }
    }

    /// The next values, none if the sequence ends before, and what the store has taken then.
    fn take(counter: &mut Counter, counting: &Counting, count: u64) -> (Vec<i64>, Vec<i64>) {
        let mut stored = vec![];
        let store = |position: SequencePosition| {
            stored.push(position.last);
            Ok(())
        };
        let blocks = counter.take(counting, count, store).unwrap().unwrap_or_default();
        (blocks.into_iter().flat_map(ValueBlock::values).collect(), stored)
    }

    fn fresh() -> Counter {
        Counter::at(SequencePosition { last: 1, is_called: false })
    }

    #[test]
    fn reservations_grow_with_demand() {
        let (mut counter, counting) = (fresh(), counting(1, i64::MAX, false, 1));
        let mut writes = vec![];
        for wanted in 1..=100_000 {
            let (values, stored) = take(&mut counter, &counting, 1);
            assert_eq!(values, [wanted]);
            writes.extend(stored);
        }
        assert_eq!(writes[..4], [1, 3, 7, 15], "one, then two, then four");
        assert!(writes.len() < 20, "{} writes of 100,000 values", writes.len());
        let longest = writes.windows(2).map(|two| two[1] - two[0]).max();
        assert_eq!(longest, Some(RESERVED_MAX as i64));
    }

    #[test]
    fn a_batch_is_taken_at_once_and_cache_is_where_it_begins() {
        let (mut counter, counting) = (fresh(), counting(1, i64::MAX, false, 20));
        assert_eq!(take(&mut counter, &counting, 3), (vec![1, 2, 3], vec![20]));
        let (values, stored) = take(&mut counter, &counting, 8192);
        assert_eq!((values[0], values[8191]), (4, 8195));
        assert_eq!(stored, [8195], "the rest of the block, and then what is missing");
    }

    #[test]
    fn the_end_is_told_after_the_last_value_or_begins_again() {
        let once = counting(2, 6, false, 1);
        let mut counter = fresh();
        assert_eq!(take(&mut counter, &once, 2).0, [1, 3]);
        assert_eq!(take(&mut counter, &once, 2).0, [0; 0]);
        assert_eq!(take(&mut counter, &once, 1).0, [5]);
        assert_eq!(take(&mut counter, &once, 1), (vec![], vec![]));
        let again = counting(2, 6, true, 1);
        assert_eq!(take(&mut counter, &again, 5), (vec![1, 3, 5, 1, 3], vec![3]), "one write for both rounds");
        assert_eq!(take(&mut counter, &again, 2), (vec![5, 1], vec![1]));
    }

    #[test]
    fn values_that_the_store_refuses_are_taken_again() {
        let (mut counter, counting) = (fresh(), counting(1, 100, false, 1));
        assert_eq!(take(&mut counter, &counting, 3).0, [1, 2, 3]);
        let refuse = |_| Err(CatalogError::Fenced { ours: 1, stored: 2 });
        assert!(counter.take(&counting, 4, refuse).is_err());
        assert_eq!(take(&mut counter, &counting, 2).0, [4, 5]);
    }

    #[test]
    fn what_was_reserved_otherwise_is_counted_anew() {
        let (mut counter, one) = (fresh(), counting(1, 100, false, 10));
        assert_eq!(take(&mut counter, &one, 2), (vec![1, 2], vec![10]));
        let ten = counting(10, 100, false, 10);
        assert_eq!(take(&mut counter, &ten, 2), (vec![12, 22], vec![92]), "from the last one that was given out");
        let same = Counting { cache: 99, ..ten };
        assert_eq!(take(&mut counter, &same, 1), (vec![32], vec![]), "CACHE alone changes no value");
    }
}
