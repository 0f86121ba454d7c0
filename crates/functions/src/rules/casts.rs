//! Casts that PostgreSQL and Arrow understand differently.

use super::numeric_common::{Kind, kind};
use super::types::cut;
use crate::datetime_text;
use crate::register::scalar;
use crate::scalar::{has_own_text, is_text};
use crate::{FunctionError, NumericType};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};

/// A cast that the user wrote, or the planner for an INSERT; None where Arrow's is right.
pub fn rewritten(of: &Cast, schema: &DFSchema) -> Result<Option<Expr>> {
    let target = of.field.data_type();
    if matches!(target, DataType::Decimal256(..)) {
        return Err(FunctionError::TooManyDigits.into());
    }
    let source = of.expr.get_type(schema)?;
    let converted = rounding_cast(&of.expr, &source, target);
    let text = || as_text(&of.expr, &source).unwrap_or_else(|| cast(of.expr.as_ref().clone(), DataType::Utf8View));
    Ok(match cut(of, text) {
        Some(cut) => Some(cut),
        None => converted,
    })
}

/// `expr` as text, where Arrow's text is not PostgreSQL's; None where it is.
pub fn as_text(expr: &Expr, source: &DataType) -> Option<Expr> {
    has_own_text(source).then(|| scalar("to_text").call(vec![expr.clone()]))
}

/// `text` as a date or time; None for other types. A literal is read at once; one that is none fails when it is evaluated.
pub fn read_as(text: &Expr, target: &DataType) -> Option<Expr> {
    if let Expr::Literal(value, metadata) = text
        && let Some(Some(text)) = value.try_as_str()
        && let Some(Ok(value)) = datetime_text::scalar(text, target)
    {
        return Some(Expr::Literal(value, metadata.clone()));
    }
    let function = match target {
        DataType::Date32 => "text_to_date",
        DataType::Time64(TimeUnit::Microsecond) => "text_to_time",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "text_to_timestamp",
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "+00:00" => "text_to_timestamptz",
        _ => return None,
    };
    Some(scalar(function).call(vec![text.clone()]))
}

/// The function for a cast that rounds or checks where Arrow's does not; None where Arrow's is right.
pub fn rounding_cast(expr: &Expr, source: &DataType, target: &DataType) -> Option<Expr> {
    if is_text(source)
        && *source != DataType::Null
        && let Some(value) = read_as(expr, target)
    {
        return Some(value);
    }
    let inexact = matches!(kind(source), Kind::Decimal | Kind::Float);
    match (target, NumericType::of(target)) {
        (DataType::Int16, _) if inexact => Some(scalar("to_int2").call(vec![expr.clone()])),
        (DataType::Int32, _) if inexact => Some(scalar("to_int4").call(vec![expr.clone()])),
        (DataType::Int64, _) if inexact => Some(scalar("to_int8").call(vec![expr.clone()])),
        (DataType::Decimal64(..) | DataType::Decimal128(..), Some(numeric)) if kind(source) == Kind::Float => {
            let args = vec![expr.clone(), lit(i32::from(numeric.precision)), lit(i32::from(numeric.scale))];
            let numeric_cast = scalar("to_numeric").call(args);
            Some(if numeric.wide() == *target { numeric_cast } else { cast(numeric_cast, target.clone()) })
        }
        (DataType::Float32, _) if is_text(source) && *source != DataType::Null => {
            Some(scalar("text_to_float4").call(vec![expr.clone()]))
        }
        (DataType::Float64, _) if is_text(source) && *source != DataType::Null => {
            Some(scalar("text_to_float8").call(vec![expr.clone()]))
        }
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, _) if is_text(source) => {
            let bytes = scalar("to_bytea").call(vec![expr.clone()]);
            Some(if *target == DataType::BinaryView { bytes } else { cast(bytes, target.clone()) })
        }
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, _) => {
            let text = as_text(expr, source)?;
            Some(if *target == DataType::Utf8View { text } else { cast(text, target.clone()) })
        }
        _ => None,
    }
}
