//! What the catalog says of a file's columns, in the words of a pruning predicate: a file whose bounds exclude its rows is not opened, which
//! spares more than reading it, as the first look at a file compares its whole checksum.

use damson_cluster::{ColumnStats, FileEntry, StatValue};
use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column as ColumnName, ScalarValue};
use std::collections::HashSet;
use std::sync::Arc;

/// The statistics that came with a file's entry. The master sends those of columns that a filter may be on; of the others it says nothing,
/// and neither does an entry without columns.
#[derive(Debug)]
pub(crate) struct FileStatistics {
    rows: u64,
    columns: Vec<ColumnStats>,
}

impl FileStatistics {
    /// None where nothing is said.
    pub(crate) fn of(file: &FileEntry) -> Option<Self> {
        let says = file.columns.iter().any(says_something);
        says.then(|| FileStatistics { rows: file.rows, columns: file.columns.clone() })
    }

    pub(crate) fn with_names<'a>(&'a self, table: &'a Schema) -> NamedStatistics<'a> {
        NamedStatistics { table, file: self }
    }
}

/// A column that has neither bounds nor NULLs was left out; bytes, which have no bounds, look the same.
fn says_something(column: &ColumnStats) -> bool {
    column.nulls > 0 || column.min.is_some() || column.max.is_some()
}

/// A file's statistics under the names of the table, matched by position.
pub(crate) struct NamedStatistics<'a> {
    table: &'a Schema,
    file: &'a FileStatistics,
}

impl NamedStatistics<'_> {
    fn column(&self, name: &ColumnName) -> Option<(&ColumnStats, &DataType)> {
        let position = self.table.index_of(name.name()).ok()?;
        let column = self.file.columns.get(position).filter(|column| says_something(column))?;
        Some((column, self.table.field(position).data_type()))
    }
}

impl PruningStatistics for NamedStatistics<'_> {
    fn min_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        let (statistics, data_type) = self.column(column)?;
        // Of two zeros, the smaller one may be there.
        let value = match statistics.min.as_ref()? {
            StatValue::Float(value) if *value == 0.0 => scalar(&StatValue::Float(-0.0), data_type)?,
            value => scalar(value, data_type)?,
        };
        value.to_array().ok()
    }

    fn max_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        let (statistics, data_type) = self.column(column)?;
        let value = match statistics.max.as_ref()? {
            StatValue::Float(value) if *value == 0.0 => scalar(&StatValue::Float(0.0), data_type)?,
            value => scalar(value, data_type)?,
        };
        value.to_array().ok()
    }

    fn num_containers(&self) -> usize {
        1
    }

    fn null_counts(&self, column: &ColumnName) -> Option<ArrayRef> {
        let (statistics, _) = self.column(column)?;
        Some(Arc::new(UInt64Array::from(vec![statistics.nulls])))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![self.file.rows])))
    }

    fn contained(&self, _: &ColumnName, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// None where the value is not one of the type: the column is another by now.
fn scalar(value: &StatValue, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (value, data_type) {
        (StatValue::Bool(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (StatValue::Int(value), DataType::Int16) => ScalarValue::Int16(Some(i16::try_from(*value).ok()?)),
        (StatValue::Int(value), DataType::Int32) => ScalarValue::Int32(Some(i32::try_from(*value).ok()?)),
        (StatValue::Int(value), DataType::Int64) => ScalarValue::Int64(Some(*value)),
        (StatValue::Int(value), DataType::Date32) => ScalarValue::Date32(Some(i32::try_from(*value).ok()?)),
        (StatValue::Int(value), DataType::Time64(TimeUnit::Microsecond)) => {
            ScalarValue::Time64Microsecond(Some(*value))
        }
        (StatValue::Int(value), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        (StatValue::Decimal(value), DataType::Decimal64(precision, scale)) => {
            ScalarValue::Decimal64(Some(i64::try_from(*value).ok()?), *precision, *scale)
        }
        (StatValue::Decimal(value), DataType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        (StatValue::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (StatValue::Float(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (StatValue::Text(value), DataType::Utf8View) => ScalarValue::Utf8View(Some(value.clone())),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::pruning::Pruner;
    use super::*;
    use damson_cluster::{ContentId, SnapshotId, TableId};
    use datafusion::arrow::datatypes::Field;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::{Column, binary, is_null, lit};

    fn column(nulls: u64, bounds: Option<(StatValue, StatValue)>) -> ColumnStats {
        let (min, max) = bounds.map_or((None, None), |(min, max)| (Some(min), Some(max)));
        ColumnStats { nulls, min, max, value_bytes: 0, distinct_sketch: vec![] }
    }

    fn file(columns: Vec<ColumnStats>) -> FileEntry {
        FileEntry {
            table: TableId(1),
            content: ContentId(0),
            path: "a".into(),
            rows: 10,
            bytes: 1,
            checksum: 0,
            buckets: None,
            columns,
            deletes: None,
            created: SnapshotId(0),
        }
    }

    #[test]
    fn a_file_is_excluded_by_what_is_said_of_it_alone() {
        let table = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("t", DataType::Utf8View, true),
            Field::new("f", DataType::Float64, true),
        ]));
        let ints = column(0, Some((StatValue::Int(10), StatValue::Int(20))));
        let texts = column(3, Some((StatValue::Text("b".into()), StatValue::Text("d".into()))));
        let floats = column(0, Some((StatValue::Float(0.0), StatValue::Float(0.0))));
        let said = file(vec![ints.clone(), texts.clone(), floats]);
        let a = || Arc::new(Column::new("a", 0)) as Arc<dyn PhysicalExpr>;
        let t = || Arc::new(Column::new("t", 1)) as Arc<dyn PhysicalExpr>;
        let f = || Arc::new(Column::new("f", 2)) as Arc<dyn PhysicalExpr>;
        let text = |value: &str| lit(ScalarValue::Utf8View(Some(value.into())));
        let compare = |left, op, right| binary(left, op, right, &table).unwrap();
        let excludes = |predicate: &Arc<dyn PhysicalExpr>, file: &FileEntry| {
            let mut pruner = Pruner::new(Arc::clone(predicate), Arc::clone(&table));
            FileStatistics::of(file).is_some_and(|statistics| pruner.excludes_file(&statistics))
        };
        let nothing = file(vec![column(0, None), column(0, None), column(0, None)]);
        let later = file(vec![ints.clone()]);
        for (predicate, is_excluded) in [
            (compare(a(), Operator::Gt, lit(20i64)), true),
            (compare(a(), Operator::GtEq, lit(20i64)), false),
            (compare(a(), Operator::Eq, lit(9i64)), true),
            (compare(t(), Operator::Lt, text("b")), true),
            (compare(t(), Operator::Eq, text("c")), false),
            (is_null(a()).unwrap(), true),
            (is_null(t()).unwrap(), false),
            // The bounds' zero may be either.
            (compare(f(), Operator::Eq, lit(-0.0f64)), false),
            (compare(f(), Operator::Gt, lit(0.0f64)), true),
        ] {
            assert_eq!(excludes(&predicate, &said), is_excluded, "{predicate}");
            assert!(!excludes(&predicate, &nothing), "{predicate}: nothing is known");
            let is_of_a = predicate.to_string().contains("a@0");
            assert_eq!(
                excludes(&predicate, &later),
                is_excluded && is_of_a,
                "{predicate}: the file may have had no more"
            );
        }
        assert!(FileStatistics::of(&nothing).is_none());
    }
}
