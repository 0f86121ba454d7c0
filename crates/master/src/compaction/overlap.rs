//! Files of a table with a sort key whose keys lie over each other. Each is sorted by itself, as its statement wrote it; a query for a range of
//! the key reads one for every statement, until they are merged.
//!
//! Only the key's first column is looked at. Files of which it has one value, or bounds that are not exact, are left alone: merging
//! would change nothing that is seen here, and would be done again and again.

use damson_cluster::{FileEntry, StatValue};
use std::cmp::Ordering;
use std::sync::Arc;

/// Bytes of a text bound from which on it may have been cut: the writer keeps 64 bytes, of whole characters.
const EXACT_TEXT_BYTES: usize = 60;

/// A file and the smallest and largest value of the key in it.
struct Run<'a> {
    low: &'a StatValue,
    high: &'a StatValue,
    file: &'a FileEntry,
}

/// In the order of their smallest values.
fn runs<'a>(files: impl Iterator<Item = &'a Arc<FileEntry>>, key: usize) -> Vec<Run<'a>> {
    let run = |file: &'a Arc<FileEntry>| {
        let statistics = file.columns.get(key)?;
        let (low, high) = (statistics.min.as_ref()?, statistics.max.as_ref()?);
        let is_exact = |value: &StatValue| !matches!(value, StatValue::Text(text) if text.len() > EXACT_TEXT_BYTES);
        let is_run = is_exact(low) && is_exact(high) && order(low, high).is_lt();
        is_run.then_some(Run { low, high, file })
    };
    let mut runs: Vec<Run<'a>> = files.filter_map(run).collect();
    runs.sort_by(|a, b| order(a.low, b.low));
    runs
}

/// Of values of one column.
fn order(a: &StatValue, b: &StatValue) -> Ordering {
    match (a, b) {
        (StatValue::Bool(a), StatValue::Bool(b)) => a.cmp(b),
        (StatValue::Int(a), StatValue::Int(b)) => a.cmp(b),
        (StatValue::Decimal(a), StatValue::Decimal(b)) => a.cmp(b),
        (StatValue::Float(a), StatValue::Float(b)) => a.total_cmp(b),
        (StatValue::Text(a), StatValue::Text(b)) => a.cmp(b),
        // A column has one type; whatever this is, it is not worth being written anew.
        _ => Ordering::Equal,
    }
}

/// Every file that lies over another.
pub(super) fn all<'a>(files: impl Iterator<Item = &'a Arc<FileEntry>>, key: usize) -> Vec<&'a FileEntry> {
    let mut chosen = vec![];
    let mut group: Vec<Run<'a>> = vec![];
    let mut reach: Option<&StatValue> = None;
    let end = |group: &mut Vec<Run<'a>>, chosen: &mut Vec<&'a FileEntry>| {
        if group.len() > 1 {
            chosen.extend(group.iter().map(|run| run.file));
        }
        group.clear();
    };
    for run in runs(files, key) {
        if reach.is_some_and(|reach| order(reach, run.low).is_le()) {
            end(&mut group, &mut chosen);
            reach = None;
        }
        reach = Some(reach.map_or(run.high, |reach| if order(reach, run.high).is_lt() { run.high } else { reach }));
        group.push(run);
    }
    end(&mut group, &mut chosen);
    chosen
}

/// At least `files_min` files that lie over each other where most do, of at most `bytes_max` bytes, the smallest first; none if there are not so
/// many. A file is among them only if the smaller ones are together as large: what it is merged into is twice as large at least, so
/// that a row is written anew by this as often as `bytes_max` can be halved down to its first file.
pub(super) fn deepest<'a>(
    files: impl Iterator<Item = &'a Arc<FileEntry>>,
    key: usize,
    files_min: usize,
    bytes_max: u64,
) -> Vec<&'a FileEntry> {
    let runs = runs(files, key);
    let Some(place) = deepest_place(&runs) else { return vec![] };
    let is_there = |run: &&Run<'a>| order(run.low, place).is_le() && order(place, run.high).is_lt();
    let mut there: Vec<&FileEntry> = runs.iter().filter(is_there).map(|run| run.file).collect();
    there.sort_by_key(|file| file.bytes);
    let (mut chosen, mut bytes) = (0, 0);
    for file in &there {
        let is_even = chosen == 0 || file.bytes <= bytes;
        if !is_even || bytes + file.bytes > bytes_max {
            break;
        }
        bytes += file.bytes;
        chosen += 1;
    }
    there.truncate(chosen);
    if there.len() >= files_min { there } else { vec![] }
}

/// The value that most runs lie over; None without runs.
fn deepest_place<'a>(runs: &[Run<'a>]) -> Option<&'a StatValue> {
    let mut highs: Vec<&StatValue> = runs.iter().map(|run| run.high).collect();
    highs.sort_by(|a, b| order(a, b));
    let (mut ended, mut deepest, mut place) = (0, 0, None);
    for (begun, run) in runs.iter().enumerate() {
        while order(highs[ended], run.low).is_le() {
            ended += 1;
        }
        let depth = begun + 1 - ended;
        if depth > deepest {
            (deepest, place) = (depth, Some(run.low));
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{ColumnStats, ContentId, SnapshotId, TableId};

    fn file(path: &str, bytes: u64, bounds: Option<(StatValue, StatValue)>) -> Arc<FileEntry> {
        let (min, max) = bounds.map_or((None, None), |(min, max)| (Some(min), Some(max)));
        Arc::new(FileEntry {
            table: TableId(1),
            content: ContentId(0),
            path: path.into(),
            rows: 1 << 20,
            bytes,
            checksum: 0,
            buckets: None,
            columns: vec![ColumnStats { min, max, ..ColumnStats::UNKNOWN }],
            deletes: None,
            created: SnapshotId(1),
        })
    }

    fn ints(path: &str, bytes: u64, low: i64, high: i64) -> Arc<FileEntry> {
        file(path, bytes, Some((StatValue::Int(low), StatValue::Int(high))))
    }

    fn paths(mut files: Vec<&FileEntry>) -> Vec<&str> {
        files.sort_by_key(|file| &file.path);
        files.into_iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn files_that_touch_do_not_overlap() {
        let sorted = [ints("a", 1, 0, 5), ints("b", 1, 5, 5), ints("c", 1, 5, 5), ints("d", 1, 5, 9)];
        assert!(all(sorted.iter(), 0).is_empty());
        assert!(deepest(sorted.iter(), 0, 2, u64::MAX).is_empty());
        let mixed = [ints("a", 1, 0, 5), ints("b", 1, 4, 9), ints("c", 1, 9, 12), ints("d", 1, 10, 11)];
        assert_eq!(paths(all(mixed.iter(), 0)), ["a", "b", "c", "d"]);
        let one_is_alone = [ints("a", 1, 0, 9), ints("b", 1, 9, 12), ints("c", 1, 2, 3)];
        assert_eq!(paths(all(one_is_alone.iter(), 0)), ["a", "c"]);
    }

    #[test]
    fn the_deepest_place_is_merged_as_far_as_it_is_worth_it() {
        let files = [
            ints("a", 10, 0, 100),
            ints("b", 10, 40, 60),
            ints("c", 20, 50, 70),
            ints("d", 90, 45, 55),
            ints("e", 1, 80, 90),
            ints("f", 1, 85, 86),
        ];
        // d is larger than a, b and c together.
        assert_eq!(paths(deepest(files.iter(), 0, 3, u64::MAX)), ["a", "b", "c"]);
        assert!(deepest(files.iter(), 0, 4, u64::MAX).is_empty());
        assert_eq!(paths(deepest(files.iter(), 0, 2, 39)), ["a", "b"]);
        assert!(deepest(files.iter(), 0, 2, 19).is_empty());
    }

    #[test]
    fn what_is_not_known_exactly_is_left_alone() {
        let long = |last: &str| StatValue::Text(format!("{}{last}", "x".repeat(61)));
        let files = [
            file("a", 1, Some((long("a"), long("c")))),
            file("b", 1, Some((long("b"), long("d")))),
            file("c", 1, None),
        ];
        assert!(all(files.iter(), 0).is_empty() && all(files.iter(), 3).is_empty());
        let text = |text: &str| StatValue::Text(text.into());
        let files = [file("a", 1, Some((text("a"), text("c")))), file("b", 1, Some((text("b"), text("d"))))];
        assert_eq!(paths(all(files.iter(), 0)), ["a", "b"]);
        assert_eq!(paths(deepest(files.iter(), 0, 2, 2)), ["a", "b"]);
    }
}
