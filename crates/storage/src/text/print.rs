//! Values as PostgreSQL prints them.

use damson_pg::values;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringViewArray,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use std::io::Write;

/// Prints the values of one array. Made once a batch and column.
pub enum ColumnPrinter<'a> {
    Boolean(&'a BooleanArray),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal64(&'a PrimitiveArray<Decimal64Type>, i8),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    Text(&'a StringViewArray),
    Bytea(&'a BinaryViewArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
}

impl<'a> ColumnPrinter<'a> {
    /// None for types that no table has.
    pub fn new(column: &'a ArrayRef) -> Option<Self> {
        Some(match column.data_type() {
            DataType::Boolean => ColumnPrinter::Boolean(column.as_boolean()),
            DataType::Int16 => ColumnPrinter::Int16(column.as_primitive()),
            DataType::Int32 => ColumnPrinter::Int32(column.as_primitive()),
            DataType::Int64 => ColumnPrinter::Int64(column.as_primitive()),
            DataType::Float32 => ColumnPrinter::Float32(column.as_primitive()),
            DataType::Float64 => ColumnPrinter::Float64(column.as_primitive()),
            DataType::Decimal64(_, scale) => ColumnPrinter::Decimal64(column.as_primitive(), *scale),
            DataType::Decimal128(_, scale) => ColumnPrinter::Decimal128(column.as_primitive(), *scale),
            DataType::Utf8View => ColumnPrinter::Text(column.as_string_view()),
            DataType::BinaryView => ColumnPrinter::Bytea(column.as_binary_view()),
            DataType::FixedSizeBinary(16) => ColumnPrinter::Uuid(column.as_fixed_size_binary()),
            DataType::Date32 => ColumnPrinter::Date(column.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => ColumnPrinter::Time(column.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                ColumnPrinter::Timestamp(column.as_primitive(), zone.is_some())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => ColumnPrinter::Interval(column.as_primitive()),
            _ => return None,
        })
    }

    /// Appends row `i`'s value, which is not NULL.
    pub fn print(&self, i: usize, out: &mut Vec<u8>) {
        match self {
            ColumnPrinter::Boolean(a) => out.push(if a.value(i) { b't' } else { b'f' }),
            ColumnPrinter::Int16(a) => values::integer_to_text(a.value(i).into(), out),
            ColumnPrinter::Int32(a) => values::integer_to_text(a.value(i).into(), out),
            ColumnPrinter::Int64(a) => values::integer_to_text(a.value(i), out),
            ColumnPrinter::Float32(a) => values::float4_to_text(a.value(i), out),
            ColumnPrinter::Float64(a) => values::float8_to_text(a.value(i), out),
            ColumnPrinter::Decimal64(a, scale) => values::numeric_to_text(a.value(i).into(), *scale, out),
            ColumnPrinter::Decimal128(a, scale) => values::numeric_to_text(a.value(i), *scale, out),
            ColumnPrinter::Text(a) => out.extend_from_slice(a.value(i).as_bytes()),
            ColumnPrinter::Bytea(a) => values::bytea_to_text(a.value(i), out),
            ColumnPrinter::Uuid(a) => uuid(a.value(i), out),
            ColumnPrinter::Date(a) => values::date_to_text(a.value(i), out),
            ColumnPrinter::Time(a) => values::time_to_text(a.value(i), out),
            ColumnPrinter::Timestamp(a, false) => values::timestamp_to_text(a.value(i), out),
            ColumnPrinter::Timestamp(a, true) => values::timestamptz_to_text(a.value(i), out),
            ColumnPrinter::Interval(a) => {
                let IntervalMonthDayNano { months, days, nanoseconds } = a.value(i);
                values::interval_to_text(months, days, nanoseconds, out);
            }
        }
    }
}

fn uuid(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(out, "{hyphen}{byte:02x}").expect("a vector takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_column;
    use std::borrow::Cow;

    /// Parses texts and prints them again.
    fn round_trip(data_type: DataType, cases: &[(&str, &str)]) {
        let texts: Vec<_> = cases.iter().map(|(text, _)| Some(Cow::Borrowed(*text))).collect();
        let column = parse_column(&data_type, texts.into_iter()).unwrap();
        let printer = ColumnPrinter::new(&column).unwrap();
        for (i, (text, want)) in cases.iter().enumerate() {
            let mut out = Vec::new();
            printer.print(i, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), *want, "{data_type}: {text}");
        }
    }

    #[test]
    fn values_print_as_postgresql_prints_them() {
        round_trip(DataType::Boolean, &[("true", "t"), ("0", "f")]);
        round_trip(DataType::Int64, &[("-9223372036854775808", "-9223372036854775808")]);
        round_trip(
            DataType::Float64,
            &[
                ("0.1", "0.1"),
                ("1e300", "1e+300"),
                ("100000000000000", "100000000000000"),
                ("1e15", "1e+15"),
                ("0.0001", "0.0001"),
                ("0.00001", "1e-05"),
                ("-1.5e-7", "-1.5e-07"),
                ("nan", "NaN"),
                ("-inf", "-Infinity"),
                ("5e-324", "5e-324"),
                ("0", "0"),
            ],
        );
        round_trip(DataType::Float32, &[("0.1", "0.1"), ("16777216", "1.6777216e+07"), ("1e20", "1e+20")]);
        round_trip(DataType::Decimal64(15, 2), &[("1.5", "1.50"), ("-0.05", "-0.05"), ("0", "0.00"), ("-7", "-7.00")]);
        round_trip(DataType::Decimal128(38, 0), &[("99999999999999999999999999999999999999", &"9".repeat(38))]);
        round_trip(DataType::Decimal128(5, -2), &[("12345", "12300"), ("0", "0")]);
        round_trip(DataType::BinaryView, &[("\\x00ff", "\\x00ff"), ("", "\\x")]);
        let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        round_trip(DataType::FixedSizeBinary(16), &[(uuid, uuid)]);
        round_trip(
            DataType::Date32,
            &[("1994-02-28", "1994-02-28"), ("0044-03-15 BC", "0044-03-15 BC"), ("12345-01-01", "12345-01-01")],
        );
        round_trip(
            DataType::Time64(TimeUnit::Microsecond),
            &[("04:05", "04:05:00"), ("24:00", "24:00:00"), ("1:2:3.000400", "01:02:03.0004")],
        );
        round_trip(
            DataType::Timestamp(TimeUnit::Microsecond, None),
            &[("1969-12-31T23:59:59.9", "1969-12-31 23:59:59.9"), ("2024-02-29", "2024-02-29 00:00:00")],
        );
        round_trip(
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            &[("2024-02-29 00:30+01", "2024-02-28 23:30:00+00")],
        );
        round_trip(
            DataType::Interval(IntervalUnit::MonthDayNano),
            &[
                ("1 year 2 mons 3 days 04:05:06.789", "1 year 2 mons 3 days 04:05:06.789"),
                ("-1 days +02:03", "-1 days +02:03:00"),
                ("-1 year -2 mons +3 days -04:05", "-1 years -2 mons +3 days -04:05:00"),
                ("0 days", "00:00:00"),
                ("1 mon", "1 mon"),
            ],
        );
    }
}
