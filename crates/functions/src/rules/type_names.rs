//! PostgreSQL's names of types.

use arrow::datatypes::DataType;

/// What `pg_typeof` shows. Of texts only that they are texts is known.
pub fn name_of_type(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "unknown",
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 | DataType::UInt64 => "bigint",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        decimal if decimal.is_decimal() => "numeric",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        bytes if bytes.is_binary() => "bytea",
        DataType::FixedSizeBinary(_) => "bytea",
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return format!("{}[]", name_of_type(item.data_type()));
        }
        DataType::Struct(_) => "record",
        _ => "text",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, TimeUnit};
    use std::sync::Arc;

    #[test]
    fn names() {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
        for (data_type, name) in [
            (DataType::Decimal64(18, 2), "numeric"),
            (DataType::Utf8View, "text"),
            (DataType::BinaryView, "bytea"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), "timestamp with time zone"),
            (list, "integer[]"),
        ] {
            assert_eq!(name_of_type(&data_type), name);
        }
    }
}
