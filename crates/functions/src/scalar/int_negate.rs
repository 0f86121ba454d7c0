//! Unary minus of integers: 22003 for the smallest one, which DataFusion returns as it is.

use super::int_arithmetic::strict_field;
use super::operands::{try_map, unary};
use crate::FunctionError;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `int_neg`: int2, int4 or int8 to the same type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct IntNegate {
    signature: Signature,
}

impl IntNegate {
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for IntNegate {
    fn name(&self) -> &str {
        "int_neg"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [argument] => Ok(format!("(- {})", argument.schema_name())),
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
            [only @ (DataType::Int16 | DataType::Int32 | DataType::Int64)] => Ok(only.clone()),
            _ => plan_err!("int_neg takes an integer, not {types:?}"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        strict_field(self, args)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        macro_rules! negate {
            ($t:ty, $array:expr, $name:literal) => {{
                let negated = try_map::<$t, $t>($array.as_primitive(), |value| {
                    value.checked_neg().ok_or(FunctionError::OutOfRange($name))
                })?;
                Ok(Arc::new(negated) as ArrayRef)
            }};
        }
        unary(&args, |array| match array.data_type() {
            DataType::Int16 => negate!(Int16Type, array, "smallint"),
            DataType::Int32 => negate!(Int32Type, array, "integer"),
            DataType::Int64 => negate!(Int64Type, array, "bigint"),
            other => internal_err!("int_neg of {other}"),
        })
    }
}
