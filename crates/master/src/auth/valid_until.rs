//! VALID UNTIL: until when a password is taken.

use crate::error::{SqlError, SqlResult, SqlState};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use std::time::{Duration, SystemTime};

/// A time, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValidUntil {
    Infinity,
    Time(SystemTime),
}

impl ValidUntil {
    /// `infinity`, or a time as timestamps are written: of UTC, unless it says another zone.
    ///
    /// # Errors
    /// 22007.
    pub(crate) fn parse(text: &str) -> SqlResult<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("infinity") {
            return Ok(ValidUntil::Infinity);
        }
        let nanos = string_to_timestamp_nanos(text).map_err(|_| {
            let message = format!("invalid input syntax for type timestamp with time zone: \"{text}\"");
            SqlError::new(SqlState::INVALID_DATETIME, message)
        })?;
        let from_epoch = Duration::from_nanos(nanos.unsigned_abs());
        let time = match nanos < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(from_epoch),
            false => SystemTime::UNIX_EPOCH.checked_add(from_epoch),
        };
        Ok(ValidUntil::Time(time.unwrap_or(SystemTime::UNIX_EPOCH)))
    }

    pub(crate) fn is_over(self, now: SystemTime) -> bool {
        matches!(self, ValidUntil::Time(time) if time <= now)
    }

    /// Microseconds since 1970; None: for ever.
    pub(crate) fn micros(self) -> Option<i64> {
        let ValidUntil::Time(time) = self else { return None };
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Some(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_end() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let until = ValidUntil::parse("1970-01-02 00:00:00").unwrap();
        assert_eq!(until, ValidUntil::Time(at(86_400)));
        assert!(until.is_over(at(86_400)) && !until.is_over(at(86_399)));
        assert_eq!(until.micros(), Some(86_400_000_000));
        assert_eq!(ValidUntil::parse("1970-01-02 01:00:00+01:00").unwrap(), until);
        assert_eq!(ValidUntil::parse("1970-01-02").unwrap(), until);
        let never = ValidUntil::parse(" Infinity ").unwrap();
        assert!(!never.is_over(at(u64::from(u32::MAX))));
        assert_eq!(never.micros(), None);
        assert!(ValidUntil::parse("1900-01-01").unwrap().is_over(SystemTime::UNIX_EPOCH));
        assert_eq!(ValidUntil::parse("soon").unwrap_err().state, SqlState::INVALID_DATETIME);
    }
}
