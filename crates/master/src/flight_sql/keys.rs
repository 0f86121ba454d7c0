//! `GetPrimaryKeys`, and the foreign keys, of which there are none.

use super::listing::Listing;
use super::status::status;
use crate::error::{SqlResult, internal};
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetPrimaryKeys;
use std::sync::Arc;
use tonic::Status;

pub(super) fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The key's columns of one table, in order.
pub(super) async fn primary_keys(listing: &Listing, command: &CommandGetPrimaryKeys) -> SqlResult<RecordBatch> {
    let rows = listing
        .rows(
            "SELECT k.table_catalog, k.table_schema, k.table_name, k.column_name, k.constraint_name, k.ordinal_position \
             FROM information_schema.key_column_usage AS k JOIN information_schema.table_constraints AS c \
             ON k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.constraint_name = c.constraint_name \
             WHERE c.constraint_type = 'PRIMARY KEY' ORDER BY k.table_schema, k.table_name, k.ordinal_position",
        )
        .await?;
    let wanted = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|filter| filter == value);
    let mut columns: [Vec<String>; 5] = Default::default();
    let mut sequence = vec![];
    for row in rows {
        let [catalog, schema, table, _, _, position] = &row[..] else {
            return Err(internal("a listing lacks columns"));
        };
        if *table != command.table || !wanted(&command.catalog, catalog) || !wanted(&command.db_schema, schema) {
            continue;
        }
        sequence.push(position.parse::<i32>().map_err(internal)?);
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let mut arrays: Vec<ArrayRef> = columns.into_iter().map(|c| Arc::new(StringArray::from(c)) as ArrayRef).collect();
    arrays.push(Arc::new(Int32Array::from(sequence)));
    RecordBatch::try_new(primary_keys_schema(), arrays).map_err(internal)
}

/// Of exported and imported keys, and of cross references.
pub(super) fn foreign_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

pub(super) fn no_foreign_keys() -> Result<RecordBatch, Status> {
    Ok(RecordBatch::new_empty(foreign_keys_schema()))
}

/// A listing's failure as a status.
pub(super) fn listed(batch: SqlResult<RecordBatch>) -> Result<RecordBatch, Status> {
    batch.map_err(|e| status(&e))
}
