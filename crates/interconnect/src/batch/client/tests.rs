//! What arrow-flight's own decoder makes of the messages.

use super::*;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeListArray, Float64Array, Int64Array,
    ListArray, MapArray, NullArray, RecordBatchOptions, StringArray, StructArray, UnionArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef, UnionFields};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, SchemaAsIpc};
use arrow_ipc::writer::IpcWriteOptions;
use futures::{TryStreamExt, stream};
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;

const MESSAGE_BYTES: usize = 32 << 10;

/// Every type that a result's columns have, with NULLs, and some below each other.
fn columns(rows: usize, has_nulls: bool, text_bytes: usize) -> RecordBatch {
    let nulls = |step: usize| has_nulls.then(|| NullBuffer::from_iter((0..rows).map(|row| row % step != 0)));
    let text = move |row: usize| "é".repeat(row % (text_bytes + 1));
    let numbers = Int64Array::new((0..rows as i64).collect(), nulls(3));
    let flags = BooleanArray::new((0..rows).map(|row| row % 7 < 3).collect(), nulls(5));
    let money = Decimal128Array::new((0..rows as i128).map(|n| n * -77).collect(), nulls(4));
    let money = money.with_precision_and_scale(20, 2).unwrap();
    let floats = Float64Array::new((0..rows).map(|row| row as f64 / 3.0).collect(), None);
    let texts = StringArray::from_iter((0..rows).map(|row| (!has_nulls || row % 4 > 0).then(|| text(row))));
    let bytes = BinaryArray::from_iter_values((0..rows).map(|row| text(row).into_bytes()));
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let inner: ArrayRef = Arc::new(StringArray::from_iter_values((0..2 * rows).map(text)));
    let pairs = OffsetBuffer::<i32>::from_lengths(std::iter::repeat_n(2, rows));
    let lists = ListArray::new(Arc::clone(&item), pairs.clone(), Arc::clone(&inner), nulls(6));
    let fixed = FixedSizeListArray::new(item, 2, Arc::clone(&inner), nulls(5));
    let names = Fields::from(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Utf8, true)]);
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2 * rows as i64));
    let entries = StructArray::new(names.clone(), vec![keys, Arc::clone(&inner)], None);
    let entry = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let maps = MapArray::new(entry, pairs, entries, nulls(3), false);
    let single: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let records = StructArray::new(names.clone(), vec![Arc::clone(&single), Arc::new(texts.clone())], nulls(2));
    let kinds = UnionFields::try_new([0, 1], names.iter().cloned()).unwrap();
    let ids = (0..rows).map(|row| (row % 2) as i8).collect();
    let union = UnionArray::try_new(kinds, ids, None, vec![single, Arc::new(texts.clone())]).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(numbers),
        Arc::new(flags),
        Arc::new(money),
        Arc::new(floats),
        Arc::new(texts),
        Arc::new(bytes),
        Arc::new(NullArray::new(rows)),
        Arc::new(lists),
        Arc::new(fixed),
        Arc::new(maps),
        Arc::new(records),
        Arc::new(union),
    ];
    let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

/// A message as gRPC's receiver has it.
fn received(chunks: &[Bytes]) -> FlightData {
    let message = chunks.concat();
    let (prefix, message) = message.split_at(5);
    assert_eq!(prefix, [&[0][..], &(message.len() as u32).to_be_bytes()].concat());
    FlightData::decode(message).unwrap()
}

fn decode(schema: &Schema, messages: Vec<FlightData>) -> Vec<RecordBatch> {
    let begin: FlightData = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).into();
    let messages = stream::iter(std::iter::once(begin).chain(messages).map(Ok::<_, FlightError>));
    let decoded = FlightRecordBatchStream::new_from_flight_data(messages).try_collect();
    futures::executor::block_on(decoded).unwrap()
}

/// The rows of batches that follow each other in one stream, and its messages' sizes.
fn round(schema: &SchemaRef, batches: &[RecordBatch]) -> (RecordBatch, Vec<usize>) {
    let mut encoder = ClientEncoder::new(schema, MESSAGE_BYTES).unwrap();
    let messages = batches.iter().flat_map(|batch| encoder.encode(batch).unwrap());
    let messages: Vec<FlightData> = messages.map(|chunks| received(&chunks)).collect();
    let sizes = messages.iter().map(|message| message.data_body.len()).collect();
    assert!(messages.iter().all(|message| message.app_metadata.is_empty() && message.flight_descriptor.is_none()));
    (concat_batches(schema, &decode(schema, messages)).unwrap(), sizes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Slices begin anywhere, within a byte of a bitmap too.
    #[test]
    fn clients_get_the_rows(
        rows in 1usize..3000, start in 0usize..40, less in 0usize..40, has_nulls: bool, text_bytes in 0usize..40,
    ) {
        let all = columns(rows, has_nulls, text_bytes);
        let start = start.min(rows);
        let batch = all.slice(start, rows - start - less.min(rows - start));
        let (found, sizes) = round(&all.schema(), &[batch.clone(), all.slice(0, 0), all.slice(0, 1)]);
        prop_assert_eq!(found, concat_batches(&all.schema(), [&batch, &all.slice(0, 1)]).unwrap());
        // Padding and what an estimate leaves out.
        prop_assert!(sizes.iter().all(|bytes| *bytes <= 2 * MESSAGE_BYTES + (8 << 10)), "{:?}", sizes);
    }
}

#[test]
fn large_buffers_are_the_batchs_own() {
    let numbers = Int64Array::from_iter_values(0..4096);
    let place = numbers.values().inner().as_ptr();
    let batch = RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap();
    let messages = ClientEncoder::new(&batch.schema(), 1 << 20).unwrap().encode(&batch).unwrap();
    assert_eq!(messages.len(), 1, "no schema");
    assert!(messages[0].iter().any(|chunk| chunk.as_ptr() == place));
}

#[test]
fn rows_that_are_much_larger_are_in_messages_of_their_own() {
    let text = |row: usize| if row >= 90 { "x".repeat(MESSAGE_BYTES) } else { "x".into() };
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(text)));
    let batch = RecordBatch::try_from_iter([("t", texts)]).unwrap();
    let (found, sizes) = round(&batch.schema(), std::slice::from_ref(&batch));
    assert_eq!(found, batch);
    assert!(sizes.iter().all(|bytes| *bytes < 3 * MESSAGE_BYTES), "{sizes:?}");
    // A row larger than a message should be goes as it is.
    let large: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(5 * MESSAGE_BYTES)]));
    let batch = RecordBatch::try_from_iter([("t", large)]).unwrap();
    assert_eq!(round(&batch.schema(), std::slice::from_ref(&batch)).0, batch);
}

#[test]
fn rows_without_columns_are_counted() {
    let schema = Arc::new(Schema::empty());
    let rows = |count| {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap()
    };
    let mut encoder = ClientEncoder::new(&schema, MESSAGE_BYTES).unwrap();
    let messages = [rows(3), rows(0), rows(4)].map(|batch| encoder.encode(&batch).unwrap()).concat();
    let messages = messages.iter().map(|chunks| received(chunks)).collect();
    let counts: Vec<usize> = decode(&schema, messages).iter().map(RecordBatch::num_rows).collect();
    assert_eq!(counts, [3, 4]);
}
