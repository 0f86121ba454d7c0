//! A result's columns as the protocol tells them.

use crate::sql::sql_type_name;
use damson_pg::PgType;
use damson_pg::backend::{Column, Messages};
use damson_pg::frontend::Formats;
use datafusion::arrow::datatypes::{DataType, Schema};

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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Field, TimeUnit};

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
}
