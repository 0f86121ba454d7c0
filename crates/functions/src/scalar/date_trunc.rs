//! `date_trunc('unit', timestamp)`, also of what nanoseconds cannot count.

use super::extract::Field;
use super::function::{PlainFunction, is_text, over_arrays};
use super::moment::{Moment, moment};
use crate::FunctionError;
use crate::calendar::{Clock, Date, MICROS_PER_DAY, MICROS_PER_SECOND};
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::plan_err;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// A date's result is a timestamp.
pub fn date_trunc() -> ScalarUDF {
    PlainFunction {
        name: "date_trunc",
        coerce: |types| match types {
            [unit, value] if is_text(unit) => {
                let zone = match value {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    DataType::Date32 | DataType::Date64 | DataType::Null => None,
                    other => return plan_err!("function date_trunc(text, {other}) does not exist"),
                };
                Ok(vec![DataType::Utf8View, DataType::Timestamp(TimeUnit::Microsecond, zone)])
            }
            _ => plan_err!("function date_trunc({types:?}) does not exist"),
        },
        returns: |args| Ok(args.arg_fields[1].data_type().clone()),
        run: |args| {
            let result = args.return_type().clone();
            over_arrays(args, |arrays| {
                let units = cast(&arrays[0], &DataType::Utf8View)?;
                let mut last: Option<(&str, Field)> = None;
                let mut starts = Vec::with_capacity(arrays[1].len());
                for (row, unit) in units.as_string_view().iter().enumerate() {
                    let (Some(unit), Some(Moment::Timestamp(date, clock, micros))) = (unit, moment(&arrays[1], row))
                    else {
                        starts.push(None);
                        continue;
                    };
                    let field = match last {
                        Some((text, field)) if text == unit => field,
                        _ => Field::checked(unit, &result)?,
                    };
                    last = Some((unit, field));
                    starts.push(Some(start(field, date, clock, micros).ok_or_else(|| unsupported(unit))?));
                }
                let starts = TimestampMicrosecondArray::from(starts).with_data_type(result);
                Ok(Arc::new(starts) as ArrayRef)
            })
        },
    }
    .udf()
}

fn unsupported(unit: &str) -> FunctionError {
    FunctionError::unsupported(format!("unit \"{unit}\" not supported for type timestamp without time zone"))
}

/// The first instant of the unit that the timestamp is in; None for fields that are no units.
fn start(field: Field, date: Date, clock: Clock, micros: i64) -> Option<i64> {
    let day = |date: Date| date.days() * MICROS_PER_DAY;
    let of_period =
        |years: i64, first: i64| day(Date::new((date.year - first).div_euclid(years) * years + first, 1, 1));
    Some(match field {
        Field::Microseconds => micros,
        Field::Milliseconds => micros - clock.microsecond % 1000,
        Field::Second => micros - clock.microsecond,
        Field::Minute => micros - clock.microsecond - clock.second * MICROS_PER_SECOND,
        Field::Hour => micros - clock.microsecond - (clock.minute * 60 + clock.second) * MICROS_PER_SECOND,
        Field::Day => day(date),
        Field::Week => day(date) - (date.iso_weekday() - 1) * MICROS_PER_DAY,
        Field::Month => day(Date::new(date.year, date.month, 1)),
        Field::Quarter => day(Date::new(date.year, date.quarter() * 3 - 2, 1)),
        Field::Year => day(Date::new(date.year, 1, 1)),
        // Decades begin with a year that ends in 0, centuries and millennia with one that ends in 1.
        Field::Decade => of_period(10, 0),
        Field::Century => of_period(100, 1),
        Field::Millennium => of_period(1000, 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_of_years() {
        for (field, year, expected) in [
            (Field::Decade, 2024, 2020),
            (Field::Century, 2000, 1901),
            (Field::Century, 2001, 2001),
            (Field::Millennium, 2024, 2001),
            (Field::Decade, -1, -10),
            (Field::Century, 0, -99),
        ] {
            let date = Date::new(year, 5, 17);
            let start = start(field, date, Clock::of_micros(0), date.days() * MICROS_PER_DAY);
            assert_eq!(start, Some(Date::new(expected, 1, 1).days() * MICROS_PER_DAY), "{field:?} of {year}");
        }
    }
}
