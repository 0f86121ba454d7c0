//! Integers, numerics and floats.

use super::{TextError, trim};

/// smallint, integer, bigint: the caller narrows.
#[inline]
pub fn integer(text: &[u8]) -> Result<i64, TextError> {
    let (negative, digits) = sign(text);
    // 18 digits cannot overflow.
    if digits.is_empty() || digits.len() > 18 {
        return integer_slowly(text);
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return integer_slowly(text);
        }
        value = value * 10 + i64::from(digit);
    }
    Ok(if negative { -value } else { value })
}

/// White space, leading zeros, the last digit of bigint, and everything that is wrong.
#[cold]
fn integer_slowly(text: &[u8]) -> Result<i64, TextError> {
    let (negative, digits) = sign(trim(text));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TextError::Invalid);
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = i64::from(byte - b'0');
        let next =
            value.checked_mul(10).and_then(|v| if negative { v.checked_sub(digit) } else { v.checked_add(digit) });
        value = next.ok_or(TextError::OutOfRange)?;
    }
    Ok(value)
}

#[inline]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    }
}

/// Powers of ten that fit 64 bits.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Digits that [`decimal_small`] takes.
const SMALL_DIGITS_MAX: usize = 18;

/// numeric(precision, scale) with a precision of at most 18, unscaled. More fractional digits than `scale` round half away
/// from zero.
#[inline]
pub fn decimal64(text: &[u8], precision: u8, scale: i8) -> Result<i64, TextError> {
    if let Some((negative, mantissa, fraction)) = decimal_small(text)
        && let Ok(scale) = usize::try_from(scale)
    {
        let value = match scale.checked_sub(fraction) {
            Some(0) => Some(mantissa),
            Some(missing) => POWERS.get(missing).and_then(|power| mantissa.checked_mul(*power)),
            None => Some(rounded(mantissa, fraction - scale)),
        };
        return match value {
            Some(value) if value < POWERS[usize::from(precision).min(SMALL_DIGITS_MAX)] => {
                Ok(if negative { -(value as i64) } else { value as i64 })
            }
            _ => Err(TextError::OutOfRange),
        };
    }
    decimal_slowly(text, precision, scale).and_then(|value| i64::try_from(value).map_err(|_| TextError::OutOfRange))
}

/// Like [`decimal64`], with a precision of at most 38.
#[inline]
pub fn decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, TextError> {
    if let Some((negative, mantissa, fraction)) = decimal_small(text)
        && let Ok(scale) = usize::try_from(scale)
    {
        let value = match scale.checked_sub(fraction) {
            Some(0) => u128::from(mantissa),
            Some(missing) => {
                // Below 2^64 times at most 10^38 may not fit 128 bits.
                let power = 10u128.checked_pow(missing as u32).ok_or(TextError::OutOfRange)?;
                u128::from(mantissa).checked_mul(power).ok_or(TextError::OutOfRange)?
            }
            None => u128::from(rounded(mantissa, fraction - scale)),
        };
        return signed(value, negative, precision);
    }
    decimal_slowly(text, precision, scale)
}

/// The usual form, `[±]digits[.digits]` with at most 18 digits: sign, digits as one number, fractional digits.
#[inline]
fn decimal_small(text: &[u8]) -> Option<(bool, u64, usize)> {
    let (negative, digits) = sign(text);
    if digits.len() > SMALL_DIGITS_MAX + 1 {
        return None;
    }
    let mut mantissa = 0u64;
    let mut point = None;
    for (i, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if byte == b'.' && point.is_none() {
            point = Some(i);
        } else {
            return None;
        }
    }
    let fraction = point.map_or(0, |at| digits.len() - at - 1);
    let count = digits.len() - usize::from(point.is_some());
    (1..=SMALL_DIGITS_MAX).contains(&count).then_some((negative, mantissa, fraction))
}

/// Drops `digits` digits, at most 18, half away from zero.
fn rounded(mantissa: u64, digits: usize) -> u64 {
    let divisor = POWERS[digits];
    let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
    quotient + u64::from(rest >= divisor - rest)
}

fn signed(value: u128, negative: bool, precision: u8) -> Result<i128, TextError> {
    // A precision is at most 38, and 10^38 < 2^127.
    if value >= 10u128.pow(u32::from(precision.min(38))) {
        return Err(TextError::OutOfRange);
    }
    Ok(if negative { -(value as i128) } else { value as i128 })
}

/// White space, exponents, any number of digits, negative scales, and everything that is wrong.
#[cold]
fn decimal_slowly(text: &[u8], precision: u8, scale: i8) -> Result<i128, TextError> {
    let text = trim(text);
    let (negative, rest) = sign(text);
    if is_special(rest) {
        return Err(TextError::OutOfRange);
    }
    let (number, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        None => (rest, 0),
        Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
    };
    let (whole, fraction) = match number.iter().position(|&b| b == b'.') {
        None => (number, &[][..]),
        Some(at) => (&number[..at], &number[at + 1..]),
    };
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(TextError::Invalid);
    }
    // value = digits × 10^(exponent - fraction digits); wanted: value × 10^scale, rounded.
    let mut digits = whole.iter().chain(fraction).map(|b| u128::from(b - b'0')).skip_while(|&d| d == 0).peekable();
    let significant = digits.clone().count() as i64;
    if significant == 0 {
        return Ok(0);
    }
    let kept = significant + i64::from(scale) + exponent - fraction.len() as i64;
    if kept > i64::from(precision) {
        return Err(TextError::OutOfRange);
    }
    let mut value = 0u128;
    for _ in 0..kept {
        value = value * 10 + digits.next().unwrap_or(0);
    }
    // Without a kept digit, the first one dropped decides only if it stands right after the last place.
    let rounds_up = kept >= 0 && digits.peek().is_some_and(|&digit| digit >= 5);
    signed(value + u128::from(rounds_up), negative, precision)
}

fn exponent(text: &[u8]) -> Result<i64, TextError> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TextError::Invalid);
    }
    // Enough to underflow or overflow whatever the digits are.
    const ENOUGH: i64 = 1 << 40;
    let value = digits.iter().fold(0i64, |value, byte| (value * 10 + i64::from(byte - b'0')).min(ENOUGH));
    Ok(if negative { -value } else { value })
}

fn is_special(unsigned: &[u8]) -> bool {
    ["nan", "inf", "infinity"].iter().any(|special| unsigned.eq_ignore_ascii_case(special.as_bytes()))
}

macro_rules! float {
    ($(#[$doc:meta])* $name:ident, $type:ty) => {
        $(#[$doc])*
        pub fn $name(text: &[u8]) -> Result<$type, TextError> {
            let text = trim(text);
            let value = str::from_utf8(text).ok().and_then(|text| text.parse::<$type>().ok()).ok_or(TextError::Invalid)?;
            let lost = value.is_infinite() || value == 0.0;
            if lost && !is_special(sign(text).1) && has_value(text, value.is_infinite()) {
                return Err(TextError::OutOfRange);
            }
            Ok(value)
        }
    };
}

float!(
    /// real; too large or too small a number is an error, as is not one of `NaN`, `Infinity`, `-Infinity`.
    float4,
    f32
);
float!(
    /// double precision, like [`float4`].
    float8,
    f64
);

/// A number became infinite or zero: did it hold a digit that says otherwise?
fn has_value(text: &[u8], infinite: bool) -> bool {
    let mantissa = text.split(|b| matches!(b, b'e' | b'E')).next().unwrap_or_default();
    infinite || mantissa.iter().any(|b| matches!(b, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::TextError::{Invalid, OutOfRange};
    use super::*;

    #[test]
    fn integers() {
        for (text, want) in [
            ("0", Ok(0)),
            ("-17", Ok(-17)),
            ("+4", Ok(4)),
            (" 42\t", Ok(42)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(OutOfRange)),
            ("-9223372036854775809", Err(OutOfRange)),
            ("00000000000000000000000007", Ok(7)),
            ("", Err(Invalid)),
            (" ", Err(Invalid)),
            ("-", Err(Invalid)),
            ("+-1", Err(Invalid)),
            ("1.0", Err(Invalid)),
            ("12a", Err(Invalid)),
            ("1 2", Err(Invalid)),
            ("1234567890123456789x", Err(Invalid)),
        ] {
            assert_eq!(integer(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn decimals() {
        for (text, precision, scale, want) in [
            ("0", 15, 2, Ok(0)),
            ("1.5", 15, 2, Ok(150)),
            ("-17954.55", 15, 2, Ok(-1_795_455)),
            (".5", 15, 2, Ok(50)),
            ("5.", 15, 2, Ok(500)),
            ("+7", 15, 2, Ok(700)),
            (" 1.25 ", 15, 2, Ok(125)),
            // Half away from zero, on both paths.
            ("0.005", 15, 2, Ok(1)),
            ("-0.005", 15, 2, Ok(-1)),
            ("0.00499999", 15, 2, Ok(0)),
            ("0.00500000000000000000000000001", 15, 2, Ok(1)),
            ("0.00499999999999999999999999999", 15, 2, Ok(0)),
            ("9999999999999.995", 15, 2, Err(OutOfRange)),
            ("9999999999999.994", 15, 2, Ok(999_999_999_999_999)),
            ("99.5", 2, 0, Err(OutOfRange)),
            ("99.4", 2, 0, Ok(99)),
            ("1e3", 10, 2, Ok(100_000)),
            ("1.5E-2", 10, 2, Ok(2)),
            ("5e-3", 10, 2, Ok(1)),
            ("5e-4", 10, 2, Ok(0)),
            ("1e-999999999999999999999", 10, 2, Ok(0)),
            ("1e999999999999999999999", 10, 2, Err(OutOfRange)),
            ("0e999", 10, 2, Ok(0)),
            ("1e", 10, 2, Err(Invalid)),
            ("999999999999999999", 18, 0, Ok(999_999_999_999_999_999)),
            ("1000000000000000000", 18, 0, Err(OutOfRange)),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10i128.pow(38) - 1)),
            ("-99999999999999999999999999999999999999", 38, 0, Ok(1 - 10i128.pow(38))),
            ("100000000000000000000000000000000000000", 38, 0, Err(OutOfRange)),
            ("1", 38, 38, Err(OutOfRange)),
            ("0.99999999999999999999999999999999999999", 38, 38, Ok(10i128.pow(38) - 1)),
            ("12345", 3, -2, Ok(123)),
            ("12350", 3, -2, Ok(124)),
            ("49", 3, -2, Ok(0)),
            ("50", 3, -2, Ok(1)),
            ("", 10, 2, Err(Invalid)),
            (".", 10, 2, Err(Invalid)),
            ("1.2.3", 10, 2, Err(Invalid)),
            ("abc", 10, 2, Err(Invalid)),
            ("NaN", 10, 2, Err(OutOfRange)),
            ("-Infinity", 10, 2, Err(OutOfRange)),
        ] {
            assert_eq!(decimal(text.as_bytes(), precision, scale), want, "{text:?}");
            if precision <= 18 {
                let want = want.map(|value: i128| value as i64);
                assert_eq!(decimal64(text.as_bytes(), precision, scale), want, "{text:?}");
            }
        }
    }

    #[test]
    fn floats() {
        assert_eq!(float8(b"1.5e3"), Ok(1500.0));
        assert_eq!(float8(b" -0.25 "), Ok(-0.25));
        assert_eq!(float8(b"1e400"), Err(OutOfRange));
        assert_eq!(float8(b"1e-400"), Err(OutOfRange));
        assert_eq!(float8(b"0e-400"), Ok(0.0));
        assert_eq!(float4(b"1e39"), Err(OutOfRange));
        assert_eq!(float4(b"16777217"), Ok(16_777_216.0));
        assert_eq!(float8(b"-Infinity"), Ok(f64::NEG_INFINITY));
        assert!(float8(b"nan").unwrap().is_nan());
        assert_eq!(float8(b""), Err(Invalid));
        assert_eq!(float8(b"1.2x"), Err(Invalid));
        assert_eq!(float8(b"\xff"), Err(Invalid));
    }
}
