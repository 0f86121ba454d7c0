//! What the binary kernels share: arrays or constants on either side, null rules, and loops that the compiler can
//! unroll.
//!
//! A kernel first runs over all the slots, also those under a null, without branches, and collects in one flag whether
//! any of them went wrong. Only then (an overflow, or rubbish under a null) it runs again, value by value.

use crate::FunctionError;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use std::sync::Arc;

/// One side of a binary kernel.
pub struct Operand {
    pub array: ArrayRef,
    /// `array` has one value, which stands for all the rows.
    constant: bool,
}

impl Operand {
    pub fn data_type(&self) -> &DataType {
        self.array.data_type()
    }

    /// The same operand with other values in it.
    pub fn widened(&self, array: &ArrayRef) -> Self {
        Self { array: Arc::clone(array), constant: self.constant }
    }

    /// # Panics
    /// When the array is not of type `T`: the callers have matched on the type.
    pub fn side<T: ArrowPrimitiveType>(&self) -> Side<'_, T::Native> {
        let values = self.array.as_primitive::<T>().values();
        if self.constant { Side::Constant(values[0]) } else { Side::Values(values) }
    }
}

#[derive(Clone, Copy)]
pub enum Side<'a, N> {
    Values(&'a [N]),
    Constant(N),
}

impl<N: Copy> Side<'_, N> {
    fn at(&self, row: usize) -> N {
        match self {
            Side::Values(values) => values[row],
            Side::Constant(value) => *value,
        }
    }
}

/// Rows and nulls of a kernel's result: NULL where either side is.
pub struct Shape {
    pub rows: usize,
    pub nulls: Option<NullBuffer>,
    /// Rows that must not raise an error, because nobody looks at their result, are false in it.
    guard: Option<BooleanArray>,
}

impl Shape {
    /// Whether `row` may raise an error.
    fn counts(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
            && self.guard.as_ref().is_none_or(|guard| guard.is_valid(row) && guard.value(row))
    }
}

/// Evaluates a strict function of two arguments: NULL constants and pairs of constants are handled here, `kernel` sees
/// the rest. A third argument, a boolean, is the guard that [`crate::guard_plan`] may add.
pub fn binary(
    args: &ScalarFunctionArgs,
    kernel: impl FnOnce(&Operand, &Operand, Shape) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let (left, right, guard) = match args.args.as_slice() {
        [left, right] => (left, right, None),
        [left, right, guard] => (left, right, Some(guard.to_array(args.number_rows)?.as_boolean().clone())),
        other => return internal_err!("two or three arguments expected, not {}", other.len()),
    };
    if is_null(left) || is_null(right) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(args.return_type())?));
    }
    let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))) && guard.is_none();
    let rows = if constant { 1 } else { args.number_rows };
    let (left, right) = (operand(left)?, operand(right)?);
    let nulls = |side: &Operand| if side.constant { None } else { side.array.nulls().cloned() };
    let shape = Shape { rows, nulls: NullBuffer::union(nulls(&left).as_ref(), nulls(&right).as_ref()), guard };
    let array = kernel(&left, &right, shape)?;
    Ok(if constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
    } else {
        ColumnarValue::Array(array)
    })
}

/// Evaluates a strict function of one argument.
pub fn unary(args: &ScalarFunctionArgs, kernel: impl FnOnce(&ArrayRef) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    match args.args.first() {
        Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(kernel(array)?)),
        Some(ColumnarValue::Scalar(value)) if value.is_null() => {
            Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(args.return_type())?))
        }
        Some(ColumnarValue::Scalar(value)) => {
            let array = kernel(&value.to_array_of_size(1)?)?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
        }
        None => internal_err!("one argument expected, not none"),
    }
}

fn is_null(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(value) if value.is_null())
}

fn operand(value: &ColumnarValue) -> Result<Operand> {
    Ok(match value {
        ColumnarValue::Array(array) => Operand { array: Arc::clone(array), constant: false },
        ColumnarValue::Scalar(value) => Operand { array: value.to_array_of_size(1)?, constant: true },
    })
}

/// `f` of each pair, nulls or not.
pub fn zip<L: Copy, R: Copy, O>(l: Side<L>, r: Side<R>, rows: usize, mut f: impl FnMut(L, R) -> O) -> Vec<O> {
    match (l, r) {
        (Side::Values(l), Side::Values(r)) => l.iter().zip(r).map(|(&l, &r)| f(l, r)).collect(),
        (Side::Values(l), Side::Constant(r)) => l.iter().map(|&l| f(l, r)).collect(),
        (Side::Constant(l), Side::Values(r)) => r.iter().map(|&r| f(l, r)).collect(),
        (Side::Constant(l), Side::Constant(r)) => (0..rows).map(|_| f(l, r)).collect(),
    }
}

/// `f` of each pair that counts; stops at the first error.
pub fn try_zip<L: Copy, R: Copy, O: Copy + Default>(
    l: Side<L>,
    r: Side<R>,
    shape: &Shape,
    mut f: impl FnMut(L, R) -> Result<O, FunctionError>,
) -> Result<Vec<O>, FunctionError> {
    (0..shape.rows).map(|row| if shape.counts(row) { f(l.at(row), r.at(row)) } else { Ok(O::default()) }).collect()
}

/// `f` of each value that is not null; stops at the first error.
pub fn try_map<T: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    f: impl Fn(T::Native) -> Result<O::Native, FunctionError>,
) -> Result<PrimitiveArray<O>, FunctionError> {
    values.try_unary::<_, O, FunctionError>(f)
}

/// An array of `values` with the nulls of `shape` and, for decimals, the precision and scale of `data_type`.
pub fn finish<T: ArrowPrimitiveType>(values: Vec<T::Native>, shape: Shape, data_type: &DataType) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), shape.nulls).with_data_type(data_type.clone()))
}
