//! Both ends of a route must mean the same columns.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// The batch under the route's schema: the types must be equal; names, nullability and metadata may differ between the
/// two plans, and become the route's.
///
/// # Errors
/// A message that names the difference; NULLs in a column that has none.
pub(crate) fn conform(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    if Arc::ptr_eq(batch.schema_ref(), schema) || batch.schema_ref() == schema {
        return Ok(batch);
    }
    let (actual, expected) = (batch.schema(), schema);
    if actual.fields().len() != expected.fields().len() {
        return Err(format!("{} columns arrived, not {}", actual.fields().len(), expected.fields().len()));
    }
    for (actual, expected) in actual.fields().iter().zip(expected.fields()) {
        if actual.data_type() != expected.data_type() {
            let (name, is, wanted) = (expected.name(), actual.data_type(), expected.data_type());
            return Err(format!("column {name:?} arrived as {is}, not as {wanted}"));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|e| e.to_string())
}
