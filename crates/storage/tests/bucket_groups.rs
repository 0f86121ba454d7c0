//! Files whose row groups are divided by buckets: the same rows, each where its bucket is, and what footers and filters say of them.

mod support;

use damson_cluster::{
    BucketMap, ColumnDef, Compression, ContentId, Distribution, FileEntry, MapVersion, OnDuplicate, TableDef,
    UniqueKey, placement,
};
use damson_storage::{TableStore, WriteSpec};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::{concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::*;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Operator;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::parquet::file::statistics::Statistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, binary, lit};
use datafusion::physical_plan::collect;
use datafusion::physical_plan::filter_pushdown::{ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use support::*;

const KEY: usize = 0;
const NUMBER: usize = 1;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("k", DataType::Int64, true),
        field("number", DataType::Int64, false),
        field("few", DataType::Utf8View, true),
        field("text", DataType::Utf8View, true),
    ]))
}

/// Rows of a segment: those of `rows` random ones whose buckets it owns, in batches of any length. Keys come up to a few times.
fn own_rows(rng: &mut StdRng, rows: usize, map: &BucketMap, content: ContentId) -> Vec<RecordBatch> {
    let (mut batches, mut made) = (vec![], 0);
    while made < rows {
        let count = rng.random_range(1..40_000).min(rows - made);
        let k: Int64Array =
            (0..count).map(|_| rng.random_bool(0.999).then(|| rng.random_range(0..rows as i64 / 2))).collect();
        let number = Int64Array::from_iter_values((made as i64)..(made + count) as i64);
        let few: StringViewArray = (0..count).map(|at| (at % 7 > 0).then(|| format!("value {}", at % 5))).collect();
        let text: StringViewArray =
            (0..count).map(|at| Some(format!("a text that is longer than a view {}", at * 31))).collect();
        made += count;
        let columns: Vec<ArrayRef> = vec![Arc::new(k), Arc::new(number), Arc::new(few), Arc::new(text)];
        let batch = RecordBatch::try_new(schema(), columns).unwrap();
        let own = buckets(batch.column(KEY)).into_iter().map(|bucket| Some(map.owner(bucket) == content)).collect();
        batches.push(filter_record_batch(&batch, &own).unwrap());
    }
    batches
}

fn buckets(key: &ArrayRef) -> Vec<u16> {
    let mut hashes = vec![];
    placement::hash_rows(&[Arc::clone(key)], &mut hashes).unwrap();
    hashes.into_iter().map(placement::bucket_of).collect()
}

fn spec(map: &BucketMap, content: ContentId) -> WriteSpec {
    WriteSpec {
        filtered: vec![KEY, 3],
        buckets: map.owned_by(content),
        ..WriteSpec::new(TABLE, schema(), Compression::Lz4, vec![KEY])
    }
}

fn table() -> TableDef {
    let column = |field: &FieldRef| ColumnDef {
        name: field.name().clone(),
        sql_type: String::new(),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
        default: None,
        identity: None,
    };
    TableDef {
        id: TABLE,
        schema: "public".into(),
        name: "t".into(),
        columns: schema().fields().iter().map(column).collect(),
        distribution: Distribution::Hashed(vec![KEY]),
        map_version: MapVersion(1),
        keys: vec![],
        checks: vec![],
        compression: Compression::Lz4,
        layout: Default::default(),
        tablespace: None,
    }
}

fn by_number(batch: &RecordBatch) -> RecordBatch {
    let order = sort_to_indices(batch.column(NUMBER), None, None).unwrap();
    take_record_batch(batch, &order).unwrap()
}

async fn all_rows(store: &TableStore, files: &[FileEntry]) -> RecordBatch {
    rows(store.scan(&schema(), &[0, 1, 2, 3], files, 1).unwrap()).await.unwrap()
}

fn metadata(path: &Path) -> Arc<ParquetMetaData> {
    Arc::clone(ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().metadata())
}

/// What the footer says of the row groups' buckets.
fn ranges(metadata: &ParquetMetaData) -> Option<Vec<(u16, u16)>> {
    let said = metadata.file_metadata().key_value_metadata()?.iter().find(|said| said.key == "damson.buckets")?;
    let said: serde_json::Value = serde_json::from_str(said.value.as_deref().unwrap()).unwrap();
    assert_eq!(said["key"], serde_json::json!([KEY]));
    Some(serde_json::from_value(said["ranges"].clone()).unwrap())
}

fn row_group(path: &Path, index: usize) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.with_row_groups(vec![index]).build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

#[tokio::test]
async fn each_row_group_has_its_buckets_and_their_rows_in_order() {
    let mut rng = StdRng::seed_from_u64(11);
    for (segments, content) in [(2, 1), (3, 0)] {
        let (map, content) = (BucketMap::uniform(MapVersion(1), segments), ContentId(content));
        let dir = tempfile::tempdir().unwrap();
        let store = TableStore::open(content, dir.path()).unwrap();
        let batches = own_rows(&mut rng, 600_000, &map, content);
        let files = write(&store, spec(&map, content), batches.clone()).await;
        let [file] = &files[..] else { panic!("{} files", files.len()) };
        let written = concat_batches(&schema(), &batches).unwrap();
        assert!(by_number(&all_rows(&store, &files).await) == by_number(&written), "the same rows");
        assert_eq!(store.check(&table(), &map, &files).await, []);

        let path = dir.path().join(&file.path);
        let metadata = metadata(&path);
        let ranges = ranges(&metadata).unwrap();
        assert_eq!((ranges.len(), metadata.num_row_groups()), (8, 8));
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
        let own = map.owned_by(content);
        // The last third of the buckets is in row groups of its own.
        assert!(ranges[3].1 < own[own.len() * 8 / 12] && ranges[4].0 >= own[own.len() * 8 / 12], "{ranges:?}");
        for (index, &(low, high)) in ranges.iter().enumerate() {
            let rows = row_group(&path, index);
            let found = buckets(rows.column(KEY));
            assert_eq!((found.iter().min(), found.iter().max()), (Some(&low), Some(&high)));
            // A bucket is in one row group: that its numbers ascend here means that its rows keep their order.
            assert!(rows.column(NUMBER).as_primitive::<Int64Type>().values().is_sorted());
            let key = rows.column(KEY).as_primitive::<Int64Type>();
            let chunk = metadata.row_group(index).column(KEY);
            let Some(Statistics::Int64(bounds)) = chunk.statistics() else { panic!("no bounds") };
            let (min, max) = (key.iter().flatten().min().unwrap(), key.iter().flatten().max().unwrap());
            assert_eq!((bounds.min_opt(), bounds.max_opt()), (Some(&min), Some(&max)));
            assert_eq!(bounds.null_count_opt(), Some(key.null_count() as u64));
            let offset = chunk.bloom_filter_offset().unwrap() as usize;
            let length = chunk.bloom_filter_length().unwrap() as usize;
            let filter = Sbbf::from_bytes(&fs::read(&path).unwrap()[offset..offset + length]).unwrap();
            assert!(key.iter().flatten().all(|value| filter.check(&value)));
            let absent = (0..1000).filter(|at| filter.check(&(1_000_000_000_i64 + at))).count();
            assert!(absent < 60, "{absent} of 1000");
        }
    }
}

/// The table without Bloom filters, so that buckets alone tell; statistics of keys of any order do not.
#[tokio::test]
async fn a_key_is_looked_for_in_the_row_group_of_its_bucket() {
    let mut rng = StdRng::seed_from_u64(15);
    let (map, content) = (BucketMap::uniform(MapVersion(1), 2), ContentId(0));
    let dir = tempfile::tempdir().unwrap();
    let store = TableStore::open(content, dir.path()).unwrap();
    let batches = own_rows(&mut rng, 500_000, &map, content);
    let files = write(&store, WriteSpec { filtered: vec![], ..spec(&map, content) }, batches.clone()).await;
    let written = concat_batches(&schema(), &batches).unwrap();
    let key = written.column(KEY).as_primitive::<Int64Type>();
    let column = || Arc::new(Column::new("k", KEY)) as Arc<dyn PhysicalExpr>;
    for at in [0, 1000, 77_777] {
        let value = key.iter().flatten().nth(at).unwrap();
        let filter = binary(column(), Operator::Eq, lit(value), &schema()).unwrap();
        let scan = store.scan(&schema(), &[0, 1, 2, 3], &files, 1).unwrap();
        let parent_filters = vec![ChildFilterPushdownResult { filter: Arc::clone(&filter), child_results: vec![] }];
        let asked = ChildPushdownResult { parent_filters, self_filters: vec![] };
        let answer =
            scan.handle_child_pushdown_result(FilterPushdownPhase::Pre, asked, &ConfigOptions::default()).unwrap();
        let scan = answer.updated_node.unwrap();
        let passing = |batch: &RecordBatch| {
            let passes = filter.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
            by_number(&filter_record_batch(batch, passes.as_boolean()).unwrap())
        };
        let read = rows(Arc::clone(&scan)).await.unwrap();
        assert!(passing(&read) == passing(&written), "{value}");
        assert_eq!((counted(&scan, "row_groups"), counted(&scan, "row_groups_pruned")), (8, 7));
    }
}

#[tokio::test]
async fn what_has_few_rows_or_an_order_is_not_divided() {
    let mut rng = StdRng::seed_from_u64(12);
    let (map, content) = (BucketMap::uniform(MapVersion(1), 2), ContentId(0));
    let dir = tempfile::tempdir().unwrap();
    let store = TableStore::open(content, dir.path()).unwrap();
    let key = |on_duplicate| vec![UniqueKey { constraint: "u".into(), columns: vec![KEY, NUMBER], on_duplicate }];
    let sorted = vec![damson_cluster::SortColumn { column: NUMBER, descending: false }];
    let specs = [
        (100_000, spec(&map, content), false),
        (400_000, WriteSpec { sorted_by: sorted, ..spec(&map, content) }, false),
        (400_000, WriteSpec { keys: key(OnDuplicate::Skip), ..spec(&map, content) }, false),
        (400_000, WriteSpec { keys: key(OnDuplicate::Fail), ..spec(&map, content) }, true),
        (400_000, WriteSpec { buckets: vec![], ..spec(&map, content) }, false),
    ];
    for (rows, spec, is_divided) in specs {
        let batches = own_rows(&mut rng, rows, &map, content);
        let files = write(&store, spec, batches.clone()).await;
        let written = concat_batches(&schema(), &batches).unwrap();
        let read = all_rows(&store, &files).await;
        assert!(is_divided || read == written, "as it came");
        assert!(by_number(&read) == by_number(&written));
        assert_eq!(ranges(&metadata(&dir.path().join(&files[0].path))).is_some(), is_divided);
        assert_eq!(store.check(&table(), &map, &files).await, []);
    }
}

/// A file goes on with one row group at a time where the pool gives no more.
#[tokio::test]
async fn where_memory_is_short_fewer_row_groups_are_open() {
    let mut rng = StdRng::seed_from_u64(13);
    let (map, content) = (BucketMap::uniform(MapVersion(1), 2), ContentId(0));
    for limit_mib in [2, 24, 40, 512] {
        let dir = tempfile::tempdir().unwrap();
        let store = TableStore::open(content, dir.path()).unwrap();
        let batches = own_rows(&mut rng, 800_000, &map, content);
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(limit_mib << 20, 1.0).build_arc().unwrap();
        let context = Arc::new(TaskContext::default().with_runtime(runtime));
        let plan = store.write(spec(&map, content), memory(&schema(), batches.clone())).unwrap();
        let report = collect(plan, context).await.unwrap();
        let files = report[0].column_by_name("files").unwrap().as_binary::<i32>().value(0).to_vec();
        let files: Vec<FileEntry> = serde_json::from_slice(&files).unwrap();
        let written = concat_batches(&schema(), &batches).unwrap();
        assert!(by_number(&all_rows(&store, &files).await) == by_number(&written), "{limit_mib}");
        assert_eq!(store.check(&table(), &map, &files).await, [], "{limit_mib}");
        let of_first = ranges(&metadata(&dir.path().join(&files[0].path)));
        if limit_mib == 512 {
            assert_eq!(of_first.unwrap().len(), 8);
        } else if limit_mib == 2 {
            assert_eq!(of_first, None, "not even the first rows can be held");
        }
    }
}

#[tokio::test]
async fn a_footer_that_is_wrong_is_found() {
    let mut rng = StdRng::seed_from_u64(14);
    let (map, content) = (BucketMap::uniform(MapVersion(1), 2), ContentId(0));
    let dir = tempfile::tempdir().unwrap();
    let store = TableStore::open(content, dir.path()).unwrap();
    let mut files = write(&store, spec(&map, content), own_rows(&mut rng, 400_000, &map, content)).await;
    let path = dir.path().join(&files[0].path);
    let mut bytes = fs::read(&path).unwrap();
    let (low, high) = ranges(&metadata(&path)).unwrap()[2];
    let (is, claimed) = (format!("[{low},{high}]"), format!("[{low},{low}]"));
    let claimed = format!("{claimed:width$}", width = is.len());
    let at = bytes.windows(is.len()).position(|window| window == is.as_bytes()).unwrap();
    bytes[at..at + is.len()].copy_from_slice(claimed.as_bytes());
    fs::write(&path, &bytes).unwrap();
    files[0].checksum = xxhash_rust::xxh3::xxh3_64(&bytes);
    let again = TableStore::open(content, dir.path()).unwrap();
    let problems = again.check(&table(), &map, &files).await;
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.problem.contains("in buckets that its footer does not list"), "{problem:?}");
    // What is no range at all is refused when the file is opened.
    bytes[at..at + 2].copy_from_slice(b"[x");
    fs::write(&path, &bytes).unwrap();
    files[0].checksum = xxhash_rust::xxh3::xxh3_64(&bytes);
    let (sqlstate, message) =
        failure(TableStore::open(content, dir.path()).unwrap().scan(&schema(), &[0], &files, 1).unwrap()).await;
    assert_eq!(sqlstate, "XX001");
    assert!(message.contains("damson.buckets"), "{message}");
}
