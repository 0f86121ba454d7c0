//! A pattern of dates and times, as `YYYY-MM-DD HH24:MI:SS`, in pieces.

use super::longest;
use crate::FunctionError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatePattern {
    pub(super) pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Field {
        field: Field,
        /// FM: without padding.
        fill: bool,
        /// TH or th: 1st, 2nd.
        ordinal: Option<Case>,
    },
    /// Written as it is; skips any one character when reading.
    Text(char),
    /// A blank or punctuation outside quotes; when reading, matches any other such, or nothing.
    Separator(char),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// With the last so many digits; Y,YYY is [`Field::YearWithComma`].
    Year(u8),
    YearWithComma,
    IsoYear(u8),
    Century,
    Quarter,
    Month,
    MonthName(Case),
    MonthShort(Case),
    Roman(Case),
    WeekOfYear,
    WeekOfMonth,
    IsoWeek,
    Day,
    DayOfYear,
    IsoDayOfYear,
    /// 1 Sunday.
    DayOfWeek,
    /// 1 Monday.
    IsoDayOfWeek,
    DayName(Case),
    DayShort(Case),
    Julian,
    Hour12,
    Hour24,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    /// FF1 to FF6.
    Fraction(u8),
    SecondOfDay,
    Meridiem {
        dots: bool,
        case: Case,
    },
    Era {
        dots: bool,
        case: Case,
    },
    Unsupported(&'static str),
}

impl Field {
    /// Whether it is read from and written as digits.
    pub(super) fn is_digits(self) -> bool {
        use Field::{DayName, DayShort, Era, Meridiem, MonthName, MonthShort, Roman, Unsupported};
        !matches!(
            self,
            MonthName(_)
                | MonthShort(_)
                | Roman(_)
                | DayName(_)
                | DayShort(_)
                | Meridiem { .. }
                | Era { .. }
                | Unsupported(_)
        )
    }
}

/// Upper and lower case mean the same.
const NUMBERS: [(&str, Field); 45] = [
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
    ("Y,YYY", Field::YearWithComma),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("CC", Field::Century),
    ("Q", Field::Quarter),
    ("MM", Field::Month),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
    ("IW", Field::IsoWeek),
    ("DD", Field::Day),
    ("DDD", Field::DayOfYear),
    ("IDDD", Field::IsoDayOfYear),
    ("D", Field::DayOfWeek),
    ("ID", Field::IsoDayOfWeek),
    ("J", Field::Julian),
    ("HH", Field::Hour12),
    ("HH12", Field::Hour12),
    ("HH24", Field::Hour24),
    ("MI", Field::Minute),
    ("SS", Field::Second),
    ("MS", Field::Millisecond),
    ("US", Field::Microsecond),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("SSSS", Field::SecondOfDay),
    ("SSSSS", Field::SecondOfDay),
    ("TZ", Field::Unsupported("TZ")),
    ("TZH", Field::Unsupported("TZH")),
    ("TZM", Field::Unsupported("TZM")),
    ("OF", Field::Unsupported("OF")),
    ("FX", Field::Unsupported("FX")),
    ("TM", Field::Unsupported("TM")),
    // Only so that no part of them is taken for something else.
    ("TH", Field::Unsupported("TH")),
    ("SP", Field::Unsupported("SP")),
    ("FF", Field::Unsupported("FF")),
];

/// The case of the keyword is the case of the text.
const NAMES: [(&str, Field); 30] = [
    ("MONTH", Field::MonthName(Case::Upper)),
    ("Month", Field::MonthName(Case::Capital)),
    ("month", Field::MonthName(Case::Lower)),
    ("MON", Field::MonthShort(Case::Upper)),
    ("Mon", Field::MonthShort(Case::Capital)),
    ("mon", Field::MonthShort(Case::Lower)),
    ("DAY", Field::DayName(Case::Upper)),
    ("Day", Field::DayName(Case::Capital)),
    ("day", Field::DayName(Case::Lower)),
    ("DY", Field::DayShort(Case::Upper)),
    ("Dy", Field::DayShort(Case::Capital)),
    ("dy", Field::DayShort(Case::Lower)),
    ("RM", Field::Roman(Case::Upper)),
    ("rm", Field::Roman(Case::Lower)),
    ("AM", Field::Meridiem { dots: false, case: Case::Upper }),
    ("PM", Field::Meridiem { dots: false, case: Case::Upper }),
    ("am", Field::Meridiem { dots: false, case: Case::Lower }),
    ("pm", Field::Meridiem { dots: false, case: Case::Lower }),
    ("A.M.", Field::Meridiem { dots: true, case: Case::Upper }),
    ("P.M.", Field::Meridiem { dots: true, case: Case::Upper }),
    ("a.m.", Field::Meridiem { dots: true, case: Case::Lower }),
    ("p.m.", Field::Meridiem { dots: true, case: Case::Lower }),
    ("AD", Field::Era { dots: false, case: Case::Upper }),
    ("BC", Field::Era { dots: false, case: Case::Upper }),
    ("ad", Field::Era { dots: false, case: Case::Lower }),
    ("bc", Field::Era { dots: false, case: Case::Lower }),
    ("A.D.", Field::Era { dots: true, case: Case::Upper }),
    ("B.C.", Field::Era { dots: true, case: Case::Upper }),
    ("a.d.", Field::Era { dots: true, case: Case::Lower }),
    ("b.c.", Field::Era { dots: true, case: Case::Lower }),
];

impl DatePattern {
    /// # Errors
    /// 0A000 for time zones and for the modifiers FX, TM and SP.
    pub fn parse(pattern: &str) -> Result<Self, FunctionError> {
        let mut pieces = vec![];
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let fill = rest.starts_with("FM") || rest.starts_with("fm");
            let after_prefix = if fill { &rest[2..] } else { rest };
            if let Some((field, length)) = field_at(after_prefix) {
                if let Field::Unsupported(name) = field {
                    return Err(FunctionError::unsupported(format!("format pattern \"{name}\" is not supported")));
                }
                rest = &after_prefix[length..];
                let ordinal = match rest.get(..2) {
                    Some("TH") => Some(Case::Upper),
                    Some("th") => Some(Case::Lower),
                    Some("SP" | "sp") => {
                        return Err(FunctionError::unsupported("format pattern \"SP\" is not supported"));
                    }
                    _ => None,
                };
                if ordinal.is_some() {
                    rest = &rest[2..];
                }
                pieces.push(Piece::Field { field, fill, ordinal });
            } else if fill {
                rest = after_prefix;
            } else if c == '"' {
                rest = quoted(&rest[1..], &mut pieces);
            } else {
                let escaped = rest.starts_with("\\\"");
                let c = if escaped { '"' } else { c };
                rest = &rest[if escaped { 2 } else { c.len_utf8() }..];
                let separates = c.is_ascii_whitespace() || c.is_ascii_punctuation();
                pieces.push(if separates { Piece::Separator(c) } else { Piece::Text(c) });
            }
        }
        Ok(Self { pieces })
    }
}

fn field_at(rest: &str) -> Option<(Field, usize)> {
    let name = longest(rest, &NAMES);
    // Keywords are ASCII: none is longer than this.
    let end = rest.char_indices().map(|(at, _)| at).nth(5).unwrap_or(rest.len());
    let head = &rest[..end];
    let upper = longest(head, &NUMBERS);
    let lower = NUMBERS
        .iter()
        .filter(|(name, _)| head.starts_with(&name.to_ascii_lowercase()))
        .max_by_key(|(name, _)| name.len());
    let found = [name, upper, lower].into_iter().flatten().max_by_key(|(name, _)| name.len())?;
    Some((found.1, found.0.len()))
}

/// What follows an opening quote; gives what follows the closing one.
fn quoted<'a>(text: &'a str, pieces: &mut Vec<Piece>) -> &'a str {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => pieces.extend(characters.next().map(Piece::Text)),
            other => pieces.push(Piece::Text(other)),
        }
    }
    characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(field: Field) -> Piece {
        Piece::Field { field, fill: false, ordinal: None }
    }

    #[test]
    fn patterns_are_cut_at_the_longest_keywords() {
        let pieces = |pattern: &str| DatePattern::parse(pattern).unwrap().pieces;
        assert_eq!(
            pieces("YYYY-Mon\"at\"FMDDth"),
            [
                field(Field::Year(4)),
                Piece::Separator('-'),
                field(Field::MonthShort(Case::Capital)),
                Piece::Text('a'),
                Piece::Text('t'),
                Piece::Field { field: Field::Day, fill: true, ordinal: Some(Case::Lower) },
            ]
        );
        assert_eq!(pieces("hh24miss"), [field(Field::Hour24), field(Field::Minute), field(Field::Second)]);
        assert_eq!(pieces("é%"), [Piece::Text('é'), Piece::Separator('%')]);
        assert_eq!(pieces("ssSS"), [field(Field::Second), field(Field::Second)]);
        assert_eq!(pieces("FM"), []);
        for pattern in ["YYYY TZ", "of", "FXYYYY", "TMMonth", "DDSP"] {
            assert_eq!(DatePattern::parse(pattern).unwrap_err().sqlstate(), "0A000", "{pattern}");
        }
    }
}
