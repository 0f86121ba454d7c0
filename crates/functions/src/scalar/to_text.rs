//! Values as PostgreSQL writes them, where Arrow's text is another: floats, timestamps, times, intervals, bytea.

use super::encoding::hex;
use super::function::{PlainFunction, over_arrays};
use super::moment::{Moment, moment, moment_type};
use crate::calendar::{Clock, Date};
use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::fmt::Write;
use std::sync::Arc;

/// `to_text(x)`: what the rules write for a cast to text of the types of [`has_own_text`].
pub fn to_text() -> ScalarUDF {
    PlainFunction {
        name: "to_text",
        coerce: |types| match types {
            [value] if has_own_text(value) => Ok(vec![match value {
                DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
                other => moment_type(other).unwrap_or_else(|| other.clone()),
            }]),
            _ => plan_err!("function to_text({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |args| over_arrays(args, |arrays| texts(&arrays[0])),
    }
    .udf()
}

/// Whether PostgreSQL's text of the type is not Arrow's.
pub fn has_own_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float32
            | DataType::Float64
            | DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(..)
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Interval(_)
            | DataType::Duration(_)
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn texts(array: &ArrayRef) -> Result<ArrayRef> {
    let texts: StringViewArray = match array.data_type() {
        DataType::Float32 => array
            .as_primitive::<Float32Type>()
            .iter()
            .map(|value| value.map(|v| float(v.into(), format!("{v:e}"), 6)))
            .collect(),
        DataType::Float64 => array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| value.map(|v| float(v, format!("{v:e}"), 15)))
            .collect(),
        DataType::BinaryView => {
            array.as_binary_view().iter().map(|bytes| bytes.map(|b| format!("\\x{}", hex(b)))).collect()
        }
        other if moment_type(other).as_ref() == Some(other) => {
            let zone = matches!(other, DataType::Timestamp(_, Some(_)));
            (0..array.len()).map(|row| moment(array, row).map(|value| of_moment(value, zone))).collect()
        }
        other => return internal_err!("text of {other}"),
    };
    Ok(Arc::new(texts))
}

/// The shortest digits that give the same float again, which `scientific` has; in full from 0.0001 up to `digits`
/// digits before the point.
fn float(value: f64, scientific: String, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..digits).contains(&exponent) {
        return positional(mantissa, exponent);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// `1.25` and 1 as `12.5`.
fn positional(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let mut digits = mantissa.replace('.', "");
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let point = exponent as usize + 1;
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn of_moment(value: Moment, zone: bool) -> String {
    match value {
        Moment::Date(date) => of_date(date) + era(date),
        Moment::Timestamp(date, clock, _) => {
            let zone = if zone { "+00" } else { "" };
            format!("{} {}{zone}{}", of_date(date), of_clock(clock), era(date))
        }
        Moment::Time(micros) => of_clock(Clock::of_micros(micros)),
        Moment::Interval { months, days, micros } => of_interval(months, days, micros),
    }
}

fn of_date(date: Date) -> String {
    let year = if date.year > 0 { date.year } else { 1 - date.year };
    format!("{year:04}-{:02}-{:02}", date.month, date.day)
}

fn era(date: Date) -> &'static str {
    if date.year > 0 { "" } else { " BC" }
}

/// `04:05:06.789`, without trailing zeros; the sign is the caller's.
fn of_clock(clock: Clock) -> String {
    let mut text = format!("{:02}:{:02}:{:02}", clock.hour.abs(), clock.minute.abs(), clock.second.abs());
    if clock.microsecond != 0 {
        let fraction = format!("{:06}", clock.microsecond.abs());
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// `1 year 2 mons 3 days 04:05:06`. A part after a negative one shows its plus.
fn of_interval(months: i64, days: i64, micros: i64) -> String {
    let mut text = String::new();
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let space = if text.is_empty() { "" } else { " " };
            let plus = if after_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            // Writing to a String does not fail.
            let _ = write!(text, "{space}{plus}{value} {unit}{plural}");
            after_negative = value < 0;
        }
    }
    if text.is_empty() || micros != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = if micros < 0 {
            "-"
        } else if after_negative {
            "+"
        } else {
            ""
        };
        let clock = of_clock(Clock::of_micros(micros));
        let _ = write!(text, "{space}{sign}{clock}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (value, expected) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (999_999_999_999_999.9, "999999999999999.9"),
            (1e20, "1e+20"),
            (-1.5e-5, "-1.5e-05"),
            (0.000_123, "0.000123"),
            (1e-300, "1e-300"),
            (12.5, "12.5"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(value, format!("{value:e}"), 15), expected);
        }
        for (value, expected) in [(0.1f32, "0.1"), (1e6, "1e+06"), (123_456.0, "123456"), (1_234_567.0, "1.234567e+06")]
        {
            assert_eq!(float(value.into(), format!("{value:e}"), 6), expected);
        }
    }

    #[test]
    fn intervals() {
        for ((months, days, micros), expected) in [
            ((0, 0, 0), "00:00:00"),
            ((14, 3, 14_706_789_000), "1 year 2 mons 3 days 04:05:06.789"),
            ((-14, 0, 0), "-1 years -2 mons"),
            ((-1, 1, 0), "-1 mons +1 day"),
            ((0, -1, 3_600_000_000), "-1 days +01:00:00"),
            ((0, 1, -3_600_000_000), "1 day -01:00:00"),
            ((0, 0, -1), "-00:00:00.000001"),
            ((0, 0, 360_000_000_000), "100:00:00"),
        ] {
            assert_eq!(of_interval(months, days, micros), expected);
        }
    }

    #[test]
    fn timestamps() {
        let at = |date: Date, micros: i64| of_moment(Moment::Timestamp(date, Clock::of_micros(micros), 0), false);
        assert_eq!(at(Date::new(2024, 7, 15), 22_028_500_000), "2024-07-15 06:07:08.5");
        assert_eq!(at(Date::new(-43, 3, 15), 0), "0044-03-15 00:00:00 BC");
        assert_eq!(at(Date::new(12_345, 1, 1), 0), "12345-01-01 00:00:00");
    }
}
