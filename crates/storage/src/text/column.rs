//! Columns of texts to typed arrays.

use super::TextError;
use super::{
    boolean, bytea, date, decimal, decimal64, float4, float8, integer, interval, time, timestamp, timestamptz, uuid,
};
use datafusion::arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, FixedSizeBinaryBuilder, NullBufferBuilder,
    PrimitiveArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use std::borrow::Cow;
use std::sync::Arc;

/// The first value of a column that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowError {
    pub row: usize,
    pub error: TextError,
}

/// SQL's name of a table's Arrow type; None for types that no table has.
pub(crate) fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) => {
            format!("numeric({precision},{scale})")
        }
        DataType::Utf8View => "text".into(),
        DataType::BinaryView => "bytea".into(),
        DataType::FixedSizeBinary(16) => "uuid".into(),
        DataType::Date32 => "date".into(),
        DataType::Time64(TimeUnit::Microsecond) => "time".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp with time zone".into(),
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval".into(),
        _ => return None,
    })
}

/// Parses one column; None is NULL. `texts` knows its length.
///
/// # Errors
/// The first row whose text is not a value.
///
/// # Panics
/// If [`type_name`] has no name for `data_type`: callers check their schema first.
pub(crate) fn parse_column<'a>(
    data_type: &DataType,
    texts: impl ExactSizeIterator<Item = Option<Cow<'a, str>>>,
) -> Result<ArrayRef, RowError> {
    match data_type {
        DataType::Utf8View => Ok(parse_texts(texts)),
        DataType::Int16 => narrow::<Int16Type>(texts),
        DataType::Int32 => narrow::<Int32Type>(texts),
        DataType::Int64 => primitive::<Int64Type>(data_type, texts, integer),
        DataType::Float32 => primitive::<Float32Type>(data_type, texts, float4),
        DataType::Float64 => primitive::<Float64Type>(data_type, texts, float8),
        DataType::Decimal64(precision, scale) => {
            primitive::<Decimal64Type>(data_type, texts, |text| decimal64(text, *precision, *scale))
        }
        DataType::Decimal128(precision, scale) => {
            primitive::<Decimal128Type>(data_type, texts, |text| decimal(text, *precision, *scale))
        }
        DataType::Date32 => primitive::<Date32Type>(data_type, texts, date),
        DataType::Time64(TimeUnit::Microsecond) => primitive::<Time64MicrosecondType>(data_type, texts, time),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            primitive::<TimestampMicrosecondType>(data_type, texts, timestamp)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            primitive::<TimestampMicrosecondType>(data_type, texts, timestamptz)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(data_type, texts, interval)
        }
        DataType::Boolean => {
            let mut out = BooleanBuilder::with_capacity(texts.len());
            for (row, text) in texts.enumerate() {
                let value = text.map(|text| boolean(text.as_bytes())).transpose();
                out.append_option(value.map_err(|error| RowError { row, error })?);
            }
            Ok(Arc::new(out.finish()))
        }
        DataType::BinaryView => {
            let mut out = BinaryViewBuilder::with_capacity(texts.len());
            for (row, text) in texts.enumerate() {
                let value = text.map(|text| bytea(text.as_bytes())).transpose();
                out.append_option(value.map_err(|error| RowError { row, error })?);
            }
            Ok(Arc::new(out.finish()))
        }
        DataType::FixedSizeBinary(16) => {
            let mut out = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
            for (row, text) in texts.enumerate() {
                let value =
                    text.map(|text| uuid(text.as_bytes())).transpose().map_err(|error| RowError { row, error })?;
                match value {
                    // The builder refuses only values of another length.
                    Some(value) => {
                        out.append_value(value).map_err(|_| RowError { row, error: TextError::Invalid })?;
                    }
                    None => out.append_null(),
                }
            }
            Ok(Arc::new(out.finish()))
        }
        other => panic!("no table has a column of type {other}"),
    }
}

/// Texts as they are.
fn parse_texts<'a>(texts: impl ExactSizeIterator<Item = Option<Cow<'a, str>>>) -> ArrayRef {
    let mut out = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        match text {
            Some(text) => out.append_value(text.as_ref()),
            None => out.append_null(),
        }
    }
    Arc::new(out.finish())
}

fn narrow<'a, T: ArrowPrimitiveType>(
    texts: impl ExactSizeIterator<Item = Option<Cow<'a, str>>>,
) -> Result<ArrayRef, RowError>
where
    T::Native: TryFrom<i64>,
{
    let parse = |text: &[u8]| integer(text).and_then(|v| T::Native::try_from(v).map_err(|_| TextError::OutOfRange));
    primitive::<T>(&T::DATA_TYPE, texts, parse)
}

fn primitive<'a, T: ArrowPrimitiveType>(
    data_type: &DataType,
    texts: impl ExactSizeIterator<Item = Option<Cow<'a, str>>>,
    parse: impl Fn(&[u8]) -> Result<T::Native, TextError>,
) -> Result<ArrayRef, RowError> {
    let mut values = Vec::with_capacity(texts.len());
    let mut nulls = NullBufferBuilder::new(texts.len());
    for (row, text) in texts.enumerate() {
        match text {
            Some(text) => {
                values.push(parse(text.as_bytes()).map_err(|error| RowError { row, error })?);
                nulls.append_non_null();
            }
            None => {
                values.push(T::default_value());
                nulls.append_null();
            }
        }
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), nulls.finish()).with_data_type(data_type.clone())))
}
