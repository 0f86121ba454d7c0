//! `pg_typeof(x)`: the rules write its value in its place, as they know the types that PostgreSQL has.

use super::function::PlainFunction;
use arrow::datatypes::DataType;
use datafusion::common::{internal_err, plan_err};
use datafusion::logical_expr::ScalarUDF;

pub fn pg_typeof() -> ScalarUDF {
    PlainFunction {
        name: "pg_typeof",
        coerce: |types| match types {
            [value] => Ok(vec![value.clone()]),
            _ => plan_err!("function pg_typeof({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |_| internal_err!("pg_typeof was not written out by the rules"),
    }
    .udf()
}
