//! Table files: write, scan, statistics, damage.

mod support;

use damson_cluster::{Compression, FileEntry, StatValue, sketch};
use damson_storage::WriteSpec;
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{Column, binary, lit};
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase};
use std::fs;
use std::sync::Arc;
use support::*;

fn interval(months: i32, days: i32, nanos: i64) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(months, days, nanos)
}

/// Every type that a table can have, with its limits and a NULL.
fn every_type() -> RecordBatch {
    let long = "a text that does not fit a view inline: äöü".repeat(10);
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        [Some([0u8; 16]), Some([255; 16]), None, Some([7; 16])].into_iter(),
        16,
    );
    let day = 86_400_000_000i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        ("int2", Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None, Some(0)]))),
        ("int4", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None, Some(0)]))),
        ("int8", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0)]))),
        ("float4", Arc::new(Float32Array::from(vec![Some(f32::MIN), Some(f32::INFINITY), None, Some(-0.0)]))),
        ("float8", Arc::new(Float64Array::from(vec![Some(f64::MIN_POSITIVE), Some(f64::NAN), None, Some(1.5)]))),
        ("dec5", decimal64(vec![Some(99_999), Some(-99_999), None, Some(0)], 5, 2)),
        ("dec18", decimal64(vec![Some(10i64.pow(18) - 1), Some(1 - 10i64.pow(18)), None, Some(0)], 18, 4)),
        (
            "dec38",
            Arc::new(
                Decimal128Array::from(vec![Some(10i128.pow(38) - 1), Some(1 - 10i128.pow(38)), None, Some(0)])
                    .with_precision_and_scale(38, 10)
                    .unwrap(),
            ),
        ),
        ("text", Arc::new(StringViewArray::from(vec![Some(""), Some(long.as_str()), None, Some("short")]))),
        ("bytea", Arc::new(BinaryViewArray::from(vec![Some(&b""[..]), Some(&[0, 255, 128]), None, Some(b"xyz")]))),
        ("uuid", Arc::new(uuids.unwrap())),
        ("date", Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), None, Some(0)]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(day), None, Some(1)]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0)]))),
        (
            "tstz",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1), None, Some(0)]).with_timezone("UTC")),
        ),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(interval(i32::MIN, i32::MAX, i64::MIN)),
                Some(interval(-1, 2, 3_000)),
                None,
                Some(interval(0, 0, 0)),
            ])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn decimal64(values: Vec<Option<i64>>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal64Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([(name, column)]).unwrap()
}

fn spec(schema: &SchemaRef) -> WriteSpec {
    WriteSpec::new(TABLE, Arc::clone(schema), Compression::Lz4, vec![])
}

fn all(schema: &SchemaRef) -> Vec<usize> {
    (0..schema.fields().len()).collect()
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = every_type();
    let schema = batch.schema();
    for compression in [Compression::None, Compression::Snappy, Compression::Lz4, Compression::Zstd(3)] {
        let spec = WriteSpec { compression, ..spec(&schema) };
        let files = write(&store, spec, vec![batch.clone(), batch.slice(1, 2)]).await;
        assert_eq!((files.len(), files[0].rows), (1, 6));
        let got = rows(store.scan(&schema, &all(&schema), &files, 1).unwrap()).await.unwrap();
        assert_eq!(got.slice(0, 4), batch);
        assert_eq!(got.slice(4, 2), batch.slice(1, 2));

        // Any projection, in any order, and none.
        let got = rows(store.scan(&schema, &[16, 9, 0], &files, 1).unwrap()).await.unwrap();
        assert_eq!(got.slice(0, 4), batch.project(&[16, 9, 0]).unwrap());
        let got = rows(store.scan(&schema, &[], &files, 1).unwrap()).await.unwrap();
        assert_eq!((got.num_columns(), got.num_rows()), (0, 6));
    }
}

#[tokio::test]
async fn the_catalog_entry_describes_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = every_type();
    let schema = batch.schema();
    let spec = WriteSpec { distribution_key: vec![3], ..spec(&schema) };
    let files = write(&store, spec, vec![batch.clone()]).await;
    let [file] = &files[..] else { panic!("{files:?}") };

    let on_disk = fs::read(dir.path().join(&file.path)).unwrap();
    assert_eq!(file.bytes, on_disk.len() as u64);
    assert_eq!(file.checksum, xxhash_rust::xxh3::xxh3_64(&on_disk));
    assert_eq!(store.list().await.unwrap(), [(file.path.clone(), file.bytes)]);
    assert!(file.path.starts_with("base/t7/") && file.path.ends_with(".parquet"), "{}", file.path);

    let mut hashes = Vec::new();
    damson_cluster::placement::hash_rows(&[Arc::clone(batch.column(3))], &mut hashes).unwrap();
    let buckets: Vec<u16> = hashes.iter().map(|&hash| damson_cluster::placement::bucket_of(hash)).collect();
    assert_eq!(file.buckets, Some((*buckets.iter().min().unwrap(), *buckets.iter().max().unwrap())));

    let bounds = |name: &str| {
        let stats = &file.columns[schema.index_of(name).unwrap()];
        assert_eq!(stats.nulls, 1, "{name}");
        (stats.min.clone(), stats.max.clone())
    };
    let some = |low, high| (Some(low), Some(high));
    assert_eq!(bounds("bool"), some(StatValue::Bool(false), StatValue::Bool(true)));
    assert_eq!(bounds("int8"), some(StatValue::Int(i64::MIN), StatValue::Int(i64::MAX)));
    assert_eq!(bounds("dec18"), some(StatValue::Decimal(1 - 10i128.pow(18)), StatValue::Decimal(10i128.pow(18) - 1)));
    assert_eq!(bounds("dec38"), some(StatValue::Decimal(1 - 10i128.pow(38)), StatValue::Decimal(10i128.pow(38) - 1)));
    assert_eq!(bounds("float4"), (Some(StatValue::Float(f64::from(f32::MIN))), None));
    assert_eq!(bounds("float8"), (Some(StatValue::Float(f64::MIN_POSITIVE)), None));
    assert_eq!(bounds("date"), some(StatValue::Int(-719_162), StatValue::Int(2_932_896)));
    assert_eq!(bounds("ts"), some(StatValue::Int(i64::MIN), StatValue::Int(i64::MAX)));
    assert_eq!(bounds("bytea"), (None, None));
    for name in ["int4", "dec38", "text", "date", "tstz"] {
        let stats = &file.columns[schema.index_of(name).unwrap()];
        assert_eq!(sketch::estimate(&stats.distinct_sketch).map(f64::round), Some(3.0), "{name}");
    }
}

#[tokio::test]
async fn a_load_is_cut_into_files_and_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batches: Vec<RecordBatch> = (0..10).map(|i| ints("a", i * 1000..(i + 1) * 1000)).collect();
    let schema = batches[0].schema();
    let spec = WriteSpec { file_rows_max: 2_500, ..spec(&schema) };
    let files = write(&store, spec, batches).await;
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [3000, 3000, 3000, 1000]);

    for partitions in [1, 2, 3, 9] {
        let plan = store.scan(&schema, &[0], &files, partitions).unwrap();
        assert_eq!(plan.output_partitioning().partition_count(), partitions);
        assert!(plan.output_ordering().is_none());
        let got = rows(plan).await.unwrap();
        let mut values = got.column(0).as_primitive::<Int64Type>().values().to_vec();
        values.sort_unstable();
        assert_eq!(values, (0..10_000).collect::<Vec<_>>());
    }

    store.remove(&[files[0].path.clone(), "base/t7/not-there.parquet".into()]).await.unwrap();
    assert_eq!(store.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn no_files_and_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let schema = every_type().schema();
    for partitions in [1, 3] {
        let plan = store.scan(&schema, &[3, 9], &[], partitions).unwrap();
        assert_eq!(plan.output_partitioning().partition_count(), partitions);
        assert_eq!(rows(plan).await.unwrap().num_rows(), 0);
    }
    assert_eq!(write(&store, spec(&schema), vec![]).await, []);
    assert_eq!(store.list().await.unwrap(), []);
}

#[tokio::test]
async fn added_columns_are_null_and_renamed_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = ints("a", 1..4);
    let files = write(&store, spec(&old.schema()), vec![old.clone()]).await;

    // a became b, and a new a was added.
    let schema = Arc::new(Schema::new(vec![
        Field::new("b", DataType::Int64, false),
        Field::new("a", DataType::Utf8View, true),
        Field::new("i", DataType::Interval(IntervalUnit::MonthDayNano), true),
    ]));
    let got = rows(store.scan(&schema, &[1, 0, 2], &files, 1).unwrap()).await.unwrap();
    assert_eq!(got.column(1), old.column(0));
    assert_eq!((got.column(0).null_count(), got.column(2).null_count()), (3, 3));
}

#[tokio::test]
async fn row_groups_are_pruned_by_a_filter_that_is_pushed_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = ints("a", 0..5_000);
    let schema = batch.schema();
    let spec = WriteSpec { file_rows_max: 1_000, ..spec(&schema) };
    let batches = (0..5).map(|i| batch.slice(i * 1_000, 1_000)).collect();
    let files = write(&store, spec, batches).await;
    assert_eq!(files.len(), 5);

    // Under a name that the file does not know.
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("renamed", DataType::Int64, true)]));
    let scan = store.scan(&schema, &[0], &files, 1).unwrap();
    let predicate = binary(Arc::new(Column::new("renamed", 0)), Operator::Gt, lit(3_500i64), &schema).unwrap();
    let config = datafusion::config::ConfigOptions::default();
    let asked = ChildPushdownResult {
        parent_filters: vec![datafusion::physical_plan::filter_pushdown::ChildFilterPushdownResult {
            filter: predicate,
            child_results: vec![],
        }],
        self_filters: vec![],
    };
    let answer = scan.handle_child_pushdown_result(FilterPushdownPhase::Pre, asked, &config).unwrap();
    let scan = answer.updated_node.expect("the scan takes the filter");
    let got = rows(scan).await.unwrap();
    let values = got.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(values, (3_000..5_000).collect::<Vec<_>>(), "whole files are pruned, rows are left to the filter");
}

#[tokio::test]
async fn a_null_in_a_not_null_column_is_refused_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let strict = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let loose = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let good = RecordBatch::try_new(Arc::clone(&loose), vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
    let bad = RecordBatch::try_new(Arc::clone(&loose), vec![Arc::new(Int64Array::from(vec![Some(1), None]))]).unwrap();
    let plan = store.write(spec(&strict), memory(&loose, vec![good, bad])).unwrap();
    let (sqlstate, message) = failure(plan).await;
    assert_eq!(sqlstate, "23502");
    assert!(message.contains("\"a\"") && message.contains("t7"), "{message}");
    no_files(&store).await;
}

/// The last holder of a partial file may be a call on a blocking thread.
async fn no_files(store: &damson_storage::TableStore) {
    for _ in 0..200 {
        if store.list().await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("left behind: {:?}", store.list().await.unwrap());
}

#[tokio::test]
async fn a_cancelled_write_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = ints("a", 0..100_000);
    let schema = batch.schema();
    let spec = WriteSpec { file_rows_max: 100_000, ..spec(&schema) };
    let plan = store.write(spec, memory(&schema, vec![batch; 50])).unwrap();
    let context = Arc::new(datafusion::execution::TaskContext::default());
    let mut stream = plan.execute(0, context).unwrap();
    // Until some files are there.
    let waited =
        tokio::time::timeout(std::time::Duration::from_millis(30), futures::StreamExt::next(&mut stream)).await;
    assert!(waited.is_err(), "the machine wrote 50 files in 30 ms: make the test larger");
    drop(stream);
    no_files(&store).await;
}

#[tokio::test]
async fn rows_of_the_wrong_type_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let schema = ints("a", 0..1).schema();
    let other = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
    let error = store.write(spec(&schema), memory(&other, vec![])).unwrap_err();
    assert_eq!(error.sqlstate(), "XX000", "{error}");
    let two =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]));
    let error = store.write(spec(&schema), memory(&two, vec![])).unwrap_err();
    assert_eq!(error.sqlstate(), "XX000", "{error}");
}

async fn damaged(damage: impl FnOnce(&std::path::Path, &FileEntry)) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = ints("a", 0..1_000);
    let files = write(&store, spec(&batch.schema()), vec![batch.clone()]).await;
    damage(&dir.path().join(&files[0].path), &files[0]);
    let (sqlstate, message) = failure(store.scan(&batch.schema(), &[0], &files, 1).unwrap()).await;
    assert!(message.contains("t7") && message.contains(&files[0].path), "{message}");
    (sqlstate, message)
}

#[tokio::test]
async fn damaged_and_missing_files_are_named() {
    let flip = |path: &std::path::Path, _: &FileEntry| {
        let mut bytes = fs::read(path).unwrap();
        bytes[100] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let (sqlstate, message) = damaged(flip).await;
    assert!(sqlstate == "XX001" && message.contains("checksum"), "{message}");

    let cut = |path: &std::path::Path, file: &FileEntry| {
        fs::File::options().write(true).open(path).unwrap().set_len(file.bytes - 1).unwrap();
    };
    let (sqlstate, message) = damaged(cut).await;
    assert!(sqlstate == "XX001" && message.contains("bytes"), "{message}");

    let (sqlstate, _) = damaged(|path, _| fs::remove_file(path).unwrap()).await;
    assert_eq!(sqlstate, "58P01");
}

#[tokio::test]
async fn a_file_is_verified_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = ints("a", 0..1_000);
    let schema = batch.schema();
    let files = write(&store, spec(&schema), vec![batch]).await;
    let scan = |store: &damson_storage::TableStore, files: &[FileEntry]| store.scan(&schema, &[0], files, 1).unwrap();
    rows(scan(&store, &files)).await.unwrap();
    // A catalog that says otherwise now goes unnoticed until the file was forgotten.
    let mut wrong = files.clone();
    wrong[0].checksum ^= 1;
    rows(scan(&store, &wrong)).await.unwrap();
    assert_eq!(failure(scan(&open(dir.path()), &wrong)).await.0, "XX001");
}
