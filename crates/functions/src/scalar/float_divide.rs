//! `/` of floats: 22012 for a zero divisor, where IEEE 754 has infinities and NaN.

use super::int_arithmetic::{infix_name, strict_field};
use super::operands::{Side, binary, finish, try_zip, zip};
use crate::FunctionError;
use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::ops::Div;

/// `float_div`: two float4 or two float8 to the same type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FloatDivide {
    signature: Signature,
}

impl FloatDivide {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FloatDivide {
    fn name(&self) -> &str {
        "float_div"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        infix_name(args, "/")
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left @ (DataType::Float32 | DataType::Float64), right] if left == right => Ok(left.clone()),
            _ => plan_err!("float_div takes two floats of one type, not {types:?}"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        fn run<T: ArrowPrimitiveType>(
            l: Side<T::Native>,
            r: Side<T::Native>,
            shape: super::operands::Shape,
        ) -> Result<ArrayRef>
        where
            T::Native: Div<Output = T::Native> + PartialEq,
        {
            let zero = T::Native::default();
            let mut wrong = false;
            let mut values = zip(l, r, shape.rows, |l, r| {
                wrong |= r == zero;
                l / r
            });
            if wrong {
                values = try_zip(
                    l,
                    r,
                    &shape,
                    |l, r| if r == zero { Err(FunctionError::DivisionByZero) } else { Ok(l / r) },
                )?;
            }
            Ok(finish::<T>(values, shape, &T::DATA_TYPE))
        }
        binary(&args, |l, r, shape| match l.data_type() {
            DataType::Float32 => run::<Float32Type>(l.side::<Float32Type>(), r.side::<Float32Type>(), shape),
            DataType::Float64 => run::<Float64Type>(l.side::<Float64Type>(), r.side::<Float64Type>(), shape),
            other => internal_err!("float_div of {other}"),
        })
    }
}
