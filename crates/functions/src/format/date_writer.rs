//! A date and time of day by a pattern.

use super::DatePattern;
use super::date_pattern::{Case, Field, Piece};
use crate::calendar::{Clock, Date};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Monday.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Names of months and days are padded to the longest English one.
const NAME_WIDTH: usize = 9;

impl DatePattern {
    pub fn write(&self, date: Date, clock: Clock) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match *piece {
                Piece::Text(c) | Piece::Separator(c) => text.push(c),
                Piece::Field { field, fill, ordinal } => {
                    let start = text.len();
                    text.push_str(&written(field, fill, date, clock));
                    // Names have no ordinals.
                    if let Some(case) = ordinal.filter(|_| field.is_digits()) {
                        let suffix = ordinal_suffix(&text[start..]);
                        text.push_str(&if case == Case::Upper { suffix.to_uppercase() } else { suffix.into() });
                    }
                }
            }
        }
        text
    }
}

fn written(field: Field, fill: bool, date: Date, clock: Clock) -> String {
    let padded = |value: i64, width: usize| if fill { value.to_string() } else { format!("{value:0width$}") };
    let named = |name: &str, case: Case, width: usize| {
        let name = match case {
            Case::Upper => name.to_uppercase(),
            Case::Capital => name.into(),
            Case::Lower => name.to_lowercase(),
        };
        if fill { name } else { format!("{name:width$}") }
    };
    let either = |second: bool, first_text: &str, second_text: &str, dots: bool, case: Case| {
        let text = if second { second_text } else { first_text };
        let text = if dots { text.chars().flat_map(|c| [c, '.']).collect() } else { text.to_owned() };
        if case == Case::Upper { text } else { text.to_lowercase() }
    };
    // Before Christ, years count from 1 again.
    let shown = |year: i64| if year > 0 { year } else { 1 - year };
    let last_digits = |year: i64, digits: u8| match digits {
        4 => padded(shown(year), 4),
        _ => padded(shown(year) % 10i64.pow(digits.into()), digits.into()),
    };
    let month = MONTHS[(date.month - 1) as usize];
    let weekday = DAYS[(date.iso_weekday() - 1) as usize];
    let (iso_year, iso_week) = date.iso_week();
    match field {
        Field::Year(digits) => last_digits(date.year, digits),
        Field::YearWithComma => format!("{},{:03}", shown(date.year) / 1000, shown(date.year) % 1000),
        Field::IsoYear(digits) => last_digits(iso_year, digits),
        Field::Century => padded(date.period(100), if date.year > 0 { 2 } else { 3 }),
        Field::Quarter => date.quarter().to_string(),
        Field::Month => padded(date.month, 2),
        Field::MonthName(case) => named(month, case, NAME_WIDTH),
        Field::MonthShort(case) => named(&month[..3], case, 3),
        Field::Roman(case) => {
            named(ROMAN[(date.month - 1) as usize], if case == Case::Upper { Case::Capital } else { case }, 4)
        }
        Field::WeekOfYear => padded((date.day_of_year() - 1) / 7 + 1, 2),
        Field::WeekOfMonth => ((date.day - 1) / 7 + 1).to_string(),
        Field::IsoWeek => padded(iso_week, 2),
        Field::Day => padded(date.day, 2),
        Field::DayOfYear => padded(date.day_of_year(), 3),
        Field::IsoDayOfYear => padded((iso_week - 1) * 7 + date.iso_weekday(), 3),
        Field::DayOfWeek => (date.iso_weekday() % 7 + 1).to_string(),
        Field::IsoDayOfWeek => date.iso_weekday().to_string(),
        Field::DayName(case) => named(weekday, case, NAME_WIDTH),
        Field::DayShort(case) => named(&weekday[..3], case, 3),
        Field::Julian => date.julian_day().to_string(),
        Field::Hour12 => padded((clock.hour + 11) % 12 + 1, 2),
        Field::Hour24 => padded(clock.hour, 2),
        Field::Minute => padded(clock.minute, 2),
        Field::Second => padded(clock.second, 2),
        Field::Millisecond => format!("{:03}", clock.microsecond / 1000),
        Field::Microsecond => format!("{:06}", clock.microsecond),
        Field::Fraction(digits) => format!("{:06}", clock.microsecond)[..usize::from(digits)].to_owned(),
        Field::SecondOfDay => ((clock.hour * 60 + clock.minute) * 60 + clock.second).to_string(),
        Field::Meridiem { dots, case } => either(clock.hour >= 12, "AM", "PM", dots, case),
        Field::Era { dots, case } => either(date.year <= 0, "AD", "BC", dots, case),
        // Refused when the pattern was parsed.
        Field::Unsupported(name) => name.into(),
    }
}

fn ordinal_suffix(number: &str) -> &'static str {
    let digits = number.as_bytes();
    let teen = digits.len() > 1 && digits[digits.len() - 2] == b'1';
    match digits.last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 writes 2024-03-05 14:07:09.012345, a Tuesday.
    #[test]
    fn fields() {
        let (date, clock) = (Date::new(2024, 3, 5), Clock { hour: 14, minute: 7, second: 9, microsecond: 12_345 });
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS.MS", "2024-03-05 14:07:09.012"),
            ("Y,YYY YYY YY Y IYYY IYY IY I CC", "2,024 024 24 4 2024 024 24 4 21"),
            ("MONTH|Month|month|MON Mon mon", "MARCH    |March    |march    |MAR Mar mar"),
            ("FMMONTH|FMDay|DAY|Dy|dy", "MARCH|Tuesday|TUESDAY  |Tue|tue"),
            ("FMMM FMDD FMHH24 FMMI FMDDD FMHH12", "3 5 14 7 65 2"),
            ("HH HH12 AM pm A.M. p.m.", "02 02 PM pm P.M. p.m."),
            ("DDD D ID Q WW W IW IDDD J", "065 3 2 1 10 1 10 065 2460375"),
            ("US FF1 FF3 FF6 SSSS SSSSS", "012345 0 012 012345 50829 50829"),
            ("RM|rm|FMRM", "III |iii |III"),
            ("DDth FMDDTH MMth", "05th 5TH 03rd"),
            ("\"Day: \"Day yyyy\\\"mm", "Day: Tuesday   2024\"03"),
            ("AD bc B.C.", "AD ad A.D."),
        ] {
            assert_eq!(DatePattern::parse(pattern).unwrap().write(date, clock), expected, "{pattern}");
        }
        let caesar = Date::new(-43, 3, 15);
        assert_eq!(DatePattern::parse("YYYY BC CC").unwrap().write(caesar, clock), "0044 BC -01");
    }
}
