//! Intervals as PostgreSQL compares them: a month is 30 days, a day 24 hours.

use super::function::{PlainFunction, over_arrays};
use super::moment::{Moment, moment, moment_type};
use crate::FunctionError;
use crate::calendar::MICROS_PER_DAY;
use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const DAYS_PER_MONTH: i64 = 30;

/// `interval_span(x)`: the microseconds of an interval; what the rules compare in its place.
pub fn interval_span() -> ScalarUDF {
    PlainFunction {
        name: "interval_span",
        coerce: |types| match types {
            [value @ (DataType::Interval(_) | DataType::Duration(_))] => Ok(moment_type(value).into_iter().collect()),
            _ => plan_err!("interval_span takes an interval, not {types:?}"),
        },
        returns: |_| Ok(DataType::Int64),
        run: |args| {
            over_arrays(args, |arrays| {
                let spans = (0..arrays[0].len()).map(|row| match moment(&arrays[0], row) {
                    Some(Moment::Interval { months, days, micros }) => span(months, days, micros).map(Some),
                    _ => Ok(None),
                });
                let spans: Result<Int64Array, FunctionError> = spans.collect();
                Ok(Arc::new(spans?) as ArrayRef)
            })
        },
    }
    .udf()
}

fn span(months: i64, days: i64, micros: i64) -> Result<i64, FunctionError> {
    let days = months * DAYS_PER_MONTH + days;
    let span = days.checked_mul(MICROS_PER_DAY).and_then(|span| span.checked_add(micros));
    span.ok_or_else(|| FunctionError::invalid("22008", "interval out of range"))
}
