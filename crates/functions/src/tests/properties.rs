//! The numeric kernels against arithmetic in 128 bits, over both widths, constants and nulls.

use crate::register::scalar;
use arrow::array::{Array, ArrayRef, AsArray, Decimal64Array, Decimal128Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};
use proptest::prelude::*;
use std::sync::Arc;

type Column = Vec<Option<i64>>;

/// Unscaled results at their scale, all in 128 bits.
fn call(name: &str, left: ColumnarValue, right: ColumnarValue, rows: usize) -> Result<(Vec<Option<i128>>, i8)> {
    let function = scalar(name);
    let fields = [&left, &right].map(|value| Arc::new(Field::new("x", value.data_type(), true)));
    let return_field =
        function.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &[None, None] })?;
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: vec![left, right],
        arg_fields: fields.to_vec(),
        number_rows: rows,
        return_field: Arc::clone(&return_field),
        config_options: Arc::new(ConfigOptions::new()),
    })?;
    let array = result.to_array(rows)?;
    assert_eq!(array.data_type(), return_field.data_type());
    let (precision, scale) = match return_field.data_type() {
        DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => (*p, *s),
        other => panic!("{other}"),
    };
    let wide = cast(&array, &DataType::Decimal128(precision, scale))?;
    Ok((wide.as_primitive::<Decimal128Type>().iter().collect(), scale))
}

/// A column in 64 or 128 bits, or its first value as a constant.
fn value(column: &Column, wide: bool, constant: bool, scale: i8) -> ColumnarValue {
    let array: ArrayRef = if wide {
        let values = column.iter().map(|value| value.map(i128::from)).collect::<Vec<_>>();
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(25, scale).unwrap())
    } else {
        Arc::new(Decimal64Array::from(column.clone()).with_precision_and_scale(14, scale).unwrap())
    };
    if constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0).unwrap())
    } else {
        ColumnarValue::Array(array)
    }
}

fn columns() -> impl Strategy<Value = (Column, Column)> {
    let number =
        || proptest::option::weighted(0.9, prop_oneof![-99_999_999_999_999i64..=99_999_999_999_999, -20i64..20]);
    proptest::collection::vec((number(), number()), 1..12).prop_map(|rows| rows.into_iter().unzip())
}

proptest! {
    #[test]
    fn kernels_agree(
        (left, right) in columns(),
        (s1, s2) in (0i8..6, 0i8..6),
        wide in any::<(bool, bool)>(),
        constant in any::<(bool, bool)>(),
    ) {
        let rows = left.len();
        let arguments = || (value(&left, wide.0, constant.0, s1), value(&right, wide.1, constant.1, s2));
        let pairs: Vec<_> = (0..rows)
            .map(|row| {
                let l = if constant.0 { left[0] } else { left[row] };
                let r = if constant.1 { right[0] } else { right[row] };
                l.zip(r).map(|(l, r)| (i128::from(l), i128::from(r)))
            })
            .collect();
        let scale = s1.max(s2);
        let up = |value: i128, from: i8| value * 10i128.pow((scale - from) as u32);
        for (name, expected_scale, f) in [
            ("numeric_add", scale, (&|l, r| up(l, s1) + up(r, s2)) as &dyn Fn(i128, i128) -> i128),
            ("numeric_sub", scale, &|l, r| up(l, s1) - up(r, s2)),
            ("numeric_mul", s1 + s2, &|l, r| l * r),
        ] {
            let (l, r) = arguments();
            let (actual, actual_scale) = call(name, l, r, rows).unwrap();
            let expected: Vec<_> = pairs.iter().map(|pair| pair.map(|(l, r)| f(l, r))).collect();
            prop_assert_eq!(actual_scale, expected_scale, "{}", name);
            prop_assert_eq!(actual, expected, "{}", name);
        }
        let (l, r) = arguments();
        let remainders = call("numeric_mod", l, r, rows);
        let (l, r) = arguments();
        let quotients = call("numeric_div", l, r, rows);
        if pairs.iter().flatten().any(|(_, r)| *r == 0) {
            prop_assert!(remainders.is_err() && quotients.is_err());
        } else {
            let expected: Vec<_> = pairs.iter().map(|pair| pair.map(|(l, r)| up(l, s1) % up(r, s2))).collect();
            prop_assert_eq!(remainders.unwrap(), (expected, scale));
            let (quotients, scale) = quotients.unwrap();
            for (pair, quotient) in pairs.iter().zip(quotients) {
                prop_assert_eq!(pair.is_some(), quotient.is_some());
                if let (Some((l, r)), Some(quotient)) = (pair, quotient) {
                    // |l / r - quotient| is at most half a unit of the last place.
                    let exact = *l as f64 / 10f64.powi(s1.into()) / (*r as f64 / 10f64.powi(s2.into()));
                    let actual = quotient as f64 / 10f64.powi(scale.into());
                    prop_assert!((exact - actual).abs() <= exact.abs() * 1e-14 + 1e-16, "{} / {} = {}", l, r, actual);
                }
            }
        }
    }
}
