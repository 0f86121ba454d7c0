//! A batch's row numbers by destination: a counting sort.

use std::ops::Range;

/// Row numbers of one batch, grouped by destination, ascending within each. One pass counts, one pass places.
#[derive(Default)]
pub(super) struct Groups {
    rows: Vec<u32>,
    /// Where the rows of each destination end; they start where the one's before end.
    ends: Vec<u32>,
}

impl Groups {
    /// Groups rows 0, 1, … whose destinations are `owners`, each less than `destinations`.
    pub(super) fn group(&mut self, owners: &[u16], destinations: usize) {
        self.ends.clear();
        self.ends.resize(destinations, 0);
        for &owner in owners {
            self.ends[owner as usize] += 1;
        }
        let mut start = 0;
        for end in &mut self.ends {
            let count = *end;
            *end = start;
            start += count;
        }
        // Each start moves to its end as rows are placed.
        self.rows.resize(owners.len(), 0);
        for (row, &owner) in owners.iter().enumerate() {
            let at = &mut self.ends[owner as usize];
            self.rows[*at as usize] = row as u32;
            *at += 1;
        }
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Where a destination's rows are in [`Groups::rows`].
    pub(super) fn run(&self, destination: usize) -> Range<usize> {
        let start = destination.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[destination] as usize
    }

    /// The destination of all the rows, if there is only one.
    pub(super) fn only(&self) -> Option<usize> {
        let first = self.ends.iter().position(|&end| end > 0)?;
        (self.ends[first] as usize == self.rows.len()).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_in_order() {
        let mut groups = Groups::default();
        groups.group(&[2, 0, 2, 3, 0, 2], 5);
        let runs: Vec<_> = (0..5).map(|d| groups.rows()[groups.run(d)].to_vec()).collect();
        assert_eq!(runs, [vec![1, 4], vec![], vec![0, 2, 5], vec![3], vec![]]);
        assert_eq!(groups.only(), None);
    }

    #[test]
    fn one_destination_is_noticed() {
        let mut groups = Groups::default();
        for (owners, only) in [(vec![1, 1, 1], Some(1)), (vec![1, 1, 2], None), (vec![0, 2, 2], None), (vec![], None)] {
            groups.group(&owners, 3);
            assert_eq!(groups.only(), only, "{owners:?}");
        }
    }
}
