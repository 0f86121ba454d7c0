//! Decimal arithmetic on unscaled values, in 128 bits where they suffice and 256 where not.

use crate::FunctionError;
use crate::limits::NUMERIC_DIGITS_MAX;
use arrow::datatypes::i256;

/// 10^38, the first value with more than [`NUMERIC_DIGITS_MAX`] digits.
const LIMIT: i128 = 10i128.pow(NUMERIC_DIGITS_MAX as u32);

/// # Panics
/// Above 10^38.
pub fn pow10(exponent: u32) -> i128 {
    10i128.pow(exponent)
}

/// An unscaled value of either width.
pub trait Unscaled: Copy {
    fn value(self) -> i128;
    /// The lower 64 bits.
    fn low(self) -> i64;
    /// Whether `low` is all of it.
    fn fits(self, low: i64) -> bool;
}

impl Unscaled for i64 {
    fn value(self) -> i128 {
        self.into()
    }
    fn low(self) -> i64 {
        self
    }
    fn fits(self, _: i64) -> bool {
        true
    }
}

impl Unscaled for i128 {
    fn value(self) -> i128 {
        self
    }
    fn low(self) -> i64 {
        self as i64
    }
    fn fits(self, low: i64) -> bool {
        self == i128::from(low)
    }
}

/// `value` if it has at most 38 digits.
pub fn checked(value: i128, scale: i8) -> Result<i128, FunctionError> {
    if value < LIMIT && value > -LIMIT { Ok(value) } else { Err(overflow(scale)) }
}

pub fn overflow(scale: i8) -> FunctionError {
    FunctionError::NumericOverflow { digits: NUMERIC_DIGITS_MAX, scale }
}

/// `numerator / denominator`, half away from zero. The denominator is not 0.
pub fn divide_rounded(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator / denominator;
    // Cheaper than a second division of 128 bits.
    let remainder = numerator - quotient * denominator;
    // |remainder| < |denominator|, so the subtraction cannot wrap where doubling the remainder could.
    if remainder.unsigned_abs() >= denominator.unsigned_abs() - remainder.unsigned_abs() {
        if (numerator < 0) == (denominator < 0) { quotient + 1 } else { quotient - 1 }
    } else {
        quotient
    }
}

/// 10^`exponent`, worked out once a batch.
#[derive(Clone, Copy, Debug)]
pub struct PowerOfTen {
    exponent: u32,
    /// None beyond 10^38.
    power: Option<i128>,
}

impl PowerOfTen {
    pub fn new(exponent: u32) -> Self {
        Self { exponent, power: (exponent <= u32::from(NUMERIC_DIGITS_MAX)).then(|| pow10(exponent)) }
    }
}

/// [`divide_rounded`] in 64 bits; `denominator` is positive.
pub fn divide_rounded_narrow(numerator: i64, denominator: i64) -> i64 {
    let quotient = numerator / denominator;
    let remainder = numerator - quotient * denominator;
    let away = remainder.unsigned_abs() >= denominator.unsigned_abs() - remainder.unsigned_abs();
    quotient + if away { numerator.signum() } else { 0 }
}

/// `numerator * up / denominator`, half away from zero, at most 38 digits. The denominator is not 0.
pub fn scaled_quotient(numerator: i128, up: PowerOfTen, denominator: i128, scale: i8) -> Result<i128, FunctionError> {
    if let Some(product) = up.power.and_then(|power| multiply(numerator, power))
        && product != i128::MIN
    {
        return checked(divide_rounded(product, denominator), scale);
    }
    let product = i256::from_i128(10)
        .checked_pow(up.exponent)
        .and_then(|power| i256::from_i128(numerator).checked_mul(power))
        .ok_or_else(|| overflow(scale))?;
    wide_quotient(product, i256::from_i128(denominator), scale)
}

/// The product if it fits; quick for factors of 64 bits.
fn multiply(left: i128, right: i128) -> Option<i128> {
    match (i64::try_from(left), i64::try_from(right)) {
        (Ok(left), Ok(right)) => Some(i128::from(left) * i128::from(right)),
        _ => left.checked_mul(right),
    }
}

/// `left * right / 10^exponent`, half away from zero, at most 38 digits.
pub fn scaled_product(left: i128, right: i128, exponent: u32, scale: i8) -> Result<i128, FunctionError> {
    if let Some(product) = left.checked_mul(right)
        && exponent <= u32::from(NUMERIC_DIGITS_MAX)
    {
        return checked(if exponent == 0 { product } else { divide_rounded(product, pow10(exponent)) }, scale);
    }
    // Two values of 127 bits: the product has at most 254.
    let product = i256::from_i128(left).wrapping_mul(i256::from_i128(right));
    let power = i256::from_i128(10).checked_pow(exponent).ok_or_else(|| overflow(scale))?;
    wide_quotient(product, power, scale)
}

fn wide_quotient(numerator: i256, denominator: i256, scale: i8) -> Result<i128, FunctionError> {
    let quotient = numerator.checked_div(denominator).ok_or_else(|| overflow(scale))?;
    let remainder = numerator.checked_rem(denominator).ok_or_else(|| overflow(scale))?;
    let (remainder, magnitude) = (remainder.wrapping_abs(), denominator.wrapping_abs());
    let away = remainder >= magnitude.wrapping_sub(remainder);
    let unit = match (away, numerator.is_negative() == denominator.is_negative()) {
        (false, _) => i256::ZERO,
        (true, true) => i256::ONE,
        (true, false) => i256::MINUS_ONE,
    };
    let rounded = quotient.wrapping_add(unit).to_i128().ok_or_else(|| overflow(scale))?;
    checked(rounded, scale)
}

/// `value` of scale `from` at scale `to`, half away from zero, at most 38 digits.
pub fn rescale(value: i128, from: i8, to: i8) -> Result<i128, FunctionError> {
    let change = i16::from(to) - i16::from(from);
    let power = u32::from(change.unsigned_abs());
    let power = (power <= u32::from(NUMERIC_DIGITS_MAX)).then(|| pow10(power));
    match (change, power) {
        (0, _) => checked(value, to),
        (1.., _) if value == 0 => Ok(0),
        (1.., power) => {
            let scaled = power.and_then(|power| value.checked_mul(power)).ok_or_else(|| overflow(to))?;
            checked(scaled, to)
        }
        (_, Some(power)) => Ok(divide_rounded(value, power)),
        // More than 38 places away: nothing of 38 digits rounds up.
        (_, None) => Ok(0),
    }
}

/// The mean of `count` values that add up to `sum`, with more digits after the point than they have: `up`. `count` is
/// not 0.
pub fn average(sum: i128, count: u64, up: PowerOfTen, scale: i8) -> Result<i128, FunctionError> {
    scaled_quotient(sum, up, i128::from(count), scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_half_away_from_zero() {
        for (numerator, denominator, expected) in
            [(5, 10, 1), (-5, 10, -1), (4, 10, 0), (15, 10, 2), (-15, -10, 2), (5, -10, -1), (1, 3, 0), (2, 3, 1)]
        {
            assert_eq!(divide_rounded(numerator, denominator), expected, "{numerator}/{denominator}");
            let wide = wide_quotient(i256::from_i128(numerator), i256::from_i128(denominator), 0);
            assert_eq!(wide, Ok(expected), "{numerator}/{denominator}");
            if denominator > 0 {
                let narrow = divide_rounded_narrow(numerator as i64, denominator as i64);
                assert_eq!(i128::from(narrow), expected, "{numerator}/{denominator}");
            }
        }
        assert_eq!(divide_rounded(LIMIT - 1, i128::MAX), 1);
    }

    #[test]
    fn limits_of_38_digits() {
        assert_eq!(scaled_quotient(LIMIT - 1, PowerOfTen::new(38), LIMIT - 1, 0), Err(overflow(0)));
        assert_eq!(scaled_quotient(LIMIT - 1, PowerOfTen::new(37), LIMIT - 1, 0), Ok(pow10(37)));
        assert_eq!(scaled_product(LIMIT - 1, LIMIT - 1, 38, 0), Ok(LIMIT - 2));
        assert_eq!(scaled_product(LIMIT - 1, 10, 0, 0), Err(overflow(0)));
        assert_eq!(scaled_product(pow10(37), 10, 0, 0), Err(overflow(0)));
        assert_eq!(scaled_product(pow10(36), 10, 0, 0), Ok(pow10(37)));
        assert_eq!(rescale(99, 2, 0), Ok(1));
        assert_eq!(rescale(-150, 2, 0), Ok(-2));
        assert_eq!(rescale(1, 0, 38), Err(overflow(38)));
        assert_eq!(rescale(1, 0, 37), Ok(pow10(37)));
        assert_eq!(rescale(i64::MAX.into(), 0, 19), Ok(i128::from(i64::MAX) * pow10(19)));
        assert_eq!(average(10, 4, PowerOfTen::new(2), 2), Ok(250));
        assert_eq!(average(LIMIT - 1, 1, PowerOfTen::new(16), 16), Err(overflow(16)));
        assert_eq!(average(pow10(30), 10, PowerOfTen::new(16), 16), Err(overflow(16)));
        assert_eq!(average(pow10(30), u64::MAX, PowerOfTen::new(16), 16), Ok(542_101_086_242_752_217_033_113_759));
    }

    proptest! {
        /// Both widths agree wherever both are defined.
        #[test]
        fn narrow_equals_wide(n in -pow10(20)..pow10(20), d in prop_oneof![1..pow10(18), -pow10(18)..0], e in 0u32..18) {
            let wide = wide_quotient(i256::from_i128(n * pow10(e)), i256::from_i128(d), 0);
            prop_assert_eq!(scaled_quotient(n, PowerOfTen::new(e), d, 0), wide);
        }
    }
}
