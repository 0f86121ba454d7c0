//! Row → bucket, for ever: an on-disk format, described in `docs/formats/placement.md`.
//!
//! A row's distribution key becomes a 64-bit hash, whose top 14 bits are the bucket; the [`BucketMap`](crate::BucketMap)
//! says which segment owns it. Values that SQL calls equal hash equally, whatever their Arrow type: every type is
//! first brought to a canonical value (integers and decimals to one number, timestamps to nanoseconds, floats to one zero and
//! one NaN), and that is hashed. Nothing here may change without a new [`PLACEMENT_VERSION`].

use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayAccessor, ArrayIter, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{cast, take};
use arrow::datatypes::{ArrowNativeType, DataType, IntervalUnit, TimeUnit, i256};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub const PLACEMENT_VERSION: u8 = 1;

/// A column that has no placement hash.
#[derive(Debug, Error)]
#[error("type {0} cannot be part of a distribution key")]
pub struct UnhashableType(pub String);

/// Types within which equal SQL values hash equally. Two columns can be co-located only when their families match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashFamily {
    /// Integers of any width and sign, decimals of any width and scale.
    Numeric,
    Float,
    Text,
    Bytes,
    Bool,
    Date,
    Time,
    /// Without time zone: equal to a [`HashFamily::TimestampTz`] only by way of the session's time zone.
    Timestamp,
    TimestampTz,
    Interval,
}

/// The family of a column's type; None when the type cannot be a distribution key.
pub fn hash_family(data_type: &DataType) -> Option<HashFamily> {
    use DataType::*;
    Some(match data_type {
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => HashFamily::Numeric,
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => HashFamily::Numeric,
        Float16 | Float32 | Float64 => HashFamily::Float,
        Utf8 | LargeUtf8 | Utf8View => HashFamily::Text,
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => HashFamily::Bytes,
        Boolean => HashFamily::Bool,
        Date32 | Date64 => HashFamily::Date,
        Time32(_) | Time64(_) => HashFamily::Time,
        Timestamp(_, None) => HashFamily::Timestamp,
        Timestamp(_, Some(_)) => HashFamily::TimestampTz,
        Interval(_) => HashFamily::Interval,
        Dictionary(_, values) => return hash_family(values),
        _ => return None,
    })
}

/// The bucket of a hash: its top 14 bits.
#[inline]
pub fn bucket_of(hash: u64) -> u16 {
    (hash >> (u64::BITS - crate::BUCKETS.ilog2())) as u16
}

/// One hash per row over all key columns in order.
///
/// `columns`: one or more, of equal lengths. `hashes` is overwritten with one hash per row. A NULL contributes a
/// constant, so that rows whose whole key is NULL are in one bucket.
///
/// # Errors
/// A column whose type has no [`hash_family`].
///
/// # Panics
/// If there is no column, or their lengths differ.
pub fn hash_rows(columns: &[ArrayRef], hashes: &mut Vec<u64>) -> Result<(), UnhashableType> {
    let rows = columns.first().expect("a distribution key has at least one column").len();
    // What is in it already need not be cleared: the first column writes every row's.
    hashes.resize(rows, 0);
    for (position, column) in columns.iter().enumerate() {
        assert_eq!(column.len(), rows, "the key's columns have equal lengths");
        hash_column(column, Out { hashes, is_first: position == 0 })?;
    }
    Ok(())
}

/// What a NULL hashes to.
const NULL_HASH: u64 = 0x6E75_6C6C_5F76_3031;
/// Added to an integer before it is mixed, so that 0 is not a fixed point.
const INTEGER_SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Of XXH3-64 over text and bytes.
const BYTES_SEED: u64 = 0x6461_6D73_6F6E_3031;
/// Multiplies the hash of the columns so far when another one is added.
const COMBINE: u64 = 0xD6E8_FEB8_6659_FD93;
/// Multiplies the scale of a number that has a fraction.
const SCALE: u64 = 0xA076_1D64_78BD_642F;
/// The one NaN.
const NAN_BITS: u64 = 0x7FF8_0000_0000_0000;

const NANOS_PER_DAY: i128 = 86_400 * 1_000_000_000;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// Murmur3's 64-bit finaliser with Stafford's thirteenth constants (splitmix64's): a bijection that avalanches.
#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[inline]
fn hash_i64(value: i64) -> u64 {
    mix((value as u64).wrapping_add(INTEGER_SEED))
}

/// Equal to [`hash_i64`] where the value fits.
#[inline]
fn hash_i128(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(small) => hash_i64(small),
        Err(_) => combine(hash_i64((value >> 64) as i64), hash_i64(value as i64)),
    }
}

/// Equal to [`hash_i128`] where the value fits.
fn hash_i256(value: i256) -> u64 {
    match value.to_i128() {
        Some(small) => hash_i128(small),
        None => hash_bytes(&value.to_le_bytes()),
    }
}

/// Adds a scale to the hash of a number's digits; 0, an integer, adds nothing.
#[inline]
fn with_scale(digits: u64, scale: i16) -> u64 {
    if scale == 0 { digits } else { mix(digits ^ (scale as u64).wrapping_mul(SCALE)) }
}

#[inline]
fn hash_bytes(value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, BYTES_SEED)
}

#[inline]
fn hash_f64(value: f64) -> u64 {
    let bits = if value.is_nan() {
        NAN_BITS
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    hash_i64(bits as i64)
}

#[inline]
fn combine(so_far: u64, next: u64) -> u64 {
    mix(so_far.wrapping_mul(COMBINE).wrapping_add(next))
}

/// A decimal without the trailing zeros of its fraction.
#[inline]
fn hash_decimal64(mut digits: i64, mut scale: i8) -> u64 {
    if scale < 0 {
        return hash_decimal256(i256::from_i128(i128::from(digits)), scale);
    }
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    with_scale(hash_i64(digits), i16::from(scale))
}

#[inline]
fn hash_decimal128(mut digits: i128, mut scale: i8) -> u64 {
    if let Ok(digits) = i64::try_from(digits) {
        return hash_decimal64(digits, scale);
    }
    if scale < 0 {
        return hash_decimal256(i256::from_i128(digits), scale);
    }
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    with_scale(hash_i128(digits), i16::from(scale))
}

fn hash_decimal256(mut digits: i256, scale: i8) -> u64 {
    let ten = i256::from_i128(10);
    if digits == i256::ZERO {
        return hash_i64(0);
    }
    // A negative scale is written out to an integer; what does not fit in 256 bits keeps its exponent, without
    // trailing zeros: only another negative scale holds the same number.
    if scale < 0 {
        let power = ten.checked_pow(u32::from(scale.unsigned_abs()));
        if let Some(integer) = power.and_then(|power| digits.checked_mul(power)) {
            return hash_i256(integer);
        }
    }
    let mut scale = i16::from(scale);
    while scale != 0 && digits % ten == i256::ZERO {
        digits /= ten;
        scale -= 1;
    }
    with_scale(hash_i256(digits), scale)
}

/// Where a column's hashes go: into the rows' hashes so far.
struct Out<'a> {
    hashes: &'a mut [u64],
    is_first: bool,
}

impl Out<'_> {
    #[inline]
    fn put(self, values: impl Iterator<Item = u64>) {
        let rows = self.hashes.iter_mut().zip(values);
        if self.is_first {
            rows.for_each(|(hash, value)| *hash = value);
        } else {
            rows.for_each(|(hash, value)| *hash = combine(*hash, value));
        }
    }

    #[inline]
    fn put_primitive<T: ArrowPrimitiveType>(self, column: &ArrayRef, hash: impl Fn(T::Native) -> u64) {
        let array: &PrimitiveArray<T> = column.as_primitive();
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.put(array.values().iter().map(|&value| hash(value))),
            Some(nulls) => {
                let values = array.values().iter().zip(nulls.iter());
                self.put(values.map(|(&value, valid)| if valid { hash(value) } else { NULL_HASH }));
            }
        }
    }

    #[inline]
    fn put_integers<T: ArrowPrimitiveType<Native: Into<i64>>>(self, column: &ArrayRef) {
        self.put_primitive::<T>(column, |value| hash_i64(value.into()));
    }

    /// A count of units of `unit_nanos` nanoseconds.
    #[inline]
    fn put_nanos<T: ArrowPrimitiveType<Native: Into<i64>>>(self, column: &ArrayRef, unit_nanos: i64) {
        self.put_primitive::<T>(column, |value| {
            let units: i64 = value.into();
            match units.checked_mul(unit_nanos) {
                Some(nanos) => hash_i64(nanos),
                None => hash_i128(i128::from(units) * i128::from(unit_nanos)),
            }
        });
    }

    #[inline]
    fn put_bytes<A: ArrayAccessor<Item: AsRef<[u8]>>>(self, array: A) {
        self.put(ArrayIter::new(array).map(|value| value.map_or(NULL_HASH, |value| hash_bytes(value.as_ref()))));
    }
}

fn hash_column(column: &ArrayRef, out: Out<'_>) -> Result<(), UnhashableType> {
    use DataType::*;
    match column.data_type() {
        Int8 => out.put_integers::<Int8Type>(column),
        Int16 => out.put_integers::<Int16Type>(column),
        Int32 => out.put_integers::<Int32Type>(column),
        Int64 => out.put_integers::<Int64Type>(column),
        UInt8 => out.put_integers::<UInt8Type>(column),
        UInt16 => out.put_integers::<UInt16Type>(column),
        UInt32 => out.put_integers::<UInt32Type>(column),
        UInt64 => out.put_primitive::<UInt64Type>(column, |value| hash_i128(i128::from(value))),
        Decimal32(_, scale) => {
            out.put_primitive::<Decimal32Type>(column, |value| hash_decimal64(i64::from(value), *scale))
        }
        Decimal64(_, scale) => out.put_primitive::<Decimal64Type>(column, |value| hash_decimal64(value, *scale)),
        Decimal128(_, scale) => out.put_primitive::<Decimal128Type>(column, |value| hash_decimal128(value, *scale)),
        Decimal256(_, scale) => out.put_primitive::<Decimal256Type>(column, |value| match value.to_i128() {
            Some(small) => hash_decimal128(small, *scale),
            None => hash_decimal256(value, *scale),
        }),
        Float16 => out.put_primitive::<Float16Type>(column, |value| hash_f64(value.to_f64())),
        Float32 => out.put_primitive::<Float32Type>(column, |value| hash_f64(f64::from(value))),
        Float64 => out.put_primitive::<Float64Type>(column, hash_f64),
        Utf8 => out.put_bytes(column.as_string::<i32>()),
        LargeUtf8 => out.put_bytes(column.as_string::<i64>()),
        Utf8View => out.put_bytes(column.as_string_view()),
        Binary => out.put_bytes(column.as_binary::<i32>()),
        LargeBinary => out.put_bytes(column.as_binary::<i64>()),
        BinaryView => out.put_bytes(column.as_binary_view()),
        FixedSizeBinary(_) => out.put_bytes(column.as_fixed_size_binary()),
        Boolean => {
            let values = column.as_boolean().iter();
            out.put(values.map(|value| value.map_or(NULL_HASH, |value| hash_i64(i64::from(value)))));
        }
        Date32 => out.put_integers::<Date32Type>(column),
        Date64 => out.put_primitive::<Date64Type>(column, |value| hash_i64(value.div_euclid(MILLIS_PER_DAY))),
        Time32(TimeUnit::Second) => out.put_nanos::<Time32SecondType>(column, 1_000_000_000),
        Time32(TimeUnit::Millisecond) => out.put_nanos::<Time32MillisecondType>(column, 1_000_000),
        Time64(TimeUnit::Microsecond) => out.put_nanos::<Time64MicrosecondType>(column, 1_000),
        Time64(TimeUnit::Nanosecond) => out.put_nanos::<Time64NanosecondType>(column, 1),
        Timestamp(TimeUnit::Second, _) => out.put_nanos::<TimestampSecondType>(column, 1_000_000_000),
        Timestamp(TimeUnit::Millisecond, _) => out.put_nanos::<TimestampMillisecondType>(column, 1_000_000),
        Timestamp(TimeUnit::Microsecond, _) => out.put_nanos::<TimestampMicrosecondType>(column, 1_000),
        Timestamp(TimeUnit::Nanosecond, _) => out.put_nanos::<TimestampNanosecondType>(column, 1),
        Interval(IntervalUnit::YearMonth) => {
            out.put_primitive::<IntervalYearMonthType>(column, |months| hash_interval(months, 0, 0))
        }
        Interval(IntervalUnit::DayTime) => out.put_primitive::<IntervalDayTimeType>(column, |value| {
            hash_interval(0, value.days, i64::from(value.milliseconds) * 1_000_000)
        }),
        Interval(IntervalUnit::MonthDayNano) => out.put_primitive::<IntervalMonthDayNanoType>(column, |value| {
            hash_interval(value.months, value.days, value.nanoseconds)
        }),
        Dictionary(..) => hash_dictionary(column, out)?,
        other => return Err(UnhashableType(other.to_string())),
    }
    Ok(())
}

/// As PostgreSQL compares intervals: a month has 30 days, a day 24 hours.
fn hash_interval(months: i32, days: i32, nanos: i64) -> u64 {
    let days = i128::from(months) * 30 + i128::from(days);
    hash_i128(days * NANOS_PER_DAY + i128::from(nanos))
}

/// Each value of the dictionary is hashed once, unless it has more values than the column has rows.
fn hash_dictionary(column: &ArrayRef, out: Out<'_>) -> Result<(), UnhashableType> {
    let unhashable = || UnhashableType(column.data_type().to_string());
    let dictionary = column.as_any_dictionary_opt().ok_or_else(unhashable)?;
    let (keys, values) = (dictionary.keys(), dictionary.values());
    if values.len() > keys.len() {
        let rows = take(values, keys, None).map_err(|_| unhashable())?;
        return hash_column(&rows, out);
    }
    let mut hashes = vec![0; values.len()];
    hash_column(values, Out { hashes: &mut hashes, is_first: true })?;
    let keys = cast(keys, &DataType::UInt64).map_err(|_| unhashable())?;
    let keys = keys.as_primitive::<UInt64Type>().iter();
    out.put(keys.map(|key| key.map_or(NULL_HASH, |key| hashes[key.as_usize()])));
    Ok(())
}

#[cfg(test)]
mod tests;
