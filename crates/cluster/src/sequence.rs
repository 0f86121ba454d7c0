//! Sequences: how one counts, where it is, and the blocks of values that segments take.

use crate::SequenceId;
use serde::{Deserialize, Serialize};

/// How a sequence counts. `increment` is not 0, `min <= max`, `cache` is at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Counting {
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    /// After its last value comes the first one that it can have, not an error.
    pub cycle: bool,
    /// Values that the master reserves at first.
    pub cache: u64,
}

/// Where a sequence is, as PostgreSQL keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePosition {
    pub last: i64,
    /// Whether `last` was given out: else it is the next value.
    pub is_called: bool,
}

/// A sequence as those know it who take its values: made by the planner, named to the master.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sequence {
    pub id: SequenceId,
    /// For messages.
    pub name: String,
    pub counting: Counting,
}

/// Values in their order, one increment apart; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueBlock {
    pub first: i64,
    pub increment: i64,
    pub count: u64,
}

impl ValueBlock {
    /// The value at a position below `count`.
    fn at(&self, position: u64) -> i64 {
        // Between two values that are 64 bits each: the product is not always.
        let value = i128::from(self.first) + i128::from(self.increment) * i128::from(position);
        value as i64
    }

    pub fn last(&self) -> i64 {
        self.at(self.count - 1)
    }

    pub fn values(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |position| self.at(position))
    }

    /// The first `count` values, and the others, if there are any.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn split(self, count: u64) -> (ValueBlock, Option<ValueBlock>) {
        assert!(count > 0, "a block has a value");
        if count >= self.count {
            return (self, None);
        }
        let rest = ValueBlock { first: self.at(count), count: self.count - count, ..self };
        (ValueBlock { count, ..self }, Some(rest))
    }
}

/// The values after `position`, `wanted` of them or as many as there are before the sequence ends or begins again. None: it has
/// ended, and does not cycle.
pub fn next_block(counting: &Counting, position: SequencePosition, wanted: u64) -> Option<ValueBlock> {
    let Counting { increment, min, max, cycle, .. } = *counting;
    let step = i128::from(if position.is_called { increment } else { 0 });
    let next = i128::from(position.last) + step;
    let (start, end) = if increment > 0 { (min, max) } else { (max, min) };
    let is_over = if increment > 0 { next > i128::from(max) } else { next < i128::from(min) };
    let first = match (is_over, cycle) {
        (false, _) => i64::try_from(next).ok()?,
        (true, true) => start,
        (true, false) => return None,
    };
    let room = (i128::from(end) - i128::from(first)).unsigned_abs() / i128::from(increment).unsigned_abs() + 1;
    let count = u64::try_from(room).unwrap_or(u64::MAX).min(wanted.max(1));
    Some(ValueBlock { first, increment, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(increment: i64, min: i64, max: i64, cycle: bool) -> Counting {
        Counting { increment, min, max, cycle, cache: 1 }
    }

    fn at(last: i64) -> SequencePosition {
        SequencePosition { last, is_called: true }
    }

    fn block(first: i64, increment: i64, count: u64) -> Option<ValueBlock> {
        Some(ValueBlock { first, increment, count })
    }

    #[test]
    fn values_follow_each_other_up_and_down() {
        let up = counting(1, 1, i64::MAX, false);
        assert_eq!(next_block(&up, SequencePosition { last: 1, is_called: false }, 3), block(1, 1, 3));
        assert_eq!(next_block(&up, at(3), 2), block(4, 1, 2));
        let down = counting(-5, i64::MIN, -1, false);
        assert_eq!(next_block(&down, at(-1), 2), block(-6, -5, 2));
        assert_eq!(block(-6, -5, 2).unwrap().values().collect::<Vec<_>>(), [-6, -11]);
        assert_eq!(block(-6, -5, 2).unwrap().last(), -11);
    }

    #[test]
    fn a_block_ends_where_the_sequence_does() {
        let once = counting(3, 1, 9, false);
        assert_eq!(next_block(&once, at(1), 100), block(4, 3, 2));
        assert_eq!(next_block(&once, at(7), 1), None);
        let again = counting(3, 1, 9, true);
        assert_eq!(next_block(&again, at(7), 100), block(1, 3, 3));
        let down = counting(-1, -2, 0, true);
        assert_eq!(next_block(&down, at(-2), 2), block(0, -1, 2));
    }

    #[test]
    fn the_ends_of_64_bits_are_values_like_others() {
        let all = counting(1, i64::MIN, i64::MAX, false);
        assert_eq!(next_block(&all, at(i64::MAX - 2), 10), block(i64::MAX - 1, 1, 2));
        assert_eq!(next_block(&all, at(i64::MAX), 1), None);
        let start = SequencePosition { last: i64::MIN, is_called: false };
        assert_eq!(next_block(&all, start, u64::MAX), block(i64::MIN, 1, u64::MAX));
        let wide = counting(i64::MAX, i64::MIN, i64::MAX, false);
        assert_eq!(next_block(&wide, start, 9), block(i64::MIN, i64::MAX, 3));
        assert_eq!(block(i64::MIN, i64::MAX, 3).unwrap().last(), i64::MAX - 1);
        let down = counting(i64::MIN, i64::MIN, 0, false);
        assert_eq!(next_block(&down, SequencePosition { last: 0, is_called: false }, 9), block(0, i64::MIN, 2));
    }

    #[test]
    fn a_block_is_split_without_losing_a_value() {
        let whole = block(10, -2, 5).unwrap();
        let (head, rest) = whole.split(2);
        let all: Vec<i64> = head.values().chain(rest.unwrap().values()).collect();
        assert_eq!(all, whole.values().collect::<Vec<_>>());
        assert_eq!(whole.split(5), (whole, None));
    }
}
