//! Values as PostgreSQL prints them.

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
        // Writing to a Vec cannot fail.
        let _ = match self {
            ColumnPrinter::Boolean(a) => out.write_all(if a.value(i) { b"t" } else { b"f" }),
            ColumnPrinter::Int16(a) => write!(out, "{}", a.value(i)),
            ColumnPrinter::Int32(a) => write!(out, "{}", a.value(i)),
            ColumnPrinter::Int64(a) => write!(out, "{}", a.value(i)),
            ColumnPrinter::Float32(a) => {
                let value = a.value(i);
                float(f64::from(value), format!("{value:e}"), || format!("{value}"), out)
            }
            ColumnPrinter::Float64(a) => {
                let value = a.value(i);
                float(value, format!("{value:e}"), || format!("{value}"), out)
            }
            ColumnPrinter::Decimal64(a, scale) => decimal(i128::from(a.value(i)), *scale, out),
            ColumnPrinter::Decimal128(a, scale) => decimal(a.value(i), *scale, out),
            ColumnPrinter::Text(a) => out.write_all(a.value(i).as_bytes()),
            ColumnPrinter::Bytea(a) => {
                out.extend_from_slice(b"\\x");
                a.value(i).iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            ColumnPrinter::Uuid(a) => a.value(i).iter().enumerate().try_for_each(|(at, byte)| {
                let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(out, "{hyphen}{byte:02x}")
            }),
            ColumnPrinter::Date(a) => date(i64::from(a.value(i)), "", out),
            ColumnPrinter::Time(a) => time(a.value(i), out),
            ColumnPrinter::Timestamp(a, zoned) => timestamp(a.value(i), *zoned, out),
            ColumnPrinter::Interval(a) => interval(a.value(i), out),
        };
    }
}

/// Shortest text that reads back as the same number: `{e:}`'s digits, written out for exponents from -4 to 14.
fn float(value: f64, scientific: String, plain: impl Fn() -> String, out: &mut Vec<u8>) -> std::io::Result<()> {
    if value.is_nan() {
        return out.write_all(b"NaN");
    }
    if value.is_infinite() {
        return out.write_all(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(-4..15) | Err(_) => out.write_all(plain().as_bytes()),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
    }
}

/// Full scale: 1.50 for numeric(_,2).
fn decimal(unscaled: i128, scale: i8, out: &mut Vec<u8>) -> std::io::Result<()> {
    let (sign, magnitude) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs());
    if scale <= 0 {
        write!(out, "{sign}{magnitude}")?;
        let zeros = if magnitude == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return write!(out, "{}", "0".repeat(zeros));
    }
    let scale = usize::from(scale.unsigned_abs());
    let unit = 10u128.pow(scale as u32);
    write!(out, "{sign}{}.{:0scale$}", magnitude / unit, magnitude % unit)
}

/// `YYYY-MM-DD`, then `middle`, then ` BC` where due.
fn date(days: i64, middle: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    // H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, suffix) = if year <= 0 { (1 - year, " BC") } else { (year, "") };
    write!(out, "{year:04}-{month:02}-{day:02}{middle}{suffix}")
}

fn time(micros: i64, out: &mut Vec<u8>) -> std::io::Result<()> {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    fraction_digits(fraction, out)
}

/// `.5` for 500,000 microseconds; nothing for none.
fn fraction_digits(micros: i64, out: &mut Vec<u8>) -> std::io::Result<()> {
    if micros == 0 {
        return Ok(());
    }
    let digits = format!("{micros:06}");
    write!(out, ".{}", digits.trim_end_matches('0'))
}

fn timestamp(micros: i64, zoned: bool, out: &mut Vec<u8>) -> std::io::Result<()> {
    const DAY_US: i64 = 86_400_000_000;
    let mut middle = vec![b' '];
    time(micros.rem_euclid(DAY_US), &mut middle)?;
    if zoned {
        middle.extend_from_slice(b"+00");
    }
    date(micros.div_euclid(DAY_US), &String::from_utf8_lossy(&middle), out)
}

/// `1 year 2 mons -3 days 04:05:06.7`: the style `postgres`.
fn interval(value: IntervalMonthDayNano, out: &mut Vec<u8>) -> std::io::Result<()> {
    let start = out.len();
    let mut after_negative = false;
    for (count, unit) in [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")] {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plus = if after_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            write!(out, "{space}{plus}{count} {unit}{plural}")?;
            after_negative = count < 0;
        }
    }
    if value.nanoseconds != 0 || out.len() == start {
        let space = if out.len() > start { " " } else { "" };
        let sign = match value.nanoseconds {
            n if n < 0 => "-",
            _ if after_negative => "+",
            _ => "",
        };
        write!(out, "{space}{sign}")?;
        let micros = value.nanoseconds.unsigned_abs() / 1000;
        time(micros as i64, out)?;
    }
    Ok(())
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
        round_trip(DataType::Float32, &[("0.1", "0.1"), ("16777216", "16777216"), ("1e20", "1e+20")]);
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
