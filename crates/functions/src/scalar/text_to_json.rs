//! `text_to_json(text)`: what the rules write for a cast to json, which is text that was checked.

use super::function::{PlainFunction, is_text, over_arrays};
use crate::FunctionError;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::logical_expr::ScalarUDF;
use serde::de::IgnoredAny;
use std::sync::Arc;

pub fn text_to_json() -> ScalarUDF {
    PlainFunction {
        name: "text_to_json",
        coerce: |types| match types {
            [text] if is_text(text) => Ok(vec![DataType::Utf8View]),
            _ => plan_err!("function text_to_json({types:?}) does not exist"),
        },
        returns: |_| Ok(DataType::Utf8View),
        run: |args| {
            over_arrays(args, |arrays| {
                for text in arrays[0].as_string_view().iter().flatten() {
                    if serde_json::from_str::<IgnoredAny>(text).is_err() {
                        return Err(FunctionError::invalid("22P02", "invalid input syntax for type json").into());
                    }
                }
                Ok(Arc::clone(&arrays[0]) as ArrayRef)
            })
        },
    }
    .udf()
}
