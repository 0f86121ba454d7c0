//! The table scan: the same rows with every cache, fewer row groups with filters, limits and projections of its own.

mod support;

use damson_cluster::{Compression, ContentId, FileEntry, SnapshotId};
use damson_storage::limits::CHUNK_ROWS;
use damson_storage::{ColumnCache, TableStore, Verification, WriteSpec};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::{SortOptions, concat_batches};
use datafusion::arrow::datatypes::*;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Operator;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, binary, is_null, lit};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase, PushedDown,
};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::*;

const LARGE: u64 = 1 << 30;

/// A table file with row groups of `row_group_rows`, smaller than the writer makes them.
fn file(
    dir: &Path,
    name: &str,
    batch: &RecordBatch,
    row_group_rows: usize,
    compression: ParquetCompression,
) -> FileEntry {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let path = format!("base/t7/{name}.parquet");
    fs::create_dir_all(dir.join("base/t7")).unwrap();
    fs::write(dir.join(&path), &bytes).unwrap();
    FileEntry {
        table: TABLE,
        content: ContentId(0),
        path,
        rows: batch.num_rows() as u64,
        bytes: bytes.len() as u64,
        checksum: xxhash_rust::xxh3::xxh3_64(&bytes),
        buckets: None,
        columns: vec![],
        deletes: None,
        created: SnapshotId(0),
    }
}

/// DataFusion's own scan of the same files.
fn reference(dir: &Path, schema: &SchemaRef, projection: &[usize], files: &[FileEntry]) -> Arc<dyn ExecutionPlan> {
    let source = Arc::new(ParquetSource::new(Arc::clone(schema)));
    let dir = dir.canonicalize().unwrap();
    let file = |file: &FileEntry| PartitionedFile::new(dir.join(&file.path).to_str().unwrap(), file.bytes);
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
        .with_file_group(FileGroup::new(files.iter().map(file).collect()))
        .with_projection_indices(Some(projection.to_vec()))
        .unwrap()
        .build();
    DataSourceExec::from_data_source(config)
}

fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([(name, column)]).unwrap()
}

fn values(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn random_text(rng: &mut StdRng, kind: u32) -> String {
    match kind {
        // Long and all different, few and long, short, and a mixture.
        0 => format!("a text that fits no view: {}", rng.random::<u64>()),
        1 => ["DELIVER IN PERSON", "TAKE BACK RETURN", "äöü and some more bytes", ""][rng.random_range(0..4)].into(),
        2 => rng.random_range(0..500u32).to_string(),
        _ => "x".repeat(rng.random_range(0..30)),
    }
}

fn random_column(rng: &mut StdRng, rows: usize) -> ArrayRef {
    let nulls = [0.0, 0.2, 1.0][rng.random_range(0..3)];
    let null = |rng: &mut StdRng| rng.random_bool(nulls);
    let integers: Vec<Option<i64>> = {
        let range = [10, 1 << 40][rng.random_range(0..2)];
        (0..rows).map(|_| (!null(rng)).then(|| rng.random_range(-range..range))).collect()
    };
    let kind = rng.random_range(0..4);
    match rng.random_range(0..10) {
        0 => Arc::new(integers.iter().copied().collect::<Int64Array>()),
        1 => Arc::new(integers.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        2 => Arc::new(integers.iter().map(|v| v.map(|v| v as i32 / 1000)).collect::<Date32Array>()),
        3 => Arc::new(integers.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>()),
        4 => Arc::new(integers.iter().map(|v| v.map(|v| v as f64 / 3.0)).collect::<Float64Array>()),
        5 => {
            let decimals: Decimal64Array = integers.into_iter().collect();
            Arc::new(decimals.with_precision_and_scale(15, 2).unwrap())
        }
        6 => {
            let decimals: Decimal128Array = integers.into_iter().map(|v| v.map(i128::from)).collect();
            Arc::new(decimals.with_precision_and_scale(38, 10).unwrap())
        }
        7 => {
            let texts: Vec<_> = (0..rows).map(|_| (!null(rng)).then(|| random_text(rng, kind).into_bytes())).collect();
            Arc::new(texts.iter().map(Option::as_deref).collect::<BinaryViewArray>())
        }
        _ => Arc::new((0..rows).map(|_| (!null(rng)).then(|| random_text(rng, kind))).collect::<StringViewArray>()),
    }
}

#[tokio::test]
async fn random_tables_are_read_as_datafusion_reads_them() {
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let columns = rng.random_range(1..7);
        let mut schema: Option<SchemaRef> = None;
        let mut files = Vec::new();
        while files.len() < rng.random_range(1..4) {
            let rows = [1, 8_191, 8_192, 8_193, 16_384, rng.random_range(1..30_000)][rng.random_range(0..6)];
            // The types of the first file, whatever their values.
            let batch = match &schema {
                None => {
                    let columns = (0..columns).map(|i| (format!("c{i}"), random_column(&mut rng, rows), true));
                    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
                }
                Some(schema) => {
                    let column = |field: &FieldRef| loop {
                        let column = random_column(&mut rng, rows);
                        if column.data_type() == field.data_type() {
                            return column;
                        }
                    };
                    let columns = schema.fields().iter().map(column).collect();
                    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
                }
            };
            schema = Some(batch.schema());
            let row_group_rows = [1_000, 8_191, 8_192, 8_193, 20_000, 1 << 20][rng.random_range(0..6)];
            let zstd = ParquetCompression::ZSTD(ZstdLevel::default());
            let compressions = [ParquetCompression::UNCOMPRESSED, ParquetCompression::LZ4_RAW, zstd];
            let compression = compressions[rng.random_range(0..3)];
            files.push(file(dir.path(), &files.len().to_string(), &batch, row_group_rows, compression));
        }
        let schema = schema.unwrap();

        let caches = [0, 50_000, 1_000_000, LARGE].map(|capacity| Arc::new(ColumnCache::new(capacity)));
        let stores = caches.each_ref().map(|cache| open_with_cache(dir.path(), cache));
        for _ in 0..4 {
            let mut projection: Vec<usize> = (0..columns).collect();
            projection.shuffle(&mut rng);
            projection.truncate(rng.random_range(0..=columns));
            let expected = rows_in_order(&reference(dir.path(), &schema, &projection, &files)).await.unwrap();
            for (store, cache) in stores.iter().zip(&caches) {
                let partitions = rng.random_range(1..4);
                let got = rows_in_order(&store.scan(&schema, &projection, &files, partitions).unwrap()).await.unwrap();
                let capacity = cache.stats().capacity;
                assert_eq!(got, expected, "seed {seed}, capacity {capacity}, projection {projection:?}");
                assert!(cache.stats().bytes <= capacity);
            }
        }
    }
}

#[tokio::test]
async fn the_second_scan_reads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let texts: StringViewArray = (0..30_000).map(|_| Some(random_text(&mut rng, 0))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int64Array::from_iter_values(0..30_000))),
        ("t", Arc::new(texts)),
        ("b", Arc::new(Int64Array::from_iter_values(30_000..60_000))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema = batch.schema();
    let files = [file(dir.path(), "f", &batch, 10_000, ParquetCompression::LZ4_RAW)];
    let cache = Arc::new(ColumnCache::new(LARGE));
    let store = open_with_cache(dir.path(), &cache);

    let first = store.scan(&schema, &[1, 0], &files, 1).unwrap();
    assert_eq!(rows_in_order(&first).await.unwrap(), batch.project(&[1, 0]).unwrap());
    assert_eq!((counted(&first, "cache_hits"), counted(&first, "cache_misses")), (0, 6));
    assert!(counted(&first, "bytes_scanned") > 30_000);
    assert_eq!(first.metrics().unwrap().output_rows(), Some(30_000));

    // One column more, in another order, in two partitions.
    let second = store.scan(&schema, &[0, 2, 1], &files, 2).unwrap();
    assert_eq!(rows_in_order(&second).await.unwrap(), batch.project(&[0, 2, 1]).unwrap());
    assert_eq!((counted(&second, "cache_hits"), counted(&second, "cache_misses")), (6, 3));

    // The file is gone; what is in memory is still right.
    fs::remove_file(dir.path().join(&files[0].path)).unwrap();
    let third = store.scan(&schema, &[0, 1, 2], &files, 1).unwrap();
    assert_eq!(rows_in_order(&third).await.unwrap(), batch);
    assert_eq!((counted(&third, "bytes_scanned"), counted(&third, "cache_misses")), (0, 0));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (15, 9));

    // A store that removed it knows nothing of it any more.
    store.remove(&[files[0].path.clone()]).await.unwrap();
    assert_eq!(failure(store.scan(&schema, &[0], &files, 1).unwrap()).await.0, "58P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scans_at_the_same_time_get_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(11);
    let columns: Vec<_> = (0..4).map(|i| (format!("c{i}"), random_column(&mut rng, 40_000), true)).collect();
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let files: Vec<FileEntry> = (0..4)
        .map(|i| file(dir.path(), &i.to_string(), &batch.slice(i * 10_000, 10_000), 3_000, ParquetCompression::LZ4_RAW))
        .collect();
    for capacity in [0, 100_000, LARGE] {
        let store = open_with_cache(dir.path(), &Arc::new(ColumnCache::new(capacity)));
        let scans = (0..8).map(|_| {
            let scan = store.scan(&batch.schema(), &[0, 1, 2, 3], &files, 1).unwrap();
            tokio::spawn(async move { rows_in_order(&scan).await.unwrap() })
        });
        for scan in scans.collect::<Vec<_>>() {
            assert_eq!(scan.await.unwrap(), batch, "capacity {capacity}");
        }
    }
}

/// The catalog's word is wrong here, not the file: what compares it says so, when it does.
#[tokio::test]
async fn files_are_verified_as_often_as_they_are_to_be() {
    for (verification, at_first, later) in
        [(Verification::Length, true, true), (Verification::Once, false, true), (Verification::Always, false, false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let batch = ints("a", 0..100);
        let right = file(dir.path(), "f", &batch, 100, ParquetCompression::UNCOMPRESSED);
        let wrong = FileEntry { checksum: right.checksum ^ 1, ..right.clone() };
        let shorter = FileEntry { bytes: right.bytes - 1, ..right.clone() };
        let open = || {
            let cache = Arc::new(ColumnCache::new(0));
            TableStore::open_with_cache(ContentId(0), dir.path(), cache, verification).unwrap()
        };
        let read = async |store: &TableStore, entry: &FileEntry| {
            let scan = store.scan(&batch.schema(), &[0], std::slice::from_ref(entry), 1).unwrap();
            match rows_in_order(&scan).await {
                Ok(rows) => rows == batch,
                Err(_) => {
                    let failed = failure(store.scan(&batch.schema(), &[0], std::slice::from_ref(entry), 1).unwrap());
                    assert_eq!(failed.await.0, "XX001");
                    false
                }
            }
        };
        assert!(!read(&open(), &shorter).await, "{verification:?}");
        assert_eq!(read(&open(), &wrong).await, at_first, "{verification:?}");
        let store = open();
        assert!(read(&store, &right).await);
        assert_eq!(read(&store, &wrong).await, later, "{verification:?}");
    }
}

#[tokio::test]
async fn contents_of_one_node_share_a_cache_but_no_columns() {
    let cache = Arc::new(ColumnCache::new(LARGE));
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let batches = [ints("a", 0..100), ints("a", 100..200)];
    // Under the same path.
    let files: Vec<FileEntry> =
        dirs.iter().zip(&batches).map(|(d, b)| file(d.path(), "f", b, 50, ParquetCompression::SNAPPY)).collect();
    let stores: Vec<TableStore> = dirs.iter().map(|dir| open_with_cache(dir.path(), &cache)).collect();
    for _ in 0..2 {
        for ((store, file), batch) in stores.iter().zip(&files).zip(&batches) {
            let scan = store.scan(&batch.schema(), &[0], std::slice::from_ref(file), 1).unwrap();
            assert_eq!(&rows_in_order(&scan).await.unwrap(), batch);
        }
    }
    assert_eq!((cache.stats().hits, cache.stats().misses), (4, 4));
}

#[tokio::test]
async fn a_batch_from_the_cache_owns_its_memory_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    let rows = 50_000;
    let column = |rng: &mut StdRng, kind| -> ArrayRef {
        Arc::new((0..rows).map(|_| Some(random_text(rng, kind))).collect::<StringViewArray>())
    };
    for kind in 0..4 {
        let texts = column(&mut rng, kind);
        let batch = RecordBatch::try_from_iter([("t", Arc::clone(&texts))]).unwrap();
        let schema = batch.schema();
        let files = [file(dir.path(), &kind.to_string(), &batch, 20_000, ParquetCompression::UNCOMPRESSED)];
        let cache = Arc::new(ColumnCache::new(LARGE));
        let store = open_with_cache(dir.path(), &cache);
        // Those of the first scan are the cached ones already.
        for _ in 0..2 {
            let batches = run(store.scan(&schema, &[0], &files, 1).unwrap()).await.unwrap();
            let held: usize = batches.iter().map(|batch| batch.column(0).get_array_memory_size()).sum();
            let needed = texts.as_string_view().total_buffer_bytes_used() + 16 * rows;
            assert!(held as f64 <= 1.1 * needed as f64, "kind {kind}: {held} for {needed}");
            assert_eq!(cache.stats().bytes, held as u64);
            let sizes: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
            assert_eq!(sizes, [CHUNK_ROWS, CHUNK_ROWS, 3_616, CHUNK_ROWS, CHUNK_ROWS, 3_616, CHUNK_ROWS, 1_808]);
        }
    }
}

#[tokio::test]
async fn columns_are_matched_by_position_and_cast_and_intervals_are_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Arc::new(ColumnCache::new(LARGE));
    let store = open_with_cache(dir.path(), &cache);
    let interval = IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, -2, 3)), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int32Array::from(vec![1, 2]))),
        ("i", Arc::new(interval)),
        ("x", Arc::new(Int64Array::from(vec![3, 4]))),
    ];
    let old = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let spec = WriteSpec::new(TABLE, old.schema(), Compression::Zstd(1), vec![]);
    let files = write(&store, spec, vec![old.clone()]).await;

    // a became x and is wider, x became i, i became a, and an x was added.
    let schema = Arc::new(Schema::new(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("a", DataType::Interval(IntervalUnit::MonthDayNano), true),
        Field::new("i", DataType::Int64, true),
        Field::new("new", DataType::Utf8View, true),
    ]));
    for _ in 0..2 {
        let got = rows_in_order(&store.scan(&schema, &[3, 2, 1, 0, 2], &files, 1).unwrap()).await.unwrap();
        assert_eq!(got.column(0).null_count(), 2);
        assert_eq!(got.column(1), old.column(2));
        assert_eq!(got.column(2), old.column(1));
        assert_eq!(got.column(3).as_primitive::<Int64Type>().values(), &[1, 2]);
        assert_eq!(got.column(4), old.column(2));
    }
    // As it was written: the cache has it in another type.
    let got = rows_in_order(&store.scan(&old.schema(), &[0, 1, 2], &files, 1).unwrap()).await.unwrap();
    assert_eq!(got, old);
}

/// Five row groups of 1,000 rows: a rises, t is its text.
fn five_row_groups(dir: &Path) -> (RecordBatch, Vec<FileEntry>) {
    let a: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5_000));
    let t: ArrayRef = Arc::new((0..5_000).map(|i| Some(format!("text {i:05}"))).collect::<StringViewArray>());
    let batch = RecordBatch::try_from_iter([("a", a), ("t", t)]).unwrap();
    let files = vec![file(dir, "f", &batch, 1_000, ParquetCompression::LZ4_RAW)];
    (batch, files)
}

/// Pushes a filter into a scan.
fn push(scan: &Arc<dyn ExecutionPlan>, filter: Arc<dyn PhysicalExpr>) -> Option<Arc<dyn ExecutionPlan>> {
    let parent_filters = vec![ChildFilterPushdownResult { filter, child_results: vec![] }];
    let asked = ChildPushdownResult { parent_filters, self_filters: vec![] };
    let config = ConfigOptions::default();
    let answer = scan.handle_child_pushdown_result(FilterPushdownPhase::Post, asked, &config).unwrap();
    assert!(matches!(answer.filters[..], [PushedDown::No]), "whoever pushed a filter applies it");
    answer.updated_node
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

#[tokio::test]
async fn row_groups_are_pruned_by_position_and_type() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Arc::new(ColumnCache::new(LARGE));
    let store = open_with_cache(dir.path(), &cache);
    let (batch, files) = five_row_groups(dir.path());
    // The file's a is b now, and its t is a.
    let schema = Arc::new(Schema::new(vec![
        Field::new("b", DataType::Int64, true),
        Field::new("a", DataType::Utf8View, true),
        Field::new("added", DataType::Int64, true),
    ]));
    let scan = store.scan(&schema, &[2, 0, 1], &files, 1).unwrap();
    let output = scan.schema();
    let on = |name, op, value: Arc<dyn PhysicalExpr>| {
        binary(column(name, output.index_of(name).unwrap()), op, value, &output).unwrap()
    };
    let text = |text: &str| lit(datafusion::common::ScalarValue::Utf8View(Some(text.into())));
    // The filter, rows left, row groups pruned.
    let cases = [
        (on("b", Operator::GtEq, lit(3_500i64)), 2_000, 3),
        (on("b", Operator::Lt, lit(1_000i64)), 1_000, 4),
        (on("a", Operator::Eq, text("text 02500")), 1_000, 4),
        (on("a", Operator::Lt, text("text")), 0, 5),
        (on("added", Operator::Eq, lit(1i64)), 0, 5),
        (is_null(column("added", 0)).unwrap(), 5_000, 0),
        (is_null(column("b", 1)).unwrap(), 0, 5),
        // An index that the planner left behind.
        (binary(column("b", 0), Operator::Gt, lit(4_999i64), &schema).unwrap(), 0, 5),
        // Nothing that statistics tell about.
        (on("b", Operator::Eq, column("b", 1)), 5_000, 0),
    ];
    for (filter, left, pruned) in cases {
        let scan = push(&scan, Arc::clone(&filter)).expect("it is kept");
        let got = rows_in_order(&scan).await.unwrap();
        assert_eq!((got.num_rows(), counted(&scan, "row_groups_pruned")), (left, pruned), "{filter}");
    }
    // Two are both kept.
    let both = push(&scan, on("b", Operator::GtEq, lit(1_500i64))).unwrap();
    let both = push(&both, on("a", Operator::Lt, text("text 03000"))).unwrap();
    assert_eq!(values(&rows_in_order(&both).await.unwrap().project(&[1]).unwrap()), (1_000..3_000).collect::<Vec<_>>());
    // A column that it does not have is none of its business.
    assert!(push(&scan, is_null(column("other", 7)).unwrap()).is_none());
    assert_eq!(batch.num_rows(), 5_000);
}

#[tokio::test]
async fn not_a_number_is_not_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let column_: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
    let batch = RecordBatch::try_from_iter([("f", column_)]).unwrap();
    let files = [file(dir.path(), "f", &batch, 100, ParquetCompression::UNCOMPRESSED)];
    let scan = store.scan(&batch.schema(), &[0], &files, 1).unwrap();
    let with = |op, value: f64| {
        let filter = binary(column("f", 0), op, lit(value), &batch.schema()).unwrap();
        push(&scan, filter).unwrap()
    };
    // NaN is larger than 5.
    assert_eq!(rows_in_order(&with(Operator::Gt, 5.0)).await.unwrap().num_rows(), 3);
    assert_eq!(rows_in_order(&with(Operator::Lt, 0.5)).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn a_dynamic_filter_prunes_what_it_excludes_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (batch, files) = five_row_groups(dir.path());
    let schema = batch.schema();
    let scan = store.scan(&schema, &[1, 0], &files, 1).unwrap();
    let a = column("a", 1);
    let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![Arc::clone(&a)], lit(true)));
    let scan = push(&scan, Arc::clone(&filter) as _).unwrap();
    let mut stream = scan.execute(0, Arc::new(TaskContext::default())).unwrap();
    let mut seen = vec![stream.next().await.unwrap().unwrap()];
    assert_eq!(counted(&scan, "row_groups_pruned"), 0);
    // The second row group is being read ahead already.
    filter.update(binary(Arc::clone(&a), Operator::GtEq, lit(2_500i64), &scan.schema()).unwrap()).unwrap();
    seen.push(stream.next().await.unwrap().unwrap());
    filter.update(binary(a, Operator::GtEq, lit(4_000i64), &scan.schema()).unwrap()).unwrap();
    while let Some(batch) = stream.next().await {
        seen.push(batch.unwrap());
    }
    let got = concat_batches(&scan.schema(), &seen).unwrap();
    let expected: Vec<i64> = (0..1_000).chain(2_000..3_000).chain(4_000..5_000).collect();
    assert_eq!(got.column(1).as_primitive::<Int64Type>().values(), &expected);
    assert_eq!(counted(&scan, "row_groups_pruned"), 2);
}

#[tokio::test]
async fn the_planner_pushes_filters_limits_and_projections() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (batch, files) = five_row_groups(dir.path());
    let schema = batch.schema();
    let config = ConfigOptions::default();
    let scan = || store.scan(&schema, &[0, 1], &files, 1).unwrap();
    let leaf = |plan: &Arc<dyn ExecutionPlan>| {
        let mut leaf = Arc::clone(plan);
        while let Some(&child) = leaf.children().first() {
            leaf = Arc::clone(child);
        }
        leaf
    };

    // A filter stays and prunes.
    let filter = binary(column("a", 0), Operator::Gt, lit(3_500i64), &schema).unwrap();
    let plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(filter, scan()).unwrap());
    let plan = FilterPushdown::new().optimize(plan, &config).unwrap();
    assert_eq!(values(&rows_in_order(&plan).await.unwrap()), (3_501..5_000).collect::<Vec<_>>());
    assert_eq!((plan.name(), counted(&leaf(&plan), "row_groups_pruned")), ("FilterExec", 3));

    // A limit becomes the scan's.
    let plan: Arc<dyn ExecutionPlan> = Arc::new(GlobalLimitExec::new(scan(), 0, Some(1_500)));
    let plan = LimitPushdown::new().optimize(plan, &config).unwrap();
    assert_eq!((plan.name(), plan.fetch()), ("TableScan", Some(1_500)));
    assert_eq!(values(&rows_in_order(&plan).await.unwrap()), (0..1_500).collect::<Vec<_>>());
    // And a scan with a limit takes no filter: which rows the limit lets through must not depend on it.
    assert!(push(&plan, is_null(column("a", 0)).unwrap()).is_none());

    // So does a projection that selects; the other column is not read.
    let only = |name: &str| counted_bytes(&store, &schema, &files, schema.index_of(name).unwrap());
    let renamed = vec![ProjectionExpr { expr: column("t", 1), alias: "u".into() }];
    let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(renamed, scan()).unwrap());
    let plan = ProjectionPushdown::new().optimize(plan, &config).unwrap();
    assert_eq!((plan.name(), plan.schema().field(0).name().as_str()), ("TableScan", "u"));
    assert_eq!(rows_in_order(&plan).await.unwrap().column(0), batch.column(1));
    assert_eq!(counted(&plan, "bytes_scanned"), only("t").await);
    // A filter on the new name finds its column.
    let text = datafusion::common::ScalarValue::Utf8View(Some("text 04999".into()));
    let plan = push(&plan, binary(column("u", 0), Operator::Eq, lit(text), &plan.schema()).unwrap()).unwrap();
    assert_eq!(rows_in_order(&plan).await.unwrap().num_rows(), 1_000);

    // One that computes does not.
    let twice = binary(column("a", 0), Operator::Plus, column("a", 0), &schema).unwrap();
    let computed = vec![ProjectionExpr { expr: twice, alias: "twice".into() }];
    let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(computed, scan()).unwrap());
    let plan = ProjectionPushdown::new().optimize(plan, &config).unwrap();
    assert_eq!(plan.name(), "ProjectionExec", "{}", displayable(plan.as_ref()).indent(true));

    // A TopK says what it no longer needs while it runs.
    let order = LexOrdering::new([PhysicalSortExpr::new(column("a", 0), SortOptions::default())]).unwrap();
    let plan: Arc<dyn ExecutionPlan> = Arc::new(SortExec::new(order, scan()).with_fetch(Some(3)));
    let plan = FilterPushdown::new_post_optimization().optimize(plan, &config).unwrap();
    assert_eq!(values(&rows_in_order(&plan).await.unwrap()), [0, 1, 2]);
    assert_eq!(counted(&leaf(&plan), "row_groups_pruned"), 4);
}

async fn counted_bytes(store: &TableStore, schema: &SchemaRef, files: &[FileEntry], position: usize) -> usize {
    let scan = store.scan(schema, &[position], files, 1).unwrap();
    rows_in_order(&scan).await.unwrap();
    counted(&scan, "bytes_scanned")
}

#[tokio::test]
async fn limits_are_exact_and_read_no_more_than_they_must() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (batch, files) = five_row_groups(dir.path());
    let schema = batch.schema();
    let scan = store.scan(&schema, &[0], &files, 1).unwrap();
    rows_in_order(&scan).await.unwrap();
    let all_bytes = counted(&scan, "bytes_scanned");
    for limit in [0, 1, 999, 1_000, 1_001, 4_999, 5_000, 9_000] {
        let limited = scan.with_fetch(Some(limit)).unwrap();
        assert_eq!(values(&rows_in_order(&limited).await.unwrap()), (0..5_000.min(limit as i64)).collect::<Vec<_>>());
        let row_groups = limit.div_ceil(1_000).min(5);
        let bytes = counted(&limited, "bytes_scanned");
        assert!(bytes <= all_bytes * row_groups / 5 + 200, "limit {limit}: {bytes} of {all_bytes}");
    }
    assert_eq!(rows_in_order(&scan.with_fetch(None).unwrap()).await.unwrap().num_rows(), 5_000);
}

#[tokio::test]
async fn a_scan_of_no_columns_counts_rows_from_footers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = ints("a", 0..20_000);
    let files = [file(dir.path(), "f", &batch, 9_000, ParquetCompression::LZ4_RAW)];
    for partitions in [1, 2, 5] {
        let scan = store.scan(&batch.schema(), &[], &files, partitions).unwrap();
        assert_eq!(rows_in_order(&scan).await.unwrap().num_rows(), 20_000);
        assert_eq!(counted(&scan, "bytes_scanned"), 0);
    }
    assert_eq!(rows_in_order(&store.scan(&batch.schema(), &[], &[], 2).unwrap()).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn damage_after_the_checksum_is_reported_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (batch, files) = five_row_groups(dir.path());
    let scan = || store.scan(&batch.schema(), &[0], &files, 1).unwrap();
    rows_in_order(&scan()).await.unwrap();
    let path = dir.path().join(&files[0].path);
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4..length / 2].fill(0);
    fs::write(&path, bytes).unwrap();
    let (sqlstate, message) = failure(scan()).await;
    assert!(sqlstate == "XX001" && message.contains(&files[0].path) && message.contains("row group"), "{message}");
    fs::remove_file(&path).unwrap();
    assert_eq!(failure(scan()).await.0, "58P01");
}

#[tokio::test]
async fn a_scan_from_the_cache_lets_others_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with_cache(dir.path(), &Arc::new(ColumnCache::new(LARGE)));
    let batch = ints("a", 0..10_000);
    let files = [file(dir.path(), "f", &batch, 10, ParquetCompression::UNCOMPRESSED)];
    let scan = store.scan(&batch.schema(), &[0], &files, 1).unwrap();
    rows_in_order(&scan).await.unwrap();
    let mut stream = scan.execute(0, Arc::new(TaskContext::default())).unwrap();
    let mut at_once = 0;
    while let std::task::Poll::Ready(batch) = futures::poll!(stream.next()) {
        batch.expect("there are 1,000 batches, and the runtime's turn comes before").unwrap();
        at_once += 1;
    }
    assert!(at_once > 1, "cached batches need no wait");
    assert_eq!(at_once + stream.count().await, 1_000);
    assert_eq!(counted(&scan, "cache_hits"), 1_000);
}

/// `cargo test --release -p damson-storage --test scan -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    const ROWS: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(5);
    let prices: Decimal64Array = (0..ROWS).map(|_| Some(rng.random_range(100..10_000_000i64))).collect();
    let mut text = |kind| -> ArrayRef {
        Arc::new((0..ROWS).map(|_| Some(random_text(&mut rng, kind))).collect::<StringViewArray>())
    };
    let (unique, few) = (text(0), text(1));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(|i| i / 4)))),
        ("price", Arc::new(prices.with_precision_and_scale(15, 2).unwrap())),
        ("day", Arc::new(Date32Array::from_iter_values((0..ROWS).map(|_| rng.random_range(8_000..10_500))))),
        ("unique", unique),
        ("few", few),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema = batch.schema();
    let writer = open(dir.path());
    let spec = WriteSpec::new(TABLE, Arc::clone(&schema), Compression::Lz4, vec![]);
    let batches = (0..ROWS).step_by(CHUNK_ROWS).map(|i| batch.slice(i, CHUNK_ROWS.min(ROWS - i))).collect();
    let files = write(&writer, spec, batches).await;

    async fn seconds(plan: Arc<dyn ExecutionPlan>) -> f64 {
        let start = std::time::Instant::now();
        let mut stream = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        assert_eq!(rows, ROWS);
        start.elapsed().as_secs_f64()
    }
    let projections: [(&str, &[usize]); 4] =
        [("all five", &[0, 1, 2, 3, 4]), ("three numbers", &[0, 1, 2]), ("unique text", &[3]), ("few texts", &[4])];
    for (what, projection) in projections {
        let hot_cache = Arc::new(ColumnCache::new(LARGE));
        let hot = open_with_cache(dir.path(), &hot_cache);
        let mut best = [f64::MAX; 4];
        for _ in 0..7 {
            // Warm: the footer is known to all but DataFusion's, which reads it each time.
            let cold_cache = Arc::new(ColumnCache::new(LARGE));
            let cold = open_with_cache(dir.path(), &cold_cache);
            rows_in_order(&cold.scan(&schema, &[], &files, 1).unwrap()).await.unwrap();
            let plans = [
                reference(dir.path(), &schema, projection, &files),
                writer.scan(&schema, projection, &files, 1).unwrap(),
                cold.scan(&schema, projection, &files, 1).unwrap(),
                hot.scan(&schema, projection, &files, 1).unwrap(),
            ];
            for (best, plan) in best.iter_mut().zip(plans) {
                *best = best.min(seconds(plan).await);
            }
        }
        let rate = best.map(|seconds| ROWS as f64 / seconds / 1e6);
        println!(
            "{what}: million rows/s: DataFusion {:.1}, ours without cache {:.1}, cold {:.1}, hot {:.1}; cached {} KiB",
            rate[0],
            rate[1],
            rate[2],
            rate[3],
            hot_cache.stats().bytes >> 10
        );
    }
}
