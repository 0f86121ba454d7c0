//! `numeric / numeric` with PostgreSQL's 16 significant digits.

use super::decimal_math::{PowerOfTen, pow10, scaled_quotient};
use super::int_arithmetic::{infix_name, strict_field};
use super::numeric_multiply::decimals;
use super::operands::{Shape, Side, binary, finish, try_zip};
use crate::FunctionError;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// `numeric_div`: two decimals of either width to [`crate::NumericType::quotient`], half away from zero.
///
/// # Errors
/// 22012 for a zero divisor, 22003 when the quotient does not fit 38 digits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NumericDivide {
    signature: Signature,
}

impl NumericDivide {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NumericDivide {
    fn name(&self) -> &str {
        "numeric_div"
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
        let (left, right) = decimals(self.name(), types)?;
        Ok(left.quotient(right).wide())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = args.return_type();
        let DataType::Decimal128(_, scale) = *result else {
            return internal_err!("numeric_div to {result}");
        };
        binary(&args, |l, r, shape| match (l.data_type(), r.data_type()) {
            (DataType::Decimal64(_, s1), DataType::Decimal64(_, s2)) => {
                divide((l.side::<Decimal64Type>(), *s1), (r.side::<Decimal64Type>(), *s2), shape, result, scale)
            }
            (DataType::Decimal128(_, s1), DataType::Decimal64(_, s2)) => {
                divide((l.side::<Decimal128Type>(), *s1), (r.side::<Decimal64Type>(), *s2), shape, result, scale)
            }
            (DataType::Decimal64(_, s1), DataType::Decimal128(_, s2)) => {
                divide((l.side::<Decimal64Type>(), *s1), (r.side::<Decimal128Type>(), *s2), shape, result, scale)
            }
            (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2)) => {
                divide((l.side::<Decimal128Type>(), *s1), (r.side::<Decimal128Type>(), *s2), shape, result, scale)
            }
            (left, right) => internal_err!("numeric_div of {left} and {right}"),
        })
    }
}

fn divide<L: Into<i128> + Copy, R: Into<i128> + Copy>(
    (l, s1): (Side<L>, i8),
    (r, s2): (Side<R>, i8),
    shape: Shape,
    result: &DataType,
    scale: i8,
) -> Result<ArrayRef> {
    // l / 10^s1 : r / 10^s2 at `scale`. The result's scale is at least s1, so this is negative for a negative s2 only.
    let shift = i16::from(scale) - i16::from(s1) + i16::from(s2);
    let up = PowerOfTen::new(shift.max(0).unsigned_abs().into());
    let down = pow10(shift.min(0).unsigned_abs().into());
    let values = try_zip(l, r, &shape, |l, r| {
        let (l, r): (i128, i128) = (l.into(), r.into());
        if r == 0 {
            return Err(FunctionError::DivisionByZero);
        }
        let r = if down == 1 { r } else { r.checked_mul(down).ok_or(FunctionError::OutOfRange("numeric"))? };
        scaled_quotient(l, up, r, scale)
    })?;
    Ok(finish::<Decimal128Type>(values, shape, result))
}
