//! A table's statistics for the planner, merged over its files.

use super::files::TableFiles;
use damson_cluster::{Distribution, FileEntry, StatValue, TableDef, sketch};
use std::cmp::Ordering;
use std::sync::Arc;

/// Of the whole table, over all segments; a replicated table's rows count once.
#[derive(Clone, Debug, PartialEq)]
pub struct TableStatistics {
    pub rows: u64,
    /// One per column of the table.
    pub columns: Vec<ColumnStatistics>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnStatistics {
    pub nulls: u64,
    /// None where unknown or where all values are NULL. Bounds, not always values: see [`StatValue::Text`].
    pub min: Option<StatValue>,
    pub max: Option<StatValue>,
    /// Estimated number of distinct values that are not NULL, at most the number of such rows; None where unknown.
    pub distinct: Option<u64>,
    /// Mean length in bytes of a value that is not NULL; 0 without one.
    pub average_width: f64,
}

impl TableStatistics {
    pub(super) fn of(def: &TableDef, files: &TableFiles) -> Self {
        let files: Vec<&Arc<FileEntry>> = match def.distribution {
            // Every segment has all the rows: read one.
            Distribution::Replicated => files.contents().next().map_or(Vec::new(), |(_, files)| files.iter().collect()),
            Distribution::Hashed(_) | Distribution::Randomly => files.iter().collect(),
        };
        let rows = files.iter().map(|file| file.live_rows()).sum();
        TableStatistics {
            rows,
            columns: (0..def.columns.len()).map(|column| column_of(column, rows, &files)).collect(),
        }
    }
}

fn column_of(column: usize, rows: u64, files: &[&Arc<FileEntry>]) -> ColumnStatistics {
    let mut registers = sketch::empty();
    let (mut nulls, mut value_bytes) = (0, 0);
    let (mut min, mut max) = (Bound::default(), Bound::default());
    for file in files {
        let Some(stats) = file.columns.get(column) else {
            // The column was added later: NULL in every row of this file.
            nulls += file.live_rows();
            continue;
        };
        // Deleted rows are like the others, for all that is known.
        let live =
            |of_all: u64| (u128::from(of_all) * u128::from(file.live_rows())).div_ceil(u128::from(file.rows.max(1)));
        nulls += live(stats.nulls) as u64;
        value_bytes += live(stats.value_bytes) as u64;
        if stats.nulls == file.rows {
            continue;
        }
        sketch::merge(&mut registers, &stats.distinct_sketch);
        min.widen(stats.min.as_ref(), Ordering::Less);
        max.widen(stats.max.as_ref(), Ordering::Greater);
    }
    let values = rows.saturating_sub(nulls);
    let distinct = sketch::estimate(&registers).map(|estimate| (estimate.round() as u64).clamp(values.min(1), values));
    let average_width = if values == 0 { 0.0 } else { value_bytes as f64 / values as f64 };
    ColumnStatistics { nulls, min: min.value.cloned(), max: max.value.cloned(), distinct, average_width }
}

/// A running minimum or maximum. Unknown for good once a file with values does not say.
#[derive(Default)]
struct Bound<'a> {
    value: Option<&'a StatValue>,
    unknown: bool,
}

impl<'a> Bound<'a> {
    fn widen(&mut self, other: Option<&'a StatValue>, further: Ordering) {
        if self.unknown {
            return;
        }
        let order = match (self.value, other) {
            (None, Some(_)) => Some(further),
            (Some(value), Some(other)) => compare(other, value),
            (_, None) => None,
        };
        match order {
            Some(order) if order == further => self.value = other,
            Some(_) => {}
            None => *self = Bound { value: None, unknown: true },
        }
    }
}

/// None for values of different kinds and for NaN.
fn compare(a: &StatValue, b: &StatValue) -> Option<Ordering> {
    match (a, b) {
        (StatValue::Bool(a), StatValue::Bool(b)) => Some(a.cmp(b)),
        (StatValue::Int(a), StatValue::Int(b)) => Some(a.cmp(b)),
        (StatValue::Decimal(a), StatValue::Decimal(b)) => Some(a.cmp(b)),
        (StatValue::Float(a), StatValue::Float(b)) => a.partial_cmp(b),
        (StatValue::Text(a), StatValue::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;
    use damson_cluster::{ColumnDef, ColumnStats, Compression, ContentId, MapVersion, SnapshotId, TableId};

    fn column(name: &str) -> ColumnDef {
        let data_type = DataType::Int64;
        ColumnDef {
            name: name.into(),
            sql_type: "bigint".into(),
            data_type,
            nullable: true,
            default: None,
            identity: None,
        }
    }

    fn def(distribution: Distribution) -> TableDef {
        TableDef {
            id: TableId(1),
            schema: "public".into(),
            name: "t".into(),
            columns: vec![column("a"), column("added")],
            distribution,
            map_version: MapVersion(1),
            keys: vec![],
            checks: vec![],
            compression: Compression::None,
            layout: Default::default(),
            tablespace: None,
        }
    }

    fn file(content: i32, values: std::ops::Range<i64>, nulls: u64) -> FileEntry {
        let mut registers = sketch::empty();
        for value in values.clone() {
            // An odd multiplier spreads consecutive values over the whole hash space.
            let hash = (value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sketch::add(&mut registers, hash ^ (hash >> 29));
        }
        let count = (values.end - values.start) as u64;
        let some = count > 0;
        FileEntry {
            table: TableId(1),
            content: ContentId(content),
            path: format!("{content}-{}", values.start),
            rows: count + nulls,
            bytes: 100,
            checksum: 0,
            buckets: None,
            columns: vec![ColumnStats {
                nulls,
                min: some.then_some(StatValue::Int(values.start)),
                max: some.then_some(StatValue::Int(values.end - 1)),
                value_bytes: count * 8,
                distinct_sketch: registers,
            }],
            deletes: None,
            created: SnapshotId(1),
        }
    }

    fn files(entries: Vec<FileEntry>) -> TableFiles {
        let mut files = TableFiles::default();
        entries.into_iter().for_each(|entry| files.add(Arc::new(entry)));
        files
    }

    #[test]
    fn merges_over_files_and_counts_added_columns_as_null() {
        let files = files(vec![file(0, 0..1000, 5), file(1, 500..2000, 0), file(1, 0..0, 7)]);
        let statistics = TableStatistics::of(&def(Distribution::Hashed(vec![0])), &files);
        assert_eq!(statistics.rows, 2512);
        let a = &statistics.columns[0];
        assert_eq!((a.nulls, a.average_width), (12, 8.0));
        assert_eq!((a.min.clone(), a.max.clone()), (Some(StatValue::Int(0)), Some(StatValue::Int(1999))));
        let distinct = a.distinct.unwrap();
        assert!((1800..2200).contains(&distinct), "{distinct}");
        let added = &statistics.columns[1];
        assert_eq!((added.nulls, added.distinct, added.min.clone()), (2512, Some(0), None));
    }

    #[test]
    fn a_replicated_table_counts_once() {
        let files = files(vec![file(0, 0..10, 0), file(1, 0..10, 0), file(2, 0..10, 0)]);
        assert_eq!(TableStatistics::of(&def(Distribution::Replicated), &files).rows, 10);
    }

    #[test]
    fn an_unknown_bound_makes_the_whole_unknown() {
        let mut unknown = file(0, 0..10, 0);
        unknown.columns[0].max = None;
        unknown.columns[0].distinct_sketch = Vec::new();
        let files = files(vec![unknown, file(1, 5..20, 0)]);
        let statistics = TableStatistics::of(&def(Distribution::Randomly), &files);
        let a = &statistics.columns[0];
        assert_eq!((a.min.clone(), a.max.clone(), a.distinct), (Some(StatValue::Int(0)), None, None));
    }

    #[test]
    fn an_empty_table_has_empty_statistics() {
        let statistics = TableStatistics::of(&def(Distribution::Randomly), &TableFiles::default());
        assert_eq!((statistics.rows, statistics.columns[0].distinct), (0, Some(0)));
    }
}
