//! Which of a Parquet file's columns are the target's.

use crate::StorageError;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// The file's column for each target column: by name when the file has all the names, by position when it has none
/// of them and as many columns.
pub(super) fn match_columns(path: &str, file: &Schema, target: &Schema) -> Result<Vec<usize>, StorageError> {
    let by_name = |field: &Arc<Field>| {
        let fields = file.fields();
        let exact = fields.iter().position(|source| source.name() == field.name());
        exact.or_else(|| fields.iter().position(|source| source.name().eq_ignore_ascii_case(field.name())))
    };
    if let Some(positions) = target.fields().iter().map(by_name).collect() {
        return Ok(positions);
    }
    // Names that are only partly right say that positions are not.
    let knows_none = target.fields().iter().all(|field| by_name(field).is_none());
    if knows_none && file.fields().len() == target.fields().len() {
        return Ok((0..target.fields().len()).collect());
    }
    let missing = target.fields().iter().find(|field| by_name(field).is_none());
    let message = format!(
        "it has {} columns for {}, and none named \"{}\"",
        file.fields().len(),
        target.fields().len(),
        missing.map_or("", |field| field.name())
    );
    Err(StorageError::File { path: path.into(), message, sqlstate: "22P04" })
}

/// The same with texts and bytes as views, which are read without a copy.
pub(super) fn as_views(schema: &Schema) -> Schema {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary | DataType::LargeBinary => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView))
        }
        _ => Arc::clone(field),
    };
    Schema::new_with_metadata(schema.fields().iter().map(view).collect::<Vec<_>>(), schema.metadata().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_match_by_name_else_by_position() {
        let schema = |names: &[&str]| {
            Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>())
        };
        let target = schema(&["a", "b"]);
        assert_eq!(match_columns("f", &schema(&["B", "x", "a"]), &target).unwrap(), [2, 0]);
        assert_eq!(match_columns("f", &schema(&["x", "y"]), &target).unwrap(), [0, 1]);
        let error = match_columns("f", &schema(&["x", "a", "z"]), &target).unwrap_err();
        assert!(error.to_string().contains("none named \"b\""), "{error}");
    }
}
