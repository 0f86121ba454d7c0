//! Calls of functions by name: which of DataFusion's are replaced, and what their arguments become.

use super::casts::{as_text, read_as};
use super::numeric_common::unify;
use crate::register::scalar;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::datetime::{current_date, to_local_time};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit, when};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Functions whose integer literals are int4 as everywhere else. Others keep DataFusion's int8, which their signatures
/// may insist on.
const INT4_LITERALS: [&str; 15] = [
    "coalesce", "nullif", "greatest", "least", "abs", "sum", "sum_int", "avg", "min", "max", "int_add", "int_sub",
    "int_mul", "round", "trunc",
];

/// Functions whose arguments all become one type.
const ONE_TYPE: [&str; 6] = ["coalesce", "nullif", "greatest", "least", "nvl", "ifnull"];

/// Functions that an operator or a clause of SQL stands for: DataFusion's planner takes its own, not the registered one.
const WRITTEN_BY_SYNTAX: [&str; 1] = ["power"];

/// The call with the function and the arguments that give PostgreSQL's meaning; DataFusion's coercion is still to come.
pub fn rewritten(call: ScalarFunction, schema: &DFSchema) -> Result<ScalarFunction> {
    let ScalarFunction { mut func, args } = call;
    if let Some(name) = WRITTEN_BY_SYNTAX.iter().find(|name| **name == func.name()) {
        func = scalar(name);
    }
    let mut args = if func.name() == "to_hex" { args } else { literals_for(func.name(), args) };
    if ONE_TYPE.contains(&func.name())
        && let Some(unified) = unify(&args.iter().collect::<Vec<_>>(), schema)?
    {
        args = unified;
    }
    if func.name() == "to_hex"
        && let [arg] = args.as_slice()
        && arg.get_type(schema)? == DataType::Int32
    {
        // DataFusion would show the sign of 8 bytes.
        args = vec![cast(arg.clone(), DataType::Int64) & lit(i64::from(u32::MAX))];
    }
    let name = func.name().to_owned();
    match name.as_str() {
        "date_part" => {
            if func != scalar("date_part") {
                func = scalar("extract");
            }
            args = args.into_iter().map(|arg| local_time(arg, schema)).collect::<Result<_>>()?;
        }
        "to_char" | "date_trunc" => {
            args = args.into_iter().map(|arg| local_time(arg, schema)).collect::<Result<_>>()?
        }
        "generate_series" => args = args.into_iter().map(|arg| date_as_instant(arg, schema)).collect::<Result<_>>()?,
        "timezone" => {
            args = args.into_iter().enumerate().map(|(at, arg)| instant(at, arg, schema)).collect::<Result<_>>()?
        }
        "age" if args.len() == 1 => args.insert(0, cast(current_date().call(vec![]), TIMESTAMP)),
        _ => {}
    }
    if matches!(func.name(), "concat" | "concat_ws") {
        args = args.into_iter().map(|arg| output_text(arg, schema)).collect::<Result<_>>()?;
    }
    Ok(ScalarFunction { func, args })
}

/// Gives the direct integer literals of functions outside [`INT4_LITERALS`] back their eight bytes.
pub fn literals_for(function: &str, args: Vec<Expr>) -> Vec<Expr> {
    if INT4_LITERALS.contains(&function) || function == "to_numeric" {
        return args;
    }
    let widen = |arg| match arg {
        Expr::Literal(ScalarValue::Int32(Some(v)), metadata) => {
            Expr::Literal(ScalarValue::Int64(Some(v.into())), metadata)
        }
        other => other,
    };
    args.into_iter().map(widen).collect()
}

/// A series of dates is one of instants.
fn date_as_instant(arg: Expr, schema: &DFSchema) -> Result<Expr> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    Ok(if arg.get_type(schema)? == DataType::Date32 { cast(arg, instant) } else { arg })
}

/// The second argument of `timezone`, which is an instant where it is a text.
fn instant(at: usize, arg: Expr, schema: &DFSchema) -> Result<Expr> {
    let is_text = at == 1 && arg.get_type(schema)?.is_string();
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    Ok(if is_text { read_as(&arg, &instant).unwrap_or(arg) } else { arg })
}

/// The date and time of day in its own zone, of a timestamp that has one other than the session's, which is UTC.
fn local_time(arg: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match arg.get_type(schema)? {
        DataType::Timestamp(_, Some(zone)) if !matches!(zone.as_ref(), "+00:00" | "UTC" | "Z") => {
            to_local_time().call(vec![arg])
        }
        _ => arg,
    })
}

/// A value as it is shown, which for a boolean is not its text: `t` and `f`.
fn output_text(arg: Expr, schema: &DFSchema) -> Result<Expr> {
    let data_type = arg.get_type(schema)?;
    if data_type != DataType::Boolean {
        return Ok(as_text(&arg, &data_type).unwrap_or(arg));
    }
    let literal = |text: &str| Expr::Literal(ScalarValue::Utf8View(Some(text.into())), None);
    when(arg.clone(), literal("t")).when(Expr::Not(Box::new(arg)), literal("f")).end()
}
