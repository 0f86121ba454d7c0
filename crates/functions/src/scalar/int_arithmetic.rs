//! `+`, `-` and `*` of integers that raise 22003 where DataFusion's wrap.

use super::operands::{Operand, Shape, Side, binary, finish, try_zip, zip};
use crate::FunctionError;
use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, Field, FieldRef, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntOperator {
    Add,
    Subtract,
    Multiply,
}

/// `int_add`, `int_sub`, `int_mul`: two int2, two int4 or two int8 to the same type.
///
/// A third, boolean argument says which rows may overflow: [`crate::guard_plan`]. Faster than Arrow's checked kernels,
/// which branch on every row.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct IntArithmetic {
    operator: IntOperator,
    signature: Signature,
}

impl IntArithmetic {
    pub fn new(operator: IntOperator) -> Self {
        Self { operator, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn symbol(&self) -> &'static str {
        match self.operator {
            IntOperator::Add => "+",
            IntOperator::Subtract => "-",
            IntOperator::Multiply => "*",
        }
    }
}

impl ScalarUDFImpl for IntArithmetic {
    fn name(&self) -> &str {
        match self.operator {
            IntOperator::Add => "int_add",
            IntOperator::Subtract => "int_sub",
            IntOperator::Multiply => "int_mul",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        infix_name(args, self.symbol())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left @ (DataType::Int16 | DataType::Int32 | DataType::Int64), right, guard @ ..]
                if left == right && matches!(guard, [] | [DataType::Boolean]) =>
            {
                Ok(left.clone())
            }
            _ => plan_err!("{} takes two integers of one type, not {types:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    /// Of its operands; a guard is never NULL.
    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        binary(&args, |l, r, shape| {
            // Two's complement: the result's sign differs from what both operands demand. Collected over all the rows,
            // the sign bit of `wrong` says whether any overflowed.
            macro_rules! sum {
                ($t:ty, $name:literal, $wrapping:ident, $checked:ident, $sign:expr) => {
                    run::<$t>(
                        l,
                        r,
                        shape,
                        $name,
                        |l, r, wrong| {
                            let result = l.$wrapping(r);
                            *wrong |= $sign(l, r, result);
                            result
                        },
                        |l, r| l.$checked(r),
                    )
                };
            }
            macro_rules! product {
                ($t:ty, $name:literal) => {
                    run::<$t>(
                        l,
                        r,
                        shape,
                        $name,
                        |l, r, wrong| {
                            let (result, overflow) = l.overflowing_mul(r);
                            *wrong |= -<$t as ArrowPrimitiveType>::Native::from(overflow);
                            result
                        },
                        |l, r| l.checked_mul(r),
                    )
                };
            }
            match (self.operator, l.data_type()) {
                (IntOperator::Add, DataType::Int16) => sum!(Int16Type, "smallint", wrapping_add, checked_add, add_sign),
                (IntOperator::Add, DataType::Int32) => sum!(Int32Type, "integer", wrapping_add, checked_add, add_sign),
                (IntOperator::Add, DataType::Int64) => sum!(Int64Type, "bigint", wrapping_add, checked_add, add_sign),
                (IntOperator::Subtract, DataType::Int16) => {
                    sum!(Int16Type, "smallint", wrapping_sub, checked_sub, sub_sign)
                }
                (IntOperator::Subtract, DataType::Int32) => {
                    sum!(Int32Type, "integer", wrapping_sub, checked_sub, sub_sign)
                }
                (IntOperator::Subtract, DataType::Int64) => {
                    sum!(Int64Type, "bigint", wrapping_sub, checked_sub, sub_sign)
                }
                (IntOperator::Multiply, DataType::Int16) => product!(Int16Type, "smallint"),
                (IntOperator::Multiply, DataType::Int32) => product!(Int32Type, "integer"),
                (IntOperator::Multiply, DataType::Int64) => product!(Int64Type, "bigint"),
                (_, other) => internal_err!("{} of {other}", self.name()),
            }
        })
    }
}

fn add_sign<N: Bits>(l: N, r: N, result: N) -> N {
    (l ^ result) & (r ^ result)
}

fn sub_sign<N: Bits>(l: N, r: N, result: N) -> N {
    (l ^ r) & (l ^ result)
}

trait Bits: Copy + std::ops::BitXor<Output = Self> + std::ops::BitAnd<Output = Self> {}
impl Bits for i16 {}
impl Bits for i32 {}
impl Bits for i64 {}

/// `fast` over all the slots; if it set the sign bit of its flag, `checked` over those that are not null.
fn run<T: ArrowPrimitiveType>(
    l: &Operand,
    r: &Operand,
    shape: Shape,
    type_name: &'static str,
    fast: impl Fn(T::Native, T::Native, &mut T::Native) -> T::Native,
    checked: impl Fn(T::Native, T::Native) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let (l, r): (Side<T::Native>, Side<T::Native>) = (l.side::<T>(), r.side::<T>());
    let mut wrong = T::Native::default();
    let mut values = zip(l, r, shape.rows, |l, r| fast(l, r, &mut wrong));
    if wrong < T::Native::default() {
        let out_of_range = FunctionError::OutOfRange(type_name);
        values = try_zip(l, r, &shape, |l, r| checked(l, r).ok_or(out_of_range.clone()))?;
    }
    Ok(finish::<T>(values, shape, &T::DATA_TYPE))
}

/// The column name that DataFusion gives to `left symbol right`, so that a rewritten expression keeps its name.
pub(super) fn infix_name(args: &[Expr], symbol: &str) -> Result<String> {
    match args {
        [left, right, ..] => Ok(format!("{} {symbol} {}", left.schema_name(), right.schema_name())),
        _ => internal_err!("two arguments expected, not {}", args.len()),
    }
}

/// The result of a strict function is nullable when an argument is.
pub(super) fn strict_field(function: &dyn ScalarUDFImpl, args: ReturnFieldArgs) -> Result<FieldRef> {
    let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
    // A guard is not an operand.
    let nullable = args.arg_fields.iter().take(2).any(|field| field.is_nullable());
    Ok(Arc::new(Field::new(function.name(), function.return_type(&types)?, nullable)))
}
