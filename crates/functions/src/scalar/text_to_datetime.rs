//! Text to dates and times, as PostgreSQL reads it: seconds may be left out, and a timestamp's zone means nothing.

use super::function::{PlainFunction, over_arrays};
use crate::FunctionError;
use crate::datetime_text::{self, DatetimeTextError};
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use std::sync::Arc;

/// `text_to_date(text)`.
pub fn text_to_date() -> ScalarUDF {
    PlainFunction {
        name: "text_to_date",
        coerce: text,
        returns: |_| Ok(DataType::Date32),
        run: |args| converted::<Date32Type>(args, "date", datetime_text::date),
    }
    .udf()
}

/// `text_to_time(text)`.
pub fn text_to_time() -> ScalarUDF {
    PlainFunction {
        name: "text_to_time",
        coerce: text,
        returns: |_| Ok(DataType::Time64(TimeUnit::Microsecond)),
        run: |args| converted::<Time64MicrosecondType>(args, "time", datetime_text::time),
    }
    .udf()
}

/// `text_to_timestamp(text)`.
pub fn text_to_timestamp() -> ScalarUDF {
    PlainFunction {
        name: "text_to_timestamp",
        coerce: text,
        returns: |_| Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
        run: |args| converted::<TimestampMicrosecondType>(args, "timestamp", datetime_text::timestamp),
    }
    .udf()
}

/// `text_to_timestamptz(text)`.
pub fn text_to_timestamptz() -> ScalarUDF {
    PlainFunction {
        name: "text_to_timestamptz",
        coerce: text,
        returns: |_| Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00")))),
        run: |args| converted::<TimestampMicrosecondType>(args, "timestamp with time zone", datetime_text::timestamptz),
    }
    .udf()
}

fn text(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_] => Ok(vec![DataType::Utf8View]),
        _ => plan_err!("it takes one text"),
    }
}

fn converted<T: ArrowPrimitiveType>(
    args: &ScalarFunctionArgs,
    sql_type: &str,
    read: fn(&[u8]) -> Result<T::Native, DatetimeTextError>,
) -> Result<ColumnarValue> {
    let result = args.return_type().clone();
    over_arrays(args, |columns| {
        let value = |text: &str| read(text.as_bytes()).map_err(|error| error.of_value(text, sql_type));
        let values = columns[0].as_string_view().iter().map(|text| text.map(value).transpose());
        let values: PrimitiveArray<T> = values.collect::<Result<_, FunctionError>>()?;
        Ok(Arc::new(values.with_data_type(result)) as ArrayRef)
    })
}
