//! Chunks that own their memory. A decoded array can be a few views into a page of a megabyte that many arrays share, or
//! lie in a buffer with room to spare: kept in the cache, it would hold what nobody counted, and every operator that
//! counts an array's buffers would count that page again for each batch.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, UInt32Array, new_null_array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{ByteViewType, DataType};
use datafusion::arrow::error::ArrowError;
use std::sync::Arc;

/// The same values in buffers of their own that are as large as they must be. A text or bytea value that comes often from
/// a dictionary is stored once, where that is easily seen.
pub(crate) fn compact(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let mut own = match array.data_type() {
        DataType::Utf8View => compact_views(array.as_string_view())?,
        DataType::BinaryView => compact_views(array.as_binary_view())?,
        _ => None,
    }
    .unwrap_or_else(|| array.clone());
    // Only the last holder of a buffer can give back what is too much of it.
    drop(array);
    own.shrink_to_fit();
    Ok(own)
}

/// None: there is nothing outside of the views.
fn compact_views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Result<Option<ArrayRef>, ArrowError> {
    if array.data_buffers().is_empty() {
        return Ok(None);
    }
    if array.null_count() == array.len() {
        return Ok(Some(new_null_array(array.data_type(), array.len())));
    }
    let outside = array.total_buffer_bytes_used() > 0;
    let Some(Distinct { first_rows, value_of_row }) = outside.then(|| distinct(array)).flatten() else {
        return Ok(Some(Arc::new(array.gc())));
    };
    let values = take(array, &UInt32Array::from(first_rows), None)?;
    let values: ArrayRef = Arc::new(values.as_byte_view::<T>().gc());
    take(&values, &UInt32Array::new(value_of_row.into(), array.nulls().cloned()), None).map(Some)
}

/// Which rows have equal views.
struct Distinct {
    /// For each value the row where it comes first.
    first_rows: Vec<u32>,
    /// For each row its value; anything for NULL.
    value_of_row: Vec<u32>,
}

/// Slots of the table that finds equal views: a power of two; a dictionary with more values is not seen as one.
const SLOTS_LOG2: u32 = 11;

/// None where too few rows have equal views. Values that a slot forgot are taken for new ones: equal views may come
/// twice, different ones are never mixed up.
fn distinct<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Option<Distinct> {
    let mut slots = vec![(0u128, u32::MAX); 1 << SLOTS_LOG2];
    let mut first_rows: Vec<u32> = Vec::new();
    let mut value_of_row = vec![0; array.len()];
    for (row, &view) in array.views().iter().enumerate() {
        if array.is_null(row) {
            continue;
        }
        let mixed = ((view >> 64) as u64 ^ view as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let slot = &mut slots[(mixed >> (u64::BITS - SLOTS_LOG2)) as usize];
        if slot.1 == u32::MAX || slot.0 != view {
            *slot = (view, first_rows.len() as u32);
            first_rows.push(row as u32);
            // Three new values in four rows, after some to begin with: this is no dictionary.
            if first_rows.len() > 256 + row / 4 * 3 {
                return None;
            }
        }
        value_of_row[row] = slot.1;
    }
    Some(Distinct { first_rows, value_of_row })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BinaryViewArray, BooleanArray, Int64Array, StringViewArray};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Bytes that an array of these rows needs: its views, and each value that is not in one.
    fn needed(array: &ArrayRef) -> usize {
        let strings = array.as_string_view();
        strings.total_buffer_bytes_used() + 16 * strings.len() + strings.len().div_ceil(8)
    }

    #[test]
    fn a_part_of_a_large_array_owns_what_it_needs() {
        let mut rng = StdRng::seed_from_u64(7);
        for (cardinality, length) in [(1_000_000, 40), (1_000_000, 5), (20, 40), (3_000, 30), (7, 3)] {
            let value = |rng: &mut StdRng| {
                let value = format!("{:0length$}", rng.random_range(0..cardinality));
                rng.random_bool(0.9).then_some(value)
            };
            let values: Vec<Option<String>> = (0..100_000).map(|_| value(&mut rng)).collect();
            let large: StringViewArray = values.iter().map(Option::as_deref).collect();
            for (from, rows) in [(0, 8192), (50_000, 8192), (99_000, 1_000), (10, 1), (0, 0)] {
                // As Parquet's reader makes them: views of its own, values in what all parts share.
                let part = take(&large, &UInt32Array::from_iter_values(from..from + rows), None).unwrap();
                let own = compact(Arc::clone(&part)).unwrap();
                assert_eq!(&own, &part);
                let (held, needed) = (own.get_array_memory_size(), needed(&part));
                assert!(held <= needed + needed / 8 + 1024, "{cardinality} x {length}: {held} for {needed}");
            }
        }
    }

    #[test]
    fn a_dictionary_value_is_stored_once() {
        let names = ["DELIVER IN PERSON", "TAKE BACK RETURN", "COLLECT COD", "NONE"];
        let dictionary = StringViewArray::from(names.to_vec());
        let rows: UInt32Array = (0..8192).map(|i| (i % 5 < 4).then_some(i % 4)).collect();
        let decoded = take(&dictionary, &rows, None).unwrap();
        let own = compact(Arc::clone(&decoded)).unwrap();
        assert_eq!(&own, &decoded);
        let bytes: usize = own.as_string_view().data_buffers().iter().map(|buffer| buffer.capacity()).sum();
        assert_eq!(bytes, names[0].len() + names[1].len());
    }

    #[test]
    fn nulls_and_bytes_and_what_has_no_views() {
        let long = [0u8, 255, 7].repeat(20);
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(&long[..]), None, Some(b"x")]));
        assert_eq!(&compact(Arc::clone(&bytes)).unwrap(), &bytes);
        assert_eq!(&compact(bytes.slice(1, 1)).unwrap(), &bytes.slice(1, 1));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        assert_eq!(&compact(Arc::clone(&numbers)).unwrap(), &numbers);
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
        assert_eq!(&compact(Arc::clone(&flags)).unwrap(), &flags);
    }

    #[test]
    fn room_to_spare_is_given_back() {
        let mut values = Vec::with_capacity(8192);
        values.extend(0..100i64);
        let roomy: ArrayRef = Arc::new(Int64Array::from(values));
        assert!(roomy.get_array_memory_size() > 8192 * 8);
        assert!(compact(roomy).unwrap().get_array_memory_size() < 1024);
    }
}
