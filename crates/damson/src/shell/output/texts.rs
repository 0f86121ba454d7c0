//! Values as PostgreSQL prints them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UnionArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use arrow::util::display::array_value_to_string;
use damson_storage::text::ColumnPrinter;
use std::io;
use std::sync::Arc;

/// How a program should take a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Boolean,
    Other,
}

/// Metadata of a field whose texts are numbers.
const NUMBER: &str = "number";

/// A column of numbers as the server has printed them.
pub(in crate::shell) fn number_field(field: Field) -> Field {
    field.with_metadata([(NUMBER.to_owned(), String::new())].into())
}

impl Kind {
    pub(super) fn of_field(field: &Field) -> Self {
        if field.metadata().contains_key(NUMBER) { Kind::Number } else { Kind::of(field.data_type()) }
    }

    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Kind::Boolean,
            DataType::Dictionary(_, value) => Kind::of(value),
            data_type if data_type.is_numeric() => Kind::Number,
            _ => Kind::Other,
        }
    }
}

/// A batch whose values can be printed.
pub(crate) struct Texts {
    columns: Vec<ArrayRef>,
}

impl Texts {
    /// # Errors
    /// A type that cannot be printed.
    pub(crate) fn new(batch: &RecordBatch) -> io::Result<Self> {
        let columns = batch.columns().iter().map(printable).collect::<io::Result<_>>()?;
        Ok(Texts { columns })
    }

    /// Calls `row` for each row with its cells, NULL as None.
    pub(crate) fn rows(&self, rows: usize, mut row: impl FnMut(&[Option<&str>]) -> io::Result<()>) -> io::Result<()> {
        let unprintable =
            |c: &ArrayRef| io::Error::other(format!("a value of type {} cannot be printed", c.data_type()));
        let printer = |c| ColumnPrinter::new(c).ok_or_else(|| unprintable(c));
        let printers = self.columns.iter().map(printer).collect::<io::Result<Vec<_>>>()?;
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(printers.len());
        for at in 0..rows {
            text.clear();
            ends.clear();
            for (printer, column) in printers.iter().zip(&self.columns) {
                let is_null = column.is_null(at);
                if !is_null {
                    printer.print(at, &mut text);
                }
                ends.push((text.len(), is_null));
            }
            let text = std::str::from_utf8(&text).map_err(io::Error::other)?;
            let mut start = 0;
            let cell = |&(end, is_null): &(usize, bool)| {
                let cell = &text[std::mem::replace(&mut start, end)..end];
                (!is_null).then_some(cell)
            };
            row(&ends.iter().map(cell).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// The column with a type that [`ColumnPrinter`] knows.
fn printable(column: &ArrayRef) -> io::Result<ArrayRef> {
    let target = match column.data_type() {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) => DataType::Decimal128(*precision, *scale),
        // The shell's own texts are shown for what nobody prints shorter.
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Interval(unit) if *unit != IntervalUnit::MonthDayNano => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, value) => return printable(&cast(column, value).map_err(io::Error::other)?),
        DataType::Decimal256(_, _) => DataType::Utf8View,
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::Struct(_)
        | DataType::Map(_, _)
        | DataType::Union(_, _) => return nested(column),
        _ => return Ok(Arc::clone(column)),
    };
    cast(column, &target).map_err(io::Error::other)
}

/// Arrays as `{1,2}`, records as `(1,2)`; elements in quotes where they need them.
fn nested(column: &ArrayRef) -> io::Result<ArrayRef> {
    let text = |row| -> io::Result<Option<String>> {
        if column.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match column.data_type() {
            DataType::List(_) => list(&column.as_list::<i32>().value(row))?,
            DataType::LargeList(_) => list(&column.as_list::<i64>().value(row))?,
            DataType::FixedSizeList(_, _) => list(&column.as_fixed_size_list().value(row))?,
            DataType::Struct(_) => {
                let fields = column.as_struct().columns().iter();
                let values = fields.map(|field| Ok(elements(&field.slice(row, 1))?.remove(0)));
                let values = values.collect::<io::Result<Vec<_>>>()?;
                let quoted = values.into_iter().map(|v| v.map_or(String::new(), |v| quote(&v, "(),")));
                format!("({})", quoted.collect::<Vec<_>>().join(","))
            }
            DataType::Union(_, _) => union(column.as_any().downcast_ref::<UnionArray>(), row)?,
            _ => array_value_to_string(column, row).map_err(io::Error::other)?,
        }))
    };
    let texts = (0..column.len()).map(text).collect::<io::Result<Vec<_>>>()?;
    Ok(Arc::new(arrow::array::StringViewArray::from_iter(texts)))
}

/// The value that a union has.
fn union(column: Option<&UnionArray>, row: usize) -> io::Result<String> {
    let column = column.ok_or_else(|| io::Error::other("a union is not one"))?;
    Ok(elements(&column.value(row))?.remove(0).unwrap_or_default())
}

fn list(values: &ArrayRef) -> io::Result<String> {
    let is_nested = values.data_type().is_nested();
    let value = |value: Option<String>| match value {
        None => "NULL".to_owned(),
        Some(value) if is_nested => value,
        Some(value) if value.eq_ignore_ascii_case("null") => format!("\"{value}\""),
        Some(value) => quote(&value, "{},"),
    };
    let values: Vec<_> = elements(values)?.into_iter().map(value).collect();
    Ok(format!("{{{}}}", values.join(",")))
}

fn elements(values: &ArrayRef) -> io::Result<Vec<Option<String>>> {
    let mut texts = vec![];
    Texts { columns: vec![printable(values)?] }.rows(values.len(), |cells| {
        texts.push(cells[0].map(str::to_owned));
        Ok(())
    })?;
    Ok(texts)
}

fn quote(value: &str, special: &str) -> String {
    let needs_quotes =
        value.is_empty() || value.contains(|c: char| special.contains(c) || c == '"' || c == '\\' || c.is_whitespace());
    if !needs_quotes {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, Float64Array, Int32Array, ListArray, StringArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::{Int32Type, i256};

    /// Numbers, texts with everything that needs quotes, NULLs.
    pub(in crate::shell) fn sample() -> RecordBatch {
        let decimals = Decimal128Array::from(vec![Some(150), None, Some(-5)]).with_precision_and_scale(30, 2);
        RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(Int32Array::from(vec![1, -20, 300])) as ArrayRef, false),
            ("d", Arc::new(decimals.expect("fits")), true),
            ("f", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None])), true),
            ("t", Arc::new(StringArray::from(vec![Some("x,\"y"), None, Some("two\nlines")])), true),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), true),
        ])
        .expect("equal lengths")
    }

    fn texts(column: impl Array + 'static) -> Vec<Option<String>> {
        elements(&(Arc::new(column) as ArrayRef)).expect("printable")
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|t| Some((*t).to_owned())).collect()
    }

    #[test]
    fn values_are_postgresqls() {
        let full = "12345678901234567890.123456789";
        let decimal = Decimal128Array::from(vec![12_345_678_901_234_567_890_123_456_789]);
        assert_eq!(texts(decimal.with_precision_and_scale(30, 9).expect("fits")), some(&[full]));
        let wide = Decimal256Array::from(vec![i256::from(150)]).with_precision_and_scale(50, 2).expect("fits");
        assert_eq!(texts(wide), some(&["1.50"]));
        assert_eq!(texts(Float64Array::from(vec![0.1, 1e300, -0.5])), some(&["0.1", "1e+300", "-0.5"]));
        assert_eq!(texts(UInt64Array::from(vec![u64::MAX])), some(&["18446744073709551615"]));
        assert_eq!(texts(BinaryArray::from(vec![&b"\x00\xff"[..]])), some(&["\\x00ff"]));
        assert_eq!(texts(TimestampNanosecondArray::from(vec![1_500_000_000])), some(&["1970-01-01 00:00:01.5"]));
        assert_eq!(texts(arrow::array::NullArray::new(1)), [None]);
    }

    #[test]
    fn arrays_are_postgresqls() {
        let numbers =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        assert_eq!(texts(numbers), [Some("{1,NULL}".into()), None, Some("{}".into())]);
        assert_eq!(
            list(&(Arc::new(StringArray::from(vec!["a", "b c", "", "null", "q\"", "{"])) as ArrayRef)).expect("text"),
            r#"{a,"b c","","null","q\"","{"}"#
        );
    }

    #[test]
    fn kinds_of_columns() {
        assert_eq!(Kind::of(&DataType::Decimal128(10, 2)), Kind::Number);
        assert_eq!(Kind::of(&DataType::Boolean), Kind::Boolean);
        assert_eq!(Kind::of(&DataType::Date32), Kind::Other);
        let text = Field::new("t", DataType::Utf8, true);
        assert_eq!((Kind::of_field(&text), Kind::of_field(&number_field(text.clone()))), (Kind::Other, Kind::Number));
    }
}
