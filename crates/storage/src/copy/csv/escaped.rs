//! PostgreSQL's text format: values with escapes, one record a line.

use super::LineEnds;
use super::end_mark::CORRUPT;
use super::records::{Cut, Field, Kind, Malformed};
use memchr::{memchr, memchr3};

/// The field at `start`; None if it is not whole.
pub(super) fn escaped_field(
    delimiter: u8,
    escape: Option<u8>,
    ends: LineEnds,
    text: &[u8],
    start: usize,
    last: bool,
) -> Result<Option<Cut>, Malformed> {
    let (mut at, mut kind, mut has_digits) = (start, Kind::Plain, false);
    let line_end = ends.byte();
    let (end, next, ends_record) = loop {
        let Some(offset) = memchr3(delimiter, line_end, escape.unwrap_or(line_end), &text[at..]) else {
            if !last {
                return Ok(None);
            }
            ends.check(&text[at..])?;
            break (text.len(), text.len(), true);
        };
        let special = at + offset;
        match text[special] {
            byte if byte == delimiter => {
                ends.check(&text[at..special])?;
                break (special, special + 1, false);
            }
            byte if byte == line_end => break (ends.value_end(text, at, special)?, special + 1, true),
            _ => {
                ends.check(&text[at..special])?;
                kind = Kind::Raw;
                match text.get(special + 1) {
                    None if !last => return Ok(None),
                    // At a record's start it may be right: see `end_mark`.
                    Some(b'.') => return Err(CORRUPT),
                    next => has_digits |= matches!(next, Some(b'0'..=b'7' | b'x')),
                }
                // What is escaped is not looked at.
                at = (special + 2).min(text.len());
            }
        }
    };
    // Only digits can make what the text itself does not have.
    let is_no_text = match escape {
        Some(escape) if has_digits => {
            let bytes = unescaped(&text[start..end], escape);
            memchr(0, &bytes).is_some() || str::from_utf8(&bytes).is_err() && str::from_utf8(&text[start..end]).is_ok()
        }
        _ => false,
    };
    Ok(Some(Cut { field: Field::new(start, end, kind), next, ends_record, is_no_text }))
}

/// A value without its escapes. Records whose digits name bytes that are no text are refused when they are cut.
pub(super) fn unescape(raw: &str, escape: u8) -> String {
    match String::from_utf8(unescaped(raw.as_bytes(), escape)) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// `\b \f \n \r \t \v`, up to three octal digits, `x` and up to two hexadecimal ones; any other character is itself.
fn unescaped(raw: &[u8], escape: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(offset) = memchr(escape, &raw[at..]) {
        out.extend_from_slice(&raw[at..at + offset]);
        at += offset + 1;
        // An escape that nothing follows is no more than that.
        let Some(&next) = raw.get(at) else { break };
        at += 1;
        match next {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let (value, digits) = number(&raw[at - 1..], 3, 8);
                out.push(value);
                at += digits - 1;
            }
            b'x' => match number(&raw[at..], 2, 16) {
                (_, 0) => out.push(b'x'),
                (value, digits) => {
                    out.push(value);
                    at += digits;
                }
            },
            other => out.push(other),
        }
    }
    out.extend_from_slice(&raw[at..]);
    out
}

/// The number, of which the last 8 bits are kept as in PostgreSQL, that at most so many digits make, and how many they are.
fn number(text: &[u8], digits_max: usize, radix: u32) -> (u8, usize) {
    let digits = text.iter().take(digits_max).map_while(|&byte| char::from(byte).to_digit(radix));
    let (value, count) = digits.fold((0_u32, 0), |(value, count), digit| (value * radix + digit, count + 1));
    ((value & 0xff) as u8, count)
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::line_ends::Strays;
    use super::*;
    use damson_cluster::{Newline, TextOptions};

    #[test]
    fn escapes() {
        let dialect = Dialect::text(&TextOptions::default()).unwrap();
        for (raw, value) in [
            (r"a\tb", Some("a\tb")),
            (r"\b\f\n\r\v", Some("\u{8}\u{c}\n\r\u{b}")),
            (r"\N", None),
            (r"\\N", Some(r"\N")),
            (r"\101\x42\x4", Some("AB\u{4}")),
            (r"\1018\x414", Some("A8A4")),
            (r"\xyz\q", Some("xyzq")),
            (r"a\", Some("a")),
            (r"\303\251\501", Some("éA")),
        ] {
            assert_eq!(dialect.unquote(raw).as_deref(), value, "{raw}");
        }
    }

    #[test]
    fn fields_end_where_no_escape_stands() {
        let cut_in = |newline, text: &str, last| {
            let ends = LineEnds { newline, strays: Strays::Refused };
            let cut = escaped_field(b'\t', Some(b'\\'), ends, text.as_bytes(), 0, last);
            cut.map(|cut| cut.map(|cut| (cut.field.range().end, cut.next, cut.ends_record, cut.is_no_text)))
        };
        let cut = |text, last| cut_in(Newline::Lf, text, last);
        assert_eq!(cut("a\tb", false), Ok(Some((1, 2, false, false))));
        assert_eq!(cut("a\\\tb\n", false), Ok(Some((4, 5, true, false))));
        assert_eq!(cut("a\\\n\n", false), Ok(Some((3, 4, true, false))));
        assert_eq!((cut("a\\", false), cut("ab", false)), (Ok(None), Ok(None)));
        assert_eq!(cut("a\\", true), Ok(Some((2, 2, true, false))));
        assert_eq!(cut("ab\r\n", true), Err(Malformed::Return));
        assert_eq!(cut("a\\.\n", true), Err(CORRUPT));
        for (text, is_no_text) in [("\\xff\n", true), ("\\0\n", true), ("\\303\\251\n", false), ("\\x\n", false)] {
            assert_eq!(cut(text, false).map(|cut| cut.unwrap().3), Ok(is_no_text), "{text}");
        }
        let cut = |text| cut_in(Newline::CrLf, text, true);
        assert_eq!(cut("ab\r\n"), Ok(Some((2, 4, true, false))));
        assert_eq!(cut("a\\\r\n"), Err(Malformed::LineFeed));
        assert_eq!(cut("a\\\r\r\n"), Ok(Some((3, 5, true, false))));
        assert_eq!(cut("ab\r"), Err(Malformed::Return));
    }
}
