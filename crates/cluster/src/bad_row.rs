//! Rows that COPY could not read, as rows of a result.

use crate::{BadRow, ContentId};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The columns of what a COPY FROM with VALIDATE gives: as [`BadRow`], and the segment that read the row.
pub fn bad_row_schema() -> SchemaRef {
    let text = DataType::Utf8View;
    Arc::new(Schema::new(vec![
        Field::new("cmdtime", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("filename", text.clone(), false),
        Field::new("linenum", DataType::Int64, false),
        Field::new("bytenum", DataType::Int64, true),
        Field::new("errmsg", text.clone(), false),
        Field::new("rawdata", text.clone(), true),
        Field::new("colname", text.clone(), true),
        Field::new("sqlstate", text, false),
        Field::new("segment", DataType::Int32, false),
    ]))
}

/// `rows`, all of which `segment` read, as a batch of [`bad_row_schema`].
pub fn bad_row_batch(rows: &[BadRow], segment: ContentId) -> RecordBatch {
    // Lines and offsets are of files: 63 bits hold them.
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let times = rows.iter().map(|row| row.time_us);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| &row.file))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| number(row.line)))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.byte_offset.map(number)))),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| &row.message))),
        Arc::new(StringViewArray::from_iter(rows.iter().map(|row| row.raw.as_ref()))),
        Arc::new(StringViewArray::from_iter(rows.iter().map(|row| row.column.as_ref()))),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| &row.sqlstate))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| segment.0))),
    ];
    RecordBatch::try_new(bad_row_schema(), columns).expect("columns have the schema's types")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int32Type, Int64Type};

    #[test]
    fn bad_rows_are_a_batch() {
        let row = BadRow {
            time_us: 1,
            file: "/f".into(),
            line: 3,
            byte_offset: None,
            column: Some("a".into()),
            sqlstate: "22P02".into(),
            message: "invalid input syntax for type integer".into(),
            raw: Some("x,1".into()),
        };
        let batch = bad_row_batch(&[row], ContentId(2));
        assert_eq!(batch.column_by_name("linenum").unwrap().as_primitive::<Int64Type>().value(0), 3);
        assert!(batch.column_by_name("bytenum").unwrap().is_null(0));
        assert_eq!(batch.column_by_name("rawdata").unwrap().as_string_view().value(0), "x,1");
        assert_eq!(batch.column_by_name("segment").unwrap().as_primitive::<Int32Type>().value(0), 2);
        assert_eq!(bad_row_batch(&[], ContentId(0)).num_rows(), 0);
    }
}
