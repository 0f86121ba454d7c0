//! `numeric * numeric` whose result has the digits that the product needs.

use super::decimal_math::{Unscaled, checked, scaled_product};
use super::int_arithmetic::{infix_name, strict_field};
use super::operands::{Operand, Shape, Side, binary, finish, try_zip, zip};
use crate::{FunctionError, NumericType};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, FieldRef};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// `numeric_mul`: two decimals of either width to [`NumericType::product`], in 64 bits when it has at most 18
/// digits and both operands are.
///
/// One pass, without casting the operands: i64 × i64 → i128 cannot overflow, and 128-bit operands whose values fit 64
/// bits (money does) take the same path.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NumericMultiply {
    signature: Signature,
}

impl NumericMultiply {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NumericMultiply {
    fn name(&self) -> &str {
        "numeric_mul"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        infix_name(args, "*")
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (left, right) = decimals(self.name(), types)?;
        Ok(result_type(left.product(right), types))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        binary(&args, |l, r, shape| match (l.data_type(), r.data_type(), args.return_type()) {
            (DataType::Decimal64(..), DataType::Decimal64(..), DataType::Decimal64(_, scale)) => {
                narrow(l, r, shape, args.return_type(), *scale)
            }
            (DataType::Decimal64(_, s1), DataType::Decimal64(_, s2), DataType::Decimal128(_, scale)) => {
                let (l, r) = (l.side::<Decimal64Type>(), r.side::<Decimal64Type>());
                wide(l, r, shape, args.return_type(), excess(*s1, *s2, *scale), *scale)
            }
            (DataType::Decimal128(_, s1), DataType::Decimal64(_, s2), DataType::Decimal128(_, scale)) => {
                let (l, r) = (l.side::<Decimal128Type>(), r.side::<Decimal64Type>());
                wide(l, r, shape, args.return_type(), excess(*s1, *s2, *scale), *scale)
            }
            (DataType::Decimal64(_, s1), DataType::Decimal128(_, s2), DataType::Decimal128(_, scale)) => {
                let (l, r) = (l.side::<Decimal64Type>(), r.side::<Decimal128Type>());
                wide(l, r, shape, args.return_type(), excess(*s1, *s2, *scale), *scale)
            }
            (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2), DataType::Decimal128(_, scale)) => {
                let (l, r) = (l.side::<Decimal128Type>(), r.side::<Decimal128Type>());
                wide(l, r, shape, args.return_type(), excess(*s1, *s2, *scale), *scale)
            }
            (left, right, result) => internal_err!("numeric_mul of {left} and {right} to {result}"),
        })
    }
}

/// Digits after the point of the exact product that the result does not have.
fn excess(left: i8, right: i8, result: i8) -> u32 {
    (i16::from(left) + i16::from(right) - i16::from(result)).max(0) as u32
}

/// The operands' types, which the rules have made decimals.
pub(super) fn decimals(name: &str, types: &[DataType]) -> Result<(NumericType, NumericType)> {
    match types {
        [
            left @ (DataType::Decimal64(..) | DataType::Decimal128(..)),
            right @ (DataType::Decimal64(..) | DataType::Decimal128(..)),
        ] => match (NumericType::of(left), NumericType::of(right)) {
            (Some(left), Some(right)) => Ok((left, right)),
            _ => internal_err!("{left} and {right} have no precision"),
        },
        _ => plan_err!("{name} takes two decimals of 64 or 128 bits, not {types:?}"),
    }
}

/// 64 bits only from operands of 64 bits: the others may have more digits than their type says that they need.
pub(super) fn result_type(result: NumericType, types: &[DataType]) -> DataType {
    let narrow = types.iter().all(|data_type| matches!(data_type, DataType::Decimal64(..)));
    if narrow { result.narrowest() } else { result.wide() }
}

/// A product of at most 18 digits, if the operands keep to their precision.
fn narrow(l: &Operand, r: &Operand, shape: Shape, result: &DataType, scale: i8) -> Result<ArrayRef> {
    let (l, r) = (l.side::<Decimal64Type>(), r.side::<Decimal64Type>());
    let mut wrong = false;
    let mut values = zip(l, r, shape.rows, |l, r| {
        let (product, overflow) = l.overflowing_mul(r);
        wrong |= overflow;
        product
    });
    if wrong {
        let out_of_range = FunctionError::NumericOverflow { digits: crate::limits::NARROW_DIGITS_MAX, scale };
        values = try_zip(l, r, &shape, |l, r| l.checked_mul(r).ok_or(out_of_range.clone()))?;
    }
    Ok(finish::<Decimal64Type>(values, shape, result))
}

/// A product in 128 bits, rounded by `excess` digits.
fn wide<L: Unscaled, R: Unscaled>(
    l: Side<L>,
    r: Side<R>,
    shape: Shape,
    result: &DataType,
    excess: u32,
    scale: i8,
) -> Result<ArrayRef> {
    if excess == 0 {
        let mut wrong = false;
        let values = zip(l, r, shape.rows, |l, r| {
            let (low, high) = (l.low(), r.low());
            wrong |= !l.fits(low) | !r.fits(high);
            // At most 2^126, which has 38 digits.
            i128::from(low) * i128::from(high)
        });
        if !wrong {
            return Ok(finish::<Decimal128Type>(values, shape, result));
        }
    }
    let values = try_zip(l, r, &shape, |l, r| {
        let product = scaled_product(l.value(), r.value(), excess, scale)?;
        checked(product, scale)
    })?;
    Ok(finish::<Decimal128Type>(values, shape, result))
}
