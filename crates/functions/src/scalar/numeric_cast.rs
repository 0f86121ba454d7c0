//! Casts to `numeric(p, s)` of either width: round half away from zero, 22003 when the digits do not suffice.

use super::decimal_math::rescale;
use super::operands::{try_map, unary};
use crate::FunctionError;
use crate::NumericType;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal64Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `to_numeric(value, precision, scale)`, the last two int4 literals: a decimal, an integer or a float to
/// `Decimal128(precision, scale)`.
///
/// A float is first written with the digits that PostgreSQL takes (15 of a double, 6 of a real), so that
/// `1.005::float8::numeric(10,2)` is 1.01 although the float is a little less than 1.005.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NumericCast {
    signature: Signature,
}

impl NumericCast {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NumericCast {
    fn name(&self) -> &str {
        "to_numeric"
    }

    /// As DataFusion names a cast: as what is cast.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [argument, ..] => Ok(argument.schema_name().to_string()),
            [] => internal_err!("arguments expected"),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("to_numeric's type depends on its arguments' values")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let literal = |index: usize| match args.scalar_arguments.get(index) {
            Some(Some(ScalarValue::Int32(Some(value)))) => Some(*value),
            _ => None,
        };
        let (Some(field), Some(precision), Some(scale)) = (args.arg_fields.first(), literal(1), literal(2)) else {
            return plan_err!("to_numeric takes a value and two int4 literals");
        };
        let (Ok(precision), Ok(scale)) = (u8::try_from(precision), i8::try_from(scale)) else {
            return plan_err!("numeric({precision},{scale}) does not exist");
        };
        let data_type = NumericType::new(precision, scale).wide();
        Ok(Arc::new(Field::new(self.name(), data_type, field.is_nullable())))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Decimal128(precision, scale) = *args.return_type() else {
            return internal_err!("to_numeric to {}", args.return_type());
        };
        unary(&args, |array| convert(array, NumericType::new(precision, scale)))
    }
}

fn convert(array: &ArrayRef, target: NumericType) -> Result<ArrayRef> {
    let limit = 10i128.pow(target.precision.into());
    let overflow = FunctionError::NumericOverflow { digits: target.precision, scale: target.scale };
    let fit = |value: i128, scale: i8| {
        let value = rescale(value, scale, target.scale).map_err(|_| overflow.clone())?;
        if value < limit && value > -limit { Ok(value) } else { Err(overflow.clone()) }
    };
    let float = |value: f64, digits: usize| {
        if !value.is_finite() {
            return Err(FunctionError::NotFinite(if value.is_nan() { "NaN" } else { "infinity" }, "numeric"));
        }
        let (unscaled, scale) = shortest(value, digits).ok_or_else(|| overflow.clone())?;
        fit(unscaled, scale)
    };
    macro_rules! map {
        ($t:ty, $f:expr) => {
            try_map::<$t, Decimal128Type>(array.as_primitive(), $f)
        };
    }
    let result = match array.data_type() {
        DataType::Decimal64(_, scale) => map!(Decimal64Type, |value| fit(value.into(), *scale)),
        DataType::Decimal128(_, scale) => map!(Decimal128Type, |value| fit(value, *scale)),
        DataType::Int16 => map!(Int16Type, |value| fit(value.into(), 0)),
        DataType::Int32 => map!(Int32Type, |value| fit(value.into(), 0)),
        DataType::Int64 => map!(Int64Type, |value| fit(value.into(), 0)),
        DataType::Float32 => map!(Float32Type, |value| float(value.into(), 6)),
        DataType::Float64 => map!(Float64Type, |value| float(value, 15)),
        other => return internal_err!("to_numeric of {other}"),
    };
    Ok(Arc::new(result?.with_data_type(target.wide())))
}

/// `value` with `digits` significant decimal digits, unscaled, and its scale; None beyond 10^127.
fn shortest(value: f64, digits: usize) -> Option<(i128, i8)> {
    let text = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e')?;
    let unscaled = mantissa.replace('.', "").parse().ok()?;
    let scale = (digits as i32 - 1).checked_sub(exponent.parse().ok()?)?;
    // So small that it is 0 at every scale there is.
    if scale > i32::from(i8::MAX) {
        return Some((0, 0));
    }
    Some((unscaled, i8::try_from(scale).ok()?))
}
