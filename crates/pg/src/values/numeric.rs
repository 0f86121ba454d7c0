//! `numeric`: digits of base 10,000, of which the first has the weight `10,000^weight`.

const BASE: u128 = 10_000;
/// Digits that decimals have at most.
const DIGITS_MAX: u32 = 38;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITIES: [u16; 2] = [0xD000, 0xF000];

/// Why a value of the wire is no decimal of the wanted scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumericError {
    /// 22P03: lengths or digits that no `numeric` has.
    Malformed,
    /// 0A000: NaN or an infinity, which decimals do not have.
    NotFinite,
    /// 22003.
    OutOfRange,
}

/// Appends `unscaled / 10^scale`, with all `scale` digits shown.
///
/// # Panics
/// If `scale` is more than 38, which no decimal of 128 bits has.
pub fn numeric_to_pg(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    let scale = u32::from(scale);
    assert!(scale <= 38, "a decimal of 128 bits has at most 38 digits");
    let (unit, magnitude) = (10u128.pow(scale), unscaled.unsigned_abs());
    let (mut whole, mut fraction) = (magnitude / unit, magnitude % unit);
    // Lowest first; 10 digits of base 10,000 hold any u128.
    let mut digits = Vec::with_capacity(20);
    while whole > 0 {
        digits.push((whole % BASE) as u16);
        whole /= BASE;
    }
    digits.reverse();
    let mut weight = digits.len() as i16 - 1;
    let mut left = scale;
    while left > 0 && fraction > 0 {
        let (digit, rest) = match left.checked_sub(4) {
            Some(below) => (fraction / 10u128.pow(below), fraction % 10u128.pow(below)),
            None => (fraction * 10u128.pow(4 - left), 0),
        };
        digits.push(digit as u16);
        (fraction, left) = (rest, left.saturating_sub(4));
    }
    // Neither leading nor trailing zeros are stored.
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    weight -= leading as i16;
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        weight = 0;
    }
    let sign = if unscaled < 0 { NEGATIVE } else { 0 };
    out.extend_from_slice(&(digits.len() as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(scale as u16).to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

/// The decimal of scale `scale` nearest to a `numeric`, halves away from zero, as PostgreSQL rounds.
///
/// # Errors
/// For bytes that are no `numeric`, NaN and infinities, and numbers of over 38 digits.
pub fn numeric_from_pg(value: &[u8], scale: u8) -> Result<i128, NumericError> {
    let (head, digits) = value.split_at_checked(8).ok_or(NumericError::Malformed)?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign) = (usize::from(word(0)), i32::from(word(2) as i16), word(4));
    if digits.len() != count * 2 {
        return Err(NumericError::Malformed);
    }
    let negative = match sign {
        0 => false,
        NEGATIVE => true,
        NAN => return Err(NumericError::NotFinite),
        sign if INFINITIES.contains(&sign) => return Err(NumericError::NotFinite),
        _ => return Err(NumericError::Malformed),
    };
    let mut magnitude = 0u128;
    let mut round_up = false;
    // Decimal exponent of the digit's last place in units of the result.
    let mut exponent = weight * 4 + i32::from(scale);
    for digit in digits.as_chunks::<2>().0 {
        let digit = u128::from(u16::from_be_bytes(*digit));
        if digit >= BASE {
            return Err(NumericError::Malformed);
        }
        if digit > 0 && exponent >= 0 {
            let unit = 10u128.checked_pow(exponent as u32).ok_or(NumericError::OutOfRange)?;
            let part = digit.checked_mul(unit).ok_or(NumericError::OutOfRange)?;
            magnitude = magnitude.checked_add(part).ok_or(NumericError::OutOfRange)?;
        } else if (-4..0).contains(&exponent) {
            let unit = 10u128.pow(exponent.unsigned_abs());
            magnitude = magnitude.checked_add(digit / unit).ok_or(NumericError::OutOfRange)?;
            round_up = digit % unit >= unit / 2;
        }
        exponent -= 4;
    }
    magnitude = magnitude.checked_add(u128::from(round_up)).ok_or(NumericError::OutOfRange)?;
    if magnitude >= 10u128.pow(DIGITS_MAX) {
        return Err(NumericError::OutOfRange);
    }
    let magnitude = magnitude as i128;
    Ok(if negative { -magnitude } else { magnitude })
}

/// Digits after the point that a `numeric` shows; None if it is too short to be one.
pub fn numeric_scale(value: &[u8]) -> Option<u16> {
    value.get(6..8).and_then(|scale| scale.first_chunk()).map(|scale| u16::from_be_bytes(*scale) & 0x3fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(unscaled: i128, scale: u8) -> Vec<u16> {
        let mut out = Vec::new();
        numeric_to_pg(unscaled, scale, &mut out);
        out.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word)).collect()
    }

    fn bytes(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_are_written_as_postgresql_does() {
        assert_eq!(words(0, 2), [0, 0, 0, 2]);
        assert_eq!(words(1, 0), [1, 0, 0, 0, 1]);
        assert_eq!(words(150, 2), [2, 0, 0, 2, 1, 5000]);
        assert_eq!(words(-1_234_567_891, 5), [4, 1, 0x4000, 5, 1, 2345, 6789, 1000]);
        assert_eq!(words(10_000, 0), [1, 1, 0, 0, 1]);
        // 0.00001: the first digit is 1000 of weight -2.
        assert_eq!(words(1, 5), [1, 0xfffe, 0, 5, 1000]);
        assert_eq!(words(i128::MIN, 0).len(), 4 + 10);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let most = 10i128.pow(38) - 1;
        let numbers = [0, 1, -1, 9_999, 10_000, 123_456_789_012_345, most, -most];
        for unscaled in numbers {
            for scale in 0..=38 {
                let mut out = Vec::new();
                numeric_to_pg(unscaled, scale, &mut out);
                assert_eq!(numeric_from_pg(&out, scale), Ok(unscaled), "{unscaled} scale {scale}");
            }
        }
    }

    #[test]
    fn digits_beyond_the_scale_round_halves_away_from_zero() {
        // 1.4999, 1.5, -1.5, 0.00005
        assert_eq!(numeric_from_pg(&bytes(&[2, 0, 0, 4, 1, 4999]), 0), Ok(1));
        assert_eq!(numeric_from_pg(&bytes(&[2, 0, 0, 1, 1, 5000]), 0), Ok(2));
        assert_eq!(numeric_from_pg(&bytes(&[2, 0, 0x4000, 1, 1, 5000]), 0), Ok(-2));
        assert_eq!(numeric_from_pg(&bytes(&[1, 0xfffe, 0, 5, 5000]), 4), Ok(1));
        assert_eq!(numeric_from_pg(&bytes(&[1, 0xfffe, 0, 5, 5000]), 0), Ok(0));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        use NumericError::{Malformed, NotFinite, OutOfRange};
        assert_eq!(numeric_from_pg(&[0; 7], 0), Err(Malformed));
        assert_eq!(numeric_from_pg(&bytes(&[2, 0, 0, 0, 1]), 0), Err(Malformed));
        assert_eq!(numeric_from_pg(&bytes(&[1, 0, 0, 0, 10_000]), 0), Err(Malformed));
        assert_eq!(numeric_from_pg(&bytes(&[1, 0, 0x1234, 0, 1]), 0), Err(Malformed));
        assert_eq!(numeric_from_pg(&bytes(&[0, 0, 0xC000, 0]), 0), Err(NotFinite));
        assert_eq!(numeric_from_pg(&bytes(&[0, 0, 0xF000, 0]), 0), Err(NotFinite));
        assert_eq!(numeric_from_pg(&bytes(&[1, 0x7fff, 0, 0, 1]), 38), Err(OutOfRange));
        assert_eq!(numeric_from_pg(&bytes(&[1, 10, 0, 0, 1]), 0), Err(OutOfRange));
        // 10^38, which 128 bits hold.
        assert_eq!(numeric_from_pg(&bytes(&[1, 9, 0, 0, 100]), 0), Err(OutOfRange));
    }
}
