//! Rows of small system tables, and their way into a batch.

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int16Builder, Int32Array, Int64Array, Int64Builder,
    ListBuilder, StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    SmallInt,
    Integer,
    BigInt,
    Double,
    Bool,
    Real,
    /// Microseconds since 1970 UTC.
    Time,
    /// `smallint[]`, which stands for int2vector too.
    SmallInts,
    /// `bigint[]`: of oids.
    BigInts,
    Texts,
}

/// A column of a system table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

pub(super) const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}
pub(super) const fn smallint(name: &'static str) -> Column {
    Column { name, kind: Kind::SmallInt }
}
pub(super) const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer }
}
pub(super) const fn bigint(name: &'static str) -> Column {
    Column { name, kind: Kind::BigInt }
}
/// An object's id.
pub(super) const fn oid(name: &'static str) -> Column {
    bigint(name)
}
pub(super) const fn smallints(name: &'static str) -> Column {
    Column { name, kind: Kind::SmallInts }
}
pub(super) const fn bigints(name: &'static str) -> Column {
    Column { name, kind: Kind::BigInts }
}
pub(super) const fn texts(name: &'static str) -> Column {
    Column { name, kind: Kind::Texts }
}
pub(super) const fn real(name: &'static str) -> Column {
    Column { name, kind: Kind::Real }
}
pub(super) const fn double(name: &'static str) -> Column {
    Column { name, kind: Kind::Double }
}
pub(super) const fn time(name: &'static str) -> Column {
    Column { name, kind: Kind::Time }
}
pub(super) const fn boolean(name: &'static str) -> Column {
    Column { name, kind: Kind::Bool }
}

/// One value; `Int` fits all three integer kinds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Cell::Text(value.to_owned())
    }
}
impl From<String> for Cell {
    fn from(value: String) -> Self {
        Cell::Text(value)
    }
}
impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Int(value)
    }
}
impl From<i32> for Cell {
    fn from(value: i32) -> Self {
        Cell::Int(value.into())
    }
}
impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Cell::Int(value.into())
    }
}
impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        // Ids, rows and bytes: below 2^63.
        Cell::Int(value.cast_signed())
    }
}
impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Cell::from(value as u64)
    }
}
impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Cell::Double(value)
    }
}
impl From<i16> for Cell {
    fn from(value: i16) -> Self {
        Cell::Int(value.into())
    }
}
impl From<Vec<i64>> for Cell {
    fn from(values: Vec<i64>) -> Self {
        Cell::Ints(values)
    }
}
impl From<Vec<String>> for Cell {
    fn from(values: Vec<String>) -> Self {
        Cell::Texts(values)
    }
}
impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Bool(value)
    }
}
impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

/// `row![a, b]`: cells of anything that can be one.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::system::cells::Cell::from($value)),*] };
}
pub(super) use row;

pub(super) type Row = Vec<Cell>;

pub(super) fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(column.name, data_type(column.kind), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8View,
        Kind::SmallInt => DataType::Int16,
        Kind::Integer => DataType::Int32,
        Kind::BigInt => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::Real => DataType::Float32,
        Kind::SmallInts => DataType::new_list(DataType::Int16, true),
        Kind::BigInts => DataType::new_list(DataType::Int64, true),
        Kind::Texts => DataType::new_list(DataType::Utf8View, true),
        Kind::Bool => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
    }
}

/// # Panics
/// If a row does not fit `columns`: system tables are made by this crate alone, and each has a test.
pub(super) fn batch_of(columns: &[Column], rows: &[Row]) -> RecordBatch {
    for row in rows {
        assert_eq!(row.len(), columns.len(), "a system table's row has a cell for each column: {row:?}");
    }
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| array_of(*column, rows.iter().map(|row| &row[index])))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema_of(columns), arrays, &options).expect("arrays were made for the schema")
}

fn array_of<'a>(column: Column, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    let wrong = |cell: &Cell| -> ! { panic!("system column {}: {cell:?}", column.name) };
    let int = |cell: &Cell| match cell {
        Cell::Int(value) => Some(*value),
        Cell::Null => None,
        cell => wrong(cell),
    };
    match column.kind {
        Kind::Text => Arc::new(StringViewArray::from_iter(cells.map(|cell| match cell {
            Cell::Text(value) => Some(value.as_str()),
            Cell::Null => None,
            cell => wrong(cell),
        }))),
        Kind::SmallInt => {
            let narrow = |cell: &Cell| int(cell).map(|value| i16::try_from(value).unwrap_or_else(|_| wrong(cell)));
            Arc::new(Int16Array::from_iter(cells.map(narrow)))
        }
        Kind::Integer => {
            let narrow = |cell: &Cell| int(cell).map(|value| i32::try_from(value).unwrap_or_else(|_| wrong(cell)));
            Arc::new(Int32Array::from_iter(cells.map(narrow)))
        }
        Kind::BigInt => Arc::new(Int64Array::from_iter(cells.map(int))),
        Kind::Time => Arc::new(TimestampMicrosecondArray::from_iter(cells.map(int)).with_timezone("+00:00")),
        Kind::Double => Arc::new(Float64Array::from_iter(cells.map(|cell| match cell {
            Cell::Double(value) => Some(*value),
            Cell::Null => None,
            cell => wrong(cell),
        }))),
        Kind::Real => Arc::new(Float32Array::from_iter(cells.map(|cell| match cell {
            Cell::Double(value) => Some(*value as f32),
            Cell::Null => None,
            cell => wrong(cell),
        }))),
        Kind::SmallInts => {
            let mut lists = ListBuilder::new(Int16Builder::new());
            for cell in cells {
                let narrow = |value: &i64| Some(i16::try_from(*value).unwrap_or_else(|_| wrong(cell)));
                match cell {
                    Cell::Ints(values) => lists.append_value(values.iter().map(narrow)),
                    Cell::Null => lists.append_null(),
                    cell => wrong(cell),
                }
            }
            Arc::new(lists.finish())
        }
        Kind::BigInts => {
            let mut lists = ListBuilder::new(Int64Builder::new());
            for cell in cells {
                match cell {
                    Cell::Ints(values) => lists.append_value(values.iter().copied().map(Some)),
                    Cell::Null => lists.append_null(),
                    cell => wrong(cell),
                }
            }
            Arc::new(lists.finish())
        }
        Kind::Texts => {
            let mut lists = ListBuilder::new(StringViewBuilder::new());
            for cell in cells {
                match cell {
                    Cell::Texts(values) => lists.append_value(values.iter().map(|value| Some(value.as_str()))),
                    Cell::Null => lists.append_null(),
                    cell => wrong(cell),
                }
            }
            Arc::new(lists.finish())
        }
        Kind::Bool => Arc::new(BooleanArray::from_iter(cells.map(|cell| match cell {
            Cell::Bool(value) => Some(*value),
            Cell::Null => None,
            cell => wrong(cell),
        }))),
    }
}
