//! The mark of the data's end in PostgreSQL's text: an escape and a point, alone on a line.

use super::records::Malformed;
use super::{Dialect, Form, LineEnds};
use damson_cluster::Newline;

/// What a record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndMark {
    No,
    Yes,
    /// The text ends too early to tell.
    Unknown,
}

pub(super) const CORRUPT: Malformed = Malformed::EndMark("end-of-copy marker corrupt");
const OTHER_NEWLINE: Malformed = Malformed::EndMark("end-of-copy marker does not match previous newline style");

/// Whether `rest`, which begins where a record does, begins with the mark.
///
/// # Errors
/// [`Malformed::EndMark`] for one that is not alone on its line, or whose line has another end than the file's.
#[inline]
pub(super) fn end_mark(dialect: &Dialect, ends: LineEnds, rest: &[u8], last: bool) -> Result<EndMark, Malformed> {
    let Form::Text { escape: Some(escape) } = dialect.form else { return Ok(EndMark::No) };
    if rest.first() != Some(&escape) {
        return Ok(EndMark::No);
    }
    match rest.get(1) {
        Some(b'.') => whole_line(ends.newline, &rest[2..], last),
        Some(_) => Ok(EndMark::No),
        None if last => Ok(EndMark::No),
        None => Ok(EndMark::Unknown),
    }
}

/// `rest` is what follows the point.
fn whole_line(newline: Newline, rest: &[u8], last: bool) -> Result<EndMark, Malformed> {
    match (newline, rest) {
        (Newline::Lf, [b'\n', ..]) | (Newline::CrLf, [b'\r', b'\n', ..]) | (Newline::Cr, [b'\r', ..]) => {
            Ok(EndMark::Yes)
        }
        (_, []) | (Newline::CrLf, [b'\r']) if !last => Ok(EndMark::Unknown),
        (Newline::Lf, [b'\r', ..]) | (Newline::Cr, [b'\n', ..]) => Err(OTHER_NEWLINE),
        (Newline::CrLf, [b'\n', ..] | [b'\r', b'\r', ..]) => Err(OTHER_NEWLINE),
        _ => Err(CORRUPT),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line_ends::Strays;
    use super::*;
    use damson_cluster::TextOptions;

    #[test]
    fn the_mark_is_a_line() {
        let dialect = Dialect::text(&TextOptions::default()).unwrap();
        let (yes, no, unknown) = (Ok(EndMark::Yes), Ok(EndMark::No), Ok(EndMark::Unknown));
        for (newline, text, last, mark) in [
            (Newline::Lf, "\\.\nx", false, yes),
            (Newline::Lf, "\\.", true, Err(CORRUPT)),
            (Newline::Lf, "\\.", false, unknown),
            (Newline::Lf, "\\", false, unknown),
            (Newline::Lf, "\\", true, no),
            (Newline::Lf, "\\.x", false, Err(CORRUPT)),
            (Newline::Lf, "\\.\r\n", false, Err(OTHER_NEWLINE)),
            (Newline::Lf, "\\\\.\n", false, no),
            (Newline::Lf, "x\\.\n", false, no),
            (Newline::CrLf, "\\.\r\n", false, yes),
            (Newline::CrLf, "\\.\r", false, unknown),
            (Newline::CrLf, "\\.\r", true, Err(CORRUPT)),
            (Newline::CrLf, "\\.\n", false, Err(OTHER_NEWLINE)),
            (Newline::Cr, "\\.\r", false, yes),
            (Newline::Cr, "\\.\n", false, Err(OTHER_NEWLINE)),
        ] {
            let ends = LineEnds { newline, strays: Strays::Refused };
            assert_eq!(end_mark(&dialect, ends, text.as_bytes(), last), mark, "{newline:?} {text:?}");
        }
    }
}
