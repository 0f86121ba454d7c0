//! `timezone(zone, timestamp)`, which AT TIME ZONE is.

use super::function::{PlainFunction, is_text, over_arrays};
use super::moment::{Moment, moment};
use crate::FunctionError;
use crate::zone::Zone;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00")))
}

/// An instant's local time in the zone, or a local time's instant. The zone is a name, or an interval east of UTC.
pub fn timezone() -> ScalarUDF {
    PlainFunction {
        name: "timezone",
        coerce: |types| match types {
            [zone, value] => {
                let zone = match zone {
                    zone if is_text(zone) => DataType::Utf8View,
                    DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
                    other => return plan_err!("function timezone({other}, {value}) does not exist"),
                };
                let value = match value {
                    DataType::Timestamp(_, None) => LOCAL,
                    // A text and a date are instants first.
                    DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Date64 => instant(),
                    text if is_text(text) => instant(),
                    other => return plan_err!("function timezone(text, {other}) does not exist"),
                };
                Ok(vec![zone, value])
            }
            _ => plan_err!("function timezone({types:?}) does not exist"),
        },
        returns: |args| {
            Ok(match args.arg_fields[1].data_type() {
                DataType::Timestamp(_, None) => instant(),
                _ => LOCAL,
            })
        },
        run: |args| {
            let result = args.return_type().clone();
            over_arrays(args, |arrays| {
                let to_local = result == LOCAL;
                let values = arrays[1].as_primitive::<TimestampMicrosecondType>();
                let mut zones = Zones::new(&arrays[0])?;
                let mut moved = Vec::with_capacity(values.len());
                for (row, value) in values.iter().enumerate() {
                    let (Some(value), Some(zone)) = (value, zones.at(row)?) else {
                        moved.push(None);
                        continue;
                    };
                    let micros = if to_local { zone.local_of_instant(value) } else { zone.instant_of_local(value) };
                    let out_of_range = || FunctionError::invalid("22008", "timestamp out of range");
                    moved.push(Some(micros.ok_or_else(out_of_range)?));
                }
                Ok(Arc::new(TimestampMicrosecondArray::from(moved).with_data_type(result)) as ArrayRef)
            })
        },
    }
    .udf()
}

/// Zones of rows: most are the one before again.
struct Zones {
    column: ArrayRef,
    last: Option<(String, Zone)>,
}

impl Zones {
    fn new(column: &ArrayRef) -> Result<Self> {
        let column = match column.data_type() {
            DataType::Interval(_) => Arc::clone(column),
            _ => cast(column, &DataType::Utf8View)?,
        };
        Ok(Zones { column, last: None })
    }

    fn at(&mut self, row: usize) -> Result<Option<Zone>> {
        if self.column.is_null(row) {
            return Ok(None);
        }
        if let Some(Moment::Interval { months, days, micros }) = moment(&self.column, row) {
            return Ok(Some(Zone::of_interval(months, days, micros)?));
        }
        let name = self.column.as_string_view().value(row);
        match &self.last {
            Some((last, zone)) if last == name => Ok(Some(*zone)),
            _ => {
                let unknown = || FunctionError::invalid("22023", format!("time zone \"{name}\" not recognized"));
                let zone = Zone::of_name(name).ok_or_else(unknown)?;
                self.last = Some((name.to_owned(), zone));
                Ok(Some(zone))
            }
        }
    }
}
