//! A date and time of day out of text by a pattern, as PostgreSQL's `to_date` and `to_timestamp` read.

use super::DatePattern;
use super::date_pattern::{Field, Piece};
use super::date_writer::{DAYS, MONTHS, ROMAN};
use crate::FunctionError;
use crate::calendar::{Clock, Date, days_in_month};

/// What has been read so far.
#[derive(Default)]
struct Found {
    year: Option<i64>,
    iso_year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    week_of_year: Option<i64>,
    julian: Option<i64>,
    hour: Option<i64>,
    twelve_hours: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    second_of_day: Option<i64>,
    microsecond: i64,
    before_christ: bool,
}

impl DatePattern {
    /// # Errors
    /// 22007 for text that does not have the form, 22008 for a date or time that does not exist, 0A000 for fields that are
    /// written but not read here.
    pub fn read(&self, text: &str) -> Result<(Date, Clock), FunctionError> {
        let mut found = Found::default();
        let mut rest = text;
        // Blanks and separators that were skipped beyond those of the pattern.
        let mut skipped = 0i32;
        for (position, piece) in self.pieces.iter().enumerate() {
            if rest.is_empty() {
                break;
            }
            if !matches!(piece, Piece::Text(_)) || position == 0 {
                skipped += skip_blanks(&mut rest);
            }
            match *piece {
                Piece::Separator(_) => {
                    skipped -= 1;
                    if rest.starts_with(|c: char| c.is_ascii_whitespace() || c.is_ascii_punctuation()) {
                        rest = &rest[1..];
                        skipped += 1;
                    }
                }
                // The characters need not be equal.
                Piece::Text(_) if skipped > 0 => skipped -= 1,
                Piece::Text(_) => rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..],
                Piece::Field { field, fill, ordinal } => {
                    let greedy = fill || self.ends_number(position, ordinal.is_some());
                    read_field(field, greedy, &mut rest, &mut found)?;
                    if ordinal.is_some() {
                        rest = rest.get(2..).unwrap_or_default();
                    }
                    skipped = skip_blanks(&mut rest);
                }
            }
        }
        found.check_hour()?;
        let out_of_range =
            || FunctionError::invalid("22008", format!("date/time field value out of range: \"{text}\""));
        let clock = found.clock().ok_or_else(out_of_range)?;
        let date = found.date()?.ok_or_else(out_of_range)?;
        Ok((date, clock))
    }

    /// Whether what follows the field cannot be a digit: then it takes all the digits that there are.
    fn ends_number(&self, position: usize, ordinal: bool) -> bool {
        ordinal
            || match self.pieces.get(position + 1) {
                None => true,
                Some(Piece::Field { field, .. }) => !field.is_digits(),
                Some(Piece::Text(c) | Piece::Separator(c)) => !c.is_ascii_digit(),
            }
    }
}

fn skip_blanks(rest: &mut &str) -> i32 {
    let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let skipped = rest.len() - trimmed.len();
    *rest = trimmed;
    skipped as i32
}

fn read_field(field: Field, greedy: bool, rest: &mut &str, found: &mut Found) -> Result<(), FunctionError> {
    let mut number = |name: &str, digits: usize| integer(name, if greedy { usize::MAX } else { digits }, digits, rest);
    match field {
        Field::Year(digits) => {
            let (year, length) = number("YYYY", digits.into())?;
            found.year = Some(if digits < 4 && length < 4 { near_2020(year) } else { year });
        }
        Field::YearWithComma => return Err(unsupported("Y,YYY")),
        Field::IsoYear(digits) => {
            let (year, length) = number("IYYY", digits.into())?;
            found.iso_year = Some(if digits < 4 && length < 4 { near_2020(year) } else { year });
        }
        Field::Month => found.month = Some(number("MM", 2)?.0),
        Field::MonthName(_) => found.month = Some(name("MONTH", &MONTHS, usize::MAX, rest)?),
        Field::MonthShort(_) => found.month = Some(name("MON", &MONTHS, 3, rest)?),
        Field::Roman(_) => found.month = Some(name("RM", &ROMAN, usize::MAX, rest)?),
        Field::Day => found.day = Some(number("DD", 2)?.0),
        Field::DayOfYear => found.day_of_year = Some(number("DDD", 3)?.0),
        Field::WeekOfYear => found.week_of_year = Some(number("WW", 2)?.0),
        Field::IsoWeek => found.iso_week = Some(number("IW", 2)?.0),
        Field::IsoDayOfWeek => found.iso_day = Some(number("ID", 1)?.0),
        Field::Julian => found.julian = Some(integer("J", usize::MAX, 1, rest)?.0),
        Field::Quarter => {
            number("Q", 1)?;
        }
        // Names of weekdays are read, and nothing follows from them.
        Field::DayName(_) => {
            name("DAY", &DAYS, usize::MAX, rest)?;
        }
        Field::DayShort(_) => {
            name("DY", &DAYS, 3, rest)?;
        }
        Field::Hour12 => {
            found.hour = Some(number("HH12", 2)?.0);
            found.twelve_hours = true;
        }
        Field::Hour24 => found.hour = Some(number("HH24", 2)?.0),
        Field::Minute => found.minute = number("MI", 2)?.0,
        Field::Second => found.second = number("SS", 2)?.0,
        Field::Millisecond => found.microsecond += fraction("MS", 3, greedy, rest)?,
        Field::Microsecond => found.microsecond += fraction("US", 6, greedy, rest)?,
        Field::Fraction(digits) => found.microsecond += fraction("FF", digits.into(), greedy, rest)?,
        Field::SecondOfDay => found.second_of_day = Some(number("SSSSS", 5)?.0),
        Field::Meridiem { dots, .. } => found.afternoon = Some(either("AM", ["AM", "PM"], dots, rest)?),
        Field::Era { dots, .. } => found.before_christ = either("AD", ["AD", "BC"], dots, rest)?,
        Field::Century => return Err(unsupported("CC")),
        Field::WeekOfMonth => return Err(unsupported("W")),
        Field::IsoDayOfYear => return Err(unsupported("IDDD")),
        Field::DayOfWeek => return Err(unsupported("D")),
        Field::Unsupported(name) => return Err(unsupported(name)),
    }
    Ok(())
}

fn unsupported(name: &str) -> FunctionError {
    FunctionError::unsupported(format!("reading format pattern \"{name}\" is not supported"))
}

/// A number of at most `digits_max` digits, and its length. Where the field is not the last of a run of digits, it has
/// exactly `digits`.
fn integer(name: &str, digits_max: usize, digits: usize, rest: &mut &str) -> Result<(i64, usize), FunctionError> {
    let invalid = |rest: &str| {
        let shown: String = rest.chars().take(digits.max(1)).collect();
        FunctionError::invalid("22007", format!("invalid value \"{shown}\" for \"{name}\""))
    };
    let exact = digits_max != usize::MAX;
    if exact && rest.chars().count() < digits {
        return Err(FunctionError::invalid(
            "22007",
            format!("source string too short for \"{name}\" formatting field"),
        ));
    }
    let sign = usize::from(rest.starts_with(['-', '+']));
    let length = rest[sign..].bytes().take(digits_max - sign).take_while(u8::is_ascii_digit).count();
    if length == 0 || (exact && sign + length < digits) {
        return Err(invalid(rest));
    }
    let value: i32 = rest[..sign + length].parse().map_err(|_| {
        FunctionError::invalid("22008", format!("value for \"{name}\" in source string is out of range"))
    })?;
    *rest = &rest[sign + length..];
    Ok((value.into(), sign + length))
}

/// Digits after the point, as microseconds: `5` is 500,000.
fn fraction(name: &str, digits: usize, greedy: bool, rest: &mut &str) -> Result<i64, FunctionError> {
    let (value, length) = integer(name, if greedy { usize::MAX } else { digits }, digits, rest)?;
    match digits.checked_sub(length) {
        Some(missing) if value >= 0 => Ok(value * 10i64.pow(missing as u32) * 10i64.pow(6 - digits as u32)),
        _ => Err(FunctionError::invalid("22008", format!("value for \"{name}\" in source string is out of range"))),
    }
}

/// The 1-based index of the name that the text begins with, of which `letters` are compared, in any case.
fn name(field: &str, names: &[&str], letters: usize, rest: &mut &str) -> Result<i64, FunctionError> {
    let mut best: Option<(usize, usize)> = None;
    for (index, name) in names.iter().enumerate() {
        let name = &name[..letters.min(name.len())];
        let matches = rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        if matches && best.is_none_or(|(_, length)| name.len() > length) {
            best = Some((index, name.len()));
        }
    }
    let Some((index, length)) = best else {
        let shown: String = rest.split_whitespace().next().unwrap_or_default().chars().take(NAME_SHOWN).collect();
        return Err(FunctionError::invalid("22007", format!("invalid value \"{shown}\" for \"{field}\"")));
    };
    *rest = &rest[length..];
    Ok(index as i64 + 1)
}

/// Characters of a wrong name that an error shows.
const NAME_SHOWN: usize = 32;

/// Whether the second of two words is there, else the first must be.
fn either(field: &str, words: [&str; 2], dots: bool, rest: &mut &str) -> Result<bool, FunctionError> {
    for (is_second, word) in [(false, words[0]), (true, words[1])] {
        let word: String = if dots { word.chars().flat_map(|c| [c, '.']).collect() } else { word.into() };
        if rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(&word)) {
            *rest = &rest[word.len()..];
            return Ok(is_second);
        }
    }
    let shown: String = rest.chars().take(2).collect();
    Err(FunctionError::invalid("22007", format!("invalid value \"{shown}\" for \"{field}\"")))
}

/// The year nearest to 2020 that a year of fewer than four digits can mean.
fn near_2020(year: i64) -> i64 {
    match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

impl Found {
    fn check_hour(&self) -> Result<(), FunctionError> {
        match self.hour {
            Some(hour) if (self.twelve_hours || self.afternoon.is_some()) && !(1..=12).contains(&hour) => {
                Err(FunctionError::invalid("22007", format!("hour \"{hour}\" is invalid for the 12-hour clock")))
            }
            _ => Ok(()),
        }
    }

    /// None for a time that does not exist.
    fn clock(&self) -> Option<Clock> {
        if let Some(seconds) = self.second_of_day {
            let clock = Clock {
                hour: seconds / 3600,
                minute: seconds / 60 % 60,
                second: seconds % 60,
                microsecond: self.microsecond,
            };
            return (0..86_400).contains(&seconds).then_some(clock);
        }
        let mut hour = self.hour.unwrap_or(0);
        if self.twelve_hours || self.afternoon.is_some() {
            hour = hour % 12 + if self.afternoon == Some(true) && self.hour.is_some() { 12 } else { 0 };
        }
        let clock = Clock { hour, minute: self.minute, second: self.second, microsecond: self.microsecond };
        let exists = (0..24).contains(&hour) && (0..60).contains(&clock.minute) && (0..60).contains(&clock.second);
        (exists && (0..1_000_000).contains(&clock.microsecond)).then_some(clock)
    }

    /// None for a date that does not exist.
    fn date(&self) -> Result<Option<Date>, FunctionError> {
        if let Some(julian) = self.julian {
            let epoch = Date::new(1970, 1, 1).julian_day();
            return Ok(Some(Date::of_days(julian - epoch)));
        }
        let iso = self.iso_year.is_some() || self.iso_week.is_some() || self.iso_day.is_some();
        let gregorian = self.year.is_some() || self.month.is_some() || self.day.is_some() || self.day_of_year.is_some();
        if iso && gregorian {
            let message = "invalid combination of date conventions";
            return Err(FunctionError::invalid("22007", message));
        }
        if iso {
            return Ok(self.iso_date());
        }
        // Without a year it is 1 BC, whose number here is 0.
        let year = match self.year {
            Some(year) if self.before_christ => 1 - year,
            Some(year) => year,
            None => 0,
        };
        if let Some(day) = self.day_of_year.or(self.week_of_year.map(|week| (week - 1) * 7 + 1))
            && self.month.is_none()
            && self.day.is_none()
        {
            let days = if days_in_month(year, 2) == 29 { 366 } else { 365 };
            return Ok((1..=days).contains(&day).then(|| Date::of_days(Date::new(year, 1, 1).days() + day - 1)));
        }
        let date = Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1));
        Ok(date.exists().then_some(date))
    }

    fn iso_date(&self) -> Option<Date> {
        let (week, day) = (self.iso_week.unwrap_or(1), self.iso_day.unwrap_or(1));
        let fourth = Date::new(self.iso_year?, 1, 4);
        let monday = fourth.days() - (fourth.iso_weekday() - 1);
        let exists = (1..=53).contains(&week) && (1..=7).contains(&day);
        exists.then(|| Date::of_days(monday + (week - 1) * 7 + day - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 reads them.
    #[test]
    fn forms() {
        for (text, pattern, expected) in [
            ("20240305", "YYYYMMDD", "2024-03-05 00:00:00.000000"),
            ("2024-3-5", "YYYY-MM-DD", "2024-03-05 00:00:00.000000"),
            ("  2024 /03/05", "YYYY-MM-DD", "2024-03-05 00:00:00.000000"),
            ("05 Mar 2024", "DD Mon YYYY", "2024-03-05 00:00:00.000000"),
            ("5 march, 24", "DD Month, YY", "2024-03-05 00:00:00.000000"),
            ("95", "YYYY", "0095-01-01 00:00:00.000000"),
            ("95", "YY", "1995-01-01 00:00:00.000000"),
            ("44 BC", "YYYY BC", "-043-01-01 00:00:00.000000"),
            ("2024-03-05T14:07:09.5", "YYYY-MM-DD\"T\"HH24:MI:SS.MS", "2024-03-05 14:07:09.500000"),
            ("02:07:09 pm", "HH12:MI:SS AM", "0000-01-01 14:07:09.000000"),
            ("12 am", "HH AM", "0000-01-01 00:00:00.000000"),
            ("2024 065", "YYYY DDD", "2024-03-05 00:00:00.000000"),
            ("2024-10-2", "IYYY-IW-ID", "2024-03-05 00:00:00.000000"),
            ("2460375", "J", "2024-03-05 00:00:00.000000"),
            ("2024-03-05", "YYYY-MM-DD HH24:MI", "2024-03-05 00:00:00.000000"),
            ("1st 2024", "DDth YYYY", "2024-01-01 00:00:00.000000"),
            ("12.345678", "SS.US", "0000-01-01 00:00:12.345678"),
            ("50829", "SSSSS", "0000-01-01 14:07:09.000000"),
            ("Tuesday 2024", "Day YYYY", "2024-01-01 00:00:00.000000"),
            ("2000JUN", "YYYY///MON", "2000-06-01 00:00:00.000000"),
        ] {
            let read = DatePattern::parse(pattern).unwrap().read(text);
            let (date, clock) = read.unwrap_or_else(|error| panic!("{text} by {pattern}: {error}"));
            let shown = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
                date.year, date.month, date.day, clock.hour, clock.minute, clock.second, clock.microsecond
            );
            assert_eq!(shown, expected, "{text} by {pattern}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (text, pattern, expected) in [
            ("2024-02-30", "YYYY-MM-DD", "22008"),
            ("2024-13-01", "YYYY-MM-DD", "22008"),
            ("25:00", "HH24:MI", "22008"),
            ("13 pm", "HH12 AM", "22007"),
            ("abc", "YYYY", "22007"),
            ("202", "YYYYMM", "22007"),
            ("Foo 2024", "Mon YYYY", "22007"),
            ("21", "CC", "0A000"),
            ("2024 10 3", "IYYY IW DD", "22007"),
        ] {
            let error = DatePattern::parse(pattern).unwrap().read(text).unwrap_err();
            assert_eq!(error.sqlstate(), expected, "{text} by {pattern}: {error}");
        }
    }
}
