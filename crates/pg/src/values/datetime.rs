//! Dates and times: PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.

/// Days from Arrow's epoch to PostgreSQL's.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from Arrow's epoch to PostgreSQL's.
const EPOCH_US: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// 22008: the other side cannot hold the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

/// Days from 1970 → a `date`.
///
/// # Errors
/// For days that PostgreSQL does not count, or that are its infinities.
pub fn date_to_pg(days: i32) -> Result<[u8; 4], OutOfRange> {
    let days = days.checked_sub(EPOCH_DAYS).filter(|days| *days != i32::MIN && *days != i32::MAX);
    days.map(i32::to_be_bytes).ok_or(OutOfRange)
}

/// A `date` → days from 1970.
///
/// # Errors
/// For infinities and days that Arrow does not count.
pub fn date_from_pg(value: [u8; 4]) -> Result<i32, OutOfRange> {
    let days = Some(i32::from_be_bytes(value)).filter(|days| *days != i32::MIN && *days != i32::MAX);
    days.and_then(|days| days.checked_add(EPOCH_DAYS)).ok_or(OutOfRange)
}

/// Microseconds from 1970 → a `timestamp` or `timestamptz`.
///
/// # Errors
/// For microseconds that PostgreSQL does not count, or that are its infinities.
pub fn timestamp_to_pg(micros: i64) -> Result<[u8; 8], OutOfRange> {
    let micros = micros.checked_sub(EPOCH_US).filter(|micros| *micros != i64::MIN && *micros != i64::MAX);
    micros.map(i64::to_be_bytes).ok_or(OutOfRange)
}

/// A `timestamp` or `timestamptz` → microseconds from 1970.
///
/// # Errors
/// For infinities and microseconds that Arrow does not count.
pub fn timestamp_from_pg(value: [u8; 8]) -> Result<i64, OutOfRange> {
    let micros = Some(i64::from_be_bytes(value)).filter(|micros| *micros != i64::MIN && *micros != i64::MAX);
    micros.and_then(|micros| micros.checked_add(EPOCH_US)).ok_or(OutOfRange)
}

/// Arrow's interval → microseconds, days, months. Nanoseconds below a microsecond are cut off, as the text format does.
pub fn interval_to_pg(months: i32, days: i32, nanos: i64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&(nanos / 1000).to_be_bytes());
    value[8..12].copy_from_slice(&days.to_be_bytes());
    value[12..].copy_from_slice(&months.to_be_bytes());
    value
}

/// An `interval` → Arrow's months, days, nanoseconds.
///
/// # Errors
/// For more than 292 years of hours, minutes and seconds.
pub fn interval_from_pg(value: [u8; 16]) -> Result<(i32, i32, i64), OutOfRange> {
    let value = u128::from_be_bytes(value);
    let (micros, days, months) = ((value >> 64) as i64, (value >> 32) as i32, value as i32);
    Ok((months, days, micros.checked_mul(1000).ok_or(OutOfRange)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_2000() {
        assert_eq!(date_to_pg(10_957), Ok([0, 0, 0, 0]));
        assert_eq!(date_to_pg(0), Ok([0xff, 0xff, 0xd5, 0x33]));
        assert_eq!(date_from_pg([0xff, 0xff, 0xd5, 0x33]), Ok(0));
        assert_eq!(date_to_pg(i32::MIN), Err(OutOfRange));
        assert_eq!(date_from_pg([0x7f, 0xff, 0xff, 0xff]), Err(OutOfRange));
        assert_eq!(date_from_pg([0x80, 0, 0, 0]), Err(OutOfRange));
    }

    #[test]
    fn timestamps_count_microseconds_from_2000() {
        assert_eq!(timestamp_to_pg(946_684_800_000_001), Ok([0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(timestamp_from_pg([0, 0, 0, 0, 0, 0, 0, 1]), Ok(946_684_800_000_001));
        assert_eq!(timestamp_to_pg(i64::MIN), Err(OutOfRange));
        assert_eq!(timestamp_from_pg(i64::MAX.to_be_bytes()), Err(OutOfRange));
    }

    #[test]
    fn intervals_are_microseconds_days_months() {
        // '1 mon -2 days 00:00:03'
        let value = [0, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1];
        assert_eq!(interval_to_pg(1, -2, 3_000_000_000), value);
        assert_eq!(interval_from_pg(value), Ok((1, -2, 3_000_000_000)));
        let long = [0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(interval_from_pg(long), Err(OutOfRange));
    }
}
