//! `age(a, b)`.

use super::function::{PlainFunction, over_arrays};
use crate::FunctionError;
use crate::calendar::{MICROS_PER_DAY, date_and_clock, days_in_month};
use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) | DataType::Null)
}

/// The interval from the second timestamp to the first in years, months, days and time of day.
pub fn age() -> ScalarUDF {
    PlainFunction {
        name: "age",
        coerce: |types| match types {
            [_] | [_, _] if types.iter().all(is_date) => Ok(vec![TIMESTAMP; types.len()]),
            _ => plan_err!("function age({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
        run: |args| {
            over_arrays(args, |arrays| {
                let [later, earlier] = arrays else {
                    // The rules add today's date.
                    return plan_err!("age() of one argument reached execution");
                };
                let (later, earlier) = (
                    later.as_primitive::<TimestampMicrosecondType>(),
                    earlier.as_primitive::<TimestampMicrosecondType>(),
                );
                let ages = later.iter().zip(earlier).map(|pair| match pair {
                    (Some(later), Some(earlier)) => between(later, earlier).map(Some),
                    _ => Ok(None),
                });
                let ages: Result<IntervalMonthDayNanoArray, FunctionError> = ages.collect();
                Ok(Arc::new(ages?) as ArrayRef)
            })
        },
    }
    .udf()
}

/// PostgreSQL's `timestamp_age`: months borrowed from are the earlier timestamp's.
fn between(one: i64, other: i64) -> Result<IntervalMonthDayNano, FunctionError> {
    let sign = if one < other { -1 } else { 1 };
    let (later, earlier) = if sign < 0 { (other, one) } else { (one, other) };
    let ((to, _), (from, _)) = (date_and_clock(later), date_and_clock(earlier));
    let mut micros = later.rem_euclid(MICROS_PER_DAY) - earlier.rem_euclid(MICROS_PER_DAY);
    let mut days = to.day - from.day;
    let mut months = (to.year - from.year) * 12 + to.month - from.month;
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        days += days_in_month(from.year, from.month);
        months -= 1;
    }
    let out_of_range = |_| FunctionError::invalid("22008", "interval out of range");
    let (months, days) =
        ((sign * months).try_into().map_err(out_of_range)?, (sign * days).try_into().map_err(out_of_range)?);
    Ok(IntervalMonthDayNano::new(months, days, sign * micros * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Date;

    fn at(year: i64, month: i64, day: i64) -> i64 {
        Date::new(year, month, day).days() * MICROS_PER_DAY
    }

    #[test]
    fn ages() {
        for (one, other, expected) in [
            (at(2024, 3, 1), at(2023, 1, 31), (13, 1, 0)),
            (at(2023, 1, 31), at(2024, 3, 1), (-13, -1, 0)),
            (at(2024, 3, 31), at(2024, 2, 29), (1, 2, 0)),
            (at(2024, 1, 2), at(2024, 1, 1) + 1, (0, 0, MICROS_PER_DAY - 1)),
            (at(2024, 1, 1), at(2024, 1, 1), (0, 0, 0)),
        ] {
            let age = between(one, other).unwrap();
            assert_eq!((age.months, age.days, age.nanoseconds / 1000), expected, "{one} {other}");
        }
    }
}
