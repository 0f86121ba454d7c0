//! NOT NULL, CHECK and the length of values: what each new row must be by itself.

use crate::StorageError;
use crate::limits::{DETAIL_VALUE_CHARS_MAX, VALUE_BYTES_MAX};
use crate::text::ColumnPrinter;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// A CHECK of a table.
#[derive(Clone, Debug)]
pub struct Check {
    pub constraint: String,
    /// Over the table's columns; Boolean.
    pub expression: Arc<dyn PhysicalExpr>,
}

/// # Errors
/// [`StorageError::NotNull`] for the first column of `schema` that may not be NULL, and is.
pub(super) fn check_nulls(relation: &str, schema: &SchemaRef, rows: &RecordBatch) -> Result<(), StorageError> {
    let fields = schema.fields();
    let is_null = |(field, column): &(&FieldRef, &ArrayRef)| !field.is_nullable() && column.null_count() > 0;
    let Some((field, column)) = fields.iter().zip(rows.columns()).find(is_null) else { return Ok(()) };
    let row = (0..column.len()).find(|&row| column.is_null(row)).unwrap_or(0);
    let row = row_text(rows.columns(), row);
    Err(StorageError::NotNull { relation: relation.into(), column: field.name().clone(), row })
}

/// # Errors
/// [`StorageError::ValueTooLong`] for the first column that has such a value.
pub(super) fn check_lengths(relation: &str, schema: &SchemaRef, rows: &RecordBatch) -> Result<(), StorageError> {
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        // Few batches are as large as one such value.
        if column.get_buffer_memory_size() > VALUE_BYTES_MAX
            && let Some(bytes) = longest(column)
            && bytes > VALUE_BYTES_MAX
        {
            return Err(StorageError::ValueTooLong { relation: relation.into(), column: field.name().clone(), bytes });
        }
    }
    Ok(())
}

/// Bytes of the longest value; None for a type whose values are short.
fn longest(column: &ArrayRef) -> Option<usize> {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().lengths().max().map(|bytes| bytes as usize),
        DataType::BinaryView => column.as_binary_view().lengths().max().map(|bytes| bytes as usize),
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().map(str::len).max(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().flatten().map(str::len).max(),
        DataType::Binary => column.as_binary::<i32>().iter().flatten().map(<[u8]>::len).max(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().flatten().map(<[u8]>::len).max(),
        _ => None,
    }
}

/// # Errors
/// [`StorageError::Check`] for the first check that is false of a row; NULL is not false. And what evaluating one raises.
pub(super) fn check_rows(relation: &str, checks: &[Check], rows: &RecordBatch) -> Result<()> {
    for check in checks {
        let holds = check.expression.evaluate(rows)?.into_array(rows.num_rows())?;
        let holds = holds.as_boolean();
        let is_false = |&row: &usize| holds.is_valid(row) && !holds.value(row);
        if let Some(row) = (0..holds.len()).find(is_false) {
            let (relation, constraint) = (relation.into(), check.constraint.clone());
            return Err(StorageError::Check { relation, constraint, row: row_text(rows.columns(), row) }.into());
        }
    }
    Ok(())
}

/// A row's values as PostgreSQL lists them in a detail: `1, null, abc`; long ones are cut.
pub(super) fn row_text(columns: &[ArrayRef], row: usize) -> String {
    let value = |column: &ArrayRef| {
        if column.is_null(row) {
            return "null".to_owned();
        }
        let mut bytes = vec![];
        if let Some(printer) = ColumnPrinter::new(column) {
            printer.print(row, &mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        match text.char_indices().nth(DETAIL_VALUE_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.into_owned(),
        }
    };
    columns.iter().map(value).collect::<Vec<_>>().join(", ")
}
