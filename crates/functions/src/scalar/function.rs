//! A function as three plain functions: the form of most functions that SQL names.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Immutable, and NULL when an argument is NULL. Two of one name are the same function.
pub struct PlainFunction {
    pub name: &'static str,
    /// Types of the arguments → the types that they are cast to; a plan error for what the function does not take.
    pub coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    pub returns: fn(&ReturnFieldArgs) -> Result<DataType>,
    pub run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
}

impl PlainFunction {
    pub fn udf(self) -> ScalarUDF {
        ScalarUDF::from(Named { signature: Signature::user_defined(Volatility::Immutable), function: self })
    }
}

struct Named {
    function: PlainFunction,
    signature: Signature,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlainFunction").field(&self.function.name).finish()
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Named {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.function.coerce)(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} may depend on its arguments' values", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.function.name, (self.function.returns)(&args)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.function.run)(&args)
    }
}

/// Evaluates `kernel` over columns of equal length; constants alone make columns of one row and a constant again.
pub fn over_arrays(
    args: &ScalarFunctionArgs,
    kernel: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let result = kernel(&arrays)?;
    Ok(if constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
    } else {
        ColumnarValue::Array(result)
    })
}

/// The text of a constant argument, if it is one.
pub fn constant_text<'a>(args: &'a ReturnFieldArgs, index: usize) -> Option<&'a str> {
    args.scalar_arguments.get(index).copied().flatten()?.try_as_str()?
}

pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}
