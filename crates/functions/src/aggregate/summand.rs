//! What can be added up, and in what.

use crate::FunctionError;
use crate::limits::NUMERIC_DIGITS_MAX;
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use std::fmt::Debug;
use std::hash::Hash;

/// An input type of `sum` and `avg`: added up in 128 bits, whatever its own width.
pub trait Summand: ArrowPrimitiveType<Native: Into<i128> + Hash + Eq> + Debug + Send + Sync {}

impl Summand for Int16Type {}
impl Summand for Int32Type {}
impl Summand for Int64Type {}
impl Summand for Decimal64Type {}
impl Summand for Decimal128Type {}

/// Calls a macro with the [`Summand`] of a data type, or evaluates to `$otherwise`.
macro_rules! dispatch_summand {
    ($data_type:expr, $macro:ident, $otherwise:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Int16 => $macro!(arrow::datatypes::Int16Type),
            arrow::datatypes::DataType::Int32 => $macro!(arrow::datatypes::Int32Type),
            arrow::datatypes::DataType::Int64 => $macro!(arrow::datatypes::Int64Type),
            arrow::datatypes::DataType::Decimal64(..) => $macro!(arrow::datatypes::Decimal64Type),
            arrow::datatypes::DataType::Decimal128(..) => $macro!(arrow::datatypes::Decimal128Type),
            _ => $otherwise,
        }
    };
}
pub(super) use dispatch_summand;

/// The sum of a batch's values and how many they are, nulls aside.
pub fn add_up<T: Summand>(values: &PrimitiveArray<T>) -> Result<(i128, u64), FunctionError> {
    use arrow::array::Array;
    let count = (values.len() - values.null_count()) as u64;
    let sum = if size_of::<T::Native>() <= size_of::<i64>() {
        // Fewer than 2^63 values of 64 bits fit 127.
        match values.nulls() {
            None => values.values().iter().map(|&value| value.into()).sum(),
            Some(_) => values.iter().flatten().map(Into::<i128>::into).sum(),
        }
    } else {
        values.iter().flatten().try_fold(0i128, |sum, value| sum.checked_add(value.into())).ok_or_else(overflow)?
    };
    Ok((sum, count))
}

pub fn overflow() -> FunctionError {
    FunctionError::OutOfRange("numeric")
}

/// The type that a sum is handed on in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumType {
    /// Of int2 and int4.
    Bigint,
    /// 38 digits of this scale.
    Numeric(i8),
}

impl SumType {
    pub fn data_type(self) -> DataType {
        match self {
            Self::Bigint => DataType::Int64,
            Self::Numeric(scale) => DataType::Decimal128(NUMERIC_DIGITS_MAX, scale),
        }
    }

    /// `sum` as a value of this type, 22003 if it does not fit.
    pub fn scalar(self, sum: Option<i128>) -> Result<ScalarValue, FunctionError> {
        Ok(match self {
            Self::Bigint => ScalarValue::Int64(sum.map(Self::bigint).transpose()?),
            Self::Numeric(scale) => {
                ScalarValue::Decimal128(sum.map(Self::numeric).transpose()?, NUMERIC_DIGITS_MAX, scale)
            }
        })
    }

    pub fn bigint(sum: i128) -> Result<i64, FunctionError> {
        i64::try_from(sum).map_err(|_| FunctionError::OutOfRange("bigint"))
    }

    pub fn numeric(sum: i128) -> Result<i128, FunctionError> {
        const LIMIT: i128 = 10i128.pow(NUMERIC_DIGITS_MAX as u32);
        if sum < LIMIT && sum > -LIMIT { Ok(sum) } else { Err(overflow()) }
    }

    /// Adds the partial sums in `states` to each other: their sum (None without any) and their number.
    pub fn merge(self, states: &ArrayRef) -> Result<Option<i128>, FunctionError> {
        let (sum, count) = match self {
            Self::Bigint => add_up(states.as_primitive::<Int64Type>())?,
            Self::Numeric(_) => add_up(states.as_primitive::<Decimal128Type>())?,
        };
        Ok((count > 0).then_some(sum))
    }
}
