//! Text and bytes without views, for who knows none.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, ByteView, GenericByteViewArray, MAX_INLINE_VIEW_LEN, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Bytes of a view that are a short value, behind its length.
const INLINE_BYTES: usize = MAX_INLINE_VIEW_LEN as usize;

/// Text for text views, binary for binary ones; any other type is itself, and what is below it.
pub fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

/// A column of views as one of [`plain_type`], its values one after the other; any other column is itself.
///
/// # Errors
/// The values have more than 2 GiB.
pub fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Utf8View => {
            let (offsets, values) = values(column.as_string_view())?;
            Arc::new(StringArray::try_new(offsets, values, column.nulls().cloned())?)
        }
        DataType::BinaryView => {
            let (offsets, values) = values(column.as_binary_view())?;
            Arc::new(BinaryArray::try_new(offsets, values, column.nulls().cloned())?)
        }
        _ => Arc::clone(column),
    })
}

/// Bytes of the values that [`plain`] would copy; of NULLs too, which have none as a rule.
pub fn plain_bytes(column: &ArrayRef) -> u64 {
    let sum = |views: &[u128]| views.iter().map(|view| u64::from(*view as u32)).sum();
    match column.data_type() {
        DataType::Utf8View => sum(column.as_string_view().views()),
        DataType::BinaryView => sum(column.as_binary_view().views()),
        _ => 0,
    }
}

fn values<T: ByteViewType + ?Sized>(
    array: &GenericByteViewArray<T>,
) -> Result<(OffsetBuffer<i32>, Buffer), ArrowError> {
    let views = array.views();
    let mut offsets = Vec::with_capacity(views.len() + 1);
    offsets.push(0);
    let mut end = 0;
    // A view begins with its value's length.
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => offsets.extend(views.iter().map(|view| {
            end += *view as u32 as usize;
            end as i32
        })),
        Some(nulls) => offsets.extend(views.iter().zip(nulls).map(|(view, is_valid)| {
            end += if is_valid { *view as u32 as usize } else { 0 };
            end as i32
        })),
    }
    if i32::try_from(end).is_err() {
        return Err(ArrowError::OffsetOverflowError(end));
    }
    let buffers = array.data_buffers();
    // A short value is copied with all the bytes that there are for one: of a length that the compiler knows. The next value is written
    // over what is too much.
    let mut values = vec![0; end + INLINE_BYTES];
    for (view, place) in views.iter().zip(offsets.windows(2)) {
        let (start, end) = (place[0] as usize, place[1] as usize);
        if end - start <= INLINE_BYTES {
            values[start..start + INLINE_BYTES].copy_from_slice(&view.to_le_bytes()[4..]);
        } else {
            let view = ByteView::from(*view);
            let from = view.offset as usize;
            let value = &buffers[view.buffer_index as usize][from..from + (end - start)];
            values[start..end].copy_from_slice(value);
        }
    }
    values.truncate(end);
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryViewArray, Int32Array, StringViewArray};
    use arrow::compute::cast;
    use proptest::prelude::*;

    fn check(views: ArrayRef) {
        let wanted = cast(&views, &plain_type(views.data_type())).unwrap();
        let found = plain(&views).unwrap();
        assert_eq!(found.data_type(), wanted.data_type());
        assert_eq!(&found, &wanted);
        let valid = found.as_string_opt::<i32>().map_or(0, |text| text.values().len() as u64);
        assert!(plain_bytes(&views) >= valid);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Short values, those of 12 and 13 bytes, long ones, NULLs and slices of them.
        #[test]
        fn it_is_what_a_cast_gives(
            texts in prop::collection::vec(prop::option::of("[a-zé]{0,20}"), 0..200), from in 0usize..50,
        ) {
            let from = from.min(texts.len());
            let views: ArrayRef = Arc::new(StringViewArray::from(texts.clone()));
            check(views.slice(from, texts.len() - from));
            let bytes = texts.iter().map(|text| text.as_ref().map(String::as_bytes));
            let views: ArrayRef = Arc::new(BinaryViewArray::from_iter(bytes));
            check(views.slice(from, texts.len() - from));
            let all: StringViewArray = texts.iter().map(|text| Some(text.as_deref().unwrap_or("thirteen byte"))).collect();
            check(Arc::new(all));
        }
    }

    #[test]
    fn values_that_several_views_have_are_copied_for_each() {
        let long = "a value that no view holds itself";
        let one: ArrayRef = Arc::new(StringViewArray::from(vec![long]));
        let many = arrow::compute::take(&one, &arrow::array::UInt32Array::from(vec![0; 1000]), None).unwrap();
        assert_eq!(plain_bytes(&many), 1000 * long.len() as u64);
        check(many);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let one: ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(1 << 20)]));
        let many = arrow::compute::take(&one, &arrow::array::UInt32Array::from(vec![0; 2048]), None).unwrap();
        assert_eq!(plain_bytes(&many), 1 << 31);
        assert!(matches!(plain(&many), Err(ArrowError::OffsetOverflowError(bytes)) if bytes == 1 << 31));
    }

    #[test]
    fn other_columns_are_themselves() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert!(Arc::ptr_eq(&plain(&numbers).unwrap(), &numbers));
        assert_eq!((plain_type(&DataType::Int32), plain_bytes(&numbers)), (DataType::Int32, 0));
    }
}
