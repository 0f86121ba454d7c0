//! The values of a line, in text and in CSV.

use super::{CopyError, CopyRow, CopyStyle};

/// What a line is cut from is text, or its values would be by chance: digits after escapes may name the missing bytes.
///
/// # Errors
/// [`CopyError::Encoding`].
pub(super) fn check_text(line: &[u8]) -> Result<(), CopyError> {
    if str::from_utf8(line).is_err() || line.contains(&0) { Err(CopyError::Encoding) } else { Ok(()) }
}

fn utf8(value: Vec<u8>) -> Result<String, CopyError> {
    let value = String::from_utf8(value).map_err(|_| CopyError::Encoding)?;
    if value.contains('\0') { Err(CopyError::Encoding) } else { Ok(value) }
}

pub(super) fn text_row(
    line: &[u8],
    style: &CopyStyle,
    values_max: usize,
    escape: Option<u8>,
) -> Result<CopyRow, CopyError> {
    let mut row = vec![];
    let mut rest = line;
    loop {
        let (mut value, mut at) = (vec![], 0);
        let end = loop {
            let Some(&byte) = rest.get(at) else { break at };
            if byte == style.delimiter {
                break at;
            }
            at += 1;
            if Some(byte) != escape {
                value.push(byte);
                continue;
            }
            let (escaped, bytes) = unescaped(&rest[at..]);
            value.extend(escaped);
            at += bytes;
        };
        let is_null = &rest[..end] == style.null.as_bytes();
        row.push(if is_null { None } else { Some(utf8(value)?) });
        match rest.get(end + 1..) {
            Some(after) if end < rest.len() && row.len() < values_max => rest = after,
            _ => return Ok(row),
        }
    }
}

/// What stands after a backslash: a byte, and of how many it was made. Nothing at the end of the data: the backslash is none either.
fn unescaped(after: &[u8]) -> (Option<u8>, usize) {
    let digits = |digits: &[u8], radix: u32, most: usize| {
        let count = digits.iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let value = digits[..count]
            .iter()
            .fold(0u32, |value, byte| value * radix + char::from(*byte).to_digit(radix).unwrap_or_default());
        (value as u8, count)
    };
    match after {
        [] => (None, 0),
        [b'b', ..] => (Some(8), 1),
        [b'f', ..] => (Some(12), 1),
        [b'n', ..] => (Some(b'\n'), 1),
        [b'r', ..] => (Some(b'\r'), 1),
        [b't', ..] => (Some(b'\t'), 1),
        [b'v', ..] => (Some(11), 1),
        [b'0'..=b'7', ..] => {
            let (value, count) = digits(after, 8, 3);
            (Some(value), count)
        }
        [b'x', rest @ ..] => match digits(rest, 16, 2) {
            (_, 0) => (Some(b'x'), 1),
            (value, count) => (Some(value), 1 + count),
        },
        [other, ..] => (Some(*other), 1),
    }
}

pub(super) fn csv_row(
    line: &[u8],
    style: &CopyStyle,
    values_max: usize,
    quote: u8,
    escape: u8,
) -> Result<CopyRow, CopyError> {
    let mut row = vec![];
    let mut at = 0;
    loop {
        let (mut value, mut was_quoted, mut in_quotes) = (vec![], false, false);
        loop {
            let Some(&byte) = line.get(at) else {
                if in_quotes {
                    return Err(CopyError::OpenQuote);
                }
                break;
            };
            let next = line.get(at + 1).copied();
            if in_quotes && byte == escape && next.is_some_and(|next| next == quote || next == escape) {
                value.extend(next);
                at += 2;
                continue;
            }
            at += 1;
            match byte {
                byte if byte == quote => (in_quotes, was_quoted) = (!in_quotes, true),
                byte if byte == style.delimiter && !in_quotes => {
                    at -= 1;
                    break;
                }
                byte => value.push(byte),
            }
        }
        let is_null = !was_quoted && value == style.null.as_bytes();
        row.push(if is_null { None } else { Some(utf8(value)?) });
        if at == line.len() || row.len() == values_max {
            return Ok(row);
        }
        // The delimiter.
        at += 1;
    }
}
