//! Columns of Parquet files to the target's types.

use crate::limits::ERROR_VALUE_BYTES_MAX;
use crate::text::{RowError, parse_column, type_name};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use std::borrow::Cow;
use std::sync::Arc;

/// The SQLSTATE of a type that no value of makes the target's.
const NO_CAST: &str = "42804";

/// Why a column's values are none of the target's.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub message: String,
    pub sqlstate: &'static str,
}

/// A checked cast with PostgreSQL's rounding: a value that does not fit is an error, never NULL and never another value.
pub(super) fn convert(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, Mismatch> {
    let source = column.data_type();
    if source == target {
        return Ok(Arc::clone(column));
    }
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let text_like = is_text(source) || matches!(source, DataType::Dictionary(_, values) if is_text(values));
    if text_like {
        let texts = cast(column, &DataType::Utf8View)?;
        return if *target == DataType::Utf8View { Ok(texts) } else { parse(&texts, target) };
    }
    match (source, target) {
        // Arrow truncates these; PostgreSQL rounds numeric half away from zero and floats half to even.
        (DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s), to)
            if is_integer(to) && *s > 0 =>
        {
            let whole = DataType::Decimal128((p + 1).min(DECIMAL128_MAX_PRECISION), 0);
            cast(&cast(column, &whole)?, target)
        }
        (DataType::Float32, to) if is_integer(to) => {
            let rounded = column.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even);
            cast(&(Arc::new(rounded) as ArrayRef), target)
        }
        (DataType::Float64, to) if is_integer(to) => {
            let rounded = column.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even);
            cast(&(Arc::new(rounded) as ArrayRef), target)
        }
        // An overflow to infinity that Arrow lets pass.
        (DataType::Float64, DataType::Float32) => {
            let narrowed = cast(column, target)?;
            let (wide, narrow) = (column.as_primitive::<Float64Type>(), narrowed.as_primitive::<Float32Type>());
            let overflow = wide.iter().zip(narrow).find_map(|(wide, narrow)| match (wide, narrow) {
                (Some(wide), Some(narrow)) if wide.is_finite() && narrow.is_infinite() => Some(wide),
                _ => None,
            });
            match overflow {
                Some(value) => {
                    Err(Mismatch { message: format!("value {value} is out of range for type real"), sqlstate: "22003" })
                }
                None => Ok(narrowed),
            }
        }
        _ => cast(column, target),
    }
}

/// The rows that [`convert`] refuses, top down: halves are tried until a row is alone.
///
/// # Errors
/// Of a type that cannot become the target's, whatever the values are.
pub(super) fn mismatches(column: &ArrayRef, target: &DataType) -> Result<Vec<(usize, Mismatch)>, Mismatch> {
    let mut found = vec![];
    let mut halves = vec![(0, Arc::clone(column))];
    while let Some((first, part)) = halves.pop() {
        match convert(&part, target) {
            Ok(_) => {}
            Err(mismatch) if mismatch.sqlstate == NO_CAST => return Err(mismatch),
            Err(mismatch) if part.len() <= 1 => found.push((first, mismatch)),
            Err(_) => {
                let half = part.len() / 2;
                halves.push((first + half, part.slice(half, part.len() - half)));
                halves.push((first, part.slice(0, half)));
            }
        }
    }
    Ok(found)
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64)
}

fn cast(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, Mismatch> {
    if !can_cast_types(column.data_type(), target) {
        let to = type_name(target).unwrap_or_else(|| target.to_string());
        let message = format!("the file has type {}, which cannot become {to}", column.data_type());
        return Err(Mismatch { message, sqlstate: NO_CAST });
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, target, &options).map_err(|error| {
        let message = match error {
            ArrowError::CastError(message) | ArrowError::InvalidArgumentError(message) => message,
            ArrowError::ComputeError(message) | ArrowError::ArithmeticOverflow(message) => message,
            other => other.to_string(),
        };
        Mismatch { message, sqlstate: "22003" }
    })
}

fn parse(texts: &ArrayRef, target: &DataType) -> Result<ArrayRef, Mismatch> {
    let Some(name) = type_name(target) else { return cast(texts, target) };
    let values = texts.as_string_view();
    parse_column(target, values.iter().map(|text| text.map(Cow::Borrowed))).map_err(|RowError { row, error }| {
        let value = values.value(row);
        let value = &value[..value.floor_char_boundary(ERROR_VALUE_BYTES_MAX)];
        Mismatch { message: format!("{}: \"{value}\"", error.message(&name)), sqlstate: error.sqlstate() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};
    use datafusion::arrow::datatypes::{Decimal64Type, Int32Type, Int64Type};

    #[test]
    fn casts_round_and_never_wrap() {
        let decimals = Arc::new(
            Decimal128Array::from(vec![Some(250), Some(-250), Some(249), None])
                .with_precision_and_scale(20, 2)
                .unwrap(),
        ) as ArrayRef;
        let ints = convert(&decimals, &DataType::Int32).unwrap();
        assert_eq!(ints.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(3), Some(-3), Some(2), None]);
        let narrow = convert(&decimals, &DataType::Decimal64(5, 1)).unwrap();
        assert_eq!(narrow.as_primitive::<Decimal64Type>().values()[..3], [25, -25, 25]);
        assert_eq!(convert(&decimals, &DataType::Decimal64(2, 2)).unwrap_err().sqlstate, "22003");

        let floats = Arc::new(Float64Array::from(vec![2.5, 3.5, -2.5])) as ArrayRef;
        let ints = convert(&floats, &DataType::Int64).unwrap();
        assert_eq!(ints.as_primitive::<Int64Type>().values()[..], [2, 4, -2]);
        for bad in [1e30, f64::NAN] {
            let floats = Arc::new(Float64Array::from(vec![bad])) as ArrayRef;
            assert_eq!(convert(&floats, &DataType::Int64).unwrap_err().sqlstate, "22003");
        }
        let floats = Arc::new(Float64Array::from(vec![1e300])) as ArrayRef;
        assert_eq!(convert(&floats, &DataType::Float32).unwrap_err().sqlstate, "22003");

        let large = Arc::new(Int64Array::from(vec![1i64 << 31])) as ArrayRef;
        assert_eq!(convert(&large, &DataType::Int32).unwrap_err().sqlstate, "22003");

        let texts = Arc::new(StringArray::from(vec!["1994-02-30"])) as ArrayRef;
        assert_eq!(convert(&texts, &DataType::Date32).unwrap_err().sqlstate, "22008");
        assert_eq!(convert(&ints, &DataType::FixedSizeBinary(16)).unwrap_err().sqlstate, "42804");
    }

    #[test]
    fn rows_that_do_not_fit_are_found() {
        let values =
            Arc::new(Int64Array::from(vec![Some(1 << 40), Some(1), None, Some(-1 << 40), Some(2)])) as ArrayRef;
        let rows = |found: Vec<(usize, Mismatch)>| found.into_iter().map(|(row, _)| row).collect::<Vec<_>>();
        assert_eq!(rows(mismatches(&values, &DataType::Int32).unwrap()), [0, 3]);
        assert_eq!(rows(mismatches(&values.slice(4, 1), &DataType::Int32).unwrap()), [0; 0]);
        let texts = Arc::new(StringArray::from(vec!["1", "x", "y"])) as ArrayRef;
        assert_eq!(rows(mismatches(&texts, &DataType::Int16).unwrap()), [1, 2]);
        assert_eq!(mismatches(&values, &DataType::FixedSizeBinary(16)).unwrap_err().sqlstate, "42804");
    }
}
