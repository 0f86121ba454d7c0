//! `power` and `exp` that raise where IEEE 754 has NaN, infinities and zero.

use super::function::{PlainFunction, over_arrays};
use crate::FunctionError;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Of numbers, as double precision; the operator `^` too.
pub fn power() -> ScalarUDF {
    PlainFunction {
        name: "power",
        coerce: |types| doubles("power", 2, types),
        returns: |_| Ok(DataType::Float64),
        run: |args| {
            over_arrays(args, |arrays| {
                let (bases, exponents) =
                    (arrays[0].as_primitive::<Float64Type>(), arrays[1].as_primitive::<Float64Type>());
                let results = (0..bases.len()).map(|row| {
                    if bases.is_null(row) || exponents.is_null(row) {
                        return Ok(None);
                    }
                    raise(bases.value(row), exponents.value(row)).map(Some)
                });
                let results: Result<Float64Array, FunctionError> = results.collect();
                Ok(Arc::new(results?) as ArrayRef)
            })
        },
    }
    .udf()
    .with_aliases(["pow"])
}

pub fn exp() -> ScalarUDF {
    PlainFunction {
        name: "exp",
        coerce: |types| doubles("exp", 1, types),
        returns: |_| Ok(DataType::Float64),
        run: |args| {
            over_arrays(args, |arrays| {
                let exponents = arrays[0].as_primitive::<Float64Type>();
                let results = exponents.iter().map(|value| value.map(|v| in_range(v.exp(), v, false)).transpose());
                let results: Result<Float64Array, FunctionError> = results.collect();
                Ok(Arc::new(results?) as ArrayRef)
            })
        },
    }
    .udf()
}

fn doubles(name: &str, count: usize, types: &[DataType]) -> Result<Vec<DataType>> {
    let number = |t: &DataType| t.is_numeric() || super::function::is_text(t);
    if types.len() != count || !types.iter().all(number) {
        return plan_err!("function {name}({types:?}) does not exist");
    }
    Ok(vec![DataType::Float64; count])
}

fn raise(base: f64, exponent: f64) -> Result<f64, FunctionError> {
    if base == 0.0 && exponent < 0.0 {
        return Err(FunctionError::invalid("2201F", "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(FunctionError::invalid("2201F", message));
    }
    if base.is_infinite() {
        return Ok(base.powf(exponent));
    }
    in_range(base.powf(exponent), exponent, base == 0.0)
}

/// A finite exponent must not give infinity, nor 0 unless the result `may_be_zero`.
fn in_range(result: f64, exponent: f64, may_be_zero: bool) -> Result<f64, FunctionError> {
    if exponent.is_infinite() || exponent.is_nan() {
        Ok(result)
    } else if result.is_infinite() {
        Err(FunctionError::invalid("22003", "value out of range: overflow"))
    } else if result == 0.0 && !may_be_zero {
        Err(FunctionError::invalid("22003", "value out of range: underflow"))
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        assert_eq!(raise(2.0, 10.0), Ok(1024.0));
        assert_eq!(raise(-2.0, 3.0), Ok(-8.0));
        assert_eq!(raise(0.0, 2.0), Ok(0.0));
        assert_eq!(raise(0.0, 0.0), Ok(1.0));
        assert_eq!(raise(f64::INFINITY, -1.0), Ok(0.0));
        assert_eq!(raise(0.5, f64::INFINITY), Ok(0.0));
        for (base, exponent, state) in
            [(0.0, -1.0, "2201F"), (-8.0, 0.5, "2201F"), (1e300, 2.0, "22003"), (1e-300, 2.0, "22003")]
        {
            assert_eq!(raise(base, exponent).unwrap_err().sqlstate(), state, "{base}^{exponent}");
        }
    }
}
