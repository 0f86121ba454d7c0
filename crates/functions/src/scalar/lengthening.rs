//! `repeat`, `lpad` and `rpad`: 54000 for a text that is longer than a value may be, before it is made.

use crate::FunctionError;
use crate::limits::TEXT_BYTES_MAX;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// One of DataFusion's, which it replaces under the same name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Lengthening {
    inner: Arc<ScalarUDF>,
    /// `repeat`: the number counts the first argument's lengths, not characters.
    repeats: bool,
}

impl Lengthening {
    pub fn new(inner: Arc<ScalarUDF>) -> Self {
        let repeats = inner.name() == "repeat";
        Self { inner, repeats }
    }
}

impl ScalarUDFImpl for Lengthening {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [text, number, ..] = &args.args[..] {
            let longest = if self.repeats { longest_repeated(text, number, &args)? } else { largest(number)? };
            if longest > TEXT_BYTES_MAX {
                return Err(FunctionError::invalid("54000", "requested length too large").into());
            }
        }
        self.inner.invoke_with_args(args)
    }
}

/// The largest number; 0 without any.
fn largest(number: &ColumnarValue) -> Result<u64> {
    let numbers = array_of(number)?;
    Ok(numbers
        .as_primitive_opt::<Int64Type>()
        .map_or(0, |numbers| numbers.iter().flatten().max().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)))
}

/// Bytes of the longest result. Row by row only where the longest text as often as any would be too long.
fn longest_repeated(text: &ColumnarValue, number: &ColumnarValue, args: &ScalarFunctionArgs) -> Result<u64> {
    let bound = lengths(&array_of(text)?).into_iter().max().unwrap_or(0).saturating_mul(largest(number)?);
    if bound <= TEXT_BYTES_MAX {
        return Ok(bound);
    }
    let (texts, numbers) = (text.to_array(args.number_rows)?, number.to_array(args.number_rows)?);
    let Some(numbers) = numbers.as_primitive_opt::<Int64Type>() else { return Ok(0) };
    let product = |(length, number): (u64, Option<i64>)| {
        length.saturating_mul(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
    };
    Ok(lengths(&texts).into_iter().zip(numbers).map(product).max().unwrap_or(0))
}

fn array_of(value: &ColumnarValue) -> Result<ArrayRef> {
    // Of a constant one row.
    value.to_array(1)
}

/// Bytes of each text; 0 of NULL.
fn lengths(texts: &ArrayRef) -> Vec<u64> {
    let length = |text: Option<&str>| text.map_or(0, |text| text.len() as u64);
    match texts.data_type() {
        DataType::Utf8 => texts.as_string::<i32>().iter().map(length).collect(),
        DataType::LargeUtf8 => texts.as_string::<i64>().iter().map(length).collect(),
        DataType::Utf8View => texts.as_string_view().iter().map(length).collect(),
        _ => vec![0; texts.len()],
    }
}
