//! Units that need not be read, because of the values that their files' directories give.

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use std::collections::HashSet;
use std::sync::Arc;

/// One file's values.
pub(super) struct GivenValues<'a> {
    pub schema: &'a Schema,
    /// By column of the schema; None is the file's own.
    pub given: &'a [Option<ScalarValue>],
}

impl GivenValues<'_> {
    fn value(&self, column: &Column) -> Option<&ScalarValue> {
        self.given[self.schema.index_of(column.name()).ok()?].as_ref()
    }
}

impl PruningStatistics for GivenValues<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.value(column)?.to_array().ok()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.value(column)?.to_array().ok()
    }

    fn num_containers(&self) -> usize {
        1
    }

    /// Of a container of one row.
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let value = self.value(column)?;
        Some(Arc::new(UInt64Array::from(vec![u64::from(value.is_null())])))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![1])))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
