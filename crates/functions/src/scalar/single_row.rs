//! The value of a subquery that was made a join.

use super::function::{PlainFunction, over_arrays};
use crate::FunctionError;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::plan_err;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// `single_row(value, rows)`: the value, if the subquery that it comes from had one row. 21000 for several.
pub fn single_row() -> ScalarUDF {
    PlainFunction {
        name: "single_row",
        coerce: |types| match types {
            [value, _] => Ok(vec![value.clone(), DataType::Int64]),
            _ => plan_err!("single_row takes a value and a number, not {types:?}"),
        },
        returns: |args| Ok(args.arg_fields[0].data_type().clone()),
        run: |args| {
            over_arrays(args, |arrays| {
                let rows = arrays[1].as_primitive::<Int64Type>();
                if rows.iter().flatten().any(|rows| rows > 1) {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(FunctionError::invalid("21000", message).into());
                }
                Ok(Arc::clone(&arrays[0]) as ArrayRef)
            })
        },
    }
    .udf()
}
