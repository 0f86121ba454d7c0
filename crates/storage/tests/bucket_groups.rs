//! Files whose row groups are divided by buckets: the same rows, each where its bucket is, and what footers and filters say of them.

mod support;

use damson_cluster::{BucketMap, ContentId, FileEntry, MapVersion, OnDuplicate, SortColumn, UniqueKey};
use damson_storage::{TableStore, WriteSpec};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::*;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Operator;
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::parquet::file::statistics::Statistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, binary, lit};
use datafusion::physical_plan::collect;
use datafusion::physical_plan::filter_pushdown::{ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fs;
use std::sync::Arc;
use support::bucketed::*;
use support::*;

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

/// Batches of a motion are much shorter than those of a scan.
#[tokio::test]
async fn row_groups_are_the_same_whatever_the_batches() {
    let mut rng = StdRng::seed_from_u64(16);
    let (map, content) = (BucketMap::uniform(MapVersion(1), 2), ContentId(1));
    let dir = tempfile::tempdir().unwrap();
    let store = TableStore::open(content, dir.path()).unwrap();
    let rows = concat_batches(&schema(), &own_rows(&mut rng, 500_000, &map, content)).unwrap();
    let mut found = vec![];
    for length in [300, 8_192, rows.num_rows()] {
        let starts = (0..rows.num_rows()).step_by(length);
        let batches = starts.map(|start| rows.slice(start, length.min(rows.num_rows() - start))).collect();
        let files = write(&store, spec(&map, content), batches).await;
        assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), rows.num_rows() as u64);
        let path = dir.path().join(&files[0].path);
        let ranges = ranges(&metadata(&path)).unwrap();
        let row_groups: Vec<RecordBatch> = (0..ranges.len()).map(|index| row_group(&path, index)).collect();
        found.push((ranges, row_groups));
    }
    assert_eq!(found[0].0.len(), 8);
    assert!(found.iter().all(|other| *other == found[0]));
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
    let sorted = vec![SortColumn { column: NUMBER, descending: false }];
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

/// A file goes on with one row group at a time where the pool gives no more. Of a pool that is small, others would have too little.
#[tokio::test]
async fn where_memory_is_short_fewer_row_groups_are_open() {
    let mut rng = StdRng::seed_from_u64(13);
    let (map, content) = (BucketMap::uniform(MapVersion(1), 2), ContentId(0));
    for (pool_mib, limit_mib) in [(1024, 2), (1024, 24), (1024, 40), (1024, 512), (512, 512)] {
        let dir = tempfile::tempdir().unwrap();
        let store = TableStore::open(content, dir.path()).unwrap();
        let batches = own_rows(&mut rng, 800_000, &map, content);
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(pool_mib << 20, 1.0).build_arc().unwrap();
        let others = MemoryConsumer::new("others").register(&runtime.memory_pool);
        others.try_grow((pool_mib - limit_mib) << 20).unwrap();
        let context = Arc::new(TaskContext::default().with_runtime(runtime));
        let plan = store.write(spec(&map, content), memory(&schema(), batches.clone())).unwrap();
        let report = collect(plan, context).await.unwrap();
        let files = report[0].column_by_name("files").unwrap().as_binary::<i32>().value(0).to_vec();
        let files: Vec<FileEntry> = serde_json::from_slice(&files).unwrap();
        let written = concat_batches(&schema(), &batches).unwrap();
        assert!(by_number(&all_rows(&store, &files).await) == by_number(&written), "{limit_mib}");
        assert_eq!(store.check(&table(), &map, &files).await, [], "{limit_mib}");
        let of_first = ranges(&metadata(&dir.path().join(&files[0].path)));
        if pool_mib < 1024 {
            assert_eq!(of_first, None, "a small pool");
        } else if limit_mib == 512 {
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
