//! `nextval` as the binder sees it.

use crate::error::{SqlError, SqlState};
use crate::sql::NEXTVAL;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Of one text, bigint. Its calls are gone before a plan is optimized: see [`take_next_values`](super::take_next_values).
pub(crate) fn next_value_function() -> ScalarUDF {
    ScalarUDF::from(NextValueFunction { signature: Signature::user_defined(Volatility::Volatile) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NextValueFunction {
    signature: Signature,
}

impl ScalarUDFImpl for NextValueFunction {
    fn name(&self) -> &str {
        NEXTVAL
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [_] => Ok(types.to_vec()),
            _ => plan_err!("No function matches {NEXTVAL} with {} arguments", types.len()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::External(Box::new(not_here("here"))))
    }
}

/// 0A000.
pub(super) fn not_here(place: &str) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{NEXTVAL} is not supported {place}"))
        .with_hint("Call it in the select list, in VALUES, in SET, or in a column's DEFAULT.")
}
