//! Text to `real` and `double precision`: 22003 for a number that the type cannot hold, where Arrow's cast gives infinity, or zero.

use super::function::{PlainFunction, over_arrays};
use crate::FunctionError;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::FormatOptions;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

/// `text_to_float4(text)`.
pub fn text_to_float4() -> ScalarUDF {
    PlainFunction {
        name: "text_to_float4",
        coerce: text,
        returns: |_| Ok(DataType::Float32),
        run: |args| converted::<Float32Type>(args, "real"),
    }
    .udf()
}

/// `text_to_float8(text)`.
pub fn text_to_float8() -> ScalarUDF {
    PlainFunction {
        name: "text_to_float8",
        coerce: text,
        returns: |_| Ok(DataType::Float64),
        run: |args| converted::<Float64Type>(args, "double precision"),
    }
    .udf()
}

fn text(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_] => Ok(vec![DataType::Utf8View]),
        _ => plan_err!("it takes one text"),
    }
}

fn converted<T: ArrowPrimitiveType>(args: &ScalarFunctionArgs, sql_type: &str) -> Result<ColumnarValue>
where
    T::Native: Into<f64>,
{
    over_arrays(args, |columns| {
        let texts = &columns[0];
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        let floats: ArrayRef = cast_with_options(texts, &T::DATA_TYPE, &options)?;
        let values = floats.as_primitive::<T>();
        let texts = texts.as_string_view();
        for row in 0..values.len() {
            let value: f64 = values.value(row).into();
            if (value.is_infinite() || value == 0.0) && values.is_valid(row) && !says(texts.value(row), value) {
                let text = texts.value(row);
                let message = format!("\"{text}\" is out of range for type {sql_type}");
                return Err(FunctionError::invalid("22003", message).into());
            }
        }
        Ok(floats)
    })
}

/// Whether a text is infinity, or zero, and not just too far from or too near to it.
fn says(text: &str, value: f64) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    if value == 0.0 { !mantissa.contains(|c: char| ('1'..='9').contains(&c)) } else { text.contains(['n', 'N']) }
}
