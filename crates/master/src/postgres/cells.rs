//! Values of a batch → text or binary, as PostgreSQL has them.

use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::postgres::columns::pg_type;
use damson_pg::backend::{MessageTooLong, Messages, value};
use damson_pg::frontend::{Format, Formats};
use damson_pg::values;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use std::ops::Range;
use std::sync::Arc;

impl From<MessageTooLong> for SqlError {
    fn from(error: MessageTooLong) -> Self {
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, error.to_string())
    }
}

/// A batch whose columns have types that [`Cells`] knows.
pub(super) struct Rows(Vec<ArrayRef>, usize);

impl Rows {
    /// # Errors
    /// 22003 for numerics of over 38 digits.
    pub(super) fn new(batch: &RecordBatch) -> SqlResult<Self> {
        let columns = batch.columns().iter().map(known).collect::<SqlResult<Vec<_>>>()?;
        Ok(Rows(columns, batch.num_rows()))
    }

    /// What writes them. Made once a batch.
    ///
    /// # Errors
    /// A column that cannot be shown.
    pub(super) fn writer(&self, formats: &Formats) -> SqlResult<RowWriter<'_>> {
        let columns = self.0.iter().enumerate().map(|(at, column)| Cells::new(column, formats.of(at)));
        let count = u16::try_from(self.0.len())
            .map_err(|_| SqlError::new(SqlState::TOO_MANY_COLUMNS, "a result can have at most 65535 columns"))?;
        Ok(RowWriter { columns: columns.collect::<SqlResult<_>>()?, count, rows: self.1 })
    }
}

/// Writes a batch's rows.
pub(super) struct RowWriter<'a> {
    columns: Vec<Cells<'a>>,
    count: u16,
    rows: usize,
}

impl RowWriter<'_> {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends row `row` as a DataRow.
    ///
    /// # Errors
    /// A value that its format cannot hold.
    pub(super) fn write(&self, row: usize, out: &mut Messages) -> SqlResult<()> {
        out.row(self.count, |out| {
            for column in &self.columns {
                let write = |out: &mut Vec<u8>| column.write(row, out);
                value(out, (!column.is_null(row)).then_some(write))?;
            }
            Ok(())
        })
    }
}

/// A column as the types that are written.
fn known(column: &ArrayRef) -> SqlResult<ArrayRef> {
    let wanted = known_type(column.data_type());
    if wanted == *column.data_type() {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(column, &wanted, &options).map_err(|error| match error {
        ArrowError::CastError(_) | ArrowError::ArithmeticOverflow(_) | ArrowError::InvalidArgumentError(_) => {
            SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value overflows the format in which it is sent")
        }
        other => internal(other),
    })
}

fn known_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, scale) => DataType::Decimal128(38, *scale),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, value) => known_type(value),
        DataType::RunEndEncoded(_, value) => known_type(value.data_type()),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(known_field(item)))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| known_field(field)).collect()),
        other => other.clone(),
    }
}

fn known_field(field: &Field) -> Field {
    Field::new(field.name(), known_type(field.data_type()), field.is_nullable())
}

/// One column, and how its values are written.
enum Cells<'a> {
    Null,
    Boolean(&'a BooleanArray, Format),
    Int16(&'a PrimitiveArray<Int16Type>, Format),
    Int32(&'a PrimitiveArray<Int32Type>, Format),
    Int64(&'a PrimitiveArray<Int64Type>, Format),
    Float32(&'a PrimitiveArray<Float32Type>, Format),
    Float64(&'a PrimitiveArray<Float64Type>, Format),
    Numeric(&'a PrimitiveArray<Decimal128Type>, i8, Format),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Bytes(&'a BinaryArray, Format),
    LargeBytes(&'a LargeBinaryArray, Format),
    BytesView(&'a BinaryViewArray, Format),
    FixedBytes(&'a FixedSizeBinaryArray, Format),
    Date(&'a PrimitiveArray<Date32Type>, Format),
    Time(&'a PrimitiveArray<Time64MicrosecondType>, Format),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>, bool, Format),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>, Format),
    List(&'a ListArray, Box<Cells<'a>>, Format),
    /// Lists of lists, as text in both formats: see [`pg_type`].
    Lists(&'a ListArray, Box<Cells<'a>>),
    /// As text in both formats, too.
    Record(&'a StructArray, Vec<Cells<'a>>),
    /// What PostgreSQL has nothing like.
    Shown(&'a dyn Array, ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn new(column: &'a ArrayRef, format: Format) -> SqlResult<Self> {
        Ok(match column.data_type() {
            DataType::Null => Cells::Null,
            DataType::Boolean => Cells::Boolean(column.as_boolean(), format),
            DataType::Int16 => Cells::Int16(column.as_primitive(), format),
            DataType::Int32 => Cells::Int32(column.as_primitive(), format),
            DataType::Int64 => Cells::Int64(column.as_primitive(), format),
            DataType::Float32 => Cells::Float32(column.as_primitive(), format),
            DataType::Float64 => Cells::Float64(column.as_primitive(), format),
            DataType::Decimal128(_, scale) => Cells::Numeric(column.as_primitive(), *scale, format),
            DataType::Utf8 => Cells::Text(column.as_string()),
            DataType::LargeUtf8 => Cells::LargeText(column.as_string()),
            DataType::Utf8View => Cells::TextView(column.as_string_view()),
            DataType::Binary => Cells::Bytes(column.as_binary(), format),
            DataType::LargeBinary => Cells::LargeBytes(column.as_binary(), format),
            DataType::BinaryView => Cells::BytesView(column.as_binary_view(), format),
            DataType::FixedSizeBinary(_) => Cells::FixedBytes(column.as_fixed_size_binary(), format),
            DataType::Date32 => Cells::Date(column.as_primitive(), format),
            DataType::Time64(TimeUnit::Microsecond) => Cells::Time(column.as_primitive(), format),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Cells::Timestamp(column.as_primitive(), zone.is_some(), format)
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => Cells::Interval(column.as_primitive(), format),
            DataType::List(item) if matches!(item.data_type(), DataType::List(_)) => {
                let list: &ListArray = column.as_list();
                Cells::Lists(list, Box::new(Cells::new(list.values(), Format::Text)?))
            }
            DataType::List(_) => {
                let list: &ListArray = column.as_list();
                Cells::List(list, Box::new(Cells::new(list.values(), format)?), format)
            }
            DataType::Struct(_) => {
                let record = column.as_struct();
                let fields = record.columns().iter().map(|field| Cells::new(field, Format::Text));
                Cells::Record(record, fields.collect::<SqlResult<_>>()?)
            }
            _ => {
                let formatter = ArrayFormatter::try_new(column, &SHOWN).map_err(internal)?;
                Cells::Shown(column.as_ref(), formatter)
            }
        })
    }

    fn array(&self) -> Option<&dyn Array> {
        Some(match self {
            Cells::Null => return None,
            Cells::Boolean(a, _) => *a,
            Cells::Int16(a, _) => *a,
            Cells::Int32(a, _) => *a,
            Cells::Int64(a, _) => *a,
            Cells::Float32(a, _) => *a,
            Cells::Float64(a, _) => *a,
            Cells::Numeric(a, ..) => *a,
            Cells::Text(a) => *a,
            Cells::LargeText(a) => *a,
            Cells::TextView(a) => *a,
            Cells::Bytes(a, _) => *a,
            Cells::LargeBytes(a, _) => *a,
            Cells::BytesView(a, _) => *a,
            Cells::FixedBytes(a, _) => *a,
            Cells::Date(a, _) => *a,
            Cells::Time(a, _) => *a,
            Cells::Timestamp(a, ..) => *a,
            Cells::Interval(a, _) => *a,
            Cells::List(a, ..) => *a,
            Cells::Lists(a, _) => *a,
            Cells::Record(a, _) => *a,
            Cells::Shown(a, _) => *a,
        })
    }

    fn is_null(&self, row: usize) -> bool {
        self.array().is_none_or(|array| array.is_null(row))
    }

    /// Row `row`'s value; None is NULL.
    fn written(&self, row: usize) -> SqlResult<Option<Vec<u8>>> {
        if self.is_null(row) {
            return Ok(None);
        }
        let mut value = Vec::new();
        self.write(row, &mut value)?;
        Ok(Some(value))
    }

    /// Appends row `row`'s value, which is not NULL.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> SqlResult<()> {
        use Format::{Binary, Text};
        match self {
            Cells::Null => {}
            Cells::Boolean(a, Text) => out.push(if a.value(row) { b't' } else { b'f' }),
            Cells::Boolean(a, Binary) => out.push(u8::from(a.value(row))),
            Cells::Int16(a, Text) => values::integer_to_text(i64::from(a.value(row)), out),
            Cells::Int16(a, Binary) => out.extend_from_slice(&a.value(row).to_be_bytes()),
            Cells::Int32(a, Text) => values::integer_to_text(i64::from(a.value(row)), out),
            Cells::Int32(a, Binary) => out.extend_from_slice(&a.value(row).to_be_bytes()),
            Cells::Int64(a, Text) => values::integer_to_text(a.value(row), out),
            Cells::Int64(a, Binary) => out.extend_from_slice(&a.value(row).to_be_bytes()),
            Cells::Float32(a, Text) => values::float4_to_text(a.value(row), out),
            Cells::Float32(a, Binary) => out.extend_from_slice(&a.value(row).to_be_bytes()),
            Cells::Float64(a, Text) => values::float8_to_text(a.value(row), out),
            Cells::Float64(a, Binary) => out.extend_from_slice(&a.value(row).to_be_bytes()),
            Cells::Numeric(a, scale, Text) => values::numeric_to_text(a.value(row), *scale, out),
            Cells::Numeric(a, scale, Binary) => numeric_to_pg(a.value(row), *scale, out)?,
            Cells::Text(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Cells::LargeText(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Cells::TextView(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Cells::Bytes(a, format) => bytes(a.value(row), *format, out),
            Cells::LargeBytes(a, format) => bytes(a.value(row), *format, out),
            Cells::BytesView(a, format) => bytes(a.value(row), *format, out),
            Cells::FixedBytes(a, format) => bytes(a.value(row), *format, out),
            Cells::Date(a, Text) => values::date_to_text(a.value(row), out),
            Cells::Date(a, Binary) => out.extend_from_slice(&values::date_to_pg(a.value(row)).map_err(out_of_range)?),
            Cells::Time(a, Text) => values::time_to_text(a.value(row), out),
            Cells::Time(a, Binary) => out.extend_from_slice(&a.value(row).to_be_bytes()),
            Cells::Timestamp(a, true, Text) => values::timestamptz_to_text(a.value(row), out),
            Cells::Timestamp(a, false, Text) => values::timestamp_to_text(a.value(row), out),
            Cells::Timestamp(a, _, Binary) => {
                out.extend_from_slice(&values::timestamp_to_pg(a.value(row)).map_err(out_of_range)?);
            }
            Cells::Interval(a, format) => {
                let interval = a.value(row);
                let (months, days, nanos) = (interval.months, interval.days, interval.nanoseconds);
                match format {
                    Text => values::interval_to_text(months, days, nanos, out),
                    Binary => out.extend_from_slice(&values::interval_to_pg(months, days, nanos)),
                }
            }
            Cells::List(a, items, format) => list(a, items, *format, row, out)?,
            Cells::Lists(a, items) => lists(a, items, row, out)?,
            Cells::Record(_, fields) => record(fields, row, out)?,
            Cells::Shown(_, formatter) => {
                let shown = formatter.value(row).try_to_string().map_err(internal)?;
                out.extend_from_slice(shown.as_bytes());
            }
        }
        Ok(())
    }
}

const SHOWN: FormatOptions<'static> = FormatOptions::new().with_null("NULL");

fn bytes(bytes: &[u8], format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Text => values::bytea_to_text(bytes, out),
        Format::Binary => out.extend_from_slice(bytes),
    }
}

/// A negative scale, which PostgreSQL's binary format does not have, becomes zeros.
fn numeric_to_pg(unscaled: i128, scale: i8, out: &mut Vec<u8>) -> SqlResult<()> {
    let overflow = || SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, "value overflows numeric format");
    match u8::try_from(scale) {
        Ok(scale) => values::numeric_to_pg(unscaled, scale, out),
        Err(_) => {
            let unit = 10i128.checked_pow(u32::from(scale.unsigned_abs())).ok_or_else(overflow)?;
            values::numeric_to_pg(unscaled.checked_mul(unit).ok_or_else(overflow)?, 0, out);
        }
    }
    Ok(())
}

fn out_of_range(_: values::OutOfRange) -> SqlError {
    SqlError::new(SqlState::DATETIME_OUT_OF_RANGE, "date/time field value out of range")
}

fn list(lists: &ListArray, items: &Cells<'_>, format: Format, row: usize, out: &mut Vec<u8>) -> SqlResult<()> {
    let written = range(lists, row).map(|at| items.written(at)).collect::<SqlResult<Vec<_>>>()?;
    match format {
        Format::Text => {
            values::array_to_text(texts(&written)?, out);
            Ok(())
        }
        Format::Binary => {
            let item_oid = pg_type(lists.values().data_type()).oid;
            let written: Vec<Option<&[u8]>> = written.iter().map(Option::as_deref).collect();
            values::array_to_pg(item_oid, &written, out).map_err(|_| MessageTooLong.into())
        }
    }
}

/// `{{1,2},{3,4}}`.
fn lists(lists: &ListArray, items: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> SqlResult<()> {
    out.push(b'{');
    for (number, at) in range(lists, row).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        match items.is_null(at) {
            true => out.extend_from_slice(b"NULL"),
            false => items.write(at, out)?,
        }
    }
    out.push(b'}');
    Ok(())
}

fn record(fields: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> SqlResult<()> {
    let written = fields.iter().map(|field| field.written(row)).collect::<SqlResult<Vec<_>>>()?;
    values::record_to_text(texts(&written)?, out);
    Ok(())
}

/// Where the items of a row's list are.
fn range(lists: &ListArray, row: usize) -> Range<usize> {
    let offsets = lists.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

fn texts(written: &[Option<Vec<u8>>]) -> SqlResult<Vec<Option<&str>>> {
    let texts = written.iter().map(|text| text.as_deref().map(str::from_utf8).transpose());
    texts.collect::<Result<_, _>>().map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_pg::frontend::Request;
    use datafusion::arrow::array::{Decimal64Array, Int32Array, Int32Builder, ListBuilder, UInt64Array};

    fn formats(format: Format) -> Formats {
        let code = format.code().to_be_bytes();
        let body = [b"\0\0\0\0\0\0\0\x01".as_slice(), &code].concat();
        match Request::parse(b'B', &body).unwrap() {
            Request::Bind { results, .. } => results,
            other => panic!("{other:?}"),
        }
    }

    /// The one row of a column, without the message's head.
    fn written(column: ArrayRef, format: Format) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let rows = Rows::new(&batch).unwrap();
        let mut out = Messages::default();
        rows.writer(&formats(format)).unwrap().write(0, &mut out).unwrap();
        out.bytes()[7..].to_vec()
    }

    #[test]
    fn values_have_lengths_and_formats() {
        let int = || Arc::new(Int32Array::from(vec![-7])) as ArrayRef;
        assert_eq!(written(int(), Format::Text), b"\0\0\0\x02-7");
        assert_eq!(written(int(), Format::Binary), b"\0\0\0\x04\xff\xff\xff\xf9");
        let null = Arc::new(Int32Array::from(vec![None])) as ArrayRef;
        assert_eq!(written(null, Format::Binary), b"\xff\xff\xff\xff");
        let numeric = Decimal64Array::from(vec![150]).with_precision_and_scale(15, 2).unwrap();
        assert_eq!(written(Arc::new(numeric), Format::Text), b"\0\0\0\x041.50");
        let large = Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef;
        assert_eq!(written(large, Format::Text), b"\0\0\0\x1418446744073709551615");
    }

    #[test]
    fn lists_are_arrays() {
        let list = || {
            let items = vec![Some(vec![Some(1), None])];
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(items)) as ArrayRef
        };
        assert_eq!(written(list(), Format::Text), b"\0\0\0\x08{1,NULL}");
        let binary = written(list(), Format::Binary);
        assert_eq!(binary[..16], *b"\0\0\0\x20\0\0\0\x01\0\0\0\x01\0\0\0\x17");
        assert_eq!(binary.len(), 4 + 0x20);
    }

    #[test]
    fn lists_of_lists_and_records_are_texts() {
        let mut lists = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
        lists.append_value([Some(vec![Some(1), None]), None, Some(vec![Some(3), Some(4)])]);
        let lists = Arc::new(lists.finish()) as ArrayRef;
        let numbers = UInt64Array::from(vec![7]);
        let words = StringArray::from(vec!["say \"x\""]);
        let field = |name: &str, column: &ArrayRef| Arc::new(Field::new(name, column.data_type().clone(), true));
        let columns = [Arc::new(numbers) as ArrayRef, Arc::new(words), lists.slice(0, 1)];
        let fields = columns.iter().map(|column| (field("x", column), Arc::clone(column))).collect::<Vec<_>>();
        let record = Arc::new(StructArray::from(fields)) as ArrayRef;
        let records = Arc::new(ListArray::new(
            field("item", &record),
            datafusion::arrow::buffer::OffsetBuffer::from_lengths([1]),
            Arc::clone(&record),
            None,
        ));
        let in_words = r#"(7,"say ""x""","{{1,NULL},NULL,{3,4}}")"#;
        let in_array = r#"{"(7,\"say \"\"x\"\"\",\"{{1,NULL},NULL,{3,4}}\")"}"#;
        for format in [Format::Text, Format::Binary] {
            assert_eq!(written(Arc::clone(&lists), format)[4..], *b"{{1,NULL},NULL,{3,4}}");
            assert_eq!(written(Arc::clone(&record), format)[4..], *in_words.as_bytes());
        }
        assert_eq!(written(records, Format::Text)[4..], *in_array.as_bytes());
    }
}
