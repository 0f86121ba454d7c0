//! Types as clients get them: those that every client knows.

use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::sql_type_name;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal64Type, Field, FieldRef, Fields, Schema, SchemaRef};
use damson_interconnect::plain;
use std::collections::HashMap;
use std::sync::Arc;

/// Field metadata that JDBC shows as the column's type.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
/// Digits of a numeric, and those after the point.
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";

/// The type that leaves: numerics of 128 bits, plain text and bytes, no encodings.
pub(super) fn client_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128((*precision).min(DECIMAL128_MAX_PRECISION), *scale)
        }
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => client_type(value),
        DataType::RunEndEncoded(_, value) => client_type(value.data_type()),
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

fn inner(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(client_type(field.data_type())))
}

/// A column as it leaves, named `name`, of PostgreSQL's type `type_name`.
pub(super) fn client_field(name: &str, data_type: &DataType, nullable: bool, type_name: String) -> Field {
    let data_type = client_type(data_type);
    let mut metadata = HashMap::from([(TYPE_NAME.to_owned(), type_name)]);
    if let DataType::Decimal128(precision, scale) = &data_type {
        metadata.insert(PRECISION.to_owned(), precision.to_string());
        metadata.insert(SCALE.to_owned(), scale.to_string());
    }
    Field::new(name, data_type, nullable).with_metadata(metadata)
}

/// PostgreSQL's name of a type, without modifiers: those are in the Arrow type.
pub(super) fn type_name(data_type: &DataType) -> String {
    let name = sql_type_name(data_type);
    match name.split_once('(') {
        Some((plain, _)) => plain.to_owned(),
        None => name,
    }
}

/// A result's columns as they leave.
pub(super) fn client_schema(schema: &Schema) -> SchemaRef {
    let field = |f: &FieldRef| client_field(f.name(), f.data_type(), f.is_nullable(), type_name(f.data_type()));
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// A batch with the columns that the client was promised.
///
/// # Errors
/// 0A000 if a column has another type by now: the table was changed since the statement was prepared.
pub(super) fn client_batch(batch: &RecordBatch, schema: &SchemaRef) -> SqlResult<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(changed());
    }
    let convert = |(column, field): (&ArrayRef, &FieldRef)| {
        if column.data_type() == field.data_type() {
            Ok(Arc::clone(column))
        } else if client_type(column.data_type()) == *field.data_type() {
            if let Some(narrow) = column.as_primitive_opt::<Decimal64Type>() {
                // Of as many digits as before: there is nothing to check.
                let wide: Decimal128Array = narrow.unary(i128::from);
                return Ok(Arc::new(wide.with_data_type(field.data_type().clone())) as ArrayRef);
            }
            let column = plain(column).map_err(internal)?;
            // Numerics, encodings, and what is nested.
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            cast(&column, field.data_type()).map_err(internal)
        } else {
            Err(changed())
        }
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(convert).collect::<SqlResult<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)
}

fn changed() -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type")
        .with_hint("prepare the statement again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal64Array, StringViewArray};
    use arrow::datatypes::Decimal128Type;

    fn batch() -> RecordBatch {
        let money = Decimal64Array::from(vec![Some(-150), None]).with_precision_and_scale(15, 2).unwrap();
        let text = StringViewArray::from(vec!["a", "a text longer than twelve bytes"]);
        let schema = Schema::new(vec![
            Field::new("m", DataType::Decimal64(15, 2), true),
            Field::new("t", DataType::Utf8View, false),
        ]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(money) as ArrayRef, Arc::new(text)]).unwrap()
    }

    #[test]
    fn columns_become_what_clients_know() {
        let batch = batch();
        let schema = client_schema(&batch.schema());
        assert_eq!(schema.field(0).data_type(), &DataType::Decimal128(15, 2));
        let metadata = schema.field(0).metadata();
        assert_eq!([TYPE_NAME, PRECISION, SCALE].map(|key| metadata[key].as_str()), ["numeric", "15", "2"]);
        assert!(!schema.field(1).metadata().contains_key(PRECISION));
        assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
        assert!(schema.field(0).is_nullable() && !schema.field(1).is_nullable());
        let sent = client_batch(&batch, &schema).unwrap();
        assert_eq!(sent.column(0).as_primitive::<Decimal128Type>().value(0), -150);
        assert!(sent.column(0).is_null(1));
        assert_eq!(sent.column(1).as_string::<i32>().value(1), "a text longer than twelve bytes");
    }

    #[test]
    fn nested_types_are_converted_too() {
        let list = DataType::new_list(DataType::Utf8View, true);
        assert_eq!(client_type(&list), DataType::new_list(DataType::Utf8, true));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        assert_eq!(client_type(&dictionary), DataType::Utf8);
    }

    #[test]
    fn a_result_that_changed_is_refused() {
        let batch = batch();
        let promised =
            Schema::new(vec![Field::new("m", DataType::Int32, true), Field::new("t", DataType::Utf8, false)]);
        let error = client_batch(&batch, &Arc::new(promised)).unwrap_err();
        assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED);
        let error = client_batch(&batch, &Arc::new(Schema::empty())).unwrap_err();
        assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED);
    }
}
