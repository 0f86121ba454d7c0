//! Dates, timestamps, times and intervals as functions of them take them: one column type of each, one value of any.

use crate::calendar::{Clock, Date, MICROS_PER_DAY, date_and_clock};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};

/// A value's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Date(Date),
    /// With its microseconds since 1970-01-01.
    Timestamp(Date, Clock, i64),
    /// Microseconds since midnight.
    Time(i64),
    /// PostgreSQL's three parts; days have no fixed number of hours, months none of days.
    Interval {
        months: i64,
        days: i64,
        micros: i64,
    },
}

/// The type that [`moment`] reads a column of `data_type` in; None for types that are none of dates and times.
pub fn moment_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        _ => return None,
    })
}

/// PostgreSQL's name of a type, for errors.
pub fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        _ => "interval",
    }
}

/// The value in a row; None for NULL, and in a column whose type is not one of [`moment_type`].
pub fn moment(column: &ArrayRef, row: usize) -> Option<Moment> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Date32 => Moment::Date(Date::of_days(column.as_primitive::<Date32Type>().value(row).into())),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let (date, clock) = date_and_clock(micros);
            Moment::Timestamp(date, clock, micros)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            Moment::Time(column.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            Moment::Interval { months: value.months.into(), days: value.days.into(), micros: value.nanoseconds / 1000 }
        }
        // What `timestamp - timestamp` gives: whole days are days, as PostgreSQL has them.
        DataType::Duration(TimeUnit::Microsecond) => {
            let micros = column.as_primitive::<DurationMicrosecondType>().value(row);
            Moment::Interval { months: 0, days: micros / MICROS_PER_DAY, micros: micros % MICROS_PER_DAY }
        }
        _ => return None,
    })
}
