//! `extract(field FROM x)`, which gives numerics, and `date_part('field', x)`, which gives doubles.

use super::decimal_math::pow10;
use super::function::{PlainFunction, constant_text, is_text, over_arrays};
use super::moment::{Moment, moment, moment_type, type_name};
use crate::FunctionError;
use crate::calendar::{Clock, Date, MICROS_PER_SECOND};
use crate::limits::NARROW_DIGITS_MAX;
use arrow::array::{Array, ArrayRef, AsArray, Decimal64Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{ReturnFieldArgs, ScalarUDF};
use std::sync::Arc;

/// Digits of a field that is a whole number.
const WHOLE_DIGITS: u8 = 10;

const SECONDS_PER_DAY: i64 = 86_400;
/// PostgreSQL's year of an interval has 365.25 days.
const SECONDS_PER_YEAR: i64 = SECONDS_PER_DAY * 1461 / 4;
const SECONDS_PER_MONTH: i64 = SECONDS_PER_DAY * 30;

/// `extract('field', x)`: what the rules write for SQL's EXTRACT; the field is a constant.
pub fn extract() -> ScalarUDF {
    PlainFunction {
        name: "extract",
        coerce: |types| coerce("extract", types),
        returns: |args| {
            let field = field_of(args)?;
            let data_type = args.arg_fields[1].data_type();
            Ok(match field.scale(data_type) {
                0 => DataType::Decimal64(WHOLE_DIGITS, 0),
                // Microseconds of a minute: 59,999,999.
                scale if field != Field::Epoch => DataType::Decimal64(8, scale),
                scale => DataType::Decimal64(NARROW_DIGITS_MAX, scale),
            })
        },
        run: |args| {
            let result = args.return_type().clone();
            over_arrays(args, |arrays| {
                let parts = parts(arrays)?;
                Ok(Arc::new(Decimal64Array::from(parts).with_data_type(result)) as ArrayRef)
            })
        },
    }
    .udf()
}

pub fn date_part() -> ScalarUDF {
    PlainFunction {
        name: "date_part",
        coerce: |types| coerce("date_part", types),
        returns: |args| field_of(args).map(|_| DataType::Float64),
        run: |args| {
            over_arrays(args, |arrays| {
                let unit = match named(arrays)? {
                    Some(field) => pow10(field.scale(arrays[1].data_type()).unsigned_abs().into()) as f64,
                    None => 1.0,
                };
                let parts = parts(arrays)?.into_iter().map(|part| part.map(|part| part as f64 / unit));
                Ok(Arc::new(parts.collect::<Float64Array>()) as ArrayRef)
            })
        },
    }
    .udf()
    .with_aliases(["datepart"])
}

fn coerce(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [field, value] if is_text(field) => match moment_type(value) {
            // A cast would hide that the field is a constant.
            Some(value) => Ok(vec![field.clone(), value]),
            None if *value == DataType::Null => Ok(vec![field.clone(), DataType::Date32]),
            None => plan_err!("function {name}(text, {value}) does not exist"),
        },
        _ => plan_err!("function {name}({types:?}) does not exist"),
    }
}

/// The field of a call, checked against the type that it is taken from.
fn field_of(args: &ReturnFieldArgs) -> Result<Field> {
    let Some(name) = constant_text(args, 0) else {
        return Err(FunctionError::unsupported("the field to extract must be a constant").into());
    };
    Ok(Field::checked(name, args.arg_fields[1].data_type())?)
}

/// The field in the first row: it is a constant. None without rows.
fn named(arrays: &[ArrayRef]) -> Result<Option<Field>> {
    let names = cast(&arrays[0], &DataType::Utf8View)?;
    let names = names.as_string_view();
    if names.is_empty() || names.is_null(0) {
        return Ok(None);
    }
    Ok(Some(Field::checked(names.value(0), arrays[1].data_type())?))
}

/// Unscaled values of the field in each row.
fn parts(arrays: &[ArrayRef]) -> Result<Vec<Option<i64>>> {
    let Some(field) = named(arrays)? else {
        return Ok(vec![None; arrays[1].len()]);
    };
    let part = |row| match moment(&arrays[1], row).map(|moment| field.part(moment)) {
        None => Ok(None),
        // Only epochs can have so many digits.
        Some(Some(part)) if i128::from(part).abs() >= pow10(NARROW_DIGITS_MAX.into()) => {
            Err(FunctionError::OutOfRange("numeric").into())
        }
        Some(Some(part)) => Ok(Some(part)),
        Some(None) => internal_err!("{field:?} of {}", arrays[1].data_type()),
    };
    (0..arrays[1].len()).map(part).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Dow,
    IsoDow,
    Doy,
    IsoYear,
    Julian,
    Epoch,
    /// Hours and minutes of the zone; the session's is UTC.
    Zone,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microseconds" | "microsecond" | "us" | "usec" | "usecs" | "usecond" | "useconds" => Self::Microseconds,
            "milliseconds" | "millisecond" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" => Self::Milliseconds,
            "second" | "seconds" | "sec" | "secs" | "s" => Self::Second,
            "minute" | "minutes" | "min" | "mins" | "m" => Self::Minute,
            "hour" | "hours" | "hr" | "hrs" | "h" => Self::Hour,
            "day" | "days" | "d" => Self::Day,
            "week" | "weeks" | "w" => Self::Week,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "quarter" | "qtr" => Self::Quarter,
            "year" | "years" | "yr" | "yrs" | "y" => Self::Year,
            "decade" | "decades" | "dec" | "decs" => Self::Decade,
            "century" | "centuries" | "cent" | "c" => Self::Century,
            "millennium" | "millennia" | "mil" | "mils" => Self::Millennium,
            "dow" => Self::Dow,
            "isodow" => Self::IsoDow,
            "doy" => Self::Doy,
            "isoyear" => Self::IsoYear,
            "julian" => Self::Julian,
            "epoch" => Self::Epoch,
            "timezone" | "timezone_hour" | "timezone_minute" => Self::Zone,
            _ => return None,
        })
    }

    /// # Errors
    /// 22023 for a name that no field has, 0A000 for a field that the type does not.
    pub(super) fn checked(name: &str, data_type: &DataType) -> Result<Self, FunctionError> {
        let sql_type = type_name(data_type);
        let lower = name.to_ascii_lowercase();
        let Some(field) = Self::named(name) else {
            return Err(FunctionError::invalid(
                "22023",
                format!("unit \"{lower}\" not recognized for type {sql_type}"),
            ));
        };
        if field.exists_in(data_type) {
            Ok(field)
        } else {
            Err(FunctionError::unsupported(format!("unit \"{lower}\" not supported for type {sql_type}")))
        }
    }

    fn exists_in(self, data_type: &DataType) -> bool {
        use Field::*;
        let of_clock = matches!(self, Microseconds | Milliseconds | Second | Minute | Hour);
        match data_type {
            DataType::Date32 | DataType::Date64 => !of_clock && self != Zone,
            DataType::Timestamp(_, zone) => self != Julian && (self != Zone || zone.is_some()),
            DataType::Time32(_) | DataType::Time64(_) => of_clock || self == Epoch,
            _ => !matches!(self, Week | Dow | IsoDow | Doy | IsoYear | Julian | Zone),
        }
    }

    /// Digits after the point.
    fn scale(self, data_type: &DataType) -> i8 {
        match self {
            Self::Milliseconds => 3,
            Self::Second => 6,
            Self::Epoch if !matches!(data_type, DataType::Date32) => 6,
            _ => 0,
        }
    }

    /// The unscaled value; None where there is none of the field in such a value.
    fn part(self, moment: Moment) -> Option<i64> {
        match moment {
            Moment::Date(date) => match self {
                Self::Epoch => Some(date.days() * SECONDS_PER_DAY),
                _ => self.of_date(date),
            },
            Moment::Timestamp(date, clock, micros) => match self {
                Self::Epoch => Some(micros),
                Self::Zone => Some(0),
                _ => self.of_clock(clock).or_else(|| self.of_date(date)),
            },
            Moment::Time(micros) if self == Self::Epoch => Some(micros),
            Moment::Time(micros) => self.of_clock(Clock::of_micros(micros)),
            Moment::Interval { months, days, micros } => self.of_interval(months, days, micros),
        }
    }

    fn of_clock(self, clock: Clock) -> Option<i64> {
        Some(match self {
            Self::Hour => clock.hour,
            Self::Minute => clock.minute,
            // The same digits, at three scales.
            Self::Second | Self::Milliseconds | Self::Microseconds => {
                clock.second * MICROS_PER_SECOND + clock.microsecond
            }
            _ => return None,
        })
    }

    fn of_date(self, date: Date) -> Option<i64> {
        // There is no year 0: 1 BC is -1.
        let shown = |year: i64| if year > 0 { year } else { year - 1 };
        Some(match self {
            Self::Day => date.day,
            Self::Week => date.iso_week().1,
            Self::Month => date.month,
            Self::Quarter => date.quarter(),
            Self::Year => shown(date.year),
            Self::Decade => date.year.div_euclid(10),
            Self::Century => date.period(100),
            Self::Millennium => date.period(1000),
            Self::Dow => date.iso_weekday() % 7,
            Self::IsoDow => date.iso_weekday(),
            Self::Doy => date.day_of_year(),
            Self::IsoYear => shown(date.iso_week().0),
            Self::Julian => date.julian_day(),
            _ => return None,
        })
    }

    fn of_interval(self, months: i64, days: i64, micros: i64) -> Option<i64> {
        let years = months / 12;
        Some(match self {
            Self::Epoch => {
                let seconds = years * SECONDS_PER_YEAR + months % 12 * SECONDS_PER_MONTH + days * SECONDS_PER_DAY;
                // What is saturated has too many digits: [`parts`].
                seconds.saturating_mul(MICROS_PER_SECOND).saturating_add(micros)
            }
            Self::Day => days,
            Self::Month => months % 12,
            Self::Quarter => months % 12 / 3 + 1,
            Self::Year => years,
            Self::Decade => years / 10,
            Self::Century => years / 100,
            Self::Millennium => years / 1000,
            _ => return self.of_clock(Clock::of_micros(micros)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_before_christ() {
        let date = Date::new(-43, 3, 15);
        let of = |field: Field| field.part(Moment::Date(date));
        assert_eq!((of(Field::Year), of(Field::Century), of(Field::Decade)), (Some(-44), Some(-1), Some(-5)));
    }

    #[test]
    fn negative_intervals() {
        let interval = Moment::Interval { months: -14, days: -3, micros: -3_723_500_000 };
        for (field, expected) in [
            (Field::Year, -1),
            (Field::Month, -2),
            (Field::Day, -3),
            (Field::Hour, -1),
            (Field::Minute, -2),
            (Field::Second, -3_500_000),
        ] {
            assert_eq!(field.part(interval), Some(expected), "{field:?}");
        }
    }
}
