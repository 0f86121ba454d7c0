//! `round`, `trunc`, `ceil`, `floor` with PostgreSQL's types: of numerics a numeric with the digits that are left, of floats a
//! float, of integers a double (with a number of places: a numeric).

use super::decimal_math::{checked, overflow, pow10, rescale};
use super::function::{PlainFunction, over_arrays};
use crate::limits::NUMERIC_DIGITS_MAX;
use crate::{FunctionError, NumericType};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int32Type};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Numerics half away from zero, floats half to even.
    Round,
    Trunc,
    Ceil,
    Floor,
}

pub fn round() -> ScalarUDF {
    PlainFunction {
        name: "round",
        coerce: |types| coerce("round", 2, types),
        returns: |args| returns(Mode::Round, args),
        run: |args| run(Mode::Round, args),
    }
    .udf()
}

pub fn trunc() -> ScalarUDF {
    PlainFunction {
        name: "trunc",
        coerce: |types| coerce("trunc", 2, types),
        returns: |args| returns(Mode::Trunc, args),
        run: |args| run(Mode::Trunc, args),
    }
    .udf()
}

pub fn ceil() -> ScalarUDF {
    PlainFunction {
        name: "ceil",
        coerce: |types| coerce("ceil", 1, types),
        returns: |args| returns(Mode::Ceil, args),
        run: |args| run(Mode::Ceil, args),
    }
    .udf()
    .with_aliases(["ceiling"])
}

pub fn floor() -> ScalarUDF {
    PlainFunction {
        name: "floor",
        coerce: |types| coerce("floor", 1, types),
        returns: |args| returns(Mode::Floor, args),
        run: |args| run(Mode::Floor, args),
    }
    .udf()
}

fn coerce(name: &str, arguments_max: usize, types: &[DataType]) -> Result<Vec<DataType>> {
    if types.is_empty() || types.len() > arguments_max {
        return plan_err!("function {name} does not take {} arguments", types.len());
    }
    let with_places = types.len() == 2;
    let value = match &types[0] {
        DataType::Float32 | DataType::Float64 | DataType::Decimal64(..) | DataType::Decimal128(..) => types[0].clone(),
        DataType::Decimal32(precision, scale) => DataType::Decimal64(*precision, *scale),
        integer if integer.is_integer() && with_places => match NumericType::of(integer) {
            Some(numeric) => numeric.narrowest(),
            None => return plan_err!("function {name}({integer}) does not exist"),
        },
        other if other.is_integer() || super::function::is_text(other) || *other == DataType::Float16 => {
            DataType::Float64
        }
        other => return plan_err!("function {name}({other}) does not exist"),
    };
    match types.get(1) {
        None => Ok(vec![value]),
        // A literal, which must stay one: the result's type depends on it.
        Some(places @ (DataType::Int32 | DataType::Int64)) => Ok(vec![value, places.clone()]),
        Some(places) if places.is_integer() || *places == DataType::Null => Ok(vec![value, DataType::Int32]),
        Some(other) => plan_err!("function {name}({value}, {other}) does not exist"),
    }
}

fn returns(mode: Mode, args: &ReturnFieldArgs) -> Result<DataType> {
    let value = args.arg_fields[0].data_type();
    let Some(numeric) = NumericType::of(value) else {
        return Ok(value.clone());
    };
    let places = match (args.arg_fields.len(), args.scalar_arguments.get(1).copied().flatten()) {
        (1, _) => Some(0),
        (_, Some(ScalarValue::Int32(Some(places)))) => Some(clamped(i64::from(*places))),
        (_, Some(ScalarValue::Int64(Some(places)))) => Some(clamped(*places)),
        _ => None,
    };
    let result = numeric.rounded(places, mode != Mode::Trunc);
    // Digits of 128 bits stay there: they may be more than their type says.
    Ok(if matches!(value, DataType::Decimal64(..)) { result.narrowest() } else { result.wide() })
}

/// A number of places beyond ±38 is one of ±38: no digits are there.
fn clamped(places: i64) -> i8 {
    let max = i64::from(NUMERIC_DIGITS_MAX);
    places.clamp(-max, max) as i8
}

fn run(mode: Mode, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let result = args.return_type().clone();
    over_arrays(args, |arrays| {
        let places = match arrays.get(1) {
            // Casting int8 gives NULL, not an error, for what is beyond int4.
            Some(places) => Some(cast(&clamp_places(places)?, &DataType::Int32)?),
            None => None,
        };
        let places = places.as_ref().map(|array| array.as_primitive::<Int32Type>());
        let at = |row: usize| places.map_or(0, |places| places.value(row) as i8);
        let is_null = |row: usize| places.is_some_and(|places| places.is_null(row));
        macro_rules! each {
            ($from:ty, $to:ty, $f:expr) => {{
                let array = arrays[0].as_primitive::<$from>();
                let values = (0..array.len()).map(|row| {
                    if array.is_null(row) || is_null(row) {
                        return Ok(None);
                    }
                    $f(array.value(row), at(row)).map(Some)
                });
                let values = values.collect::<Result<PrimitiveArray<$to>, FunctionError>>()?;
                Ok(Arc::new(values.with_data_type(result.clone())) as ArrayRef)
            }};
        }
        let with_places = places.is_some();
        let decimal = |value: i128, from: i8, to: i8, places: i8| round_decimal(mode, value, from, to, places);
        let narrow = |value: i128, to: i8| i64::try_from(value).map_err(|_| overflow(to));
        match (arrays[0].data_type(), &result) {
            (DataType::Decimal64(_, from), DataType::Decimal64(_, to)) => {
                each!(Decimal64Type, Decimal64Type, |value: i64, places| narrow(
                    decimal(value.into(), *from, *to, places)?,
                    *to
                ))
            }
            (DataType::Decimal64(_, from), DataType::Decimal128(_, to)) => {
                each!(Decimal64Type, Decimal128Type, |value: i64, places| decimal(value.into(), *from, *to, places))
            }
            (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
                each!(Decimal128Type, Decimal128Type, |value, places| decimal(value, *from, *to, places))
            }
            (DataType::Float32, _) => each!(Float32Type, Float32Type, |value: f32, places| Ok::<_, FunctionError>(
                round_float(mode, value.into(), with_places.then_some(places)) as f32
            )),
            (DataType::Float64, _) => each!(Float64Type, Float64Type, |value, places| Ok::<_, FunctionError>(
                round_float(mode, value, with_places.then_some(places))
            )),
            (from, to) => internal_err!("rounding {from} to {to}"),
        }
    })
}

/// Places as int4 between -38 and 38.
fn clamp_places(places: &ArrayRef) -> Result<ArrayRef> {
    let wide = cast(places, &DataType::Int64)?;
    let wide = wide.as_primitive::<arrow::datatypes::Int64Type>();
    Ok(Arc::new(wide.unary::<_, Int32Type>(|places| i32::from(clamped(places)))))
}

/// `value` of scale `from`, rounded to `places` digits after the point (before it, if negative), at scale `to`.
fn round_decimal(mode: Mode, value: i128, from: i8, to: i8, places: i8) -> Result<i128, FunctionError> {
    if places >= from {
        return rescale(value, from, to);
    }
    if mode == Mode::Round {
        return rescale(rescale(value, from, places)?, places, to);
    }
    let dropped = u32::from((i16::from(from) - i16::from(places)).unsigned_abs());
    let kept = if dropped > u32::from(NUMERIC_DIGITS_MAX) {
        // Only trunc has negative places.
        0
    } else {
        let unit = pow10(dropped);
        match mode {
            Mode::Floor => value.div_euclid(unit),
            Mode::Ceil => -(-value).div_euclid(unit),
            Mode::Trunc | Mode::Round => value / unit,
        }
    };
    checked(rescale(kept, places, to)?, to)
}

/// With places, which PostgreSQL does not have for floats: half away from zero.
fn round_float(mode: Mode, value: f64, places: Option<i8>) -> f64 {
    match (mode, places) {
        (Mode::Ceil, _) => value.ceil(),
        (Mode::Floor, _) => value.floor(),
        (Mode::Trunc, None) => value.trunc(),
        (Mode::Round, None) => value.round_ties_even(),
        (_, Some(places)) => {
            let power = 10f64.powi(places.into());
            let scaled = value * power;
            let rounded = if mode == Mode::Trunc { scaled.trunc() } else { scaled.round() };
            if scaled.is_finite() { rounded / power } else { value }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_both_signs() {
        for (mode, value, places, expected) in [
            (Mode::Round, 12_345, 1, 1235),
            (Mode::Round, -12_345, 1, -1235),
            (Mode::Trunc, -12_399, 1, -1239),
            (Mode::Round, 155, 0, 20),
            (Mode::Ceil, -199, 0, -10),
            (Mode::Ceil, 101, 0, 20),
            (Mode::Floor, -101, 0, -20),
            (Mode::Floor, 199, 0, 10),
            (Mode::Trunc, 99_900, -2, 9000),
            (Mode::Round, 99_900, -3, 10_000),
            (Mode::Round, 99_900, -38, 0),
            (Mode::Trunc, 99_900, -38, 0),
        ] {
            assert_eq!(round_decimal(mode, value, 2, 1, places), Ok(expected), "{value} to {places}");
        }
        assert_eq!(round_decimal(Mode::Round, 155, 2, 4, 4), Ok(15_500));
    }

    #[test]
    fn floats_half_to_even() {
        let rounded = [2.5, 3.5, -2.5, 0.5, -0.4].map(|value| round_float(Mode::Round, value, None));
        assert_eq!(rounded, [2.0, 4.0, -2.0, 0.0, -0.0]);
        assert_eq!(round_float(Mode::Round, 2.345, Some(1)), 2.3);
        assert_eq!(round_float(Mode::Round, 1e300, Some(38)), 1e300);
    }
}
