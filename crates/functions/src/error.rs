//! What evaluation can say no to.

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

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
    /// The user's values or parameters, in PostgreSQL's words.
    #[error("{message}")]
    Invalid { sqlstate: &'static str, message: String },
}

impl FunctionError {
    pub(crate) fn invalid(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { sqlstate, message: message.into() }
    }

    /// 0A000.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::invalid("0A000", message)
    }

    /// The five characters that clients test.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::OutOfRange(_) | Self::NumericOverflow { .. } => "22003",
            Self::DivisionByZero => "22012",
            Self::Logarithm(_) => "2201E",
            Self::NotFinite(..) | Self::TooManyDigits => "0A000",
            Self::Invalid { sqlstate, .. } => sqlstate,
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
