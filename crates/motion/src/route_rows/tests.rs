//! The splitter against a plain reference: `take` of the rows of each destination.

mod columns;

use super::*;
use crate::limits::{SEND_MESSAGE_BYTES, SPLIT_ROWS_MAX};
use arrow::array::{Array, AsArray, Int32Array, Int64Array, StringArray, StringViewArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use columns::{all_types, random_column};
use damson_cluster::MapVersion;
use damson_interconnect::array_bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn map(destinations: usize) -> Arc<BucketMap> {
    Arc::new(BucketMap::uniform(MapVersion(1), destinations))
}

/// Everything that is ready, by destination.
fn take_ready(splitter: &mut Splitter, sent: &mut [Vec<RecordBatch>]) {
    while let Some((destination, batch)) = splitter.next_ready() {
        sent[destination.0 as usize].push(batch);
    }
}

/// What the splitter sends of the batches, whose first column is the key, by destination.
fn split(splitter: &mut Splitter, batches: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
    let mut sent = vec![vec![]; splitter.pending.len()];
    for batch in batches {
        splitter.push(batch, &batch.columns()[..1]).unwrap();
        take_ready(splitter, &mut sent);
    }
    splitter.flush().unwrap();
    take_ready(splitter, &mut sent);
    assert!(!splitter.is_gathering());
    assert_eq!(splitter.buffered_bytes(), 0, "nothing is held once everything was sent");
    sent
}

/// One column of several batches.
fn whole(batches: &[RecordBatch], column: usize, data_type: &DataType) -> ArrayRef {
    let parts: Vec<_> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
    if parts.is_empty() { arrow::array::new_empty_array(data_type) } else { concat(&parts).unwrap() }
}

/// For each destination its rows of each batch, found with the placement alone.
fn reference(batches: &[RecordBatch], map: &BucketMap) -> Vec<Vec<RecordBatch>> {
    let mut rows_of = vec![vec![]; map.segment_count()];
    for batch in batches {
        let mut hashes = vec![];
        placement::hash_rows(&batch.columns()[..1], &mut hashes).unwrap();
        let owners: Vec<_> = hashes.iter().map(|&hash| map.owner(placement::bucket_of(hash))).collect();
        for (destination, sent) in rows_of.iter_mut().enumerate() {
            let rows = (0..batch.num_rows() as u32).filter(|&row| owners[row as usize].0 as usize == destination);
            let rows = UInt32Array::from_iter_values(rows);
            let columns = batch.columns().iter().map(|column| take(column, &rows, None).unwrap()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            sent.push(RecordBatch::try_new_with_options(batch.schema(), columns, &options).unwrap());
        }
    }
    rows_of
}

fn assert_same(sent: &[Vec<RecordBatch>], batches: &[RecordBatch], map: &BucketMap, context: &str) {
    let wanted = reference(batches, map);
    let schema = batches[0].schema();
    for (destination, (sent, wanted)) in sent.iter().zip(&wanted).enumerate() {
        for (column, field) in schema.fields().iter().enumerate() {
            let is = whole(sent, column, field.data_type());
            let wanted = whole(wanted, column, field.data_type());
            is.to_data().validate_full().unwrap();
            assert!(is.to_data() == wanted.to_data(), "{context}: destination {destination}, column {field}");
        }
    }
}

/// Batches of a key and the given types, from a seed; some are slices, some are empty.
fn random_batches(rng: &mut StdRng, types: &[DataType], rows_max: usize) -> Vec<RecordBatch> {
    let key_type = if rng.random_bool(0.5) { DataType::Int64 } else { DataType::Utf8 };
    let fields = std::iter::once(&key_type).chain(types).enumerate();
    let fields: Vec<_> = fields.map(|(i, t)| Field::new(format!("c{i}"), t.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let count = rng.random_range(1..8);
    let batch = |rng: &mut StdRng| {
        let rows = if rng.random_bool(0.1) { 0 } else { rng.random_range(1..=rows_max) };
        let columns = schema.fields().iter().map(|field| {
            let null_share = [0.0, 0.0, 0.1, 0.9, 1.0][rng.random_range(0..5)];
            random_column(rng, field.data_type(), rows, null_share)
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        if rows > 2 && rng.random_bool(0.4) {
            let start = rng.random_range(0..rows / 2);
            return batch.slice(start, rng.random_range(0..=rows - start));
        }
        batch
    };
    (0..count).map(|_| batch(rng)).collect()
}

#[test]
fn every_type_alone() {
    for (i, data_type) in all_types().into_iter().enumerate() {
        for destinations in [2, 7] {
            let mut rng = StdRng::seed_from_u64(i as u64);
            let batches = random_batches(&mut rng, std::slice::from_ref(&data_type), 300);
            let map = map(destinations);
            let mut splitter = Splitter::new(batches[0].schema(), Arc::clone(&map), 4 << 10);
            let sent = split(&mut splitter, &batches);
            assert_same(&sent, &batches, &map, &format!("{data_type}, {destinations} destinations"));
        }
    }
}

#[test]
fn many_types_from_seeds() {
    let types = all_types();
    for seed in 0..120 {
        let mut rng = StdRng::seed_from_u64(seed);
        let destinations = [1, 2, 3, 7, 64, 1024][rng.random_range(0..6)];
        let columns: Vec<_> =
            (0..rng.random_range(0..6)).map(|_| types[rng.random_range(0..types.len())].clone()).collect();
        let rows_max = [3, 100, 3000][rng.random_range(0..3)];
        let batches = random_batches(&mut rng, &columns, rows_max);
        let map = map(destinations);
        let message_bytes = [1 << 10, 16 << 10, 512 << 10][rng.random_range(0..3)];
        let mut splitter = Splitter::new(batches[0].schema(), Arc::clone(&map), message_bytes);
        let sent = split(&mut splitter, &batches);
        assert_same(&sent, &batches, &map, &format!("seed {seed}, {destinations} destinations"));
        assert!(sent.iter().flatten().all(|batch| (1..=SEND_BATCH_ROWS).contains(&batch.num_rows())));
    }
}

/// Golden: the owners of the first integers, whatever the kernel.
#[test]
fn rows_go_where_the_placement_says() {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter((0..64).map(|i| (i != 40).then_some(i))));
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![keys]).unwrap();
    let map = map(4);
    let sent = split(&mut Splitter::new(schema, Arc::clone(&map), SEND_MESSAGE_BYTES), std::slice::from_ref(&batch));
    let keys: Vec<Vec<_>> = sent
        .iter()
        .map(|sent| sent.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().iter()).collect())
        .collect();
    for (destination, keys) in keys.iter().enumerate() {
        for key in keys {
            let mut hashes = vec![];
            placement::hash_rows(&[Arc::new(Int64Array::from(vec![*key]))], &mut hashes).unwrap();
            assert_eq!(map.owner(placement::bucket_of(hashes[0])), ContentId(destination as i32), "{key:?}");
        }
    }
    assert_eq!(keys.iter().map(Vec::len).sum::<usize>(), 64);
    // From docs/formats/placement.md: the hash of 0 begins with 0xE2, that of NULL with 0x6E.
    assert!(keys[3].contains(&Some(0)) && keys[1].contains(&None));
}

#[test]
fn rows_without_columns_are_counted() {
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(1000));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
    let keys: [ArrayRef; 1] = [Arc::new(Int64Array::from_iter_values(0..1000))];
    let mut splitter = Splitter::new(schema, map(3), SEND_MESSAGE_BYTES);
    let mut sent = vec![vec![]; 3];
    for _ in 0..30 {
        splitter.push(&batch, &keys).unwrap();
        take_ready(&mut splitter, &mut sent);
    }
    assert!(sent.iter().flatten().count() >= 3, "10,000 rows a destination fill a batch");
    splitter.flush().unwrap();
    take_ready(&mut splitter, &mut sent);
    let rows = |sent: &Vec<RecordBatch>| sent.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(sent.iter().map(rows).sum::<usize>(), 30_000);
    assert!(sent.iter().all(|sent| rows(sent) > 5000));
}

fn key_and_text(rows: std::ops::Range<i64>, text_bytes: usize) -> RecordBatch {
    let text = |i| format!("{i:0text_bytes$}");
    let texts = StringViewArray::from_iter_values(rows.clone().map(text));
    let columns: [(&str, ArrayRef); 2] =
        [("k", Arc::new(Int64Array::from_iter_values(rows))), ("text", Arc::new(texts))];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn batches_are_cut_by_bytes() {
    let message_bytes = 16 << 10;
    let batches: Vec<_> = (0..20).map(|i| key_and_text(i * 500..(i + 1) * 500, 200)).collect();
    let mut splitter = Splitter::new(batches[0].schema(), map(3), message_bytes);
    let mut largest = 0;
    let mut sent = vec![vec![]; 3];
    for batch in &batches {
        splitter.push(batch, &batch.columns()[..1]).unwrap();
        take_ready(&mut splitter, &mut sent);
        largest = largest.max(splitter.buffered_bytes());
    }
    for batch in sent.iter().flatten() {
        let bytes = batch.num_rows() * (8 + 16 + 200);
        assert!((message_bytes - 224..=message_bytes).contains(&bytes), "{} rows", batch.num_rows());
    }
    // Growing by doubling, and blocks of views that are not full.
    assert!(largest <= 2 * 3 * message_bytes, "{largest} bytes were held");
    assert!(largest >= message_bytes);
}

#[test]
fn a_row_larger_than_a_message_goes_alone() {
    let batches = [key_and_text(0..100, 10), key_and_text(100..110, 50_000), key_and_text(110..200, 10)];
    let map = map(2);
    let mut splitter = Splitter::new(batches[0].schema(), Arc::clone(&map), 8 << 10);
    let sent = split(&mut splitter, &batches);
    assert_same(&sent, &batches, &map, "large rows");
    let large = sent.iter().flatten().filter(|batch| batch.column(1).as_string_view().value(0).len() == 50_000);
    assert_eq!(large.map(|batch| batch.num_rows()).collect::<Vec<_>>(), [1; 10]);
}

/// A pending batch must not keep what its rows do not use.
#[test]
fn views_do_not_keep_their_source() {
    let batch = key_and_text(0..2000, 1000);
    let mut splitter = Splitter::new(batch.schema(), map(64), SEND_MESSAGE_BYTES);
    let batch = batch.slice(100, 640);
    splitter.push(&batch, &batch.columns()[..1]).unwrap();
    let buffered = splitter.buffered_bytes();
    splitter.flush().unwrap();
    let mut held = 0;
    while let Some((_, batch)) = splitter.next_ready() {
        let views = batch.column(1).as_string_view();
        let buffers: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
        assert!(buffers <= 2 * views.total_buffer_bytes_used(), "{buffers} bytes for {} rows", batch.num_rows());
        held += buffers;
    }
    assert!(held < 2 * 640 * 1000 && buffered < 3 * 640 * 1000, "{held} held, {buffered} buffered");
}

#[test]
fn memory_is_asked_for_as_rows_come() {
    let fields: Vec<_> = (0..8).map(|i| Field::new(format!("c{i}"), DataType::Int64, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = |start: i64| {
        let column = || Arc::new(Int64Array::from_iter_values(start..start + 8192)) as ArrayRef;
        RecordBatch::try_new(Arc::clone(&schema), (0..8).map(|_| column()).collect()).unwrap()
    };
    let message_bytes = 64 << 10;
    let mut splitter = Splitter::new(Arc::clone(&schema), map(1024), message_bytes);
    let mut sent = vec![vec![]; 1024];
    for i in 0..400 {
        let batch = batch(i * 8192);
        splitter.push(&batch, &batch.columns()[..1]).unwrap();
        if i == 0 {
            assert!(splitter.buffered_bytes() < 2 * 8192 * 64, "one batch: {}", splitter.buffered_bytes());
        }
        take_ready(&mut splitter, &mut sent);
        assert!(splitter.buffered_bytes() <= 1024 * message_bytes, "{}", splitter.buffered_bytes());
    }
    assert!(sent.iter().flatten().all(|batch| batch.num_rows() == 1024), "all batches are full");
    assert!(sent.iter().all(|sent| sent.len() >= 2));
}

fn dictionary_batch(start: i64, words: &ArrayRef, keys: impl Iterator<Item = i32>) -> RecordBatch {
    let keys = Int32Array::from_iter_values(keys);
    let rows = Int64Array::from_iter_values(start..start + keys.len() as i64);
    let words = arrow::array::DictionaryArray::<Int32Type>::new(keys, Arc::clone(words));
    RecordBatch::try_from_iter([("k", Arc::new(rows) as ArrayRef), ("d", Arc::new(words))]).unwrap()
}

#[test]
fn dictionaries_are_kept() {
    let words = |words: &[&str]| Arc::new(StringArray::from(words.to_vec())) as ArrayRef;
    let (ab, ab_again, cd) = (words(&["a", "b"]), words(&["a", "b"]), words(&["c", "d"]));
    let keys = || (0..100).map(|i| i % 2);
    let batches = [
        dictionary_batch(0, &ab, keys()),
        dictionary_batch(100, &ab_again, keys()),
        dictionary_batch(200, &cd, keys()),
    ];
    let map = map(2);
    let mut splitter = Splitter::new(batches[0].schema(), Arc::clone(&map), SEND_MESSAGE_BYTES);
    let sent = split(&mut splitter, &batches);
    assert_same(&sent, &batches, &map, "dictionaries");
    for sent in &sent {
        assert_eq!(sent.len(), 2, "equal dictionaries share a batch, others do not");
        let values = |batch: &RecordBatch| Arc::clone(batch.column(1).as_dictionary::<Int32Type>().values());
        assert!(Arc::ptr_eq(&values(&sent[0]), &ab) && Arc::ptr_eq(&values(&sent[1]), &cd));
    }
}

/// A destination whose rows have the first dictionary still gathers them when the second one is no longer new.
#[test]
fn a_dictionary_may_change_while_a_destination_gets_nothing() {
    let words = |words: &[&str]| Arc::new(StringArray::from(words.to_vec())) as ArrayRef;
    let (ab, cd) = (words(&["a", "b"]), words(&["c", "d"]));
    let map = map(2);
    let all = dictionary_batch(0, &ab, (0..100).map(|i| i % 2));
    let of_first: Vec<i64> = {
        let sent = reference(std::slice::from_ref(&all), &map);
        sent[0][0].column(0).as_primitive::<Int64Type>().values().to_vec()
    };
    let rows_of_first = UInt32Array::from_iter_values(of_first.iter().map(|&row| row as u32));
    let second = dictionary_batch(0, &cd, (0..100).map(|i| i % 2));
    let only_first = arrow::compute::take_record_batch(&second, &rows_of_first).unwrap();
    let batches = [all, only_first, second];
    let sent = split(&mut Splitter::new(batches[0].schema(), Arc::clone(&map), SEND_MESSAGE_BYTES), &batches);
    assert_same(&sent, &batches, &map, "a change that passes a destination by");
}

#[test]
fn a_batch_for_one_destination_is_passed_on() {
    let keys = Int64Array::from(vec![7; 20_000]);
    let columns: [(&str, ArrayRef); 2] =
        [("k", Arc::new(keys)), ("v", Arc::new(Int64Array::from_iter_values(0..20_000)))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let map = map(5);
    let mut splitter = Splitter::new(batch.schema(), Arc::clone(&map), 64 << 10);
    let small = batch.slice(0, 10);
    let batches = [batch.clone(), small.clone(), small, batch.clone()];
    let sent = split(&mut splitter, &batches);
    assert_same(&sent, &batches, &map, "one destination");
    let sent: Vec<_> = sent.into_iter().flatten().collect();
    assert!(sent.iter().all(|batch| batch.num_rows() <= 4096));
    let start = |batch: &RecordBatch| batch.column(1).as_primitive::<Int64Type>().values().as_ptr();
    assert_eq!(start(&sent[0]), start(&batch), "not copied");
}

#[test]
fn one_segment_gets_everything_in_useful_batches() {
    let batches: Vec<_> = (0..50).map(|i| key_and_text(i * 400..(i + 1) * 400, 8)).collect();
    let map = map(1);
    let mut splitter = Splitter::new(batches[0].schema(), Arc::clone(&map), SEND_MESSAGE_BYTES);
    let sent = split(&mut splitter, &batches);
    assert_same(&sent, &batches, &map, "one segment");
    assert_eq!(sent[0].iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [8192, 8192, 20_000 - 2 * 8192]);
}

#[test]
fn another_schema_is_an_error() {
    let batch = key_and_text(0..10, 5);
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
    let mut splitter = Splitter::new(schema, map(2), SEND_MESSAGE_BYTES);
    let error = splitter.push(&batch, &batch.columns()[..1]).unwrap_err();
    assert!(error.to_string().contains("Utf8View"), "{error}");
}

#[test]
fn a_key_without_a_hash_is_an_error() {
    let list = random_column(&mut StdRng::seed_from_u64(1), &columns::list_of(DataType::Int32), 10, 0.0);
    let batch = RecordBatch::try_from_iter([("l", list)]).unwrap();
    let mut splitter = Splitter::new(batch.schema(), map(2), SEND_MESSAGE_BYTES);
    assert!(splitter.push(&batch, batch.columns()).is_err());
}

#[test]
fn more_rows_than_are_split_at_once_still_fit() {
    let rows = SPLIT_ROWS_MAX as i64 + 1;
    let batch = key_and_text(0..rows, 4);
    let map = map(3);
    let sent = split(&mut Splitter::new(batch.schema(), Arc::clone(&map), 64 << 10), std::slice::from_ref(&batch));
    assert_same(&sent, &[batch], &map, "a large batch");
}

/// Nested views are measured in full, and copied.
#[test]
fn nested_views_do_not_keep_their_source() {
    let mut rng = StdRng::seed_from_u64(5);
    let list = random_column(&mut rng, &columns::list_of(DataType::Utf8View), 4000, 0.0);
    let source_bytes = array_bytes(&list);
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4000));
    let batch = RecordBatch::try_from_iter([("k", keys), ("l", list)]).unwrap().slice(0, 40);
    let sent = split(&mut Splitter::new(batch.schema(), map(4), SEND_MESSAGE_BYTES), &[batch]);
    for batch in sent.iter().flatten() {
        assert!(batch.get_array_memory_size() < source_bytes / 10, "{} bytes", batch.get_array_memory_size());
    }
}
