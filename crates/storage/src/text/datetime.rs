//! date, time, timestamp and timestamptz, as [`damson_functions::datetime_text`] reads them.

use super::TextError;
use damson_functions::datetime_text::{self, DatetimeTextError};

impl From<DatetimeTextError> for TextError {
    fn from(error: DatetimeTextError) -> Self {
        match error {
            DatetimeTextError::Invalid => TextError::InvalidDatetime,
            DatetimeTextError::OutOfRange => TextError::DatetimeOutOfRange,
        }
    }
}

/// Days since 1970-01-01. A time of day after it is checked and dropped.
#[inline]
pub fn date(text: &[u8]) -> Result<i32, TextError> {
    Ok(datetime_text::date(text)?)
}

/// Microseconds since midnight; `24:00:00` is allowed.
pub fn time(text: &[u8]) -> Result<i64, TextError> {
    Ok(datetime_text::time(text)?)
}

/// Microseconds since 1970-01-01 00:00; a zone is allowed and means nothing, as in PostgreSQL.
pub fn timestamp(text: &[u8]) -> Result<i64, TextError> {
    Ok(datetime_text::timestamp(text)?)
}

/// Microseconds since 1970-01-01 00:00 UTC; without a zone the text is in UTC.
pub fn timestamptz(text: &[u8]) -> Result<i64, TextError> {
    Ok(datetime_text::timestamptz(text)?)
}
