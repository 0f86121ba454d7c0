//! `generate_series` as an array, below `unnest`: 54000 for one that is longer than memory should hold, before it is made.

use crate::FunctionError;
use crate::calendar::MICROS_PER_DAY;
use crate::limits::SERIES_VALUES_MAX;
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// DataFusion's, which it replaces under the same name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Series {
    inner: Arc<ScalarUDF>,
}

impl Series {
    pub fn new(inner: Arc<ScalarUDF>) -> Self {
        Self { inner }
    }
}

impl ScalarUDFImpl for Series {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        if values(&arrays)? > SERIES_VALUES_MAX {
            let message = format!("generate_series would make more than {SERIES_VALUES_MAX} values at once");
            return Err(FunctionError::invalid("54000", message).into());
        }
        self.inner.invoke_with_args(args)
    }
}

/// Values of all rows together, at least as many as there will be; 0 for what the function refuses.
fn values(arrays: &[ArrayRef]) -> Result<i128> {
    let (start, stop, steps): (ArrayRef, ArrayRef, Option<Vec<i128>>) = match arrays {
        [start, stop] => (Arc::clone(start), Arc::clone(stop), None),
        [start, stop, step] => match step.data_type() {
            DataType::Int64 => {
                let steps = step.as_primitive::<Int64Type>().iter().map(|step| step.unwrap_or(0).into());
                (Arc::clone(start), Arc::clone(stop), Some(steps.collect()))
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let micros = |data_type: &DataType| match data_type {
                    DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                    other => other.clone(),
                };
                let steps = step.as_primitive::<IntervalMonthDayNanoType>().iter().map(|step| {
                    step.map_or(0, |step| {
                        // No month is shorter.
                        let days = i128::from(step.months) * 28 + i128::from(step.days);
                        days * i128::from(MICROS_PER_DAY) + i128::from(step.nanoseconds / 1000)
                    })
                });
                let (from, to) = (micros(start.data_type()), micros(stop.data_type()));
                (cast(start, &from)?, cast(stop, &to)?, Some(steps.collect()))
            }
            _ => return Ok(0),
        },
        _ => return Ok(0),
    };
    let numbers = |column: &ArrayRef| -> Option<Vec<Option<i64>>> {
        match column.data_type() {
            DataType::Int64 => Some(column.as_primitive::<Int64Type>().iter().collect()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Some(column.as_primitive::<TimestampMicrosecondType>().iter().collect())
            }
            _ => None,
        }
    };
    let (Some(start), Some(stop)) = (numbers(&start), numbers(&stop)) else { return Ok(0) };
    let of_row = |(row, (start, stop)): (usize, (&Option<i64>, &Option<i64>))| {
        let step = steps.as_ref().map_or(1, |steps| steps[row]);
        let (Some(start), Some(stop)) = (start, stop) else { return 0 };
        let distance = i128::from(*stop) - i128::from(*start);
        if step == 0 || (distance < 0) != (step < 0) { i128::from(distance == 0) } else { distance / step + 1 }
    };
    Ok(start.iter().zip(&stop).enumerate().map(of_row).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
    use arrow::datatypes::IntervalMonthDayNano;

    fn integers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn values_are_counted_before_they_are_made() {
        let (from, to) = (integers(&[Some(1), Some(5), None]), integers(&[Some(10), Some(1), Some(3)]));
        assert_eq!(values(&[Arc::clone(&from), Arc::clone(&to)]).unwrap(), 10);
        let steps = integers(&[Some(3), Some(-2), Some(1)]);
        assert_eq!(values(&[from, to, steps]).unwrap(), 4 + 3);
        let all = values(&[integers(&[Some(i64::MIN)]), integers(&[Some(i64::MAX)])]).unwrap();
        assert_eq!(all, 1 << 64);
        let at = |days: i64| Arc::new(TimestampMicrosecondArray::from(vec![days * MICROS_PER_DAY])) as ArrayRef;
        let month = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 0, 0)]);
        assert_eq!(values(&[at(0), at(280), Arc::new(month)]).unwrap(), 11);
    }
}
