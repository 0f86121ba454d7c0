//! Text of date, time, timestamp and timestamptz in their ISO forms, for casts and for COPY. Values count from 1970-01-01, UTC.

use crate::FunctionError;
use crate::zone::Zone;
use DatetimeTextError::{Invalid, OutOfRange};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;

/// Why a text is not a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatetimeTextError {
    /// 22007
    Invalid,
    /// 22008
    OutOfRange,
}

impl DatetimeTextError {
    /// In PostgreSQL's words; `sql_type` is the type's name.
    pub fn of_value(self, text: &str, sql_type: &str) -> FunctionError {
        match self {
            Invalid => FunctionError::invalid("22007", format!("invalid input syntax for type {sql_type}: \"{text}\"")),
            OutOfRange => FunctionError::invalid("22008", format!("date/time field value out of range: \"{text}\"")),
        }
    }
}

const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;
const UTC: Zone = Zone::Fixed(0);
/// PostgreSQL's last year of a timestamp.
const YEAR_MAX: i64 = 294_276;
/// PostgreSQL's first year: 4713 BC.
const YEAR_MIN: i64 = -4712;

/// Days since 1970-01-01. A time of day after it is checked and dropped.
#[inline]
pub fn date(text: &[u8]) -> Result<i32, DatetimeTextError> {
    if let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text
        && let Some(year) = digits(&[y1, y2, y3, y4]).filter(|&year| year > 0)
        && let (Some(month), Some(day)) = (digits(&[m1, m2]), digits(&[d1, d2]))
    {
        return days(year, month, day);
    }
    let mut cursor = Cursor(text.trim_ascii());
    let days = cursor.date()?;
    cursor.rest_of_timestamp()?;
    Ok(days)
}

/// Microseconds since midnight; `24:00:00` is allowed.
pub fn time(text: &[u8]) -> Result<i64, DatetimeTextError> {
    let mut cursor = Cursor(text.trim_ascii());
    let time = cursor.time()?;
    cursor.zone()?;
    cursor.end()?;
    Ok(time)
}

/// Microseconds since 1970-01-01 00:00; a zone is allowed and means nothing, as in PostgreSQL.
pub fn timestamp(text: &[u8]) -> Result<i64, DatetimeTextError> {
    instant(text).map(|(micros, _)| micros)
}

/// Microseconds since 1970-01-01 00:00 UTC; without a zone the text is in UTC.
pub fn timestamptz(text: &[u8]) -> Result<i64, DatetimeTextError> {
    let (micros, zone) = instant(text)?;
    zone.instant_of_local(micros).ok_or(OutOfRange)
}

/// Local microseconds and their zone.
fn instant(text: &[u8]) -> Result<(i64, Zone), DatetimeTextError> {
    let mut cursor = Cursor(text.trim_ascii());
    if cursor.0.eq_ignore_ascii_case(b"epoch") {
        return Ok((0, UTC));
    }
    let days = cursor.date()?;
    let (time, zone) = cursor.rest_of_timestamp()?;
    let midnight = i64::from(days).checked_mul(DAY_US).ok_or(OutOfRange)?;
    Ok((midnight.checked_add(time).ok_or(OutOfRange)?, zone))
}

/// A text as a value of a type; None for what is no date or time.
pub fn scalar(text: &str, data_type: &DataType) -> Option<Result<ScalarValue, FunctionError>> {
    let bytes = text.as_bytes();
    let (value, sql_type) = match data_type {
        DataType::Date32 => (date(bytes).map(|days| ScalarValue::Date32(Some(days))), "date"),
        DataType::Time64(TimeUnit::Microsecond) => {
            (time(bytes).map(|micros| ScalarValue::Time64Microsecond(Some(micros))), "time")
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            (timestamp(bytes).map(|micros| ScalarValue::TimestampMicrosecond(Some(micros), None)), "timestamp")
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone @ Some(_)) => {
            let instant = |micros| ScalarValue::TimestampMicrosecond(Some(micros), zone.clone());
            (timestamptz(bytes).map(instant), "timestamp with time zone")
        }
        _ => return None,
    };
    Some(value.map_err(|error| error.of_value(text, sql_type)))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC.
fn days(year: i64, month: i64, day: i64) -> Result<i32, DatetimeTextError> {
    const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match usize::try_from(month - 1).ok().and_then(|month| LENGTHS.get(month)) {
        Some(28) if leap => 29,
        Some(&length) => length,
        None => return Err(OutOfRange),
    };
    if !(1..=length).contains(&day) || !(YEAR_MIN..=YEAR_MAX).contains(&year) {
        return Err(OutOfRange);
    }
    // H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Ok((era * 146_097 + day_of_era - 719_468) as i32)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// `Y-M-D` (the year has at least 4 digits; `/` works too) or `YYYYMMDD`, then perhaps ` BC` at the text's end.
    fn date(&mut self) -> Result<i32, DatetimeTextError> {
        if ["infinity", "-infinity"].iter().any(|special| self.0.eq_ignore_ascii_case(special.as_bytes())) {
            return Err(OutOfRange);
        }
        if self.0.eq_ignore_ascii_case(b"epoch") {
            self.0 = b"";
            return Ok(0);
        }
        let before_christ = match self.0.len().checked_sub(3).map(|at| self.0.split_at(at)) {
            Some((rest, suffix)) if suffix.eq_ignore_ascii_case(b" bc") => {
                self.0 = rest;
                true
            }
            _ => false,
        };
        let (number, count) = self.number(8)?;
        let (mut year, month, day);
        if self.eat(|b| matches!(b, b'-' | b'/')).is_some() {
            if count < 4 {
                return Err(Invalid);
            }
            year = number;
            month = self.number(2)?.0;
            self.eat(|b| matches!(b, b'-' | b'/')).ok_or(Invalid)?;
            day = self.number(2)?.0;
        } else if count == 8 {
            (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        } else {
            return Err(Invalid);
        }
        if year == 0 {
            return Err(OutOfRange);
        }
        if before_christ {
            year = 1 - year;
        }
        days(year, month, day)
    }

    /// What may follow a date: nothing, a zone, or a time and perhaps a zone.
    fn rest_of_timestamp(&mut self) -> Result<(i64, Zone), DatetimeTextError> {
        if self.0.is_empty() {
            return Ok((0, UTC));
        }
        if self.eat(|b| matches!(b, b'T' | b't' | b' ')).is_none() {
            return Err(Invalid);
        }
        self.0 = self.0.trim_ascii_start();
        let has_time = self.0.first().is_some_and(u8::is_ascii_digit);
        let time = if has_time { self.time()? } else { 0 };
        let zone = if self.0.is_empty() && !has_time { Err(Invalid) } else { self.zone() }?;
        self.end()?;
        Ok((time, zone))
    }

    /// `H:M[:S[.f]]`, `HHMM[SS[.f]]`, perhaps with AM or PM, in microseconds; a longer fraction is rounded.
    fn time(&mut self) -> Result<i64, DatetimeTextError> {
        let (number, count) = self.number(6)?;
        let (mut hours, minutes, mut seconds, mut has_seconds);
        match count {
            6 => (hours, minutes, seconds, has_seconds) = (number / 10_000, number / 100 % 100, number % 100, true),
            4 => (hours, minutes, seconds, has_seconds) = (number / 100, number % 100, 0, false),
            1 | 2 => {
                self.eat(|b| b == b':').ok_or(Invalid)?;
                (hours, minutes, seconds, has_seconds) = (number, self.number(2)?.0, 0, false);
                if self.eat(|b| b == b':').is_some() {
                    (seconds, has_seconds) = (self.number(2)?.0, true);
                }
            }
            _ => return Err(Invalid),
        }
        let micros = if has_seconds && self.eat(|b| b == b'.').is_some() { self.fraction() } else { 0 };
        if let Some(is_afternoon) = self.half_of_day() {
            if !(1..=12).contains(&hours) {
                return Err(OutOfRange);
            }
            hours = hours % 12 + if is_afternoon { 12 } else { 0 };
        }
        let time = ((hours * 60 + minutes) * 60 + seconds) * SECOND_US + micros;
        if hours > 24 || minutes > 59 || seconds > 60 || time > DAY_US {
            return Err(OutOfRange);
        }
        Ok(time)
    }

    /// AM is false, PM true.
    fn half_of_day(&mut self) -> Option<bool> {
        let rest = self.0.trim_ascii_start();
        let (word, after) = rest.split_at_checked(2)?;
        let is_word = after.first().is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'/');
        let half = [(b"am", false), (b"pm", true)].into_iter().find(|(name, _)| word.eq_ignore_ascii_case(*name));
        let (_, is_afternoon) = half.filter(|_| is_word)?;
        self.0 = after;
        Some(is_afternoon)
    }

    fn fraction(&mut self) -> i64 {
        let mut micros = 0;
        let mut unit = SECOND_US / 10;
        let mut round = None;
        while let Some(byte) = self.eat(|b| b.is_ascii_digit()) {
            let digit = i64::from(byte - b'0');
            if unit == 0 {
                round.get_or_insert(digit >= 5);
            }
            micros += digit * unit;
            unit /= 10;
        }
        micros + i64::from(round == Some(true))
    }

    /// Nothing, `Z`, a name, or `±H[H][[:]MM[[:]SS]]` east of UTC.
    fn zone(&mut self) -> Result<Zone, DatetimeTextError> {
        self.0 = self.0.trim_ascii_start();
        // Looked up without the names, as every value of a column may have it.
        if ["z", "utc", "gmt"].iter().any(|name| self.0.eq_ignore_ascii_case(name.as_bytes())) {
            self.0 = b"";
            return Ok(UTC);
        }
        if self.0.first().is_some_and(u8::is_ascii_alphabetic) {
            let name = std::str::from_utf8(self.0).map_err(|_| Invalid)?;
            let zone = Zone::of_name(name).ok_or(Invalid)?;
            self.0 = b"";
            return Ok(zone);
        }
        let Some(sign) = self.eat(|b| matches!(b, b'+' | b'-')) else { return Ok(UTC) };
        let (hours, count) = self.number(4)?;
        let (hours, mut minutes) = if count > 2 { (hours / 100, hours % 100) } else { (hours, 0) };
        let mut seconds = 0;
        if count <= 2 && self.eat(|b| b == b':').is_some() {
            minutes = self.number(2)?.0;
            if self.eat(|b| b == b':').is_some() {
                seconds = self.number(2)?.0;
            }
        }
        if hours > 15 || minutes > 59 || seconds > 59 {
            return Err(OutOfRange);
        }
        let east = (hours * 60 + minutes) * 60 + seconds;
        Ok(Zone::Fixed(if sign == b'-' { -east } else { east }))
    }

    /// Up to `digits_max` digits, and how many there were.
    fn number(&mut self, digits_max: usize) -> Result<(i64, usize), DatetimeTextError> {
        let count = self.0.iter().take(digits_max).take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(count);
        self.0 = rest;
        if count == 0 { Err(Invalid) } else { digits(number).map(|n| (n, count)).ok_or(Invalid) }
    }

    fn eat(&mut self, wanted: impl Fn(u8) -> bool) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        wanted(first).then(|| {
            self.0 = rest;
            first
        })
    }

    fn end(&self) -> Result<(), DatetimeTextError> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, want) in [
            ("1970-01-01", Ok(0)),
            ("1969-12-31", Ok(-1)),
            ("1994-02-28", Ok(8824)),
            ("2000-02-29", Ok(11016)),
            ("1900-02-29", Err(OutOfRange)),
            ("1994-02-30", Err(OutOfRange)),
            ("1994-13-01", Err(OutOfRange)),
            ("1994-00-01", Err(OutOfRange)),
            ("0000-01-01", Err(OutOfRange)),
            ("0001-01-01", Ok(-719_162)),
            ("0001-12-31 BC", Ok(-719_163)),
            ("9999-12-31", Ok(2_932_896)),
            ("294276-12-31", Ok(106_762_939)),
            ("19940228", Ok(8824)),
            ("1994/2/28", Ok(8824)),
            (" 1994-02-28 ", Ok(8824)),
            ("1994-02-28T23:59:59Z", Ok(8824)),
            ("1994-02-28 +00", Ok(8824)),
            ("1994-02-28 -08:30", Ok(8824)),
            ("1994-02-28 UTC", Ok(8824)),
            ("1994-02-28T", Err(Invalid)),
            ("1994-02-28 nowhere", Err(Invalid)),
            ("1994-02-28 25:00", Err(OutOfRange)),
            ("epoch", Ok(0)),
            ("infinity", Err(OutOfRange)),
            ("", Err(Invalid)),
            ("94-02-28", Err(Invalid)),
            ("1994-02", Err(Invalid)),
            ("1994-02-28x", Err(Invalid)),
            ("1994-0a-28", Err(Invalid)),
            ("yesterday", Err(Invalid)),
        ] {
            assert_eq!(date(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn every_day_of_a_calendar_cycle_follows_the_one_before() {
        let mut expected = days(1600, 1, 1).unwrap();
        for year in 1600..2000 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Ok(got) = days(year, month, day) {
                        assert_eq!(got, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, days(2000, 1, 1).unwrap());
        assert_eq!(days(2000, 1, 1).unwrap() - days(1600, 1, 1).unwrap(), 146_097);
    }

    #[test]
    fn times() {
        for (text, want) in [
            ("00:00", Ok(0)),
            ("04:05:06.789", Ok(14_706_789_000)),
            ("4:5", Ok(14_700_000_000)),
            ("040506.5", Ok(14_706_500_000)),
            ("0405", Ok(14_700_000_000)),
            ("4:05 pm", Ok(57_900_000_000)),
            ("12:05AM", Ok(300_000_000)),
            ("13:05 pm", Err(OutOfRange)),
            ("23:59:59.9999995", Ok(DAY_US)),
            ("23:59:59.9999994", Ok(DAY_US - 1)),
            ("24:00:00", Ok(DAY_US)),
            ("24:00:01", Err(OutOfRange)),
            ("12:60", Err(OutOfRange)),
            ("12", Err(Invalid)),
            ("noon", Err(Invalid)),
        ] {
            assert_eq!(time(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn timestamps() {
        let noon = 12 * 3600 * SECOND_US;
        for (text, plain, zoned) in [
            ("1970-01-01 12:00:00", Ok(noon), Ok(noon)),
            ("1970-01-01T12:00:00Z", Ok(noon), Ok(noon)),
            ("1970-01-01 12:00:00.5+02", Ok(noon + 500_000), Ok(noon + 500_000 - 7200 * SECOND_US)),
            ("1970-01-01 12:00-0330", Ok(noon), Ok(noon + 12_600 * SECOND_US)),
            ("1970-01-01 12:00 +05:30", Ok(noon), Ok(noon - 19_800 * SECOND_US)),
            ("1970-01-01 12:00 Asia/Tokyo", Ok(noon), Ok(noon - 32_400 * SECOND_US)),
            ("1970-01-01 12:00:00 pst", Ok(noon), Ok(noon + 28_800 * SECOND_US)),
            ("1970-01-01", Ok(0), Ok(0)),
            ("1969-12-31 23:59:59.999999", Ok(-1), Ok(-1)),
            ("294246-12-31 23:59:59.999999", Ok(106_751_982 * DAY_US - 1), Ok(106_751_982 * DAY_US - 1)),
            // Past what 64 bits of microseconds from 1970 hold.
            ("294276-12-31 00:00", Err(OutOfRange), Err(OutOfRange)),
            ("1970-01-01 12:00 Nowhere/City", Err(Invalid), Err(Invalid)),
            ("1970-01-01 12:00+99", Err(OutOfRange), Err(OutOfRange)),
            ("1970-02-30 12:00", Err(OutOfRange), Err(OutOfRange)),
            ("12:00", Err(Invalid), Err(Invalid)),
            ("", Err(Invalid), Err(Invalid)),
        ] {
            assert_eq!(timestamp(text.as_bytes()), plain, "{text:?}");
            assert_eq!(timestamptz(text.as_bytes()), zoned, "{text:?}");
        }
    }
}
