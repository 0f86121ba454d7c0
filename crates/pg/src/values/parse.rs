//! Texts of clients → values.

use super::{ArrayError, ITEMS_MAX, NumericError};

/// `numeric`: `-1.50`, `1.5e3` → the unscaled number and its digits after the point, as many as were written; none for `1.5e3`.
///
/// # Errors
/// For what is no number, and numbers of over 38 digits.
pub fn numeric_from_text(text: &str) -> Result<(i128, u8), NumericError> {
    let text = text.trim_ascii();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return Err(NumericError::NotFinite);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NumericError::Malformed);
            }
            (mantissa, exponent.parse::<i32>().map_err(|_| NumericError::OutOfRange)?)
        }
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.bytes().chain(fraction.bytes());
    if whole.len() + fraction.len() == 0 || !digits.clone().all(|byte| byte.is_ascii_digit()) {
        return Err(NumericError::Malformed);
    }
    let unscaled = digits.try_fold(0i128, |number, byte| number.checked_mul(10)?.checked_add(i128::from(byte - b'0')));
    let unscaled = unscaled.ok_or(NumericError::OutOfRange)?;
    let unscaled = if negative { -unscaled } else { unscaled };
    let written = i32::try_from(fraction.len()).map_err(|_| NumericError::OutOfRange)?;
    let scale = written.checked_sub(exponent).ok_or(NumericError::OutOfRange)?;
    let (unscaled, scale) = match u32::try_from(scale) {
        Ok(scale) => (Some(unscaled), scale),
        Err(_) => {
            let unit = 10i128.checked_pow(scale.unsigned_abs());
            (unit.and_then(|unit| unscaled.checked_mul(unit)).or((unscaled == 0).then_some(0)), 0)
        }
    };
    const DIGITS_MAX: u32 = 38;
    match unscaled {
        Some(unscaled) if scale <= DIGITS_MAX && unscaled.unsigned_abs() < 10u128.pow(DIGITS_MAX) => {
            Ok((unscaled, scale as u8))
        }
        _ => Err(NumericError::OutOfRange),
    }
}

/// `bytea`: `\x00ff`, or plain bytes with `\\` and `\nnn`.
pub fn bytea_from_text(text: &str) -> Option<Vec<u8>> {
    let Some(hex) = text.strip_prefix("\\x") else { return escaped(text.as_bytes()) };
    let mut digits = hex.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    while let Some(high) = digits.next() {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        bytes.push((digit(high)? << 4) | digit(digits.next()?)?);
    }
    Some(bytes)
}

fn escaped(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest
            }
            [b'\\', ..] => return None,
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// A one-dimensional array's items; None is NULL.
///
/// # Errors
/// For what is no array, has more dimensions, or more items than there may be.
pub fn array_from_text(text: &str) -> Result<Vec<Option<String>>, ArrayError> {
    let malformed = ArrayError::Malformed;
    let inner = text.trim_ascii().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(malformed)?;
    if inner.trim_ascii().is_empty() {
        return Ok(vec![]);
    }
    let mut items = vec![];
    let mut chars = inner.chars().peekable();
    loop {
        if items.len() == ITEMS_MAX {
            return Err(ArrayError::TooLong);
        }
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        let mut item = String::new();
        let is_quoted = chars.next_if_eq(&'"').is_some();
        if is_quoted {
            loop {
                match chars.next().ok_or(malformed)? {
                    '"' => break,
                    '\\' => item.push(chars.next().ok_or(malformed)?),
                    other => item.push(other),
                }
            }
            while chars.next_if(char::is_ascii_whitespace).is_some() {}
        } else {
            // White space that a backslash does not keep goes at the end.
            let mut kept = 0;
            while let Some(next) = chars.next_if(|c| *c != ',') {
                match next {
                    '"' | '{' | '}' => return Err(malformed),
                    '\\' => {
                        item.push(chars.next().ok_or(malformed)?);
                        kept = item.len();
                    }
                    other => item.push(other),
                }
            }
            item.truncate(kept.max(item.trim_ascii_end().len()));
            if item.is_empty() {
                return Err(malformed);
            }
        }
        let is_null = !is_quoted && item.eq_ignore_ascii_case("null");
        items.push((!is_null).then_some(item));
        match chars.next() {
            None => return Ok(items),
            Some(',') => {}
            Some(_) => return Err(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics() {
        for (text, want) in [
            ("1.50", Ok((150, 2))),
            (" -0.05 ", Ok((-5, 2))),
            ("+7", Ok((7, 0))),
            (".5", Ok((5, 1))),
            ("5.", Ok((5, 0))),
            ("1.5e3", Ok((1500, 0))),
            ("15E-1", Ok((15, 1))),
            ("0e100", Ok((0, 0))),
            ("1e38", Err(NumericError::OutOfRange)),
            ("1e99999999999", Err(NumericError::OutOfRange)),
            ("NaN", Err(NumericError::NotFinite)),
            ("-Infinity", Err(NumericError::NotFinite)),
            ("", Err(NumericError::Malformed)),
            (".", Err(NumericError::Malformed)),
            ("1e", Err(NumericError::Malformed)),
            ("1x", Err(NumericError::Malformed)),
            ("1 2", Err(NumericError::Malformed)),
        ] {
            assert_eq!(numeric_from_text(text), want, "{text:?}");
        }
        let most = "9".repeat(38);
        assert_eq!(numeric_from_text(&most), Ok((10i128.pow(38) - 1, 0)));
    }

    #[test]
    fn bytes() {
        assert_eq!(bytea_from_text("\\x00Ff 10"), Some(vec![0, 255, 16]));
        assert_eq!(bytea_from_text("\\x0"), None);
        assert_eq!(bytea_from_text("\\x0g"), None);
        assert_eq!(bytea_from_text("a\\\\b\\001\\377"), Some(b"a\\b\x01\xff".to_vec()));
        assert_eq!(bytea_from_text("\\9"), None);
        assert_eq!(bytea_from_text(""), Some(vec![]));
    }

    #[test]
    fn arrays() {
        let items = |text| array_from_text(text);
        let some = |items: &[Option<&str>]| Ok(items.iter().map(|item| item.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(items("{}"), some(&[]));
        assert_eq!(items(" { 1 , NULL,-2 } "), some(&[Some("1"), None, Some("-2")]));
        assert_eq!(items(r#"{"","null","a \"b\\"}"#), some(&[Some(""), Some("null"), Some(r#"a "b\"#)]));
        assert_eq!(items(r"{a\,b,c d}"), some(&[Some("a,b"), Some("c d")]));
        for wrong in ["", "{", "1,2", "{1,}", "{,1}", "{{1},{2}}", r#"{"a}"#, r#"{a"b"}"#, r#"{"a"b}"#, "[0:1]={1,2}"] {
            assert_eq!(items(wrong), Err(ArrayError::Malformed), "{wrong:?}");
        }
        let many = |count: usize| format!("{{{}1}}", "1,".repeat(count - 1));
        assert_eq!(array_from_text(&many(ITEMS_MAX)).map(|items| items.len()), Ok(ITEMS_MAX));
        assert_eq!(array_from_text(&many(ITEMS_MAX + 1)), Err(ArrayError::TooLong));
    }
}
