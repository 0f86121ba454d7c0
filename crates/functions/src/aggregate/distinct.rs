//! The values of a DISTINCT aggregate over numbers.

use super::summand::Summand;
use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::utils::format_state_name;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::sync::Arc;

/// What a DISTINCT aggregate makes of its values.
pub trait Fold: Debug + Send + Sync + 'static {
    fn fold(&self, values: impl Iterator<Item = i128>) -> Result<ScalarValue>;
}

/// Each value once, with the number of rows in the window that have it, so that a frame can slide.
///
/// State: one list of the values.
#[derive(Debug)]
pub struct Distinct<T: Summand, F> {
    rows: HashMap<T::Native, u64>,
    data_type: DataType,
    fold: F,
}

impl<T: Summand, F: Fold> Distinct<T, F> {
    pub fn new(data_type: DataType, fold: F) -> Self {
        Self { rows: HashMap::new(), data_type, fold }
    }

    pub fn state_field(name: &str, state: &str, data_type: &DataType) -> FieldRef {
        let item = Field::new_list_field(data_type.clone(), true);
        Field::new_list(format_state_name(name, state), item, false).into()
    }

    fn add(&mut self, values: &PrimitiveArray<T>) {
        for value in values.iter().flatten() {
            *self.rows.entry(value).or_default() += 1;
        }
    }
}

impl<T: Summand, F: Fold> Accumulator for Distinct<T, F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values[0].as_primitive());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            if let Entry::Occupied(mut entry) = self.rows.entry(value) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.add(list.as_primitive());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = PrimitiveArray::<T>::from_iter_values(self.rows.keys().copied());
        let values = Arc::new(values.with_data_type(self.data_type.clone()));
        Ok(vec![SingleRowListArrayBuilder::new(values).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.fold.fold(self.rows.keys().map(|&value| value.into()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * (size_of::<(T::Native, u64)>() + 1)
    }
}
