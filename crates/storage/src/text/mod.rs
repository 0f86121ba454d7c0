//! PostgreSQL's text forms of values: text → value for COPY FROM, value → text for COPY TO.
//!
//! Every parser takes one value's bytes, white space around it included, and knows neither NULL nor quoting.

mod column;
mod datetime;
mod interval;
mod number;
mod other;
mod print;

pub(crate) use column::{RowError, parse_column, type_name};
pub use datetime::{date, time, timestamp, timestamptz};
pub use interval::interval;
pub use number::{decimal, decimal64, float4, float8, integer};
pub use other::{boolean, bytea, uuid};
pub use print::ColumnPrinter;

/// Why a text is not a value of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// 22P02
    Invalid,
    /// 22003
    OutOfRange,
    /// 22007
    InvalidDatetime,
    /// 22008
    DatetimeOutOfRange,
}

impl TextError {
    pub fn sqlstate(self) -> &'static str {
        match self {
            TextError::Invalid => "22P02",
            TextError::OutOfRange => "22003",
            TextError::InvalidDatetime => "22007",
            TextError::DatetimeOutOfRange => "22008",
        }
    }

    /// PostgreSQL's words, without the value: `type_name` is SQL's.
    pub fn message(self, type_name: &str) -> String {
        match self {
            TextError::Invalid | TextError::InvalidDatetime => format!("invalid input syntax for type {type_name}"),
            TextError::OutOfRange if type_name.starts_with("numeric") => {
                format!("numeric field overflow: the value does not fit {type_name}")
            }
            TextError::OutOfRange => format!("value out of range for type {type_name}"),
            TextError::DatetimeOutOfRange => "date/time field value out of range".into(),
        }
    }
}

/// Without the white space around it.
fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
