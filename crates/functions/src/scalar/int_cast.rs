//! Casts of numerics and floats to integers, which round in PostgreSQL and truncate in Arrow.

use super::decimal_math::{divide_rounded_narrow, rescale};
use super::int_arithmetic::strict_field;
use super::operands::{try_map, unary};
use crate::FunctionError;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal64Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `to_int2`, `to_int4`, `to_int8`: numerics half away from zero, floats half to even; 22003 out of range.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct IntCast {
    target: DataType,
    signature: Signature,
}

impl IntCast {
    /// `target`: Int16, Int32 or Int64.
    pub fn new(target: DataType) -> Self {
        Self { target, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for IntCast {
    fn name(&self) -> &str {
        match self.target {
            DataType::Int16 => "to_int2",
            DataType::Int32 => "to_int4",
            _ => "to_int8",
        }
    }

    /// As DataFusion names a cast: as what is cast.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [argument] => Ok(argument.schema_name().to_string()),
            _ => internal_err!("one argument expected, not {}", args.len()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Float32 | DataType::Float64] => {
                Ok(self.target.clone())
            }
            _ => plan_err!("{} takes a decimal or a float, not {types:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        unary(&args, |array| match self.target {
            DataType::Int16 => to_int::<Int16Type>(array, "smallint"),
            DataType::Int32 => to_int::<Int32Type>(array, "integer"),
            _ => to_int::<Int64Type>(array, "bigint"),
        })
    }
}

fn to_int<T: ArrowPrimitiveType>(array: &ArrayRef, type_name: &'static str) -> Result<ArrayRef>
where
    T::Native: TryFrom<i128> + TryFrom<i64>,
{
    let out_of_range = FunctionError::OutOfRange(type_name);
    let narrow = |value: i128| T::Native::try_from(value).map_err(|_| out_of_range.clone());
    let decimal = |value: i128, scale: i8| rescale(value, scale, 0).map_err(|_| out_of_range.clone()).and_then(narrow);
    // Beyond ±2^63 the conversion saturates at 2^127 at the latest, which no target holds.
    let float =
        |value: f64| if value.is_nan() { Err(out_of_range.clone()) } else { narrow(value.round_ties_even() as i128) };
    let result: Result<_, FunctionError> = match array.data_type() {
        DataType::Decimal64(_, scale @ 0..=18) => {
            let unit = 10i64.pow(scale.unsigned_abs().into());
            let array = array.as_primitive::<Decimal64Type>();
            let mut wrong = false;
            let values = array.values().iter().map(|&value| {
                T::Native::try_from(divide_rounded_narrow(value, unit)).unwrap_or_else(|_| {
                    wrong = true;
                    T::Native::default()
                })
            });
            let values: Vec<T::Native> = values.collect();
            if wrong {
                try_map::<_, T>(array, |value| decimal(value.into(), *scale))
            } else {
                Ok(PrimitiveArray::new(values.into(), array.nulls().cloned()))
            }
        }
        DataType::Decimal64(_, scale) => {
            try_map::<_, T>(array.as_primitive::<Decimal64Type>(), |value| decimal(value.into(), *scale))
        }
        DataType::Decimal128(_, scale) => {
            try_map::<_, T>(array.as_primitive::<Decimal128Type>(), |value| decimal(value, *scale))
        }
        DataType::Float32 => try_map::<_, T>(array.as_primitive::<Float32Type>(), |value| float(value.into())),
        DataType::Float64 => try_map::<_, T>(array.as_primitive::<Float64Type>(), float),
        other => return internal_err!("cast of {other} to {type_name}"),
    };
    Ok(Arc::new(result?))
}
