//! `numeric % numeric`: the remainder has the dividend's sign.

use super::decimal_math::{overflow, rescale};
use super::int_arithmetic::{infix_name, strict_field};
use super::numeric_multiply::decimals;
use super::operands::{Side, binary, finish, try_zip};
use crate::FunctionError;
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// `numeric_mod`: two decimals of either width to [`crate::NumericType::remainder`].
///
/// # Errors
/// 22012 for a zero divisor.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NumericModulo {
    signature: Signature,
}

impl NumericModulo {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NumericModulo {
    fn name(&self) -> &str {
        "numeric_mod"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        infix_name(args, "%")
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (left, right) = decimals(self.name(), types)?;
        Ok(left.remainder(right).wide())
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
            return internal_err!("numeric_mod to {result}");
        };
        binary(&args, |l, r, shape| {
            let (left, right) = decimals("numeric_mod", &[l.data_type().clone(), r.data_type().clone()])?;
            // Widening to 128 bits keeps precision and scale, so it cannot fail on a value that keeps to them.
            let (l, r) = (l.widened(&cast(&l.array, &left.wide())?), r.widened(&cast(&r.array, &right.wide())?));
            let aligned = left.scale.max(right.scale);
            let (l, r): (Side<i128>, Side<i128>) = (l.side::<Decimal128Type>(), r.side::<Decimal128Type>());
            let values = try_zip(l, r, &shape, |l, r| {
                if r == 0 {
                    return Err(FunctionError::DivisionByZero);
                }
                let (l, r) = (rescale(l, left.scale, aligned)?, rescale(r, right.scale, aligned)?);
                let remainder = l.checked_rem(r).ok_or_else(|| overflow(scale))?;
                rescale(remainder, aligned, scale)
            })?;
            Ok(finish::<Decimal128Type>(values, shape, result) as ArrayRef)
        })
    }
}
