//! Where a record's last field ends, and line ends that are none.

use super::Form;
use super::records::Malformed;
use crate::copy::newline::{NewlineFinder, end_byte, stray_byte};
use damson_cluster::Newline;
use memchr::memchr;

/// How the lines of a piece of text end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineEnds {
    pub newline: Newline,
    pub strays: Strays,
}

/// Parts of other line ends, outside quotes and not after an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strays {
    /// There are none in the text: they are not looked for.
    Absent,
    Refused,
    /// They are passed over with all of their record.
    Taken,
}

impl LineEnds {
    /// Those of a file that begins with `text`, strays taken.
    pub(crate) fn of_text(form: Form, text: &[u8]) -> Self {
        let mut finder = NewlineFinder::new(form);
        let newline = finder.pass(text).unwrap_or_else(|| finder.at_end());
        LineEnds { newline, strays: Strays::Taken }
    }

    pub(crate) fn taking_strays(self) -> Self {
        LineEnds { strays: Strays::Taken, ..self }
    }

    /// The last byte of a record.
    #[inline(always)]
    pub(super) fn byte(self) -> u8 {
        end_byte(self.newline)
    }

    /// Looks through what of a field is between quotes, escapes and its ends.
    #[inline(always)]
    pub(super) fn check(self, piece: &[u8]) -> Result<(), Malformed> {
        match self.strays {
            Strays::Absent | Strays::Taken => Ok(()),
            Strays::Refused => match memchr(stray_byte(self.newline), piece) {
                None => Ok(()),
                Some(at) if piece[at] == b'\r' => Err(Malformed::Return),
                Some(_) => Err(Malformed::LineFeed),
            },
        }
    }

    /// Where the record's last value ends, of a line whose last byte is at `end`; what is from `start` on is neither in quotes nor after an
    /// escape.
    #[inline(always)]
    pub(super) fn value_end(self, text: &[u8], start: usize, end: usize) -> Result<usize, Malformed> {
        let value_end = match self.newline {
            Newline::Lf | Newline::Cr => end,
            Newline::CrLf if end > start && text[end - 1] == b'\r' => end - 1,
            Newline::CrLf if self.strays == Strays::Taken => end,
            Newline::CrLf => {
                // A carriage return before it comes first.
                self.check(&text[start..end])?;
                return Err(Malformed::LineFeed);
            }
        };
        self.check(&text[start..value_end])?;
        Ok(value_end)
    }
}
