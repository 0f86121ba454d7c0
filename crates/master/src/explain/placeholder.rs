//! What stands for an init plan's value in a plan that is shown and not run.

use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `$0`, `$1`, …: a constant whose value the planner cannot know, because the subquery has not run.
pub(crate) fn placeholder(number: usize, data_type: DataType) -> Expr {
    let function =
        Placeholder { name: format!("${number}"), data_type, signature: Signature::nullary(Volatility::Stable) };
    ScalarUDF::new_from_impl(function).call(vec![])
}

/// Stable, so that rules treat it as they treat a constant; without a value, so that they cannot fold it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Placeholder {
    name: String,
    data_type: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Execution(format!("init plan {} was not run", self.name)))
    }
}
