//! `+` and `-` of numerics whose result has the digits that the sum needs.

use super::decimal_math::{Unscaled, checked, overflow, rescale};
use super::int_arithmetic::{infix_name, strict_field};
use super::numeric_multiply::{decimals, result_type};
use super::operands::{Operand, Shape, Side, binary, finish, try_zip, zip};
use crate::FunctionError;
use crate::limits::NARROW_DIGITS_MAX;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddOperator {
    Add,
    Subtract,
}

/// `numeric_add`, `numeric_sub`: two decimals of either width to [`crate::NumericType::sum`], in 64 bits when it has
/// at most 18 digits and both operands are. One pass, without casting the operands.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NumericAdd {
    operator: AddOperator,
    signature: Signature,
}

impl NumericAdd {
    pub fn new(operator: AddOperator) -> Self {
        Self { operator, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NumericAdd {
    fn name(&self) -> &str {
        match self.operator {
            AddOperator::Add => "numeric_add",
            AddOperator::Subtract => "numeric_sub",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        infix_name(args, if self.operator == AddOperator::Add { "+" } else { "-" })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (left, right) = decimals(self.name(), types)?;
        Ok(result_type(left.sum(right), types))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = args.return_type();
        binary(&args, |l, r, shape| match (l.data_type(), r.data_type(), result) {
            (DataType::Decimal64(_, s1), DataType::Decimal64(_, s2), DataType::Decimal64(_, scale)) => {
                let (s1, s2, scale) = (*s1, *s2, *scale);
                self.narrow(l, r, shape, result, (s1, s2, scale))
            }
            (DataType::Decimal64(_, s1), DataType::Decimal64(_, s2), DataType::Decimal128(_, scale)) => {
                let sides = (l.side::<Decimal64Type>(), r.side::<Decimal64Type>());
                self.wide(sides, shape, result, (*s1, *s2, *scale))
            }
            (DataType::Decimal128(_, s1), DataType::Decimal64(_, s2), DataType::Decimal128(_, scale)) => {
                let sides = (l.side::<Decimal128Type>(), r.side::<Decimal64Type>());
                self.wide(sides, shape, result, (*s1, *s2, *scale))
            }
            (DataType::Decimal64(_, s1), DataType::Decimal128(_, s2), DataType::Decimal128(_, scale)) => {
                let sides = (l.side::<Decimal64Type>(), r.side::<Decimal128Type>());
                self.wide(sides, shape, result, (*s1, *s2, *scale))
            }
            (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2), DataType::Decimal128(_, scale)) => {
                let sides = (l.side::<Decimal128Type>(), r.side::<Decimal128Type>());
                self.wide(sides, shape, result, (*s1, *s2, *scale))
            }
            (left, right, result) => internal_err!("{} of {left} and {right} to {result}", self.name()),
        })
    }
}

impl NumericAdd {
    /// The result has at most 18 digits, so operands that keep to their precision stay far from overflow also when they
    /// are aligned; those that do not are caught by the flag.
    fn narrow(
        &self,
        l: &Operand,
        r: &Operand,
        shape: Shape,
        result: &DataType,
        (s1, s2, scale): (i8, i8, i8),
    ) -> Result<ArrayRef> {
        let (l, r) = (l.side::<Decimal64Type>(), r.side::<Decimal64Type>());
        let (m1, m2) = (10i64.pow(shift(s1, scale)), 10i64.pow(shift(s2, scale)));
        // Subtracting is adding the negated right side.
        let m2 = if self.operator == AddOperator::Subtract { -m2 } else { m2 };
        let mut wrong = 0i64;
        let mut values = if m1 == 1 && m2.abs() == 1 {
            zip(l, r, shape.rows, |l, r| {
                let r = if m2 == 1 { r } else { r.wrapping_neg() };
                let sum = l.wrapping_add(r);
                wrong |= ((l ^ sum) & (r ^ sum)) | -i64::from(r == i64::MIN);
                sum
            })
        } else {
            zip(l, r, shape.rows, |l, r| {
                let ((l, first), (r, second)) = (l.overflowing_mul(m1), r.overflowing_mul(m2));
                let sum = l.wrapping_add(r);
                wrong |= ((l ^ sum) & (r ^ sum)) | -i64::from(first | second);
                sum
            })
        };
        if wrong < 0 {
            let out_of_range = FunctionError::NumericOverflow { digits: NARROW_DIGITS_MAX, scale };
            values = try_zip(l, r, &shape, |l, r| {
                let (l, r) = (i128::from(l) * i128::from(m1), i128::from(r) * i128::from(m2));
                i64::try_from(l + r).map_err(|_| out_of_range.clone())
            })?;
        }
        Ok(finish::<Decimal64Type>(values, shape, result))
    }

    fn wide<L: Unscaled, R: Unscaled>(
        &self,
        (l, r): (Side<L>, Side<R>),
        shape: Shape,
        result: &DataType,
        (s1, s2, scale): (i8, i8, i8),
    ) -> Result<ArrayRef> {
        let (up1, up2) = (shift(s1, scale), shift(s2, scale));
        let narrow = u32::from(NARROW_DIGITS_MAX);
        if scale >= s1 && scale >= s2 && up1 <= narrow && up2 <= narrow {
            let sign = if self.operator == AddOperator::Subtract { -1 } else { 1 };
            let (m1, m2) = (10i64.pow(up1), sign * 10i64.pow(up2));
            let mut wrong = false;
            let values = zip(l, r, shape.rows, |l, r| {
                let (low1, low2) = (l.low(), r.low());
                wrong |= !l.fits(low1) | !r.fits(low2);
                // 64 bits times 10^18 at most, twice: less than 2^124, which has 38 digits.
                i128::from(low1) * i128::from(m1) + i128::from(low2) * i128::from(m2)
            });
            if !wrong {
                return Ok(finish::<Decimal128Type>(values, shape, result));
            }
        }
        let values = try_zip(l, r, &shape, |l, r| self.exact((l.value(), s1), (r.value(), s2), scale))?;
        Ok(finish::<Decimal128Type>(values, shape, result))
    }

    /// One sum, operands aligned first; both are rounded when the result has fewer digits after the point.
    fn exact(&self, (l, s1): (i128, i8), (r, s2): (i128, i8), scale: i8) -> Result<i128, FunctionError> {
        let (l, r) = (rescale(l, s1, scale)?, rescale(r, s2, scale)?);
        let sum = match self.operator {
            AddOperator::Add => l.checked_add(r),
            AddOperator::Subtract => l.checked_sub(r),
        };
        checked(sum.ok_or_else(|| overflow(scale))?, scale)
    }
}

fn shift(from: i8, to: i8) -> u32 {
    (i16::from(to) - i16::from(from)).max(0) as u32
}
