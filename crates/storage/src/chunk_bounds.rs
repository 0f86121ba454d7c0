//! The smallest and the largest value of each chunk of a cached column.

use crate::limits::CHUNK_ROWS;
use datafusion::arrow::array::{Array, ArrayRef, ArrowNumericType, AsArray, PrimitiveArray, UInt64Array};
use datafusion::arrow::compute::{max, min};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;

/// One value a chunk, NULL where a chunk has none. Of columns that are looked up or ranged over; found out when a filter first asks.
///
/// # Memory
/// A few bytes a chunk, of [`CHUNK_ROWS`] rows.
#[derive(Debug)]
pub(crate) struct ChunkBounds {
    pub min: ArrayRef,
    pub max: ArrayRef,
    pub nulls: UInt64Array,
    pub rows: UInt64Array,
}

const _: () = assert!(CHUNK_ROWS >= 1024, "bounds are next to nothing beside a chunk");

impl ChunkBounds {
    /// None for a type whose bounds are not worth it: texts are long, and a NaN is in no bound.
    pub(crate) fn of(chunks: &[ArrayRef]) -> Option<Self> {
        match chunks.first()?.data_type() {
            DataType::Int16 => Some(bounds::<Int16Type>(chunks)),
            DataType::Int32 => Some(bounds::<Int32Type>(chunks)),
            DataType::Int64 => Some(bounds::<Int64Type>(chunks)),
            DataType::Date32 => Some(bounds::<Date32Type>(chunks)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some(bounds::<TimestampMicrosecondType>(chunks)),
            _ => None,
        }
    }
}

/// `chunks` are of one type, which is `T`'s but for its time zone.
fn bounds<T: ArrowNumericType>(chunks: &[ArrayRef]) -> ChunkBounds {
    let data_type = chunks[0].data_type();
    let of_each = |bound: fn(&PrimitiveArray<T>) -> Option<T::Native>| -> ArrayRef {
        let values: PrimitiveArray<T> = chunks.iter().map(|chunk| bound(chunk.as_primitive::<T>())).collect();
        Arc::new(values.with_data_type(data_type.clone()))
    };
    ChunkBounds {
        min: of_each(min),
        max: of_each(max),
        nulls: chunks.iter().map(|chunk| Some(chunk.null_count() as u64)).collect(),
        rows: chunks.iter().map(|chunk| Some(chunk.len() as u64)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, StringViewArray, TimestampMicrosecondArray};

    #[test]
    fn each_chunk_has_bounds() {
        let chunk = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let chunks = [chunk(vec![Some(3), None, Some(-1)]), chunk(vec![None]), chunk(vec![]), chunk(vec![Some(7)])];
        let bounds = ChunkBounds::of(&chunks).unwrap();
        assert_eq!(bounds.min.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(-1), None, None, Some(7)]));
        assert_eq!(bounds.max.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(3), None, None, Some(7)]));
        assert_eq!(
            (bounds.nulls.values().to_vec(), bounds.rows.values().to_vec()),
            (vec![1, 1, 0, 0], vec![3, 1, 0, 1])
        );
    }

    #[test]
    fn bounds_have_their_columns_type() {
        let times = TimestampMicrosecondArray::from(vec![5, 6]).with_timezone("UTC");
        let data_type = times.data_type().clone();
        let bounds = ChunkBounds::of(&[Arc::new(times)]).unwrap();
        assert_eq!((bounds.min.data_type(), bounds.max.data_type()), (&data_type, &data_type));
        assert!(ChunkBounds::of(&[Arc::new(StringViewArray::from(vec!["a"]))]).is_none());
        assert!(ChunkBounds::of(&[]).is_none());
    }
}
