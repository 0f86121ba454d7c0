//! Sizes of values, with their reasons.

/// Bytes of a text that a function makes, as long as a value that is stored may be (`VALUE_BYTES_MAX` of storage).
pub const TEXT_BYTES_MAX: u64 = 256 << 20;

/// Values that one call of `generate_series` makes for a batch of rows, as an array: 256 MiB of them.
pub const SERIES_VALUES_MAX: i128 = 32 << 20;

/// Digits of a 128-bit decimal; a value with more is SQLSTATE 22003.
pub const NUMERIC_DIGITS_MAX: u8 = 38;

/// Digits of a 64-bit decimal: every integer of 18 digits fits i64, not every one of 19.
pub const NARROW_DIGITS_MAX: u8 = 18;

/// Digits after the point that a quotient, an average or a clipped result keeps before it gives any to the integer
/// part: PostgreSQL promises 16 significant ones. Leaves 22 digits before the point.
pub const FRACTION_DIGITS_MIN: i8 = 16;

/// Digits after the point of a quotient or an average whose integer part leaves room: PostgreSQL shows as many for
/// values below 1.
pub const FRACTION_DIGITS_WANTED: i8 = 20;

const _: () = assert!(SERIES_VALUES_MAX * 8 <= TEXT_BYTES_MAX as i128);
const _: () = assert!(10i64.checked_pow(NARROW_DIGITS_MAX as u32).is_some());
const _: () = assert!(10i128.checked_pow(NUMERIC_DIGITS_MAX as u32).is_some());
const _: () = assert!(FRACTION_DIGITS_MIN <= FRACTION_DIGITS_WANTED);
const _: () = assert!((FRACTION_DIGITS_WANTED as u8) < NUMERIC_DIGITS_MAX);
