//! Sorted files, Bloom filters and page indexes: what a scan is spared by them, and that it loses no row.

mod support;

use damson_cluster::{ColumnStats, Compression, FileEntry, SortColumn};
use damson_storage::limits::CHUNK_ROWS;
use damson_storage::{ColumnCache, TableStore, WriteSpec};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::*;
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::Operator;
use datafusion::parquet::file::reader::FileReader;
use datafusion::parquet::file::serialized_reader::SerializedFileReader;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, binary, in_list, is_null, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter_pushdown::{ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase};
use std::fs;
use std::sync::Arc;
use support::*;

/// The last piece is shorter than the others.
const ROWS: i64 = 12 * CHUNK_ROWS as i64 + 100;

/// `k` counts and ends with NULLs, `v` is in no order, `t` is as `k` in words.
fn batch(first: i64, rows: i64, nulls: i64) -> RecordBatch {
    let numbers = first..first + rows;
    let value = |k: i64| (k < first + rows - nulls).then_some(k);
    let k: ArrayRef = Arc::new(numbers.clone().map(value).collect::<Int64Array>());
    let v: ArrayRef = Arc::new(numbers.clone().map(|k| Some(k * 7_919 % 1_000_003)).collect::<Int64Array>());
    let t: ArrayRef = Arc::new(numbers.map(|k| value(k).map(|k| format!("text {k:08}"))).collect::<StringViewArray>());
    RecordBatch::try_from_iter_with_nullable([("k", k, true), ("v", v, true), ("t", t, true)]).unwrap()
}

fn spec(schema: &SchemaRef) -> WriteSpec {
    WriteSpec {
        sorted_by: vec![SortColumn { column: 0, descending: false }],
        filtered: vec![1],
        ..WriteSpec::new(TABLE, Arc::clone(schema), Compression::Lz4, vec![])
    }
}

fn slices(batch: &RecordBatch) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(CHUNK_ROWS);
    starts.map(|at| batch.slice(at, CHUNK_ROWS.min(batch.num_rows() - at))).collect()
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

/// The scan with a filter pushed into it.
fn pushed(
    store: &TableStore,
    schema: &SchemaRef,
    files: &[FileEntry],
    filter: &Arc<dyn PhysicalExpr>,
) -> Arc<dyn ExecutionPlan> {
    let scan = store.scan(schema, &[0, 1, 2], files, 1).unwrap();
    let parent_filters = vec![ChildFilterPushdownResult { filter: Arc::clone(filter), child_results: vec![] }];
    let asked = ChildPushdownResult { parent_filters, self_filters: vec![] };
    let config = ConfigOptions::default();
    let answer = scan.handle_child_pushdown_result(FilterPushdownPhase::Pre, asked, &config).unwrap();
    answer.updated_node.expect("the scan takes the filter")
}

/// The rows of a batch that a filter lets through.
fn passing(batch: &RecordBatch, filter: &Arc<dyn PhysicalExpr>) -> RecordBatch {
    let passes = filter.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
    filter_record_batch(batch, passes.as_boolean()).unwrap()
}

#[tokio::test]
async fn files_say_what_they_are_sorted_by() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = batch(0, ROWS, 0);
    let schema = batch.schema();
    let sorted = write(&store, spec(&schema), slices(&batch)).await;
    let unsorted = write(&store, WriteSpec { sorted_by: vec![], ..spec(&schema) }, slices(&batch)).await;
    for (file, is_sorted) in [(&sorted[0], true), (&unsorted[0], false)] {
        let reader = SerializedFileReader::new(fs::File::open(dir.path().join(&file.path)).unwrap()).unwrap();
        let row_group = reader.metadata().row_group(0);
        let sorting = row_group.sorting_columns().map(|columns| (columns[0].column_idx, columns[0].descending));
        assert_eq!(sorting, is_sorted.then_some((0, false)));
        assert_eq!(row_group.column(0).column_index_offset().is_some(), is_sorted);
        // An index of bounds of the key alone; where pages are, of all.
        assert!(row_group.column(1).column_index_offset().is_none());
        assert_eq!(row_group.column(1).offset_index_offset().is_some(), is_sorted);
        assert!(row_group.column(0).bloom_filter_offset().is_none());
        assert!(row_group.column(1).bloom_filter_offset().is_some());
    }
    let wrong = WriteSpec { sorted_by: vec![SortColumn { column: 3, descending: false }], ..spec(&schema) };
    assert_eq!(store.write(wrong, memory(&schema, vec![])).unwrap_err().sqlstate(), "XX000");
}

#[tokio::test]
async fn pages_are_pruned_with_every_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Arc::new(ColumnCache::new(1 << 30));
    let (plain, caching) = (open(dir.path()), open_with_cache(dir.path(), &cache));
    let nulls = 2 * CHUNK_ROWS as i64;
    let batch = batch(0, ROWS, nulls);
    let schema = batch.schema();
    let mut files = write(&plain, spec(&schema), slices(&batch)).await;
    // A file of which the master said nothing.
    files[0].columns = vec![];
    let k = || column("k", 0);
    let compare = |left, op, right| binary(left, op, right, &schema).unwrap();
    let chunk = CHUNK_ROWS as i64;
    let text = |k: i64| lit(ScalarValue::Utf8View(Some(format!("text {k:08}"))));
    let between = compare(
        compare(k(), Operator::GtEq, lit(3 * chunk - 5)),
        Operator::And,
        compare(k(), Operator::Lt, lit(3 * chunk + 5)),
    );
    let ends = compare(
        compare(k(), Operator::Lt, lit(10i64)),
        Operator::Or,
        compare(k(), Operator::GtEq, lit(ROWS - nulls - 10)),
    );
    let all = ROWS as usize / CHUNK_ROWS + 1;
    for (filter, read) in [
        (compare(k(), Operator::Eq, lit(5 * chunk + 7)), 1),
        (between, 2),
        (ends, 2),
        (is_null(k()).unwrap(), 3),
        (compare(k(), Operator::Lt, lit(0i64)), 0),
        // More than half is read whole, and kept.
        (compare(k(), Operator::GtEq, lit(2 * chunk)), all),
        // No index.
        (compare(column("t", 2), Operator::Eq, text(4_711)), all),
    ] {
        let expected = passing(&batch, &filter);
        // Twice: without and with columns in the cache.
        for store in [&plain, &caching, &caching] {
            let scan = pushed(store, &schema, &files, &filter);
            let got = rows_in_order(&scan).await.unwrap();
            assert_eq!(passing(&got, &filter), expected, "{filter}");
            let chunks = counted(&scan, "chunks") - counted(&scan, "chunks_pruned");
            let is_sparse = read > 0 && read < all;
            assert_eq!(chunks, if is_sparse { read } else { 0 }, "{filter}");
            assert!(got.num_rows() <= read * CHUNK_ROWS, "{filter}: {} rows", got.num_rows());
            assert!(!is_sparse || got.num_rows() > (read - 1) * CHUNK_ROWS, "{filter}");
        }
        // Whatever a sparse scan left in the cache, a whole one is whole.
        let scan = caching.scan(&schema, &[0, 1, 2], &files, 1).unwrap();
        assert_eq!(rows_in_order(&scan).await.unwrap(), batch, "{filter}");
    }
}

#[tokio::test]
async fn files_are_pruned_before_they_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = batch(0, 4_000, 0);
    let schema = batch.schema();
    let spec = WriteSpec { file_rows_max: 1_000, ..spec(&schema) };
    let batches = (0..4).map(|i| batch.slice(i * 1_000, 1_000)).collect();
    let files = write(&store, spec, batches).await;
    assert_eq!(files.len(), 4);
    // Opened, it would be missed.
    for gone in &files[..3] {
        fs::remove_file(dir.path().join(&gone.path)).unwrap();
    }
    let filter = binary(column("k", 0), Operator::GtEq, lit(3_500i64), &schema).unwrap();
    let sent =
        |column: &ColumnStats, position: usize| if position == 0 { column.bounds() } else { ColumnStats::UNKNOWN };
    let sent = |file: &FileEntry| FileEntry {
        columns: file.columns.iter().enumerate().map(|(position, column)| sent(column, position)).collect(),
        ..file.clone()
    };
    let files: Vec<FileEntry> = files.iter().map(sent).collect();
    let scan = pushed(&store, &schema, &files, &filter);
    let got = rows_in_order(&scan).await.unwrap();
    assert_eq!(passing(&got, &filter), batch.slice(3_500, 500));
    assert_eq!((counted(&scan, "files"), counted(&scan, "files_pruned")), (4, 3));
    // By another column nothing is known of them.
    let filter = binary(column("v", 1), Operator::Lt, lit(-1i64), &schema).unwrap();
    assert_eq!(failure(pushed(&store, &schema, &files, &filter)).await.0, "58P01");
}

#[tokio::test]
async fn bloom_filters_answer_equality_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = batch(0, 10_000, 0);
    let schema = batch.schema();
    let files = write(&store, WriteSpec { sorted_by: vec![], ..spec(&schema) }, slices(&batch)).await;
    let v = || column("v", 1);
    let values = batch.column(1).as_primitive::<Int64Type>();
    let there = values.value(77);
    // Values that lie between the smallest and the largest, and are no row's.
    let missing: Vec<i64> = (500_000..500_400).filter(|value| !values.values().contains(value)).collect();
    let equal = |value: i64| binary(v(), Operator::Eq, lit(value), &schema).unwrap();
    let any = |values: &[i64]| in_list(v(), values.iter().map(|value| lit(*value)).collect(), &false, &schema).unwrap();
    let filtered = async |filter: Arc<dyn PhysicalExpr>| {
        let scan = pushed(&store, &schema, &files, &filter);
        let got = rows_in_order(&scan).await.unwrap();
        assert_eq!(passing(&got, &filter), passing(&batch, &filter), "{filter}");
        counted(&scan, "row_groups_filtered")
    };
    assert_eq!(filtered(equal(there)).await, 0);
    assert_eq!(filtered(any(&[missing[0], there, missing[1]])).await, 0);
    let mut spared = vec![];
    for &value in &missing {
        if filtered(equal(value)).await == 1 {
            spared.push(value);
        }
    }
    assert!(spared.len() * 100 >= missing.len() * 95, "{} of {}", spared.len(), missing.len());
    assert_eq!(filtered(any(&spared[..3])).await, 1);
    // A filter is not asked for so many, and a range is no list.
    assert_eq!(filtered(any(&missing[..100])).await, 0);
    assert_eq!(filtered(binary(v(), Operator::Gt, lit(there), &schema).unwrap()).await, 0);
}

/// A lookup does not read them again, however often it comes.
#[tokio::test]
async fn bloom_filters_stay_in_memory() {
    let batch = batch(0, 10_000, 0);
    let schema = batch.schema();
    let values = batch.column(1).as_primitive::<Int64Type>();
    let missing: Vec<i64> = (500_000..500_400).filter(|value| !values.values().contains(value)).collect();
    for (capacity, reads_again) in [(64 << 20, false), (0, true)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open_with_cache(dir.path(), &Arc::new(ColumnCache::new(capacity)));
        let files = write(&store, WriteSpec { sorted_by: vec![], ..spec(&schema) }, slices(&batch)).await;
        let lookup = |value: i64| {
            let filter = binary(column("v", 1), Operator::Eq, lit(value), &schema).unwrap();
            pushed(&store, &schema, &files, &filter)
        };
        let mut spared = None;
        for &value in &missing {
            let scan = lookup(value);
            rows_in_order(&scan).await.unwrap();
            if counted(&scan, "row_groups_filtered") == 1 {
                spared = Some(value);
                break;
            }
        }
        let spared = spared.expect("a filter that lets nothing be left out is none");
        fs::remove_file(dir.path().join(&files[0].path)).unwrap();
        let again = lookup(spared);
        match rows_in_order(&again).await {
            Ok(rows) => assert!(!reads_again && rows.num_rows() == 0 && counted(&again, "row_groups_filtered") == 1),
            Err(error) => assert!(reads_again, "{error}"),
        }
    }
}

/// Whatever order rows were written in: the bounds are those of the chunks in memory.
#[tokio::test]
async fn chunks_in_the_cache_are_pruned_by_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with_cache(dir.path(), &Arc::new(ColumnCache::new(1 << 30)));
    let nulls = 2 * CHUNK_ROWS as i64;
    let batch = batch(0, ROWS, nulls);
    let schema = batch.schema();
    let files = write(&store, WriteSpec { sorted_by: vec![], filtered: vec![], ..spec(&schema) }, slices(&batch)).await;
    let k = || column("k", 0);
    let compare = |left, op, right| binary(left, op, right, &schema).unwrap();
    let chunk = CHUNK_ROWS as i64;
    let one = compare(k(), Operator::Eq, lit(5 * chunk + 7));
    // What is not in memory is read whole.
    let scan = pushed(&store, &schema, &files, &one);
    assert_eq!(rows_in_order(&scan).await.unwrap(), batch);
    assert_eq!(counted(&scan, "chunks"), 0);
    let all = ROWS as usize / CHUNK_ROWS + 1;
    let v = compare(column("v", 1), Operator::Lt, lit(0i64));
    for (filter, read) in [
        (one, 1),
        (in_list(k(), vec![lit(1i64), lit(3 * chunk), lit(ROWS * 2)], &false, &schema).unwrap(), 2),
        (is_null(k()).unwrap(), 3),
        (compare(compare(k(), Operator::Gt, lit(chunk)), Operator::And, v), 0),
        (compare(k(), Operator::GtEq, lit(2 * chunk)), all),
        (compare(column("v", 1), Operator::Eq, lit(7_919i64)), all),
        (compare(column("t", 2), Operator::Eq, lit(ScalarValue::Utf8View(Some("text 00000001".into())))), all),
    ] {
        let scan = pushed(&store, &schema, &files, &filter);
        let got = rows_in_order(&scan).await.unwrap();
        assert_eq!(passing(&got, &filter), passing(&batch, &filter), "{filter}");
        assert_eq!(got.num_rows().div_ceil(CHUNK_ROWS), read, "{filter}: {} rows", got.num_rows());
        assert_eq!(
            counted(&scan, "chunks") - counted(&scan, "chunks_pruned"),
            if read < all { read } else { 0 },
            "{filter}"
        );
    }
    // All of it is still there.
    let scan = store.scan(&schema, &[0, 1, 2], &files, 1).unwrap();
    assert_eq!(rows_in_order(&scan).await.unwrap(), batch);
    assert_eq!(counted(&scan, "cache_misses"), 0);
}
