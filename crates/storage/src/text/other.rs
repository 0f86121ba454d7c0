//! boolean, bytea and uuid.

use super::TextError::{self, Invalid};
use super::trim;

/// `t`, `true`, `y`, `yes`, `on`, `1` and their opposites, any case, and any prefix that is only one word's.
pub fn boolean(text: &[u8]) -> Result<bool, TextError> {
    if let [byte] = text {
        match byte {
            b't' | b'T' | b'y' | b'Y' | b'1' => return Ok(true),
            b'f' | b'F' | b'n' | b'N' | b'0' => return Ok(false),
            _ => {}
        }
    }
    let text = trim(text);
    let is_prefix = |word: &str, least: usize| {
        let head = word.as_bytes().get(..text.len());
        text.len() >= least && head.is_some_and(|head| head.eq_ignore_ascii_case(text))
    };
    if is_prefix("true", 1) || is_prefix("yes", 1) || is_prefix("on", 2) || text == b"1" {
        Ok(true)
    } else if is_prefix("false", 1) || is_prefix("no", 1) || is_prefix("off", 2) || text == b"0" {
        Ok(false)
    } else {
        Err(Invalid)
    }
}

/// bytea's hex form `\x0aff` (white space between bytes is skipped), else its escape form (`\\`, `\377`).
pub fn bytea(text: &[u8]) -> Result<Vec<u8>, TextError> {
    if let Some(hex) = text.strip_prefix(b"\\x") {
        let mut out = Vec::with_capacity(hex.len() / 2);
        let mut digits = hex.iter();
        while let Some(&high) = digits.next() {
            if high.is_ascii_whitespace() {
                continue;
            }
            let low = *digits.next().ok_or(Invalid)?;
            out.push(nibble(high).ok_or(Invalid)? << 4 | nibble(low).ok_or(Invalid)?);
        }
        return Ok(out);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                out.push(b'\\');
                rest = tail;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            (b'\\', _) => return Err(Invalid),
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    Ok(out)
}

/// 32 hexadecimal digits, a hyphen allowed after each four, braces around allowed.
pub fn uuid(text: &[u8]) -> Result<[u8; 16], TextError> {
    let text = trim(text);
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        text => text,
    };
    let mut out = [0; 16];
    let mut count = 0;
    let mut after_hyphen = true;
    for &byte in text {
        if byte == b'-' {
            if after_hyphen || count % 4 != 0 {
                return Err(Invalid);
            }
            after_hyphen = true;
            continue;
        }
        after_hyphen = false;
        let digit = nibble(byte).ok_or(Invalid)?;
        let target = out.get_mut(count / 2).ok_or(Invalid)?;
        *target = *target << 4 | digit;
        count += 1;
    }
    if count == 32 && !after_hyphen { Ok(out) } else { Err(Invalid) }
}

fn nibble(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for text in ["t", "true", "TRUE", "tr", "y", "yes", "on", "1", " true "] {
            assert_eq!(boolean(text.as_bytes()), Ok(true), "{text:?}");
        }
        for text in ["f", "False", "n", "no", "of", "off", "0"] {
            assert_eq!(boolean(text.as_bytes()), Ok(false), "{text:?}");
        }
        for text in ["", "o", "2", "truee", "10", "maybe"] {
            assert_eq!(boolean(text.as_bytes()), Err(Invalid), "{text:?}");
        }
    }

    #[test]
    fn byteas() {
        assert_eq!(bytea(b"\\x00fFa0").unwrap(), [0, 255, 160]);
        assert_eq!(bytea(b"\\x00 ff\n").unwrap(), [0, 255]);
        assert_eq!(bytea(b"\\x").unwrap(), b"");
        assert_eq!(bytea(b"a\\\\b\\001\\377").unwrap(), b"a\\b\x01\xff");
        for text in ["\\x0", "\\x0g", "\\9", "a\\", "\\400"] {
            assert_eq!(bytea(text.as_bytes()), Err(Invalid), "{text:?}");
        }
    }

    #[test]
    fn uuids() {
        let want = [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
        for text in [
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
        ] {
            assert_eq!(uuid(text.as_bytes()), Ok(want), "{text:?}");
        }
        for text in [
            "",
            "a0eebc99",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
            "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
        ] {
            assert_eq!(uuid(text.as_bytes()), Err(Invalid), "{text:?}");
        }
    }
}
