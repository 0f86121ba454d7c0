//! How columns are encoded in table files, and that what is written so is read so.

mod support;

use damson_cluster::{Compression, FileEntry, SortColumn};
use damson_storage::limits::{CHUNK_ROWS, ENCODING_SAMPLE_ROWS, ROW_GROUP_ROWS_MAX};
use damson_storage::{TableStore, WriteSpec};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::*;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::basic::Encoding::{self, DELTA_BINARY_PACKED, PLAIN, RLE_DICTIONARY};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::parquet::file::reader::FileReader;
use datafusion::parquet::file::serialized_reader::SerializedFileReader;
use datafusion::physical_plan::collect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::*;

/// Columns of the table below, and what their values are encoded in.
const COLUMNS: [(&str, Encoding); 8] = [
    ("counted", DELTA_BINARY_PACKED),
    ("drawn", DELTA_BINARY_PACKED),
    ("scattered", PLAIN),
    ("number", PLAIN),
    ("word", RLE_DICTIONARY),
    ("line", PLAIN),
    ("day", RLE_DICTIONARY),
    ("sparse", RLE_DICTIONARY),
];

/// Rows from a seed, in the order of `counted`. A tenth of `drawn`, of `word` and of `line` is NULL, and nearly all of `sparse`.
fn table(seed: u64, rows: i64) -> RecordBatch {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut draw =
        |range: std::ops::Range<i64>| -> Vec<i64> { (0..rows).map(|_| rng.random_range(range.clone())).collect() };
    let some = |value: i64| (value % 10 != 0).then_some(value);
    let counted = ints((0..rows).map(|row| Some(row / 3)));
    let drawn = ints(draw(-1_000_000..1_000_000).into_iter().map(some));
    let scattered = ints(draw(i64::MIN..i64::MAX).into_iter().map(Some));
    let number = draw(0..i64::MAX).into_iter().map(|value| value as i32);
    let word = draw(0..300).into_iter().map(|value| some(value).map(|value| format!("word {value}")));
    let line = draw(0..i64::MAX).into_iter().map(|value| some(value).map(|value| format!("line {value} of many")));
    let day = draw(0..2_500).into_iter().map(|value| value as i32);
    let sparse = draw(0..1_000).into_iter().map(|value| (value < 5).then_some(value));
    let columns: [ArrayRef; 8] = [
        counted,
        drawn,
        scattered,
        Arc::new(Int32Array::from_iter_values(number)),
        Arc::new(word.collect::<StringViewArray>()),
        Arc::new(line.collect::<StringViewArray>()),
        Arc::new(Date32Array::from_iter_values(day)),
        ints(sparse),
    ];
    let named = COLUMNS.iter().zip(columns).map(|((name, _), column)| (*name, column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn ints(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn spec(schema: &SchemaRef) -> WriteSpec {
    WriteSpec::new(TABLE, Arc::clone(schema), Compression::Lz4, vec![])
}

fn pieces(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows);
    starts.map(|at| batch.slice(at, rows.min(batch.num_rows() - at))).collect()
}

fn metadata(dir: &Path, file: &FileEntry) -> ParquetMetaData {
    let reader = SerializedFileReader::new(fs::File::open(dir.join(&file.path)).unwrap()).unwrap();
    reader.metadata().clone()
}

/// What each column's data pages are in, of a file in which no dictionary is full.
fn encodings(metadata: &ParquetMetaData) -> Vec<Encoding> {
    let mut of_all = vec![];
    for row_group in metadata.row_groups() {
        let of_column = |position: usize| {
            let column = row_group.column(position);
            let pages = column.page_encoding_stats_mask().unwrap();
            let known = [RLE_DICTIONARY, DELTA_BINARY_PACKED, PLAIN];
            let found = known.into_iter().find(|&encoding| pages.is_only(encoding));
            let found = found.unwrap_or_else(|| panic!("column {position}: {pages:?}"));
            assert_eq!(column.dictionary_page_offset().is_some(), found == RLE_DICTIONARY, "column {position}");
            found
        };
        let found: Vec<Encoding> = (0..row_group.num_columns()).map(of_column).collect();
        assert!(of_all.is_empty() || of_all == found, "all row groups of a file are alike");
        of_all = found;
    }
    of_all
}

async fn all_rows(store: &TableStore, schema: &SchemaRef, files: &[FileEntry]) -> RecordBatch {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    rows_in_order(&store.scan(schema, &all, files, 1).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_column_has_a_dictionary_where_that_pays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = table(1, 5 * ENCODING_SAMPLE_ROWS as i64 + 7);
    let schema = batch.schema();
    for compression in [Compression::None, Compression::Snappy, Compression::Lz4, Compression::Zstd(3)] {
        for batch_rows in [100, ENCODING_SAMPLE_ROWS - 1, ENCODING_SAMPLE_ROWS, batch.num_rows()] {
            let spec = WriteSpec { compression, ..spec(&schema) };
            let files = write(&store, spec, pieces(&batch, batch_rows)).await;
            assert_eq!(files.len(), 1);
            assert_eq!(encodings(&metadata(dir.path(), &files[0])), COLUMNS.map(|(_, encoding)| encoding));
            assert_eq!(all_rows(&store, &schema, &files).await, batch, "{compression:?}, {batch_rows}");
        }
    }
}

#[tokio::test]
async fn each_file_is_encoded_by_its_own_first_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rows = ENCODING_SAMPLE_ROWS as i64;
    // All the same, all different, nothing, and one row.
    let values = [
        ints((0..rows).map(|_| Some(4))),
        ints((0..rows).map(Some)),
        ints((0..rows).map(|_| None)),
        ints([Some(5)].into_iter()),
    ];
    let batches = values.map(|column| RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap());
    let schema = batches[0].schema();
    // The first rows of a file that could go on, and the same ones of one that ends before.
    for (file_rows_max, expected) in [
        (rows as u64, [RLE_DICTIONARY, DELTA_BINARY_PACKED, RLE_DICTIONARY, PLAIN]),
        (rows as u64 / 2, [RLE_DICTIONARY, DELTA_BINARY_PACKED, PLAIN, PLAIN]),
    ] {
        for (batch, expected) in batches.iter().zip(expected) {
            let spec = WriteSpec { file_rows_max, ..spec(&schema) };
            let files = write(&store, spec, pieces(batch, file_rows_max as usize)).await;
            assert_eq!(files.len(), batch.num_rows().div_ceil(file_rows_max as usize));
            for file in &files {
                assert_eq!(encodings(&metadata(dir.path(), file)), [expected], "{file_rows_max}");
            }
            assert_eq!(all_rows(&store, &schema, &files).await, *batch);
        }
    }
    // One after the other in one statement.
    let spec = WriteSpec { file_rows_max: rows as u64, ..spec(&schema) };
    let files = write(&store, spec, batches.to_vec()).await;
    let found: Vec<Encoding> = files.iter().flat_map(|file| encodings(&metadata(dir.path(), file))).collect();
    assert_eq!(found, [RLE_DICTIONARY, DELTA_BINARY_PACKED, RLE_DICTIONARY, PLAIN]);
    assert_eq!(all_rows(&store, &schema, &files).await, concat_batches(&schema, &batches).unwrap());
}

#[tokio::test]
async fn values_may_turn_out_otherwise_than_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let sample = ENCODING_SAMPLE_ROWS as i64;
    // Few values, then as many as no dictionary holds; neighbours near each other, then as far away as can be.
    let rows = sample + 200_000;
    let many = ints((0..rows).map(|row| Some(if row < sample { row % 10 } else { row })));
    let far = |row: i64| if row < sample { row } else { [i64::MIN, i64::MAX, 0, -1, row][row as usize % 5] };
    let far = ints((0..rows).map(|row| Some(far(row))));
    let batch = RecordBatch::try_from_iter_with_nullable([("many", many, true), ("far", far, true)]).unwrap();
    let schema = batch.schema();
    let files = write(&store, spec(&schema), pieces(&batch, CHUNK_ROWS)).await;
    let metadata = metadata(dir.path(), &files[0]);
    let many = metadata.row_group(0).column(0);
    assert!(many.dictionary_page_offset().is_some());
    let pages = many.page_encoding_stats_mask().unwrap();
    assert!(pages.is_set(RLE_DICTIONARY) && pages.is_set(PLAIN), "{pages:?}");
    assert!(metadata.row_group(0).column(1).page_encoding_stats_mask().unwrap().is_only(DELTA_BINARY_PACKED));
    assert_eq!(all_rows(&store, &schema, &files).await, batch);
}

#[tokio::test]
async fn pieces_of_a_sorted_file_are_read_in_every_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = table(2, 12 * CHUNK_ROWS as i64 + 100);
    let schema = batch.schema();
    let sorted_by = vec![SortColumn { column: 0, descending: false }];
    let files = write(&store, WriteSpec { sorted_by, ..spec(&schema) }, pieces(&batch, CHUNK_ROWS)).await;
    assert_eq!(encodings(&metadata(dir.path(), &files[0])), COLUMNS.map(|(_, encoding)| encoding));
    let (low, high) = (5 * CHUNK_ROWS as i64 / 3 + 11, 7 * CHUNK_ROWS as i64 / 3 + 11);
    let scan = between(&store, &schema, &files, low, high);
    let got = rows_in_order(&scan).await.unwrap();
    let pruned = counted(&scan, "chunks_pruned");
    assert!(pruned >= 9, "{pruned} pieces left out");
    let passing = |batch: &RecordBatch| {
        let keys = batch.column(0).as_primitive::<Int64Type>();
        let passes = keys.iter().map(|key| key.map(|key| (low..high).contains(&key))).collect();
        datafusion::arrow::compute::filter_record_batch(batch, &passes).unwrap()
    };
    assert!(passing(&got).num_rows() > CHUNK_ROWS);
    assert_eq!(passing(&got), passing(&batch));
}

/// The scan with `low <= counted and counted < high` pushed into it.
fn between(
    store: &TableStore,
    schema: &SchemaRef,
    files: &[FileEntry],
    low: i64,
    high: i64,
) -> Arc<dyn datafusion::physical_plan::ExecutionPlan> {
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{Column, binary, lit};
    use datafusion::physical_plan::filter_pushdown::{
        ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase,
    };
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let scan = store.scan(schema, &all, files, 1).unwrap();
    let compare =
        |operator, value: i64| binary(Arc::new(Column::new("counted", 0)), operator, lit(value), schema).unwrap();
    let filter = binary(compare(Operator::GtEq, low), Operator::And, compare(Operator::Lt, high), schema).unwrap();
    let parent_filters = vec![ChildFilterPushdownResult { filter, child_results: vec![] }];
    let asked = ChildPushdownResult { parent_filters, self_filters: vec![] };
    let answer = scan.handle_child_pushdown_result(FilterPushdownPhase::Pre, asked, &Default::default()).unwrap();
    answer.updated_node.expect("the scan takes the filter")
}

#[tokio::test]
async fn without_memory_encodings_are_chosen_by_fewer_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = table(3, 20_000);
    let schema = batch.schema();
    let plan = store.write(spec(&schema), memory(&schema, pieces(&batch, 1_000))).unwrap();
    // Less than a batch.
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(4 << 10, 1.0).build_arc().unwrap();
    let context = Arc::new(TaskContext::default().with_runtime(Arc::clone(&runtime)));
    let report = collect(plan, context).await.unwrap();
    assert_eq!(runtime.memory_pool.reserved(), 0);
    let files = report[0].column_by_name("files").unwrap().as_binary::<i32>().value(0);
    let files: Vec<FileEntry> = serde_json::from_slice(files).unwrap();
    assert_eq!(metadata(dir.path(), &files[0]).num_row_groups(), 20);
    assert_eq!(all_rows(&store, &schema, &files).await, batch);
}

#[tokio::test]
async fn a_short_file_has_a_short_bloom_filter() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for rows in [1, 100, ROW_GROUP_ROWS_MAX as i64 / 64] {
        let column = ints((0..rows).map(Some));
        let batch = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap();
        let schema = batch.schema();
        let spec = WriteSpec { filtered: vec![0], ..spec(&schema) };
        let files = write(&store, spec, vec![batch.clone()]).await;
        let metadata = metadata(dir.path(), &files[0]);
        let bytes = metadata.row_group(0).column(0).bloom_filter_length().unwrap() as i64;
        // About ten bits a value, in a power of two; and its header.
        assert!((rows..=rows * 3 + 64).contains(&bytes), "{bytes} bytes for {rows} rows");
        assert_eq!(all_rows(&store, &schema, &files).await, batch);
    }
}
