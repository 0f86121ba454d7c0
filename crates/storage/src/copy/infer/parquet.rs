//! Columns of a Parquet file, by its footer.

use crate::StorageError;
use crate::copy::parquet::unreadable;
use crate::source::SourceFile;
use crate::text::type_name;
use damson_cluster::{CopyFile, SourceAccess};
use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use std::sync::Arc;

/// Names and types, in the file's order.
pub(super) async fn columns(file: &CopyFile, access: &SourceAccess) -> Result<Vec<(String, DataType)>, StorageError> {
    let mut source = SourceFile::open(file, access).await?;
    let metadata = ArrowReaderMetadata::load_async(&mut source, ArrowReaderOptions::new()).await;
    let metadata = metadata.map_err(|error| unreadable(&file.url, error))?;
    let column = |field: &Arc<Field>| match table_type(field.data_type()) {
        Some(data_type) => Ok((field.name().clone(), data_type)),
        None => Err(StorageError::Column {
            path: file.url.clone(),
            column: field.name().clone(),
            message: format!("type {} is not supported", field.data_type()),
            sqlstate: "0A000",
        }),
    };
    metadata.schema().fields().iter().map(column).collect()
}

/// The table's type that holds a file's values.
fn table_type(data_type: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match data_type {
        Int8 | UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        Utf8 | LargeUtf8 | Null => Utf8View,
        Binary | LargeBinary | FixedSizeBinary(_) => BinaryView,
        Date64 | Timestamp(_, None) => Timestamp(TimeUnit::Microsecond, None),
        Timestamp(_, Some(_)) => Timestamp(TimeUnit::Microsecond, Some(Arc::from(super::UTC))),
        Time32(_) | Time64(_) => Time64(TimeUnit::Microsecond),
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => {
            return match *precision {
                _ if *scale < 0 || *precision > DECIMAL128_MAX_PRECISION => None,
                narrow if narrow <= DECIMAL64_MAX_PRECISION => Some(Decimal64(narrow, *scale)),
                wide => Some(Decimal128(wide, *scale)),
            };
        }
        Dictionary(_, values) => return table_type(values),
        known if type_name(known).is_some() => known.clone(),
        other if can_cast_types(other, &Utf8View) => Utf8View,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_becomes_a_tables() {
        use DataType::*;
        let text = Box::new(Utf8);
        for (of_file, wanted) in [
            (Int32, Some(Int32)),
            (UInt64, Some(Decimal128(20, 0))),
            (Decimal128(10, 2), Some(Decimal64(10, 2))),
            (Decimal256(38, 2), Some(Decimal128(38, 2))),
            (Decimal256(50, 2), None),
            (Dictionary(Box::new(Int32), text), Some(Utf8View)),
            (Timestamp(TimeUnit::Nanosecond, None), Some(Timestamp(TimeUnit::Microsecond, None))),
            (
                Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                Some(Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))),
            ),
        ] {
            let found = table_type(&of_file);
            assert_eq!(found, wanted, "{of_file}");
            assert!(found.is_none_or(|found| type_name(&found).is_some()), "{of_file}");
        }
    }
}
