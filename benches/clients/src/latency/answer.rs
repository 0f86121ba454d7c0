//! As much of an answer as tells whether it is right.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type};

/// Rows, and the sum of their first columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub rows: usize,
    pub total: i64,
}

impl Answer {
    pub fn add_row(&mut self, first: i64) {
        self.rows += 1;
        self.total += first;
    }

    /// # Errors
    /// A first column that is no number.
    pub fn add_batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let first = batch.columns().first().ok_or("a batch without columns")?;
        if !first.data_type().is_integer() {
            return Err(format!("a first column of type {}", first.data_type()));
        }
        let first = compute::cast(first, &DataType::Int64).map_err(|error| error.to_string())?;
        let first = first.as_primitive::<Int64Type>();
        self.rows += batch.num_rows();
        self.total += compute::sum(first).unwrap_or(0);
        Ok(())
    }
}
