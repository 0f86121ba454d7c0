//! A result's columns as the protocol tells them.

use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::sql::sql_type_name;
use damson_pg::PgType;
use damson_pg::backend::{Column, Messages};
use damson_pg::frontend::Formats;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use std::sync::Arc;

const TEXT: PgType = PgType { oid: 25, bytes: -1, modifier: -1 };

/// What clients are told of a type. Of records, which nobody asks for in binary, and of lists of lists they get the text.
pub(super) fn pg_type(data_type: &DataType) -> PgType {
    match data_type {
        DataType::Null | DataType::Struct(_) | DataType::Union(..) | DataType::Map(..) => TEXT,
        DataType::Dictionary(_, value) => pg_type(value),
        DataType::RunEndEncoded(_, value) => pg_type(value.data_type()),
        data_type => PgType::of_name(&sql_type_name(data_type)).unwrap_or(TEXT),
    }
}

/// RowDescription.
pub(super) fn describe(schema: &Schema, formats: &Formats, out: &mut Messages) {
    let columns = schema.fields().iter().enumerate().map(|(at, field)| Column {
        name: field.name(),
        pg_type: pg_type(field.data_type()),
        format: formats.of(at),
    });
    out.row_description(columns);
}

/// Whether rows of one schema are what a client expects who was told another.
pub(super) fn is_same(told: &Schema, given: &Schema) -> bool {
    let oid = |data_type: &DataType| pg_type(data_type).oid;
    told.fields().len() == given.fields().len()
        && told.fields().iter().zip(given.fields()).all(|(a, b)| oid(a.data_type()) == oid(b.data_type()))
}

/// The columns of rows as a client was told of them, where integers have another length: a parameter's value has its length as a literal
/// has, but the client was told before there was one. None where nothing is to be changed, or more than that.
pub(super) fn as_told(told: &Schema, given: &Schema) -> Option<SchemaRef> {
    if is_same(told, given) || told.fields().len() != given.fields().len() {
        return None;
    }
    let fields = told.fields().iter().zip(given.fields()).map(|(told, given)| {
        let (wanted, found) = (told.data_type(), given.data_type());
        if pg_type(wanted).oid == pg_type(found).oid {
            return Some(Arc::clone(given));
        }
        let are_integers = wanted.is_signed_integer() && found.is_signed_integer();
        are_integers.then(|| Arc::new(given.as_ref().clone().with_data_type(wanted.clone())))
    });
    Some(Arc::new(Schema::new(fields.collect::<Option<Vec<_>>>()?)))
}

/// Rows with integers of the lengths of `schema`.
///
/// # Errors
/// 22003 for an integer that is too long.
pub(super) fn cast_integers(rows: &RecordBatch, schema: &SchemaRef) -> SqlResult<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| {
        let too_long = |_| {
            let message = format!("{} out of range", sql_type_name(field.data_type()));
            SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, message)
        };
        cast_with_options(column, field.data_type(), &options).map_err(too_long)
    });
    let columns = columns.collect::<SqlResult<Vec<_>>>()?;
    // A result without columns has rows all the same.
    let count = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &count)
        .map_err(|error| of_datafusion(DataFusionError::ArrowError(Box::new(error), None)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
    use datafusion::arrow::datatypes::{Field, Int32Type, Int64Type, TimeUnit};

    #[test]
    fn types_have_oids() {
        let list = |item: DataType| DataType::new_list(item, true);
        for (data_type, oid) in [
            (DataType::Boolean, 16),
            (DataType::Utf8View, 25),
            (DataType::Decimal64(15, 2), 1700),
            (DataType::UInt64, 1700),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), 1184),
            (list(DataType::Int32), 1007),
            (list(list(DataType::Int32)), 25),
            (DataType::Null, 25),
        ] {
            assert_eq!(pg_type(&data_type).oid, oid, "{data_type}");
        }
        assert_eq!(pg_type(&DataType::Decimal64(15, 2)).modifier, 983_046);
    }

    #[test]
    fn another_modifier_is_the_same_column() {
        let schema = |data_type| Schema::new(vec![Field::new("x", data_type, true)]);
        let told = schema(DataType::Decimal128(38, 10));
        assert!(is_same(&told, &schema(DataType::Decimal64(3, 1))));
        assert!(!is_same(&told, &schema(DataType::Int64)));
        assert!(!is_same(&told, &Schema::empty()));
    }

    #[test]
    fn integers_have_the_length_that_was_told() {
        let schema = |number: DataType, word: DataType| {
            Schema::new(vec![Field::new("n", number, true), Field::new("w", word, true)])
        };
        let given = Arc::new(schema(DataType::Int32, DataType::Utf8));
        let told = schema(DataType::Int64, DataType::Utf8View);
        let changed = as_told(&told, &given).expect("an integer is longer");
        assert_eq!(*changed, schema(DataType::Int64, DataType::Utf8));
        let words = Arc::new(StringArray::from(vec![Some("a"), None]));
        let numbers = Arc::new(Int32Array::from(vec![Some(-7), None]));
        let rows = RecordBatch::try_new(Arc::clone(&given), vec![numbers, words.clone()]).unwrap();
        let cast = cast_integers(&rows, &changed).unwrap();
        assert_eq!(cast.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(-7), None]));

        let long = Arc::new(schema(DataType::Int64, DataType::Utf8));
        let short = as_told(&schema(DataType::Int32, DataType::Utf8), &long).expect("an integer is shorter");
        let rows = |number: i64| {
            let numbers = Arc::new(Int64Array::from(vec![number, 1]));
            RecordBatch::try_new(Arc::clone(&long), vec![numbers, words.clone()]).unwrap()
        };
        assert_eq!(cast_integers(&rows(5), &short).unwrap().column(0).as_primitive::<Int32Type>().value(0), 5);
        assert_eq!(cast_integers(&rows(1 << 40), &short).unwrap_err().state, SqlState::NUMERIC_OUT_OF_RANGE);

        assert!(as_told(&told, &told).is_none());
        assert!(as_told(&schema(DataType::Float64, DataType::Utf8), &given).is_none());
        assert!(as_told(&Schema::empty(), &given).is_none());
    }
}
