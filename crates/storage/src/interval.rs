//! `interval` in table files. Parquet has no type that holds PostgreSQL's months, days and nanoseconds, so a column is
//! stored as 16 fixed bytes: months (i32), days (i32), nanoseconds (i64), each little-endian.

use datafusion::arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, IntervalMonthDayNanoArray,
};
use datafusion::arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Schema, SchemaRef,
};
use datafusion::arrow::error::ArrowError;
use std::sync::Arc;

const STORED_BYTES: i32 = 16;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

fn is_interval(data_type: &DataType) -> bool {
    *data_type == INTERVAL
}

/// A table's schema as its files have it.
pub(crate) fn stored_schema(table: &SchemaRef) -> SchemaRef {
    if !table.fields().iter().any(|field| is_interval(field.data_type())) {
        return Arc::clone(table);
    }
    let stored = |field: &Arc<Field>| match is_interval(field.data_type()) {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::FixedSizeBinary(STORED_BYTES))),
        false => Arc::clone(field),
    };
    Arc::new(Schema::new(table.fields().iter().map(stored).collect::<Vec<_>>()))
}

/// Intervals to their stored form; any other array is handed back.
pub(crate) fn to_stored(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(intervals) = column.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return Ok(Arc::clone(column));
    };
    let mut out = FixedSizeBinaryBuilder::with_capacity(intervals.len(), STORED_BYTES);
    for interval in intervals {
        let Some(IntervalMonthDayNano { months, days, nanoseconds }) = interval else {
            out.append_null();
            continue;
        };
        let mut bytes = [0; STORED_BYTES as usize];
        bytes[..4].copy_from_slice(&months.to_le_bytes());
        bytes[4..8].copy_from_slice(&days.to_le_bytes());
        bytes[8..].copy_from_slice(&nanoseconds.to_le_bytes());
        out.append_value(bytes)?;
    }
    Ok(Arc::new(out.finish()))
}

/// Stored intervals, NULL where a value is not one.
pub(crate) fn from_stored(stored: &FixedSizeBinaryArray) -> IntervalMonthDayNanoArray {
    let interval = |bytes: &[u8]| {
        let (months, rest) = bytes.split_first_chunk::<4>()?;
        let (days, rest) = rest.split_first_chunk::<4>()?;
        let (nanoseconds, _) = rest.split_first_chunk::<8>()?;
        Some(IntervalMonthDayNano::new(
            i32::from_le_bytes(*months),
            i32::from_le_bytes(*days),
            i64::from_le_bytes(*nanoseconds),
        ))
    };
    stored.iter().map(|bytes| bytes.and_then(interval)).collect()
}
