//! A pattern of numbers, as `FM999,990.00`. The writer follows PostgreSQL's `NUM_processor` step by step, whose blanks,
//! signs and fill characters depend on each other.

use super::longest;
use crate::FunctionError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPattern {
    pieces: Vec<Piece>,
    /// Digits before and after the point.
    before: i32,
    after: i32,
    /// FM: no blanks, no trailing zeros.
    fill: bool,
    has_point: bool,
    /// Position of the first `0`, and of the end of the last, in digits.
    zeros: Option<i32>,
    zeros_end: i32,
    sign: Sign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// A minus or a blank in front of the number.
    Default,
    /// S before or after so many digits.
    Leading(i32),
    Trailing,
    /// PR: `<1>`.
    Brackets,
    /// MI, PL or SG write it where they stand. PL alone leaves the minus to the number.
    Explicit {
        plus_only: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Nine,
    Zero,
    Point,
    Comma,
    /// MI: a minus or a blank.
    Minus,
    /// PL: a plus or a blank.
    Plus,
    /// SG: the sign.
    Both,
    Currency,
    /// S, PR, FM: act on the whole.
    Nothing,
    Text(char),
}

enum Keyword {
    Piece(Piece),
    Sign,
    Brackets,
    Fill,
    Unsupported,
}

const KEYWORDS: [(&str, Keyword); 18] = [
    ("9", Keyword::Piece(Piece::Nine)),
    ("0", Keyword::Piece(Piece::Zero)),
    (".", Keyword::Piece(Piece::Point)),
    ("D", Keyword::Piece(Piece::Point)),
    (",", Keyword::Piece(Piece::Comma)),
    ("G", Keyword::Piece(Piece::Comma)),
    ("MI", Keyword::Piece(Piece::Minus)),
    ("PL", Keyword::Piece(Piece::Plus)),
    ("SG", Keyword::Piece(Piece::Both)),
    ("L", Keyword::Piece(Piece::Currency)),
    ("S", Keyword::Sign),
    ("PR", Keyword::Brackets),
    ("FM", Keyword::Fill),
    ("B", Keyword::Unsupported),
    ("EEEE", Keyword::Unsupported),
    ("RN", Keyword::Unsupported),
    ("TH", Keyword::Unsupported),
    ("V", Keyword::Unsupported),
];

impl NumberPattern {
    /// # Errors
    /// 0A000 for B, EEEE, RN, TH, V; 42601 for signs and points that exclude each other.
    pub fn parse(pattern: &str) -> Result<Self, FunctionError> {
        let mut parsed = Self {
            pieces: vec![],
            before: 0,
            after: 0,
            fill: false,
            has_point: false,
            zeros: None,
            zeros_end: 0,
            sign: Sign::Default,
        };
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            // Keywords are ASCII, so upper case has the same lengths.
            let head: String = rest.chars().take(4).map(|c| c.to_ascii_uppercase()).collect();
            if let Some((name, keyword)) = longest(&head, &KEYWORDS) {
                rest = &rest[name.len()..];
                parsed.add(name, keyword)?;
            } else if c == '"' {
                rest = &rest[1..];
                while let Some(c) = rest.chars().next() {
                    rest = &rest[c.len_utf8()..];
                    match c {
                        '"' => break,
                        '\\' => {}
                        other => parsed.pieces.push(Piece::Text(other)),
                    }
                }
            } else {
                let escaped = rest.starts_with("\\\"");
                let c = if escaped { '"' } else { c };
                rest = &rest[if escaped { 2 } else { c.len_utf8() }..];
                parsed.pieces.push(Piece::Text(c));
            }
        }
        Ok(parsed)
    }

    fn add(&mut self, name: &str, keyword: &Keyword) -> Result<(), FunctionError> {
        let error = |message: String| Err(FunctionError::invalid("42601", message));
        let signed = || error(format!("cannot use \"{name}\" together with another sign"));
        let piece = match keyword {
            Keyword::Unsupported => {
                return Err(FunctionError::unsupported(format!("format pattern \"{name}\" is not supported")));
            }
            Keyword::Fill => {
                self.fill = true;
                Piece::Nothing
            }
            Keyword::Sign => {
                match self.sign {
                    Sign::Default if self.has_point => self.sign = Sign::Trailing,
                    Sign::Default => self.sign = Sign::Leading(self.before),
                    _ => return signed(),
                }
                Piece::Nothing
            }
            Keyword::Brackets if self.sign != Sign::Default => return signed(),
            Keyword::Brackets => {
                self.sign = Sign::Brackets;
                Piece::Nothing
            }
            Keyword::Piece(piece) => *piece,
        };
        match piece {
            Piece::Nine | Piece::Zero if self.sign == Sign::Brackets => {
                return error(format!("\"{name}\" must be ahead of \"PR\""));
            }
            Piece::Nine | Piece::Zero => {
                if self.has_point {
                    self.after += 1;
                } else {
                    if piece == Piece::Zero && self.zeros.is_none() {
                        self.zeros = Some(self.before);
                    }
                    self.before += 1;
                }
                if piece == Piece::Zero {
                    self.zeros_end = self.before + self.after;
                }
            }
            Piece::Point if self.has_point => return error("multiple decimal points".into()),
            Piece::Point => self.has_point = true,
            Piece::Minus | Piece::Plus | Piece::Both => {
                let plus = piece == Piece::Plus;
                self.sign = match self.sign {
                    Sign::Default => Sign::Explicit { plus_only: plus },
                    Sign::Explicit { plus_only } => Sign::Explicit { plus_only: plus_only && plus },
                    _ => return signed(),
                };
            }
            _ => {}
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Digits after the point that the number must be rounded to.
    pub fn scale(&self) -> usize {
        self.after.max(0) as usize
    }

    /// `digits`: the absolute value with [`Self::scale`] digits after the point.
    pub fn write(&self, digits: &str, negative: bool) -> String {
        let whole = digits.find('.').unwrap_or(digits.len()) as i32;
        if whole > self.before {
            let hashes = |count: i32| "#".repeat(count.max(0) as usize);
            return Writer::new(self, format!("{}.{}", hashes(self.before), hashes(self.after)), 0, negative).run();
        }
        Writer::new(self, digits.to_owned(), self.before - whole, negative).run()
    }
}

/// The names in the comments are those of PostgreSQL's variables.
struct Writer<'a> {
    pattern: &'a NumberPattern,
    sign: Sign,
    /// `number`.
    number: Vec<u8>,
    /// `number_p`.
    at: usize,
    /// `out_pre_spaces`.
    blanks: i32,
    negative: bool,
    /// `last_relevant`: index of the last digit that FM keeps; of the point, if none.
    last_relevant: Option<usize>,
    sign_written: bool,
    /// `num_count`.
    count: i32,
    /// `num_curr`.
    current: i32,
    /// `num_in`.
    inside: bool,
    /// A pattern that goes on behind the last digit makes PostgreSQL write a zero byte, where its text ends.
    ended: bool,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(pattern: &'a NumberPattern, number: String, blanks: i32, negative: bool) -> Self {
        let mut sign = pattern.sign;
        let mut sign_written = false;
        match sign {
            Sign::Explicit { plus_only } => sign_written = !plus_only,
            Sign::Brackets if !negative && pattern.fill => {
                sign = Sign::Default;
                sign_written = true;
            }
            Sign::Default if !negative && pattern.fill => sign_written = true,
            Sign::Leading(digits) if digits == pattern.before => sign = Sign::Trailing,
            _ => {}
        }
        let number = number.into_bytes();
        let mut last_relevant = None;
        if pattern.fill && pattern.has_point {
            last_relevant = number.iter().position(|b| *b == b'.').map(|point| {
                let kept = number.iter().rposition(|b| *b != b'0').unwrap_or(point).max(point);
                if pattern.zeros_end > blanks {
                    let last_zero = (pattern.zeros_end - blanks).min(number.len() as i32 - 1).max(0) as usize;
                    kept.max(last_zero)
                } else {
                    kept
                }
            });
        }
        let count = pattern.after + pattern.before - 1 + i32::from(!sign_written && blanks == 0);
        Self {
            pattern,
            sign,
            number,
            at: 0,
            blanks,
            negative,
            last_relevant,
            sign_written,
            count,
            current: 0,
            inside: false,
            ended: false,
            out: String::new(),
        }
    }

    fn run(mut self) -> String {
        let fill = self.pattern.fill;
        for piece in &self.pattern.pieces {
            if self.ended {
                break;
            }
            match *piece {
                Piece::Nine | Piece::Zero | Piece::Point => self.digit(*piece),
                Piece::Comma if self.inside => self.out.push(','),
                Piece::Comma if !fill => self.out.push(' '),
                Piece::Minus if self.negative => self.out.push('-'),
                Piece::Plus if !self.negative => self.out.push('+'),
                Piece::Minus | Piece::Plus if !fill => self.out.push(' '),
                Piece::Both => self.out.push(if self.negative { '-' } else { '+' }),
                // The locale's currency symbol is a blank.
                Piece::Currency => self.out.push(' '),
                Piece::Text(c) => self.out.push(c),
                Piece::Comma | Piece::Minus | Piece::Plus | Piece::Nothing => {}
            }
        }
        self.out
    }

    /// `NUM_numpart_to_char`.
    fn digit(&mut self, piece: Piece) {
        let (fill, zeros) = (self.pattern.fill, self.pattern.zeros);
        let at_point = |index: Option<usize>, number: &[u8]| index.is_some_and(|i| number.get(i) == Some(&b'.'));
        let only_point_is_kept = at_point(self.last_relevant, &self.number);
        if !self.sign_written
            && (self.current >= self.blanks || zeros == Some(self.current))
            && (!self.is_zero_before_point() || only_point_is_kept)
        {
            self.write_sign();
        }
        if self.current < self.blanks && zeros.is_none_or(|zeros| zeros > self.current) {
            if !fill {
                self.out.push(' ');
            }
        } else if self.current < self.blanks {
            self.out.push('0');
            self.inside = true;
        } else {
            match self.number.get(self.at) {
                Some(b'.') => {
                    if !only_point_is_kept || fill {
                        self.out.push('.');
                    }
                }
                digit => {
                    if self.last_relevant.is_some_and(|last| self.at > last) && piece != Piece::Zero {
                        // FM drops it.
                    } else if self.is_zero_before_point() {
                        if !fill {
                            self.out.push(' ');
                        } else if only_point_is_kept {
                            self.out.push('0');
                        }
                    } else if let Some(digit) = digit {
                        self.out.push(char::from(*digit));
                        self.inside = true;
                    } else {
                        self.ended = true;
                        return;
                    }
                }
            }
            if self.at < self.number.len() {
                self.at += 1;
            }
        }
        let mut end = self.count + i32::from(self.blanks > 0) + i32::from(self.pattern.has_point);
        if self.last_relevant == Some(self.at) {
            end = self.current;
        }
        if self.current + 1 == end {
            if self.sign_written && self.sign == Sign::Brackets {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if self.sign == Sign::Trailing {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.current += 1;
    }

    fn write_sign(&mut self) {
        match self.sign {
            Sign::Leading(_) => self.out.push(if self.negative { '-' } else { '+' }),
            // At the end.
            Sign::Trailing => return,
            Sign::Brackets => self.out.push(if self.negative { '<' } else { ' ' }),
            _ if self.negative => self.out.push('-'),
            _ if !self.pattern.fill => self.out.push(' '),
            _ => {}
        }
        self.sign_written = true;
    }

    /// `IS_PREDEC_SPACE`: the 0 of 0.5 under `9.9`.
    fn is_zero_before_point(&self) -> bool {
        self.pattern.zeros.is_none() && self.at == 0 && self.number.first() == Some(&b'0') && self.pattern.after != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 writes them.
    #[test]
    fn forms() {
        for (digits, negative, pattern, expected) in [
            ("1234.50", false, "9999.99", " 1234.50"),
            ("1234.50", true, "9999.99", "-1234.50"),
            ("12", false, "9999", "   12"),
            ("12", true, "0999", "-0012"),
            ("1234567", false, "9,999,999", " 1,234,567"),
            ("12", false, "9,999", "    12"),
            ("12345", false, "999", " ###"),
            ("0.50", false, "99.99", "   .50"),
            ("0.50", false, "FM990.00", "0.50"),
            ("1234.50", false, "FM9,999.99", "1,234.5"),
            ("12", true, "999MI", " 12-"),
            ("12", true, "999PR", " <12>"),
            ("12", false, "S999", " +12"),
            ("12", true, "999S", " 12-"),
            ("12", false, "SG999", "+ 12"),
            ("5", false, "\"no. \"9", "no.  5"),
        ] {
            assert_eq!(
                NumberPattern::parse(pattern).unwrap().write(digits, negative),
                expected,
                "{digits} by {pattern}"
            );
        }
        for (pattern, expected) in [
            ("RN", "0A000"),
            ("9.9EEEE", "0A000"),
            ("999th", "0A000"),
            ("99V9", "0A000"),
            ("9.9.9", "42601"),
            ("S9S", "42601"),
        ] {
            assert_eq!(NumberPattern::parse(pattern).unwrap_err().sqlstate(), expected, "{pattern}");
        }
    }
}
