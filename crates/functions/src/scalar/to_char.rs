//! `to_char(x, pattern)`, `to_date(text, pattern)`, `to_timestamp(text, pattern)`, `to_timestamp(seconds)`.

use super::decimal_math::rescale;
use super::function::{PlainFunction, is_text, over_arrays};
use super::moment::{Moment, moment};
use crate::calendar::{Clock, Date, MICROS_PER_DAY};
use crate::format::{DatePattern, NumberPattern};
use crate::{FunctionError, NumericType};
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StringViewArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, Float32Type, Float64Type, TimeUnit};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Decimal digits that PostgreSQL shows of a double and of a real.
const DOUBLE_DIGITS: usize = 15;
const REAL_DIGITS: usize = 6;

/// Of dates, timestamps and numbers.
pub fn to_char() -> ScalarUDF {
    PlainFunction {
        name: "to_char",
        coerce: |types| match types {
            [value, pattern] if is_text(pattern) => match value {
                DataType::Date32 | DataType::Date64 => {
                    Ok(vec![DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Utf8View])
                }
                DataType::Timestamp(_, zone) => {
                    Ok(vec![DataType::Timestamp(TimeUnit::Microsecond, zone.clone()), DataType::Utf8View])
                }
                DataType::Float32 | DataType::Float64 | DataType::Decimal64(..) | DataType::Decimal128(..) => {
                    Ok(vec![value.clone(), DataType::Utf8View])
                }
                DataType::Null => Ok(vec![DataType::Float64, DataType::Utf8View]),
                other => match NumericType::of(other) {
                    Some(numeric) => Ok(vec![numeric.narrowest(), DataType::Utf8View]),
                    None => plan_err!("function to_char({other}, text) does not exist"),
                },
            },
            _ => plan_err!("function to_char({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |args| over_arrays(args, |arrays| texts(&arrays[0], arrays[1].as_string_view())),
    }
    .udf()
}

pub fn to_date() -> ScalarUDF {
    PlainFunction {
        name: "to_date",
        coerce: two_texts,
        returns: |_| Ok(DataType::Date32),
        run: |args| {
            over_arrays(args, |arrays| {
                let out_of_range = |_| FunctionError::invalid("22008", "date out of range");
                let days = read(arrays, |date, _| i32::try_from(date.days()).map_err(out_of_range))?;
                Ok(Arc::new(Date32Array::from(days)) as ArrayRef)
            })
        },
    }
    .udf()
}

/// By a pattern, or from seconds since 1970.
pub fn to_timestamp() -> ScalarUDF {
    PlainFunction {
        name: "to_timestamp",
        coerce: |types| match types {
            [seconds] if seconds.is_numeric() || *seconds == DataType::Null => Ok(vec![DataType::Float64]),
            _ => two_texts(types),
        },
        returns: |_| Ok(instant()),
        run: |args| {
            over_arrays(args, |arrays| {
                let micros: TimestampMicrosecondArray = match arrays {
                    [seconds] => of_seconds(seconds)?,
                    _ => read(arrays, |date, clock| Ok(date.days() * MICROS_PER_DAY + clock.micros()))?.into(),
                };
                Ok(Arc::new(micros.with_data_type(instant())) as ArrayRef)
            })
        },
    }
    .udf()
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

fn two_texts(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [text, pattern] if is_text(text) && is_text(pattern) => Ok(vec![DataType::Utf8View; 2]),
        _ => plan_err!("text and a pattern expected, not {types:?}"),
    }
}

fn of_seconds(seconds: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let seconds = seconds.as_primitive::<Float64Type>();
    let mut micros = TimestampMicrosecondBuilder::with_capacity(seconds.len());
    for value in seconds {
        let value = value.map(|seconds| (seconds * 1e6).round_ties_even());
        match value {
            Some(value) if value.abs() < i64::MAX as f64 => micros.append_value(value as i64),
            Some(_) => return Err(FunctionError::invalid("22008", "timestamp out of range").into()),
            None => micros.append_null(),
        }
    }
    Ok(micros.finish())
}

/// The pattern of the last row, which most often is every row's.
struct Parsed<'a, P> {
    text: &'a str,
    pattern: P,
}

/// `pattern` parsed, unless it was the last one too.
fn parsed<'a, 'p, P>(
    last: &'p mut Option<Parsed<'a, P>>,
    pattern: &'a str,
    parse: impl FnOnce(&str) -> Result<P, FunctionError>,
) -> Result<&'p P, FunctionError> {
    if last.as_ref().is_none_or(|last| last.text != pattern) {
        *last = None;
    }
    let kept = match last.take() {
        Some(kept) => kept,
        None => Parsed { text: pattern, pattern: parse(pattern)? },
    };
    Ok(&last.insert(kept).pattern)
}

/// What `make` makes of each text by the pattern next to it.
fn read<T>(
    arrays: &[ArrayRef],
    make: impl Fn(Date, Clock) -> Result<T, FunctionError>,
) -> Result<Vec<Option<T>>, FunctionError> {
    let (texts, patterns) = (arrays[0].as_string_view(), arrays[1].as_string_view());
    let mut last = None;
    let mut results = Vec::with_capacity(texts.len());
    for pair in texts.iter().zip(patterns) {
        results.push(match pair {
            (Some(text), Some(pattern)) => {
                let (date, clock) = parsed(&mut last, pattern, DatePattern::parse)?.read(text)?;
                Some(make(date, clock)?)
            }
            _ => None,
        });
    }
    Ok(results)
}

fn texts(values: &ArrayRef, patterns: &StringViewArray) -> Result<ArrayRef> {
    macro_rules! numbers {
        ($t:ty, $write:expr) => {{
            let mut last = None;
            let mut texts = Vec::with_capacity(patterns.len());
            for pair in values.as_primitive::<$t>().iter().zip(patterns) {
                texts.push(match pair {
                    (Some(value), Some(pattern)) => {
                        Some($write(value, parsed(&mut last, pattern, NumberPattern::parse)?)?)
                    }
                    _ => None,
                });
            }
            texts
        }};
    }
    let texts: Vec<Option<String>> = match values.data_type() {
        DataType::Decimal64(_, scale) => {
            numbers!(Decimal64Type, |value: i64, pattern| decimal(value.into(), *scale, pattern))
        }
        DataType::Decimal128(_, scale) => numbers!(Decimal128Type, |value, pattern| decimal(value, *scale, pattern)),
        DataType::Float32 => numbers!(Float32Type, |value: f32, pattern| float(value.into(), REAL_DIGITS, pattern)),
        DataType::Float64 => numbers!(Float64Type, |value, pattern| float(value, DOUBLE_DIGITS, pattern)),
        DataType::Timestamp(..) => {
            let mut last = None;
            let mut texts = Vec::with_capacity(patterns.len());
            for (row, pattern) in patterns.iter().enumerate() {
                texts.push(match (moment(values, row), pattern) {
                    (Some(Moment::Timestamp(date, clock, _)), Some(pattern)) => {
                        let pattern = parsed(&mut last, pattern, DatePattern::parse)?;
                        Some(pattern.write(date, clock))
                    }
                    _ => None,
                });
            }
            texts
        }
        other => return internal_err!("to_char of {other}"),
    };
    Ok(Arc::new(StringViewArray::from_iter(texts)))
}

fn decimal(value: i128, scale: i8, pattern: &NumberPattern) -> Result<String, FunctionError> {
    let places = pattern.scale();
    let too_many = |_| FunctionError::invalid("22023", format!("a pattern with {places} digits after the point"));
    let value = rescale(value, scale, i8::try_from(places).map_err(too_many)?)?;
    let mut digits = format!("{:0width$}", value.unsigned_abs(), width = places + 1);
    if places > 0 {
        digits.insert(digits.len() - places, '.');
    }
    Ok(pattern.write(&digits, value < 0))
}

/// Of a float, no more than `digits_max` digits are shown.
fn float(value: f64, digits_max: usize, pattern: &NumberPattern) -> Result<String, FunctionError> {
    if !value.is_finite() {
        return Err(FunctionError::unsupported("to_char of NaN and infinity is not supported"));
    }
    let whole = format!("{:.0}", value.abs()).len();
    let places = pattern.scale().min(digits_max.saturating_sub(whole));
    Ok(pattern.write(&format!("{:.places$}", value.abs()), value.is_sign_negative()))
}
