//! Which block is in which slot of the disk, and which one makes room: the second chance of a clock, so that what was read twice outlives what
//! was read once.

use std::collections::BTreeMap;

/// A block of an object. Whole objects are found by the first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct BlockKey {
    /// A hash of the object's full name: names are never used again, and 128 bits do not meet by chance.
    pub object: u128,
    /// Counted from 0.
    pub block: u32,
}

/// # Memory
/// About 100 bytes for each slot that was ever used.
#[derive(Debug)]
pub(super) struct Slots {
    by_key: BTreeMap<BlockKey, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hand: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Free,
    Writing,
    Full { key: BlockKey, was_read: bool },
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        Slots { by_key: BTreeMap::new(), slots: vec![], free: vec![], hand: 0, limit }
    }

    /// What the next slot of a disk that was written before has; None for what is no block.
    pub(super) fn restore(&mut self, found: Option<BlockKey>) {
        let slot = self.slots.len() as u32;
        match found.filter(|key| !self.by_key.contains_key(key)) {
            Some(key) => {
                self.by_key.insert(key, slot);
                self.slots.push(Slot::Full { key, was_read: false });
            }
            None => {
                self.slots.push(Slot::Free);
                self.free.push(slot);
            }
        }
    }

    pub(super) fn contains(&self, key: &BlockKey) -> bool {
        self.by_key.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Where a block is, for a reader.
    pub(super) fn find(&mut self, key: &BlockKey) -> Option<u32> {
        let slot = *self.by_key.get(key)?;
        self.slots[slot as usize] = Slot::Full { key: *key, was_read: true };
        Some(slot)
    }

    /// A slot to write a block to; nobody finds it there before [`Slots::publish`]. None if it is there already, or all slots are being
    /// written.
    pub(super) fn take(&mut self, key: &BlockKey) -> Option<u32> {
        if self.by_key.contains_key(key) {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.limit => {
                self.slots.push(Slot::Free);
                self.slots.len() as u32 - 1
            }
            None => self.evict()?,
        };
        self.slots[slot as usize] = Slot::Writing;
        Some(slot)
    }

    /// Goes round at most twice: the first time may only take second chances away.
    fn evict(&mut self) -> Option<u32> {
        for _ in 0..2 * self.slots.len() {
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            match &mut self.slots[slot] {
                Slot::Full { was_read, .. } if *was_read => *was_read = false,
                Slot::Full { key, .. } => {
                    self.by_key.remove(key);
                    return Some(slot as u32);
                }
                Slot::Free | Slot::Writing => {}
            }
        }
        None
    }

    /// The block is in the slot that was taken for it.
    pub(super) fn publish(&mut self, slot: u32, key: BlockKey) {
        // Two writers of one block: the first stays.
        if self.by_key.contains_key(&key) {
            return self.give_back(slot);
        }
        self.by_key.insert(key, slot);
        self.slots[slot as usize] = Slot::Full { key, was_read: false };
    }

    /// The slot that was taken has nothing.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.slots[slot as usize] = Slot::Free;
        self.free.push(slot);
    }

    /// The block in this slot is not what it should be.
    pub(super) fn forget(&mut self, slot: u32, key: &BlockKey) {
        // It may have been evicted since, and be another's.
        if self.by_key.get(key) == Some(&slot) {
            self.by_key.remove(key);
            self.give_back(slot);
        }
    }

    pub(super) fn forget_object(&mut self, object: u128) {
        let all = BlockKey { object, block: 0 }..=BlockKey { object, block: u32::MAX };
        let blocks: Vec<(BlockKey, u32)> = self.by_key.range(all).map(|(key, slot)| (*key, *slot)).collect();
        blocks.iter().for_each(|(key, slot)| self.forget(*slot, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(object: u128, block: u32) -> BlockKey {
        BlockKey { object, block }
    }

    fn insert(slots: &mut Slots, key: BlockKey) -> u32 {
        let slot = slots.take(&key).unwrap();
        slots.publish(slot, key);
        slot
    }

    #[test]
    fn the_limit_holds_and_what_was_read_stays() {
        let mut slots = Slots::new(8);
        insert(&mut slots, key(1, 0));
        for block in 0..1000 {
            assert!(slots.find(&key(1, 0)).is_some(), "evicted by block {block}");
            assert!(insert(&mut slots, key(2, block)) < 8);
            assert!(slots.len() <= 8);
        }
        assert_eq!(slots.len(), 8);
    }

    #[test]
    fn what_is_being_written_is_neither_found_nor_evicted() {
        let mut slots = Slots::new(2);
        let first = slots.take(&key(1, 0)).unwrap();
        assert!(!slots.contains(&key(1, 0)));
        let second = slots.take(&key(1, 1)).unwrap();
        assert_eq!(slots.take(&key(1, 2)), None);
        slots.publish(first, key(1, 0));
        assert_eq!(slots.take(&key(1, 0)), None, "it is there");
        assert_eq!(slots.take(&key(1, 2)), Some(first));
        slots.give_back(second);
        assert_eq!(slots.take(&key(1, 3)), Some(second));
        assert_eq!(slots.len(), 0);
    }

    #[test]
    fn two_writers_of_one_block() {
        let mut slots = Slots::new(4);
        let (one, other) = (slots.take(&key(1, 0)).unwrap(), slots.take(&key(1, 0)).unwrap());
        slots.publish(one, key(1, 0));
        slots.publish(other, key(1, 0));
        assert_eq!((slots.len(), slots.find(&key(1, 0))), (1, Some(one)));
        assert_eq!(slots.take(&key(1, 1)), Some(other));
    }

    #[test]
    fn an_object_goes_with_all_of_its_blocks() {
        let mut slots = Slots::new(8);
        for (object, block) in [(1, 0), (2, 0), (2, 7), (3, 1)] {
            insert(&mut slots, key(object, block));
        }
        let slot = slots.find(&key(1, 0)).unwrap();
        slots.forget_object(2);
        assert!(slots.contains(&key(1, 0)) && slots.contains(&key(3, 1)) && slots.len() == 2);
        // Another block is there by now.
        slots.forget(slot + 1, &key(1, 0));
        assert!(slots.contains(&key(1, 0)));
    }

    #[test]
    fn what_was_restored_is_found() {
        let mut slots = Slots::new(4);
        for found in [Some(key(1, 0)), None, Some(key(1, 0)), Some(key(1, 1))] {
            slots.restore(found);
        }
        assert_eq!((slots.find(&key(1, 0)), slots.find(&key(1, 1)), slots.len()), (Some(0), Some(3), 2));
        // The two that have nothing, then one that was evicted.
        let taken: Vec<u32> = (2..5).map(|block| slots.take(&key(1, block)).unwrap()).collect();
        assert_eq!(&taken[..2], [2, 1]);
        assert_eq!(slots.len(), 1);
    }
}
