//! Which row groups of a file go to whom.

use crate::footers::Footer;
use crate::scan::RowGroupChoice;
use damson_cluster::{BUCKETS, ContentId, Departures, FileEntry};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What goes of a file as it is encoded. It follows from the file and the two maps alone: whoever moves the rest, row by row, knows what it is
/// ([`leaving_row_by_row`]).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// By taker: its row groups, ascending, at least one.
    pub takers: BTreeMap<ContentId, Vec<usize>>,
    /// Those of them that have rows which do not go along, by their number.
    pub divided: BTreeMap<usize, ContentId>,
}

impl Shares {
    /// `key`: by which the table's rows have their buckets. Row groups without rows that are not deleted go nowhere.
    pub(super) fn of(
        footer: &Footer,
        file: &FileEntry,
        key: &[usize],
        departures: &Departures,
        deleted: &RoaringBitmap,
    ) -> Self {
        let mut shares = Shares::default();
        let Some(ranges) = ranges(footer, key) else {
            let has_rows = deleted.len() < file.rows;
            if let Some(taker) = whole_taker(file, departures).filter(|_| has_rows) {
                shares.takers.insert(taker, (0..footer.metadata.metadata().num_row_groups()).collect());
            }
            return shares;
        };
        for (index, rows) in row_ranges(footer).into_iter().enumerate() {
            if deleted.range_cardinality(rows.clone()) == u64::from(rows.end - rows.start) {
                continue;
            }
            let fate = departures.fate(ranges[index].0, ranges[index].1);
            let Some(taker) = fate.taker else { continue };
            shares.takers.entry(taker).or_default().push(index);
            if fate.is_divided {
                shares.divided.insert(index, taker);
            }
        }
        shares
    }
}

/// Who takes which rows of a file that stays where it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Division {
    /// By taker: all rows of the row groups that are its own, deleted ones among them.
    pub takers: BTreeMap<ContentId, RoaringBitmap>,
    /// Row groups with rows of several owners, by their number.
    pub undecided: BTreeSet<usize>,
}

impl Division {
    /// As the footer says, if it agrees with the catalog about the whole file; else every row group may have rows of all of the file's buckets. Row groups without rows that are not deleted are nobody's.
    pub(super) fn of(
        footer: &Footer,
        file: &FileEntry,
        key: &[usize],
        departures: &Departures,
        deleted: &RoaringBitmap,
    ) -> Self {
        let of_file = file.buckets.unwrap_or((0, (BUCKETS - 1) as u16));
        let of_all = |ranges: &[(u16, u16)]| {
            ranges
                .iter()
                .copied()
                .reduce(|(low, high), (other_low, other_high)| (low.min(other_low), high.max(other_high)))
        };
        // Nobody looks at the rows afterwards: a footer that is wrong would be a wrong answer.
        let ranges = ranges(footer, key).filter(|ranges| file.buckets.is_none() || of_all(ranges) == file.buckets);
        let mut division = Division::default();
        for (index, rows) in row_ranges(footer).into_iter().enumerate() {
            if deleted.range_cardinality(rows.clone()) == u64::from(rows.end - rows.start) {
                continue;
            }
            let (low, high) = ranges.map_or(of_file, |ranges| ranges[index]);
            let fate = departures.fate(low, high);
            match fate.taker {
                _ if fate.is_divided || fate.others_leave => {
                    division.undecided.insert(index);
                }
                Some(taker) => {
                    division.takers.entry(taker).or_default().insert_range(rows);
                }
                None => {}
            }
        }
        division
    }
}

/// Who takes all of a file that does not say which row groups have what: what does not go as a whole is looked at row by row.
fn whole_taker(file: &FileEntry, departures: &Departures) -> Option<ContentId> {
    let (low, high) = file.buckets?;
    let fate = departures.fate(low, high);
    fate.taker.filter(|_| !fate.is_divided)
}

/// The row groups with rows that leave otherwise, after [`Shares`] have gone.
pub(crate) fn leaving_row_by_row(key: &[usize], departures: &Arc<Departures>) -> RowGroupChoice {
    let (key, departures) = (key.to_vec(), Arc::clone(departures));
    RowGroupChoice(Arc::new(move |footer: &Footer, index: usize| match ranges(footer, &key) {
        Some(ranges) => departures.fate(ranges[index].0, ranges[index].1).others_leave,
        None => true,
    }))
}

/// By row group: its smallest and largest bucket.
fn ranges<'a>(footer: &'a Footer, key: &[usize]) -> Option<&'a [(u16, u16)]> {
    footer.buckets.as_ref().filter(|buckets| buckets.key == key).map(|buckets| &buckets.ranges[..])
}

/// The numbers of each row group's rows.
pub(super) fn row_ranges(footer: &Footer) -> Vec<Range<u32>> {
    let mut end = 0;
    let row_groups = footer.metadata.metadata().row_groups().iter();
    let range = |rows: i64| {
        let first = end;
        // Row numbers of a table file have 32 bits.
        end += rows as u32;
        first..end
    };
    row_groups.map(|row_group| row_group.num_rows()).map(range).collect()
}
