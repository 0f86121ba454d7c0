//! Precision and scale of SQL's `numeric`, and of the results of its operators.

use crate::limits::{FRACTION_DIGITS_MIN, FRACTION_DIGITS_WANTED, NARROW_DIGITS_MAX, NUMERIC_DIGITS_MAX};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

/// `numeric(precision, scale)`. Up to 18 digits it is held in 64 bits, up to 38 in 128.
///
/// Results are exact as long as they fit 38 digits. One that might not keeps at least
/// [`FRACTION_DIGITS_MIN`] digits after the point (or all, when it has fewer), rounds the rest half away from zero, and
/// raises 22003 at run time for a value that needs more digits before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NumericType {
    pub precision: u8,
    pub scale: i8,
}

impl NumericType {
    pub fn new(precision: u8, scale: i8) -> Self {
        Self { precision, scale }
    }

    /// Of a decimal, or of an integer as the decimal that holds all its values; None for other types.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                Some(Self::new(*p, *s))
            }
            DataType::Int8 | DataType::UInt8 => Some(Self::new(3, 0)),
            DataType::Int16 | DataType::UInt16 => Some(Self::new(5, 0)),
            DataType::Int32 | DataType::UInt32 => Some(Self::new(10, 0)),
            DataType::Int64 => Some(Self::new(19, 0)),
            DataType::UInt64 => Some(Self::new(20, 0)),
            _ => None,
        }
    }

    /// Of a literal: only the digits that it has. `0.050` has scale 3, `24` precision 2.
    pub fn of_literal(value: &ScalarValue) -> Option<(i128, Self)> {
        let (unscaled, scale) = match value {
            ScalarValue::Int8(Some(v)) => (i128::from(*v), 0),
            ScalarValue::Int16(Some(v)) => (i128::from(*v), 0),
            ScalarValue::Int32(Some(v)) => (i128::from(*v), 0),
            ScalarValue::Int64(Some(v)) => (i128::from(*v), 0),
            ScalarValue::UInt64(Some(v)) => (i128::from(*v), 0),
            ScalarValue::Decimal64(Some(v), _, s) => (i128::from(*v), *s),
            ScalarValue::Decimal128(Some(v), _, s) => (*v, *s),
            _ => return None,
        };
        let digits = digits_of(unscaled).max(scale.max(0) as u8).max(1);
        (digits <= NUMERIC_DIGITS_MAX).then(|| (unscaled, Self::new(digits, scale)))
    }

    /// Digits before the point; negative when even the first ones after it are always zero.
    pub fn integer_digits(self) -> i16 {
        i16::from(self.precision) - i16::from(self.scale)
    }

    /// In 64 bits where the digits allow it.
    pub fn narrowest(self) -> DataType {
        if self.precision <= NARROW_DIGITS_MAX { DataType::Decimal64(self.precision, self.scale) } else { self.wide() }
    }

    /// In 128 bits.
    pub fn wide(self) -> DataType {
        DataType::Decimal128(self.precision, self.scale)
    }

    /// The type with so many digits before and after the point, clipped to 38 as [`NumericType`] says.
    fn fitted(integer_digits: i16, scale: i8) -> Self {
        let max = i16::from(NUMERIC_DIGITS_MAX);
        let exact = integer_digits + i16::from(scale);
        if exact <= max {
            return Self::new(exact.max(i16::from(scale)).max(1) as u8, scale);
        }
        let floor = i16::from(scale.min(FRACTION_DIGITS_MIN));
        Self::new(NUMERIC_DIGITS_MAX, (max - integer_digits).clamp(floor, i16::from(scale)) as i8)
    }

    /// Holds every value of both.
    pub fn common(self, other: Self) -> Self {
        Self::fitted(self.integer_digits().max(other.integer_digits()), self.scale.max(other.scale))
    }

    /// Of `self + other` and `self - other`.
    pub fn sum(self, other: Self) -> Self {
        Self::fitted(self.integer_digits().max(other.integer_digits()) + 1, self.scale.max(other.scale))
    }

    pub fn product(self, other: Self) -> Self {
        let scale = (i16::from(self.scale) + i16::from(other.scale)).min(i16::from(i8::MAX)) as i8;
        let fitted = Self::fitted(self.integer_digits() + other.integer_digits(), scale);
        if fitted.scale <= NUMERIC_DIGITS_MAX as i8 {
            fitted
        } else {
            Self::new(NUMERIC_DIGITS_MAX, NUMERIC_DIGITS_MAX as i8)
        }
    }

    /// Of `self / other`, always 38 digits: as many of them after the point as the largest quotient leaves, between 16
    /// and 20, but no fewer than the operands have.
    pub fn quotient(self, other: Self) -> Self {
        let room = i16::from(NUMERIC_DIGITS_MAX) - (self.integer_digits() + i16::from(other.scale));
        Self::new(NUMERIC_DIGITS_MAX, fraction_digits(room).max(self.scale).max(other.scale))
    }

    /// Of `self % other`.
    pub fn remainder(self, other: Self) -> Self {
        Self::fitted(self.integer_digits().min(other.integer_digits()), self.scale.max(other.scale))
    }

    /// Of a value rounded to `places` digits after the point (None: to a number that differs from row to row). With
    /// `carry`, it may become larger: 9.9 → 10.
    pub fn rounded(self, places: Option<i8>, carry: bool) -> Self {
        let digits = self.integer_digits().max(0) + i16::from(carry);
        let scale = match places {
            None => self.scale,
            Some(places) if places <= self.scale => places.max(0),
            // PostgreSQL fills up with zeros, here as far as there is room.
            Some(places) => {
                let room = (i16::from(NUMERIC_DIGITS_MAX) - digits).max(i16::from(self.scale));
                i16::from(places).min(room) as i8
            }
        };
        let precision = (digits + i16::from(scale)).clamp(1, i16::from(NUMERIC_DIGITS_MAX)) as u8;
        Self::new(precision, scale)
    }

    /// Of `avg(self)`, as [`Self::quotient`] but with the input's own integer digits.
    pub fn average(self) -> Self {
        let room = i16::from(NUMERIC_DIGITS_MAX) - self.integer_digits();
        let wanted = if self.scale == 0 { i16::from(FRACTION_DIGITS_MIN) } else { room };
        Self::new(NUMERIC_DIGITS_MAX, fraction_digits(wanted).max(self.scale))
    }
}

fn fraction_digits(room: i16) -> i8 {
    room.clamp(i16::from(FRACTION_DIGITS_MIN), i16::from(FRACTION_DIGITS_WANTED)) as i8
}

/// Decimal digits of the absolute value; 1 for 0.
pub fn digits_of(value: i128) -> u8 {
    value.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(precision: u8, scale: i8) -> NumericType {
        NumericType::new(precision, scale)
    }

    #[test]
    fn results_hold_their_operands() {
        assert_eq!(n(1, 0).sum(n(15, 2)), n(16, 2));
        assert_eq!(n(15, 2).product(n(16, 2)), n(31, 4));
        assert_eq!(n(31, 4).product(n(16, 2)), n(38, 6));
        assert_eq!(n(38, 16).product(n(38, 16)), n(38, 16));
        assert_eq!(n(38, 20).product(n(2, 1)), n(38, 19));
        assert_eq!(n(15, 2).common(n(38, 19)), n(38, 19));
        assert_eq!(n(38, 2).common(n(38, 20)), n(38, 16));
        assert_eq!(n(2, 2).common(n(1, 0)), n(3, 2));
        assert_eq!(n(38, 4).quotient(n(38, 4)), n(38, 16));
        assert_eq!(n(15, 2).quotient(n(2, 1)), n(38, 20));
        assert_eq!(n(38, 30).quotient(n(2, 1)), n(38, 30));
        assert_eq!(n(15, 2).average(), n(38, 20));
        assert_eq!(n(10, 0).average(), n(38, 16));
        assert_eq!(n(38, 6).average(), n(38, 16));
        assert_eq!(n(38, 38).product(n(38, 38)).precision, 38);
        assert_eq!(n(38, 20).rounded(Some(16), true), n(35, 16));
        assert_eq!(n(5, 2).rounded(Some(0), true), n(4, 0));
        assert_eq!(n(5, 2).rounded(Some(-2), false), n(3, 0));
        assert_eq!(n(5, 2).rounded(Some(4), true), n(8, 4));
        assert_eq!(n(38, 2).rounded(Some(4), true), n(38, 2));
        assert_eq!(n(5, 2).rounded(None, true), n(6, 2));
        assert_eq!(n(2, 2).rounded(Some(0), false), n(1, 0));
    }

    #[test]
    fn digits() {
        assert_eq!((digits_of(0), digits_of(9), digits_of(-10), digits_of(i128::MIN)), (1, 1, 2, 39));
        assert_eq!(NumericType::of_literal(&ScalarValue::Decimal128(Some(5), 20, 2)), Some((5, n(2, 2))));
        assert_eq!(NumericType::of_literal(&ScalarValue::Int64(Some(24))), Some((24, n(2, 0))));
    }
}
