//! What type texts may have.

use crate::text::{boolean, date, float8, integer, timestamp, timestamptz};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use std::sync::Arc;

/// What all values of a column were so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// NULL.
    Nothing,
    Boolean,
    Integer,
    Float,
    Date,
    Timestamp,
    /// A timestamp with a time zone.
    Instant,
    Text,
}

impl Guess {
    /// Of a value that is not NULL. What is only nearly a number or a date is text: a postcode keeps its zeros.
    pub(super) fn of(text: &str) -> Guess {
        let text = text.trim();
        let bytes = text.as_bytes();
        if ["true", "false", "t", "f"].iter().any(|word| text.eq_ignore_ascii_case(word)) && boolean(bytes).is_ok() {
            return Guess::Boolean;
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            let keeps_all = digits.len() == 1 || digits[0] != b'0';
            return if keeps_all && integer(bytes).is_ok() { Guess::Integer } else { Guess::Text };
        }
        let begins_number = digits.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.');
        if (begins_number || text.eq_ignore_ascii_case("nan")) && float8(bytes).is_ok() {
            return Guess::Float;
        }
        of_time(text)
    }

    /// What both are.
    pub(super) fn and(self, other: Guess) -> Guess {
        use Guess::{Date, Float, Integer, Nothing, Text, Timestamp};
        match (self, other) {
            (a, b) if a == b => a,
            (Nothing, some) | (some, Nothing) => some,
            (Integer, Float) | (Float, Integer) => Float,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            _ => Text,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Guess::Nothing | Guess::Text => DataType::Utf8View,
            Guess::Boolean => DataType::Boolean,
            Guess::Integer => DataType::Int64,
            Guess::Float => DataType::Float64,
            Guess::Date => DataType::Date32,
            Guess::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Guess::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(super::UTC))),
        }
    }
}

/// Dates and times as ISO 8601 writes them: `2026-11-26`, `2026-11-26 10:00:01`, `2026-11-26T10:00:01.5Z`.
pub(super) fn of_time(text: &str) -> Guess {
    let bytes = text.as_bytes();
    let is_date = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    match bytes.get(10) {
        _ if !is_date => Guess::Text,
        None if date(bytes).is_ok() => Guess::Date,
        Some(b' ' | b'T') => {
            let has_zone = bytes[10..].iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
            match has_zone {
                true if timestamptz(bytes).is_ok() => Guess::Instant,
                false if timestamp(bytes).is_ok() => Guess::Timestamp,
                _ => Guess::Text,
            }
        }
        _ => Guess::Text,
    }
}

/// Adds a column to those that are known, or what is known of it.
pub(super) fn add(columns: &mut Vec<(String, Guess)>, (name, guess): (String, Guess)) {
    match columns.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = known.and(guess),
        None => columns.push((name, guess)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types() {
        for (text, guess) in [
            ("true", Guess::Boolean),
            ("F", Guess::Boolean),
            ("yes", Guess::Text),
            ("0", Guess::Integer),
            (" -17 ", Guess::Integer),
            ("007", Guess::Text),
            ("9223372036854775808", Guess::Text),
            ("1.5", Guess::Float),
            ("-.5e3", Guess::Float),
            ("NaN", Guess::Float),
            ("Infinity", Guess::Text),
            ("1.2.3", Guess::Text),
            ("-", Guess::Text),
            ("", Guess::Text),
            ("2026-11-26", Guess::Date),
            ("2026-02-30", Guess::Text),
            ("2026-11-26 10:00:01.25", Guess::Timestamp),
            ("2026-11-26T10:00:01Z", Guess::Instant),
            ("2026-11-26 10:00:01+02", Guess::Instant),
            ("2026-11-26x", Guess::Text),
            ("2026-11-2ä", Guess::Text),
        ] {
            assert_eq!(Guess::of(text), guess, "{text:?}");
        }
    }

    #[test]
    fn columns_have_what_all_values_have() {
        use Guess::*;
        for (all, guess) in [
            (vec![Nothing, Nothing], Nothing),
            (vec![Nothing, Integer, Nothing], Integer),
            (vec![Integer, Float, Integer], Float),
            (vec![Date, Timestamp], Timestamp),
            (vec![Timestamp, Instant], Text),
            (vec![Integer, Boolean], Text),
            (vec![Integer, Date, Integer], Text),
        ] {
            assert_eq!(all.iter().copied().fold(Nothing, Guess::and), guess, "{all:?}");
        }
    }
}
