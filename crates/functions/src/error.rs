//! What evaluation can say no to, and the SQLSTATE of every error that DataFusion or Arrow raise for the same reasons.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use std::error::Error;

/// Raised by the functions of this crate; travels inside [`DataFusionError::External`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// A result does not fit its type, here named as in SQL: `integer`, `bigint`, `numeric`.
    #[error("{0} out of range")]
    OutOfRange(&'static str),
    #[error("division by zero")]
    DivisionByZero,
    /// A numeric result needs more than [`crate::limits::NUMERIC_DIGITS_MAX`] digits at its scale.
    #[error("numeric field overflow: the result needs more than {digits} digits at scale {scale}")]
    NumericOverflow { digits: u8, scale: i8 },
    /// In a literal or a cast.
    #[error("numeric with more than 38 digits is not supported")]
    TooManyDigits,
    #[error("cannot take logarithm of {0}")]
    Logarithm(&'static str),
    /// NaN or an infinity where a number is needed.
    #[error("cannot convert {0} to {1}")]
    NotFinite(&'static str, &'static str),
}

impl FunctionError {
    /// The five characters that clients test.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::OutOfRange(_) | Self::NumericOverflow { .. } => "22003",
            Self::DivisionByZero => "22012",
            Self::Logarithm(_) => "2201E",
            Self::NotFinite(..) | Self::TooManyDigits => "0A000",
        }
    }
}

impl From<FunctionError> for DataFusionError {
    fn from(error: FunctionError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<FunctionError> for ArrowError {
    fn from(error: FunctionError) -> Self {
        ArrowError::ExternalError(Box::new(error))
    }
}

/// The SQLSTATE of an error of evaluation, wherever it sits in the chain of causes; None for any other error.
pub fn sqlstate_of(error: &DataFusionError) -> Option<&'static str> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(state) = state_of_one(error) {
            return Some(state);
        }
        cause = error.source();
    }
    None
}

/// `error` itself, not its causes. Boxes and shared pointers do not show up as a source in the standard way, so the
/// known wrappers are opened here.
fn state_of_one(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref::<FunctionError>() {
        return Some(error.sqlstate());
    }
    if let Some(error) = error.downcast_ref::<ArrowError>() {
        return state_of_arrow(error);
    }
    match error.downcast_ref::<DataFusionError>()? {
        DataFusionError::ArrowError(error, _) => state_of_arrow(error),
        DataFusionError::External(error) => state_of_one(error.as_ref()),
        DataFusionError::Shared(error) => sqlstate_of(error),
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => sqlstate_of(error),
        DataFusionError::Collection(errors) => errors.iter().find_map(sqlstate_of),
        DataFusionError::Execution(message) => state_of_text(message),
        _ => None,
    }
}

fn state_of_arrow(error: &ArrowError) -> Option<&'static str> {
    match error {
        ArrowError::DivideByZero => Some("22012"),
        ArrowError::ArithmeticOverflow(_) => Some("22003"),
        ArrowError::ParseError(_) => Some("22007"),
        ArrowError::CastError(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::ComputeError(message) => state_of_text(message),
        ArrowError::ExternalError(error) => state_of_one(error.as_ref()),
        _ => None,
    }
}

/// Arrow tells its casts' failures apart by text only. The tests of `sqlstate_of` pin each text that is looked for.
fn state_of_text(message: &str) -> Option<&'static str> {
    let has = |part: &str| message.contains(part);
    if has("Divide by zero") || has("division by zero") {
        Some("22012")
    } else if has("square root of a negative") {
        Some("2201F")
    } else if has("too large to store in a Decimal")
        || has("too small to store in a Decimal")
        || has("out of range")
        || has("verflow")
        || has("Can't cast value")
    {
        Some("22003")
    } else if has("Cannot cast string")
        || has("Cannot cast value")
        || has("Cannot parse")
        || has("invalid input syntax")
    {
        let temporal = ["Date", "Time", "Interval", "Duration"];
        Some(if temporal.iter().any(|name| has(name)) { "22007" } else { "22P02" })
    } else if has("Error parsing") || has("Parser error") || has("Invalid timestamp") || has("Invalid timezone") {
        Some("22007")
    } else {
        None
    }
}
