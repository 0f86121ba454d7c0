//! What a client is told of an error of evaluation: PostgreSQL's SQLSTATE and message, wherever the error sits in a
//! chain of causes.

use crate::FunctionError;
use crate::cast_text::of_cast;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use std::error::Error;

/// SQLSTATE and message of an error of evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub sqlstate: &'static str,
    pub message: String,
}

impl Described {
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }
}

/// None for an error that is not one of evaluation: of planning, of a resource, of a broken expectation.
pub fn describe_evaluation(error: &DataFusionError) -> Option<Described> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(described) = of_one(error) {
            return Some(described);
        }
        cause = error.source();
    }
    None
}

/// The SQLSTATE alone of [`describe_evaluation`].
pub fn sqlstate_of(error: &DataFusionError) -> Option<&'static str> {
    describe_evaluation(error).map(|described| described.sqlstate)
}

/// `error` itself, not its causes. Boxes and shared pointers do not show up as a source in the standard way, so the
/// known wrappers are opened here.
fn of_one(error: &(dyn Error + 'static)) -> Option<Described> {
    if let Some(error) = error.downcast_ref::<FunctionError>() {
        return Some(Described::new(error.sqlstate(), error.to_string()));
    }
    if let Some(error) = error.downcast_ref::<ArrowError>() {
        return of_arrow(error);
    }
    match error.downcast_ref::<DataFusionError>()? {
        DataFusionError::ArrowError(error, _) => of_arrow(error),
        DataFusionError::External(error) => of_one(error.as_ref()).or_else(|| of_regex(&error.to_string())),
        DataFusionError::Shared(error) => describe_evaluation(error),
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => describe_evaluation(error),
        DataFusionError::Collection(errors) => errors.iter().find_map(describe_evaluation),
        DataFusionError::Execution(message) => of_text(message),
        _ => None,
    }
}

/// The error of the regex crate, which is not among the dependencies.
fn of_regex(message: &str) -> Option<Described> {
    let reason = message.strip_prefix("regex parse error:")?.lines().last()?.trim();
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    Some(Described::new("2201B", format!("invalid regular expression: {reason}")))
}

fn of_arrow(error: &ArrowError) -> Option<Described> {
    match error {
        ArrowError::DivideByZero => Some(Described::new("22012", "division by zero")),
        ArrowError::ArithmeticOverflow(message) => Some(Described::new("22003", message)),
        ArrowError::ParseError(message) => of_cast(message).or_else(|| Some(Described::new("22007", message))),
        ArrowError::CastError(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::ComputeError(message) => of_text(message),
        ArrowError::ExternalError(error) => of_one(error.as_ref()),
        _ => None,
    }
}

/// Arrow and DataFusion tell failures of evaluation apart by text only. The tests of `sqlstate_of` pin each text that
/// is looked for.
fn of_text(message: &str) -> Option<Described> {
    if let Some(described) = of_cast(message) {
        return Some(described);
    }
    let has = |part: &str| message.contains(part);
    let (sqlstate, message) = if has("Divide by zero") || has("division by zero") {
        ("22012", "division by zero")
    } else if has("square root of a negative") {
        ("2201F", "cannot take square root of a negative number")
    } else if has("too large to store in a Decimal") || has("too small to store in a Decimal") {
        ("22003", "numeric field overflow")
    } else if has("out of range") || has("verflow") || has("Can't cast value") {
        ("22003", message)
    } else if has("negative count not allowed") || has("negative substring length") {
        ("22011", "negative substring length not allowed")
    } else if has("field position must not be zero") {
        ("22023", "field position must not be zero")
    } else if has("Regular expression did not compile") || has("regex parse error") {
        return Some(Described::new("2201B", format!("invalid regular expression: {message}")));
    } else if has("Unable to parse date from") {
        ("22008", message)
    } else if has("Cannot cast string")
        || has("Cannot cast value")
        || has("Cannot parse")
        || has("invalid input syntax")
    {
        ("22P02", message)
    } else if has("Error parsing") || has("Parser error") || has("Invalid timestamp") || has("Invalid timezone") {
        ("22007", message)
    } else {
        return None;
    };
    Some(Described::new(sqlstate, message))
}
