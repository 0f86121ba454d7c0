//! `now()` and its like: one value for a statement, which the planner writes in their place.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `now()`, `current_timestamp`: a timestamptz.
pub fn now() -> ScalarUDF {
    CurrentTime::named("now", true).with_aliases(["current_timestamp", "transaction_timestamp", "statement_timestamp"])
}

/// `localtimestamp`: a timestamp.
pub fn localtimestamp() -> ScalarUDF {
    CurrentTime::named("localtimestamp", false)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentTime {
    name: &'static str,
    zone: Option<Arc<str>>,
    signature: Signature,
}

impl CurrentTime {
    fn named(name: &'static str, has_zone: bool) -> ScalarUDF {
        let zone = has_zone.then(|| Arc::from("+00:00"));
        ScalarUDF::from(CurrentTime { name, zone, signature: Signature::nullary(Volatility::Stable) })
    }
}

impl ScalarUDFImpl for CurrentTime {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, self.zone.clone()))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} was not written out by the planner", self.name)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(start) = info.query_execution_start_time() else { return Ok(ExprSimplifyResult::Original(args)) };
        let value = ScalarValue::TimestampMicrosecond(Some(start.timestamp_micros()), self.zone.clone());
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(value, None)))
    }
}
