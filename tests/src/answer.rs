//! Rows as text: the one place that decides which representations are the same value.
//!
//! Engines may differ in the width of an integer, in numeric against bigint, in the unit of a timestamp or in the
//! digits that an average carries; a test compares what this module prints, where these are equal.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationNanosecondType, Float32Type, Float64Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Schema, Time64NanosecondType, TimeUnit, TimestampNanosecondType,
    UInt64Type,
};
use datafusion::arrow::temporal_conversions::{date32_to_datetime, time64ns_to_time, timestamp_ns_to_datetime};

/// Fractions are rounded to this many significant digits in all.
const SIGNIFICANT_DIGITS: usize = 10;

/// No value has as many digits: nothing is rounded.
const ALL_DIGITS: usize = usize::MAX;

/// Coarse type of a column: what must agree between engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueClass {
    Number,
    Boolean,
    /// Dates, times, timestamps and intervals.
    Temporal,
    /// Text, bytes, uuid, json.
    Text,
    /// Arrays and records.
    Nested,
    /// A bare NULL, or a file that was not yet blessed.
    Unknown,
}

impl ValueClass {
    pub fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => ValueClass::Unknown,
            DataType::Boolean => ValueClass::Boolean,
            t if t.is_numeric() => ValueClass::Number,
            t if t.is_temporal() => ValueClass::Temporal,
            DataType::Dictionary(_, value) => Self::of(value),
            t if t.is_nested() => ValueClass::Nested,
            _ => ValueClass::Text,
        }
    }
}

/// What a statement gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub classes: Vec<ValueClass>,
    /// Rendered values, in the order in which they came.
    pub rows: Vec<Vec<String>>,
    /// Rows changed by a command; None for a query.
    pub changed: Option<u64>,
}

impl Answer {
    pub fn command(changed: u64) -> Self {
        Answer { classes: vec![], rows: vec![], changed: Some(changed) }
    }

    pub fn from_batches(schema: &Schema, batches: &[RecordBatch]) -> Self {
        let classes = schema.fields().iter().map(|f| ValueClass::of(f.data_type())).collect();
        let mut rows = vec![];
        for batch in batches {
            let columns: Vec<Vec<String>> = batch.columns().iter().map(render).collect();
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()));
        }
        Answer { classes, rows, changed: None }
    }

    /// The rows as lines, in order.
    pub fn lines(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.join(" | ")).collect()
    }

    /// The rows as lines, as a multiset.
    pub fn sorted_lines(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort_unstable();
        lines
    }
}

/// Every value of `array` as text: NULL, `(empty)`, decimals without trailing zeros, fractions to 10 significant
/// digits, timestamps as `2024-01-31 23:59:59.5`, intervals as `1 mon 90000 s`, arrays as `{1,2}`, records as `(1,2)`.
///
/// # Panics
/// On a type that no engine under test gives.
pub fn render(array: &ArrayRef) -> Vec<String> {
    render_digits(array, SIGNIFICANT_DIGITS)
}

/// As [`render`], with every digit of every number.
pub fn render_exact(array: &ArrayRef) -> Vec<String> {
    render_digits(array, ALL_DIGITS)
}

fn render_digits(array: &ArrayRef, digits: usize) -> Vec<String> {
    let kind = canonical_type(array.data_type());
    let array = if &kind == array.data_type() { array.clone() } else { cast(array, &kind).expect("a widening cast") };
    let value = |row| if array.is_null(row) { "NULL".into() } else { render_value(&array, row, digits) };
    (0..array.len()).map(value).collect()
}

/// One type of each family, wide enough for all of it.
fn canonical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::UInt64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => canonical_type(value),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Nanosecond),
        other => other.clone(),
    }
}

fn render_value(array: &ArrayRef, row: usize, digits: usize) -> String {
    match array.data_type() {
        // Its array has no validity bits.
        DataType::Null => "NULL".into(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => float(&format!("{:e}", array.as_primitive::<Float32Type>().value(row)), digits),
        DataType::Float64 => float(&format!("{:e}", array.as_primitive::<Float64Type>().value(row)), digits),
        DataType::Decimal128(_, scale) => {
            decimal(&array.as_primitive::<Decimal128Type>().value(row).to_string(), *scale, digits)
        }
        DataType::Decimal256(_, scale) => {
            decimal(&array.as_primitive::<Decimal256Type>().value(row).to_string(), *scale, digits)
        }
        DataType::Utf8 => text(array.as_string::<i32>().value(row)),
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            bytes.iter().fold(String::from("\\x"), |hex, byte| hex + &format!("{byte:02x}"))
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            date32_to_datetime(days).expect("a date").format("%Y-%m-%d").to_string()
        }
        DataType::Time64(_) => {
            let ns = array.as_primitive::<Time64NanosecondType>().value(row);
            time64ns_to_time(ns).expect("a time").format("%H:%M:%S%.f").to_string()
        }
        // With a time zone or without: the same instant in UTC.
        DataType::Timestamp(_, _) => {
            let ns = array.as_primitive::<TimestampNanosecondType>().value(row);
            timestamp_ns_to_datetime(ns).expect("a timestamp").format("%Y-%m-%d %H:%M:%S%.f").to_string()
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            interval(value.months, i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds))
        }
        DataType::Duration(_) => interval(0, i128::from(array.as_primitive::<DurationNanosecondType>().value(row))),
        DataType::List(_) => format!("{{{}}}", render_digits(&array.as_list::<i32>().value(row), digits).join(",")),
        DataType::LargeList(_) => {
            format!("{{{}}}", render_digits(&array.as_list::<i64>().value(row), digits).join(","))
        }
        DataType::FixedSizeList(_, _) => {
            format!("{{{}}}", render_digits(&array.as_fixed_size_list().value(row), digits).join(","))
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter();
            format!(
                "({})",
                fields.map(|c| render_digits(&c.slice(row, 1), digits).remove(0)).collect::<Vec<_>>().join(",")
            )
        }
        other => panic!("no test should give a value of type {other}"),
    }
}

fn text(value: &str) -> String {
    if value.is_empty() { "(empty)".into() } else { value.replace('\\', "\\\\").replace('\n', "\\n") }
}

/// Months, and all the rest as seconds: `1 day` and `24 hours` are equal, as in SQL.
fn interval(months: i32, nanoseconds: i128) -> String {
    format!("{months} mon {} s", decimal(&nanoseconds.to_string(), 9, ALL_DIGITS))
}

/// An unscaled integer and its scale, printed exactly, then rounded by [`round`].
fn decimal(unscaled: &str, scale: i8, keep: usize) -> String {
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled), |digits| ("-", digits));
    if scale <= 0 {
        let zeros = if digits == "0" { 0 } else { usize::from(scale.unsigned_abs()) };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let scale = usize::from(scale.unsigned_abs());
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    round(sign, whole, fraction, keep)
}

/// A float in Rust's shortest scientific notation.
fn float(scientific: &str, keep: usize) -> String {
    let (mantissa, exponent) = match scientific.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().expect("an exponent")),
        None => return scientific.replace("inf", "Infinity"),
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
    let digits = mantissa.replace('.', "");
    // Beyond these no decimal of a test goes: print as `d.ddde±x`, rounded alike.
    if !(-15..=25).contains(&exponent) {
        return format!("{}e{exponent}", round(sign, &digits[..1], &digits[1..], keep));
    }
    if exponent < 0 {
        return round(sign, "0", &format!("{}{digits}", "0".repeat((-exponent - 1) as usize)), keep);
    }
    let whole = exponent as usize + 1;
    let digits = format!("{digits:0<whole$}");
    round(sign, &digits[..whole], &digits[whole..], keep)
}

/// Half up on the magnitude to `significant` digits, but never to less than units; trailing zeros go, and the sign
/// of zero.
fn round(sign: &str, whole: &str, fraction: &str, significant: usize) -> String {
    let zeros = if whole == "0" { fraction.bytes().take_while(|&b| b == b'0').count() } else { 0 };
    let whole_digits = if whole == "0" { 0 } else { whole.len() };
    let keep = significant.saturating_sub(whole_digits).saturating_add(zeros).min(fraction.len());
    let up = fraction.as_bytes().get(keep).is_some_and(|&digit| digit >= b'5');
    let mut digits = format!("{whole}{}", &fraction[..keep]).into_bytes();
    if up {
        let mut at = digits.len();
        loop {
            if at == 0 {
                digits.insert(0, b'1');
                break;
            }
            at -= 1;
            if digits[at] == b'9' {
                digits[at] = b'0';
            } else {
                digits[at] += 1;
                break;
            }
        }
    }
    let digits = String::from_utf8(digits).expect("digits");
    let (whole, fraction) = digits.split_at(digits.len() - keep);
    let fraction = fraction.trim_end_matches('0');
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        Decimal128Array, Float64Array, Int16Array, IntervalMonthDayNanoArray, StringViewArray, TimestampSecondArray,
    };
    use datafusion::arrow::datatypes::IntervalMonthDayNano;
    use std::sync::Arc;

    #[test]
    fn equal_numbers_of_different_types_print_alike() {
        let decimals = Decimal128Array::from(vec![2_500_000, -1, 0, 166_666_666_666_666_667, 100_000_000_000_000_000])
            .with_precision_and_scale(38, 6)
            .unwrap();
        assert_eq!(
            render(&(Arc::new(decimals) as ArrayRef)),
            ["2.5", "-0.000001", "0", "166666666667", "100000000000"]
        );
        let floats = Float64Array::from(vec![2.5, -1e-6, -0.0, 166_666_666_666.666_67, 1e11]);
        assert_eq!(render(&(Arc::new(floats) as ArrayRef)), ["2.5", "-0.000001", "0", "166666666667", "100000000000"]);
        assert_eq!(render(&(Arc::new(Int16Array::from(vec![Some(0), None])) as ArrayRef)), ["0", "NULL"]);
    }

    #[test]
    fn fractions_are_rounded_to_ten_digits() {
        assert_eq!(decimal("16666666666666667", 16, 10), "1.666666667");
        assert_eq!(float("1.6666666666666667e0", 10), "1.666666667");
        assert_eq!(decimal("99999999999", 10, 10), "10");
        assert_eq!(decimal("123", -2, 10), "12300");
        assert_eq!(float("1.2345678901234e-7", 10), "0.000000123456789");
        assert_eq!(float("1.5e300", 10), "1.5e300");
        assert_eq!(float("inf", 10), "Infinity");
        assert_eq!(float("NaN", 10), "NaN");
    }

    #[test]
    fn the_rest() {
        let texts = StringViewArray::from(vec![Some(""), Some("a\nb"), None]);
        assert_eq!(render(&(Arc::new(texts) as ArrayRef)), ["(empty)", "a\\nb", "NULL"]);
        let times = TimestampSecondArray::from(vec![0]).with_timezone("+02:00");
        assert_eq!(render(&(Arc::new(times) as ArrayRef)), ["1970-01-01 00:00:00"]);
        let intervals = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 1, 1_500_000_000)]);
        assert_eq!(render(&(Arc::new(intervals) as ArrayRef)), ["1 mon 86401.5 s"]);
    }
}
