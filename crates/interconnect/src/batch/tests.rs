//! Sizes and compaction of nested columns.

use super::*;
use arrow::array::{
    Array, ArrayRef, DictionaryArray, FixedSizeListArray, Int32Array, LargeListArray, ListArray, ListViewArray,
    MapArray, RecordBatch, RunArray, StringArray, StringViewArray, StructArray, UnionArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, UnionFields};
use std::sync::Arc;

const ROWS: usize = 1000;

/// Text that no view holds itself.
fn text(number: usize) -> String {
    format!("the text of row {number:07}, longer than a view")
}

fn texts(count: usize) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values((0..count).map(text)))
}

fn field(of: &ArrayRef) -> Arc<Field> {
    Arc::new(Field::new_list_field(of.data_type().clone(), true))
}

fn numbers(count: usize) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(0..count as i32))
}

/// Two values a row.
fn offsets() -> OffsetBuffer<i32> {
    OffsetBuffer::from_lengths(std::iter::repeat_n(2, ROWS))
}

fn list(values: ArrayRef) -> ArrayRef {
    let nulls = NullBuffer::from_iter((0..ROWS).map(|row| row % 5 != 0));
    Arc::new(ListArray::new(field(&values), offsets(), values, Some(nulls)))
}

/// Every type with values below it, in `ROWS` rows.
fn nested() -> Vec<ArrayRef> {
    let values = texts(2 * ROWS);
    let large = OffsetBuffer::<i64>::from_lengths(std::iter::repeat_n(2, ROWS));
    let views = (0..ROWS as i32).map(|row| 2 * row).collect::<Vec<_>>();
    let fields = Fields::from(vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Utf8View, true)]);
    let pair = |rows| StructArray::new(fields.clone(), vec![numbers(rows), texts(rows)], None);
    let entries = Arc::new(Field::new("entries", pair(1).data_type().clone(), false));
    let union = UnionFields::try_new([0, 1], fields.iter().cloned()).unwrap();
    let ids = || (0..ROWS).map(|row| (row % 2) as i8);
    let sparse = UnionArray::try_new(union.clone(), ids().collect(), None, vec![numbers(ROWS), texts(ROWS)]);
    let at = (0..ROWS as i32).map(|row| row / 2).collect();
    let half = vec![numbers(ROWS / 2), texts(ROWS / 2)];
    let dense = UnionArray::try_new(union, ids().collect(), Some(at), half);
    let ends = Int32Array::from_iter_values((1..=ROWS as i32 / 4).map(|run| 4 * run));
    vec![
        list(Arc::clone(&values)),
        Arc::new(LargeListArray::new(field(&values), large, Arc::clone(&values), None)),
        Arc::new(ListViewArray::new(field(&values), views.into(), vec![2; ROWS].into(), Arc::clone(&values), None)),
        Arc::new(FixedSizeListArray::new(field(&values), 2, Arc::clone(&values), None)),
        Arc::new(pair(ROWS)),
        Arc::new(MapArray::new(entries, offsets(), pair(2 * ROWS), None, false)),
        Arc::new(sparse.unwrap()),
        Arc::new(dense.unwrap()),
        Arc::new(RunArray::<Int32Type>::try_new(&ends, &texts(ROWS / 4)).unwrap()),
        {
            let inner = list(Arc::clone(&values));
            let outer = OffsetBuffer::from_lengths(std::iter::repeat_n(1, ROWS));
            Arc::new(ListArray::new(field(&inner), outer, inner, None))
        },
    ]
}

/// A tenth of the rows has a tenth of the bytes, wherever it is; so batches that share buffers add up to what they hold.
#[test]
fn a_slice_counts_with_its_own_values() {
    for array in nested() {
        let whole = array_bytes(&array);
        let slices = (0..10).map(|number| array_bytes(&array.slice(number * ROWS / 10, ROWS / 10)));
        for (number, bytes) in slices.enumerate() {
            let wanted = whole / 10 - whole / 100..=whole / 10 + whole / 100;
            assert!(wanted.contains(&bytes), "slice {number} of {}: {bytes} of {whole} bytes", array.data_type());
        }
        assert!(array_bytes(&array.slice(7, 0)) <= 2 * size_of::<i64>(), "no row of {}", array.data_type());
    }
}

#[test]
fn texts_below_lists_count() {
    let text_bytes: usize = (0..2 * ROWS).map(|number| text(number).len()).sum();
    let bytes = array_bytes(&list(texts(2 * ROWS)));
    let around = size_of::<u128>() * 2 * ROWS + size_of::<i32>() * (ROWS + 1) + ROWS.div_ceil(8);
    assert_eq!(bytes, text_bytes + around);
    // A dictionary goes with every message.
    let keys = Int32Array::from(vec![0; ROWS]);
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..10).map(text)));
    let dictionary: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::clone(&words)));
    assert_eq!(array_bytes(&dictionary), size_of::<i32>() * ROWS + array_bytes(&words));
}

/// What goes over the wire does not carry the texts of the other rows along.
#[test]
fn messages_carry_their_own_texts_only() {
    for array in nested() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", array.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::clone(&array)]).unwrap();
        let pieces = for_the_wire(&batch, batch_bytes(&batch) as usize / 20).collect::<Vec<_>>();
        assert!((20..=22).contains(&pieces.len()), "{} pieces of {}", pieces.len(), array.data_type());
        let mut first = 0;
        for piece in pieces {
            let column = piece.column(0);
            assert_eq!(column, &array.slice(first, piece.num_rows()), "rows {first}… of {}", array.data_type());
            assert_eq!(column.data_type(), array.data_type());
            first += piece.num_rows();
            let held = held_text_bytes(column);
            // List views are sent whole, see `has_views`.
            let is_sent_whole = matches!(array.data_type(), DataType::ListView(_));
            assert!(
                is_sent_whole || held <= array_bytes(&array) / 5,
                "{held} bytes held by a piece of {}",
                array.data_type()
            );
        }
        assert_eq!(first, ROWS);
    }
}

/// Bytes of all buffers that views below the array have.
fn held_text_bytes(array: &ArrayRef) -> usize {
    fn of(data: &arrow::array::ArrayData) -> usize {
        let own =
            if *data.data_type() == DataType::Utf8View { data.buffers()[1..].iter().map(|b| b.len()).sum() } else { 0 };
        own + data.child_data().iter().map(of).sum::<usize>()
    }
    of(&array.to_data())
}
