//! Logarithms: 2201E for zero and negative arguments, where DataFusion gives infinities and NaN.

use crate::FunctionError;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, FieldRef, Float32Type, Float64Type};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// DataFusion's `ln`, `log`, `log2` or `log10`, which it replaces under the same name, with its last argument checked.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Logarithm {
    inner: Arc<ScalarUDF>,
}

impl Logarithm {
    pub fn new(inner: Arc<ScalarUDF>) -> Self {
        Self { inner }
    }
}

impl ScalarUDFImpl for Logarithm {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn with_updated_config(&self, _: &ConfigOptions) -> Option<ScalarUDF> {
        None
    }

    /// DataFusion's simplifications would drop the check.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Original(args))
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(input)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.last() {
            Some(ColumnarValue::Array(array)) => check(array.as_ref())?,
            Some(ColumnarValue::Scalar(value)) => check(value.to_array_of_size(1)?.as_ref())?,
            None => {}
        }
        self.inner.invoke_with_args(args)
    }
}

fn check(array: &dyn Array) -> Result<(), FunctionError> {
    let lowest = match array.data_type() {
        DataType::Float32 => lowest(array.as_primitive::<Float32Type>().iter().flatten().map(f64::from)),
        DataType::Float64 => lowest(array.as_primitive::<Float64Type>().iter().flatten()),
        // The sign is all that counts, so the scale does not.
        DataType::Decimal64(..) => {
            lowest(array.as_primitive::<Decimal64Type>().iter().flatten().map(|value| value as f64))
        }
        DataType::Decimal128(..) => {
            lowest(array.as_primitive::<Decimal128Type>().iter().flatten().map(|value| value as f64))
        }
        _ => return Ok(()),
    };
    if lowest > 0.0 {
        Ok(())
    } else if lowest == 0.0 {
        Err(FunctionError::Logarithm("zero"))
    } else {
        Err(FunctionError::Logarithm("a negative number"))
    }
}

/// Infinity without values; NaN is no candidate.
fn lowest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}
