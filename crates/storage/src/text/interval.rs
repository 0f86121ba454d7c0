//! interval: PostgreSQL's verbose, traditional and ISO 8601 forms.

use super::TextError::{self, DatetimeOutOfRange, InvalidDatetime};
use super::trim;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

const NANO: i128 = 1_000_000_000;
const HOUR: i128 = 3600 * NANO;
const DAY: i128 = 24 * HOUR;

/// `1 year 2 mons -3 days 04:05:06.7`, `@ 1 hour ago`, `1-2` (years-months), `P1Y2M3DT4H5M6S`.
pub fn interval(text: &[u8]) -> Result<IntervalMonthDayNano, TextError> {
    let text = str::from_utf8(trim(text)).map_err(|_| InvalidDatetime)?.to_ascii_lowercase();
    let mut sum = Sum::default();
    match text.strip_prefix('p') {
        Some(iso) => sum.iso(iso)?,
        None => sum.verbose(text.strip_prefix('@').unwrap_or(&text))?,
    }
    sum.finish()
}

/// An exact number: billionths.
#[derive(Clone, Copy)]
struct Number(i128);

#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    nanos: i128,
    fields: usize,
}

impl Sum {
    fn verbose(&mut self, text: &str) -> Result<(), TextError> {
        let mut words = text.split_ascii_whitespace().peekable();
        let mut ago = false;
        while let Some(word) = words.next() {
            if ago {
                return Err(InvalidDatetime);
            }
            if word == "ago" && self.fields > 0 {
                ago = true;
            } else if word.contains(':') {
                self.clock(word)?;
            } else if let Some((years, months)) = year_month(word) {
                self.add("year", years)?;
                self.add("mon", months)?;
            } else {
                // A number, its unit attached, or the next word, or none: seconds, or days before a clock time.
                let end = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
                let (number, attached) = word.split_at(end);
                let number = parse_number(number)?;
                let unit = match attached {
                    "" => match words.peek().copied() {
                        None => "second",
                        Some(next) if next.contains(':') => "day",
                        Some("ago") => "second",
                        Some(next) => {
                            words.next();
                            next
                        }
                    },
                    attached => attached,
                };
                self.add(unit, number)?;
            }
        }
        if ago {
            (self.months, self.days, self.nanos) = (-self.months, -self.days, -self.nanos);
        }
        Ok(())
    }

    /// What follows `P`.
    fn iso(&mut self, text: &str) -> Result<(), TextError> {
        let (dates, times) = match text.split_once('t') {
            Some((_, "")) => return Err(InvalidDatetime),
            Some((dates, times)) => (dates, times),
            None => (text, ""),
        };
        for (mut rest, is_time) in [(dates, false), (times, true)] {
            while !rest.is_empty() {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(InvalidDatetime)?;
                let unit = match (&rest[end..=end], is_time) {
                    ("y", false) => "year",
                    ("m", false) => "mon",
                    ("w", false) => "week",
                    ("d", false) => "day",
                    ("h", true) => "hour",
                    ("m", true) => "minute",
                    ("s", true) => "second",
                    _ => return Err(InvalidDatetime),
                };
                self.add(unit, parse_number(&rest[..end])?)?;
                rest = &rest[end + 1..];
            }
        }
        Ok(())
    }

    /// `[±]H:M[:S[.f]]`: the sign holds for all of it.
    fn clock(&mut self, word: &str) -> Result<(), TextError> {
        let (negative, word) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidDatetime);
        }
        let mut parts = word.split(':');
        let mut next = |required: bool| match parts.next() {
            Some(part) if !part.starts_with(['-', '+']) => parse_number(part),
            None if !required => Ok(Number(0)),
            _ => Err(InvalidDatetime),
        };
        let (hours, minutes, seconds) = (next(true)?, next(true)?, next(false)?);
        if parts.next().is_some() || hours.0 % NANO != 0 || minutes.0 % NANO != 0 {
            return Err(InvalidDatetime);
        }
        if minutes.0 >= 60 * NANO || seconds.0 >= 60 * NANO {
            return Err(DatetimeOutOfRange);
        }
        let nanos = hours.0.checked_mul(3600).ok_or(DatetimeOutOfRange)? + minutes.0 * 60 + seconds.0;
        self.fields += 1;
        self.add_nanos(if negative { -nanos } else { nanos })
    }

    fn add(&mut self, unit: &str, Number(number): Number) -> Result<(), TextError> {
        self.fields += 1;
        match unit.strip_suffix('s').filter(|unit| unit.len() > 1).unwrap_or(unit) {
            "microsecond" | "usec" | "us" => self.add_time(number, 1_000),
            "millisecond" | "msec" | "ms" => self.add_time(number, 1_000_000),
            "second" | "sec" | "s" => self.add_time(number, NANO),
            "minute" | "min" | "m" => self.add_time(number, 60 * NANO),
            "hour" | "hr" | "h" => self.add_time(number, HOUR),
            "day" | "d" => self.add_days(number, 1),
            "week" | "w" => self.add_days(number, 7),
            "month" | "mon" => self.add_months(number, 1),
            "year" | "yr" | "y" => self.add_months(number, 12),
            "decade" | "dec" => self.add_months(number, 120),
            "century" | "centurie" | "cent" | "c" => self.add_months(number, 1_200),
            "millennium" | "mil" | "millennia" => self.add_months(number, 12_000),
            _ => Err(InvalidDatetime),
        }
    }

    fn add_nanos(&mut self, nanos: i128) -> Result<(), TextError> {
        self.nanos = self.nanos.checked_add(nanos).ok_or(DatetimeOutOfRange)?;
        Ok(())
    }

    fn add_time(&mut self, number: i128, unit_nanos: i128) -> Result<(), TextError> {
        let product = number.checked_mul(unit_nanos).ok_or(DatetimeOutOfRange)?;
        self.add_nanos(rounded(product, NANO))
    }

    /// A fraction of a day becomes time.
    fn add_days(&mut self, number: i128, unit_days: i128) -> Result<(), TextError> {
        let days = number.checked_mul(unit_days).ok_or(DatetimeOutOfRange)?;
        self.days = self.days.checked_add(days / NANO).ok_or(DatetimeOutOfRange)?;
        self.add_nanos(rounded(days % NANO * DAY, NANO))
    }

    /// A fraction of a year becomes whole months, one of a month days of 30 to the month.
    fn add_months(&mut self, number: i128, unit_months: i128) -> Result<(), TextError> {
        let months = number.checked_mul(unit_months).ok_or(DatetimeOutOfRange)?;
        if unit_months > 1 {
            self.months = self.months.checked_add(rounded(months, NANO)).ok_or(DatetimeOutOfRange)?;
            return Ok(());
        }
        self.months = self.months.checked_add(months / NANO).ok_or(DatetimeOutOfRange)?;
        self.add_days(months % NANO, 30)
    }

    fn finish(self) -> Result<IntervalMonthDayNano, TextError> {
        if self.fields == 0 {
            return Err(InvalidDatetime);
        }
        let months = i32::try_from(self.months).map_err(|_| DatetimeOutOfRange)?;
        let days = i32::try_from(self.days).map_err(|_| DatetimeOutOfRange)?;
        // PostgreSQL's intervals count microseconds.
        let nanos = rounded(self.nanos, 1_000).checked_mul(1_000).ok_or(DatetimeOutOfRange)?;
        let nanos = i64::try_from(nanos).map_err(|_| DatetimeOutOfRange)?;
        Ok(IntervalMonthDayNano::new(months, days, nanos))
    }
}

/// Divides, half away from zero.
fn rounded(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest.abs() * 2 >= divisor { quotient + rest.signum() } else { quotient }
}

/// SQL's `[±]years-months`.
fn year_month(word: &str) -> Option<(Number, Number)> {
    let (sign, unsigned) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let (years, months) = unsigned.split_once('-')?;
    if !years.bytes().chain(months.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (Number(years), Number(months)) = (parse_number(years).ok()?, parse_number(months).ok()?);
    (months < 12 * NANO).then_some((Number(sign * years), Number(sign * months)))
}

fn parse_number(text: &str) -> Result<Number, TextError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits {
        return Err(InvalidDatetime);
    }
    if whole.len() > 18 {
        return Err(DatetimeOutOfRange);
    }
    let whole = whole.bytes().fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
    let fraction =
        fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
    let number = whole * NANO + fraction;
    Ok(Number(if negative { -number } else { number }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let second = 1_000_000_000i64;
        for (text, want) in [
            ("1 year 2 mons 3 days 04:05:06.789", Ok((14, 3, 14_706_789_000_000))),
            ("1 year", Ok((12, 0, 0))),
            ("-1 months +2 days", Ok((-1, 2, 0))),
            ("3 days ago", Ok((0, -3, 0))),
            ("@ 1 hour 30 minutes ago", Ok((0, 0, -5400 * second))),
            ("1.5 days", Ok((0, 1, 12 * 3600 * second))),
            ("1.5 months", Ok((1, 15, 0))),
            ("1.5 years", Ok((18, 0, 0))),
            ("2 weeks", Ok((0, 14, 0))),
            ("3 4:05:06", Ok((0, 3, 14_706 * second))),
            ("-04:05", Ok((0, 0, -14_700 * second))),
            ("1-2", Ok((14, 0, 0))),
            ("-1-2", Ok((-14, 0, 0))),
            ("90", Ok((0, 0, 90 * second))),
            ("2h 3m", Ok((0, 0, 7380 * second))),
            ("5ms", Ok((0, 0, 5_000_000))),
            ("7 us", Ok((0, 0, 7_000))),
            ("1 century 1 millennium", Ok((13_200, 0, 0))),
            ("P1Y2M3DT4H5M6.5S", Ok((14, 3, 14_706 * second + second / 2))),
            ("P2W", Ok((0, 14, 0))),
            ("PT36H", Ok((0, 0, 36 * 3600 * second))),
            ("178956970 years 7 mons", Ok((i32::MAX, 0, 0))),
            ("178956970 years 8 mons", Err(DatetimeOutOfRange)),
            ("12:60", Err(DatetimeOutOfRange)),
            ("", Err(InvalidDatetime)),
            ("P", Err(InvalidDatetime)),
            ("P1YT", Err(InvalidDatetime)),
            ("1 fortnight", Err(InvalidDatetime)),
            ("year", Err(InvalidDatetime)),
            ("1 day ago 2 days", Err(InvalidDatetime)),
            ("1:2:3:4", Err(InvalidDatetime)),
            ("99999999999999999999 days", Err(DatetimeOutOfRange)),
        ] {
            let want = want.map(|(months, days, nanos)| IntervalMonthDayNano::new(months, days, nanos));
            assert_eq!(interval(text.as_bytes()), want, "{text:?}");
        }
    }
}
