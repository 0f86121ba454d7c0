//! Texts of intervals: `1 year 2 mons -3 days 04:05:06.7`, `@ 1 hour ago`, `P1Y2M3DT4H5M6S`.

use thiserror::Error;

/// Why a text is no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IntervalError {
    /// 22007.
    #[error("invalid input syntax for type interval")]
    Malformed,
    /// 22015.
    #[error("interval out of range")]
    OutOfRange,
}

use IntervalError::{Malformed, OutOfRange};

const MICRO: i128 = 1_000;
const SECOND: i128 = 1_000_000 * MICRO;
const DAY: i128 = 86_400 * SECOND;
/// What PostgreSQL takes for a month where a part of one is written.
const MONTH_DAYS: f64 = 30.0;

/// What a unit counts, and how many of it it is.
#[derive(Clone, Copy)]
enum Unit {
    Months(i128),
    Days(i128),
    Nanos(i128),
}

/// A number as it is written.
#[derive(Clone, Copy)]
struct Amount {
    negative: bool,
    whole: i128,
    /// From 0 up to 1.
    fraction: f64,
}

#[derive(Default)]
struct Parts {
    months: i128,
    days: i128,
    nanos: i128,
}

/// Months, days and nanoseconds, each with a sign of its own. Rounded to microseconds, which PostgreSQL's have.
///
/// # Errors
/// For what is no interval, and what does not fit.
pub fn interval_from_text(text: &str) -> Result<(i32, i32, i64), IntervalError> {
    let text = text.trim_ascii();
    let mut parts = Parts::default();
    match text.strip_prefix('P') {
        Some(iso) => parts.iso_8601(iso)?,
        None => parts.words(text.strip_prefix('@').unwrap_or(text).trim_ascii_start())?,
    }
    let fits = |_| OutOfRange;
    let days = i32::try_from(parts.days).map_err(fits)?;
    Ok((i32::try_from(parts.months).map_err(fits)?, days, i64::try_from(parts.nanos).map_err(fits)?))
}

impl Parts {
    fn words(&mut self, text: &str) -> Result<(), IntervalError> {
        let mut rest = text;
        loop {
            let (amount, after) = amount(rest)?;
            if let Some(after) = after.strip_prefix(':') {
                let (nanos, after) = clock(amount, after)?;
                self.nanos += nanos;
                rest = after.trim_ascii_start();
            } else {
                let (name, after) = letters(after.trim_ascii_start());
                rest = after.trim_ascii_start();
                // A last number without a unit is seconds.
                let unit = if name.is_empty() && rest.is_empty() { Unit::Nanos(SECOND) } else { unit(name)? };
                self.add(amount, unit)?;
            }
            if rest.is_empty() {
                return Ok(());
            }
            if rest.eq_ignore_ascii_case("ago") {
                *self = Parts { months: -self.months, days: -self.days, nanos: -self.nanos };
                return Ok(());
            }
        }
    }

    /// What follows `P`.
    fn iso_8601(&mut self, text: &str) -> Result<(), IntervalError> {
        let (mut rest, mut in_time) = (text, false);
        loop {
            if let Some(after) = rest.strip_prefix('T').filter(|_| !in_time) {
                (rest, in_time) = (after, true);
            }
            let (amount, after) = amount(rest)?;
            let mut characters = after.chars();
            let unit = match (characters.next(), in_time) {
                (Some('Y'), false) => Unit::Months(12),
                (Some('M'), false) => Unit::Months(1),
                (Some('W'), false) => Unit::Days(7),
                (Some('D'), false) => Unit::Days(1),
                (Some('H'), true) => Unit::Nanos(3_600 * SECOND),
                (Some('M'), true) => Unit::Nanos(60 * SECOND),
                (Some('S'), true) => Unit::Nanos(SECOND),
                _ => return Err(Malformed),
            };
            self.add(amount, unit)?;
            rest = characters.as_str();
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn add(&mut self, amount: Amount, unit: Unit) -> Result<(), IntervalError> {
        let sign = if amount.negative { -1 } else { 1 };
        let whole = |count: i128| amount.whole.checked_mul(sign * count).ok_or(OutOfRange);
        // At most a millennium's: it fits.
        let part = |count: i128| amount.fraction * (sign * count) as f64;
        match unit {
            Unit::Months(1) => {
                self.months += whole(1)?;
                self.add_days(part(1) * MONTH_DAYS);
            }
            Unit::Months(count) => self.months += whole(count)? + part(count).round() as i128,
            Unit::Days(count) => {
                self.days += whole(count)?;
                self.add_days(part(count));
            }
            Unit::Nanos(count) => self.nanos += whole(count)? + micros(part(count)),
        }
        Ok(())
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc() as i128;
        self.nanos += micros(days.fract() * DAY as f64);
    }
}

/// Nanoseconds, of whole microseconds.
fn micros(nanos: f64) -> i128 {
    (nanos / MICRO as f64).round() as i128 * MICRO
}

/// The number that a text begins with, and what follows it.
fn amount(text: &str) -> Result<(Amount, &str), IntervalError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, after) = digits(unsigned);
    let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(Malformed);
    }
    // So many that what they are times any unit fits, too.
    let whole = if whole.is_empty() { 0 } else { i128::from(whole.parse::<i64>().map_err(|_| OutOfRange)?) };
    let fraction = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Malformed)? };
    Ok((Amount { negative, whole, fraction }, after))
}

/// `minutes[:seconds]` after hours, as nanoseconds with the sign of the hours; and what follows.
fn clock(hours: Amount, text: &str) -> Result<(i128, &str), IntervalError> {
    let below_60 =
        |amount: Amount| if amount.negative || amount.whole >= 60 { Err(OutOfRange) } else { Ok(amount.whole) };
    let unsigned = |text| amount(text).and_then(|(amount, after)| Ok((below_60(amount)?, amount.fraction, after)));
    let (minutes, none, mut rest) = unsigned(text)?;
    if hours.fraction != 0.0 || none != 0.0 {
        return Err(Malformed);
    }
    let mut nanos = (hours.whole * 60 + minutes) * 60 * SECOND;
    if let Some(after) = rest.strip_prefix(':') {
        let (seconds, fraction, after) = unsigned(after)?;
        nanos += seconds * SECOND + micros(fraction * SECOND as f64);
        rest = after;
    }
    Ok((if hours.negative { -nanos } else { nanos }, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn letters(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()))
}

fn unit(name: &str) -> Result<Unit, IntervalError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" | "microsecond" | "microseconds" => {
            Unit::Nanos(MICRO)
        }
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" | "millisecond" | "milliseconds" => {
            Unit::Nanos(1_000 * MICRO)
        }
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Nanos(SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Nanos(60 * SECOND),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Nanos(3_600 * SECOND),
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "dec" | "decs" | "decade" | "decades" => Unit::Months(120),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1_200),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12_000),
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_intervals() {
        const S: i64 = 1_000_000_000;
        for (text, want) in [
            ("1 year 2 mons 3 days 04:05:06.7", (14, 3, 14_706 * S + 700_000_000)),
            ("-1 day 0:00:01.500000", (0, -1, S + S / 2)),
            ("1 mon -2 days +00:00:03", (1, -2, 3 * S)),
            ("-00:00:00.5", (0, 0, -S / 2)),
            ("100:30", (0, 0, 361_800 * S)),
            ("3:00:00", (0, 0, 10_800 * S)),
            ("1 day -00:00:03", (0, 1, -3 * S)),
            ("@ 1 hour 2 days ago", (0, -2, -3_600 * S)),
            ("1.5 hours", (0, 0, 5_400 * S)),
            ("1.5 months", (1, 15, 0)),
            ("1.5 years", (18, 0, 0)),
            ("-1.5 days", (0, -1, -43_200 * S)),
            ("2W 3h", (0, 14, 10_800 * S)),
            ("1 day 5", (0, 1, 5 * S)),
            ("0.0000004 s", (0, 0, 0)),
            ("P1Y2M3W4DT5H6M7.5S", (14, 25, 18_367 * S + S / 2)),
            ("P-1DT-1S", (0, -1, -S)),
        ] {
            assert_eq!(interval_from_text(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for text in
            ["", "x", "1 x", "1 day x", "1:", "1:2:", "ago", "1 day ago 2", "P", "P1", "PT1D", "P1DT", "1.5:00", "é"]
        {
            assert_eq!(interval_from_text(text), Err(Malformed), "{text}");
        }
        for text in
            ["1:60", "1:00:60", "99999999999 days", "99999999999999999999 s", "9000000 hours", "999999999 years"]
        {
            assert_eq!(interval_from_text(text), Err(OutOfRange), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (months, days, nanos) in [(14, -3, 1_500_000_000), (-1, 0, -1_000), (0, 0, 0), (0, 5, -90_000_000_000_000)]
        {
            let mut text = vec![];
            crate::values::interval_to_text(months, days, nanos, &mut text);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(interval_from_text(&text), Ok((months, days, nanos)), "{text}");
        }
    }
}
