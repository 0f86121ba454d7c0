//! Tables in buckets: as those on disks, whatever the bucket does.

mod support;

use damson_cluster::{
    BackupFile, BucketMap, ColumnDef, Compression, ContentId, Copied, Distribution, FileEntry, MapVersion,
    Modification, PlaceId, PlaceSpec, RestoreFile, SnapshotId, SourceAccess, TableDef,
};
use damson_storage::limits::{PLACE_PART_BYTES, RANGE_BLOCK_BYTES, ROW_GROUP_ROWS_MAX};
use damson_storage::{
    BackupPlace, ColumnCache, ModifySpec, RangeCache, RangeCacheConfig, StoreCaches, TableStore, Verification,
    WriteSpec, Writes,
};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::bucket::{FakeBucket, Fault};
use support::*;
use tempfile::TempDir;

/// A bucket, and the store of one content in it.
struct Place {
    bucket: Arc<FakeBucket>,
    store: TableStore,
    ranges: Arc<RangeCache>,
    _data: TempDir,
}

fn place_of(bucket: &Arc<FakeBucket>, ranges: RangeCache, verification: Verification) -> Place {
    let (data, ranges) = (tempfile::tempdir().unwrap(), Arc::new(ranges));
    let caches = StoreCaches { columns: Arc::new(ColumnCache::new(0)), ranges: Arc::clone(&ranges) };
    let store = TableStore::open_with_caches(ContentId(0), data.path(), caches, verification).unwrap();
    let store = store.in_bucket("fake://bucket", bucket.client());
    Place { bucket: Arc::clone(bucket), store, ranges, _data: data }
}

fn place() -> Place {
    place_of(&Arc::default(), RangeCache::off(), Verification::default())
}

fn cache_in(dir: &Path, blocks: u64) -> RangeCache {
    // A slot is a block and a page.
    let disk_bytes = blocks * (RANGE_BLOCK_BYTES + 4096);
    RangeCache::new(RangeCacheConfig { directory: dir.to_owned(), disk_bytes, memory_bytes: 0 })
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("k", DataType::Int64),
        field("v", DataType::Int64),
        field("t", DataType::Utf8View),
    ]))
}

fn spec(file_rows_max: u64) -> WriteSpec {
    WriteSpec { file_rows_max, ..WriteSpec::new(TABLE, schema(), Compression::None, vec![0]) }
}

/// Rows that do not compress, in batches of 8,192.
fn batches(count: usize) -> Vec<RecordBatch> {
    let mut rng = StdRng::seed_from_u64(11);
    let mut batch = |number: usize| {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..8192).map(|row| (number * 8192 + row) as i64)));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..8192).map(|_| rng.random())));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..8192).map(|row| format!("row {row}"))));
        RecordBatch::try_new(schema(), vec![keys, values, texts]).unwrap()
    };
    (0..count).map(&mut batch).collect()
}

async fn scanned(store: &TableStore, files: &[FileEntry]) -> RecordBatch {
    rows(store.scan(&schema(), &[2, 0, 1], files, 1).unwrap()).await.unwrap()
}

/// Deletes a third of the rows, and gives the files after that.
async fn delete_some(store: &TableStore, files: &[FileEntry]) -> Vec<FileEntry> {
    let named = rows(store.scan_with_row_ids(&schema(), &[0], files).unwrap()).await.unwrap();
    let keys = named.column(0).as_primitive::<Int64Type>();
    let is_deleted: BooleanArray = keys.values().iter().map(|key| Some(key % 3 == 0)).collect();
    let named = named.project(&[1, 2]).unwrap();
    let named = datafusion::arrow::compute::filter_record_batch(&named, &is_deleted).unwrap();
    let write = WriteSpec { files: files.to_vec(), ..spec(1 << 20) };
    let modify = ModifySpec { write, writes: Writes::Nothing, once: None };
    let (report, _) = sink(store.modify(modify, memory(&named.schema(), vec![named.clone()])).unwrap()).await.unwrap();
    let Modification { deletes, .. } = serde_json::from_slice(&report).unwrap();
    let mut after = files.to_vec();
    for (path, vector) in deletes {
        after.iter_mut().find(|file| file.path == path).unwrap().deletes = vector;
    }
    after
}

fn table() -> TableDef {
    let column = |field: &FieldRef| ColumnDef {
        name: field.name().clone(),
        sql_type: String::new(),
        data_type: field.data_type().clone(),
        nullable: true,
        default: None,
        identity: None,
    };
    TableDef {
        id: TABLE,
        schema: "public".into(),
        name: "t".into(),
        columns: schema().fields().iter().map(column).collect(),
        distribution: Distribution::Hashed(vec![0]),
        map_version: MapVersion(1),
        keys: vec![],
        checks: vec![],
        compression: Compression::None,
        layout: Default::default(),
        tablespace: None,
    }
}

fn one_segment() -> BucketMap {
    BucketMap::uniform(MapVersion(1), 1)
}

#[tokio::test]
async fn a_table_in_a_bucket_is_as_one_on_a_disk() {
    let cache_dir = tempfile::tempdir().unwrap();
    let local_dir = tempfile::tempdir().unwrap();
    let local = open(local_dir.path());
    for cache in [RangeCache::off(), cache_in(cache_dir.path(), 64)] {
        let Place { bucket, store, _data, .. } = place_of(&Arc::default(), cache, Verification::default());
        let (of_local, of_bucket) =
            (write(&local, spec(16_384), batches(5)).await, write(&store, spec(16_384), batches(5)).await);
        assert_eq!((of_local.len(), of_bucket.len()), (3, 3));
        for (local, remote) in of_local.iter().zip(&of_bucket) {
            let same = FileEntry { path: local.path.clone(), ..remote.clone() };
            assert_eq!(&same, local, "all but the name is the same");
        }
        assert!(bucket.keys().await.iter().all(|key| key.starts_with("seg0/base/t7/")));
        let mut listed: Vec<String> = store.list().await.unwrap().into_iter().map(|(path, _)| path).collect();
        listed.sort();
        let mut paths: Vec<String> = of_bucket.iter().map(|file| file.path.clone()).collect();
        paths.sort();
        assert_eq!(listed, paths);

        let wanted = scanned(&local, &of_local).await;
        assert_eq!(wanted.num_rows(), 5 * 8192);
        assert_eq!(scanned(&store, &of_bucket).await, wanted);
        let (of_local, of_bucket) = (delete_some(&local, &of_local).await, delete_some(&store, &of_bucket).await);
        let wanted = scanned(&local, &of_local).await;
        assert_eq!(scanned(&store, &of_bucket).await, wanted);
        let fetched = store.scan(&schema(), &[0], &of_bucket, 1).unwrap().with_fetch(Some(7)).unwrap();
        assert_eq!(rows(fetched).await.unwrap().num_rows(), 7);

        // Compaction reads and writes.
        let input = store.scan(&schema(), &[0, 1, 2], &of_bucket, 1).unwrap();
        let (report, _) = sink(store.write(spec(1 << 20), input).unwrap()).await.unwrap();
        let compacted: Vec<FileEntry> = serde_json::from_slice(&report).unwrap();
        assert_eq!(compacted.len(), 1);
        assert_eq!(scanned(&store, &compacted).await, wanted);
        let paths = |files: &[FileEntry]| -> Vec<String> {
            let of_file = |file: &FileEntry| {
                let vector = file.deletes.as_ref().map(|vector| vector.path.clone());
                std::iter::once(file.path.clone()).chain(vector).collect::<Vec<_>>()
            };
            files.iter().flat_map(of_file).collect()
        };
        store.remove(&paths(&of_bucket)).await.unwrap();
        store.remove(&paths(&of_bucket)).await.unwrap();
        assert_eq!(store.list().await.unwrap().len(), 1);
        assert_eq!(scanned(&store, &compacted).await, wanted);
        local.remove(&paths(&of_local)).await.unwrap();
    }
}

/// The entry by which content 1 has a file of another one.
fn shared(file: &FileEntry) -> FileEntry {
    file.shared_with(ContentId(1), &"7")
}

#[tokio::test]
async fn a_file_of_another_content_is_read_where_it_is() {
    let cache_dir = tempfile::tempdir().unwrap();
    for cache in [RangeCache::off(), cache_in(cache_dir.path(), 64)] {
        let Place { bucket, store, ranges, _data } = place_of(&Arc::default(), cache, Verification::default());
        let files = write(&store, spec(16_384), batches(3)).await;
        let data = tempfile::tempdir().unwrap();
        let caches = StoreCaches { columns: Arc::new(ColumnCache::new(0)), ranges: Arc::clone(&ranges) };
        let other = TableStore::open_with_caches(ContentId(1), data.path(), caches, Verification::default()).unwrap();
        let other = other.in_bucket("fake://bucket", bucket.client());
        let of_other: Vec<FileEntry> = files.iter().map(shared).collect();
        let whole = scanned(&other, &of_other).await;
        ranges.settled().await;
        let asked = bucket.count("get");
        assert!(asked > 0 && whole.num_rows() == 3 * 8192);
        assert_eq!(scanned(&store, &files).await, whole);
        if ranges.stats().disk_capacity > 0 {
            assert_eq!(bucket.count("get"), asked, "the contents of a process share the blocks of an object");
        }

        // What one deletes the other has.
        let thinned = delete_some(&other, &of_other).await;
        let wanted = scanned(&other, &thinned).await;
        assert!(wanted.num_rows() < whole.num_rows());
        assert_eq!(scanned(&store, &files).await, whole);
        let vectors = bucket.keys().await.into_iter().filter(|key| key.ends_with(".deletes"));
        assert!(vectors.clone().all(|key| key.starts_with("seg1/base/t7/")) && vectors.count() == files.len());
        // A vector is shared as a file is.
        let of_store = delete_some(&store, &files).await;
        let again: Vec<FileEntry> = of_store.iter().map(shared).collect();
        assert!(again.iter().all(|file| file.deletes.as_ref().unwrap().path.starts_with("from/seg0/7/base/t7/")));
        assert_eq!(scanned(&other, &again).await, wanted);
        assert!(other.check(&table(), &BucketMap::uniform(MapVersion(1), 1), &again).await.iter().all(|problem| {
            // A map of one segment has nothing on the other.
            problem.problem.contains("belong to other segments")
        }));

        // It is no file of its reader's, and goes by either name.
        assert!(other.list().await.unwrap().iter().all(|(path, _)| path.ends_with(".deletes")));
        other.remove(&[of_other[0].path.clone()]).await.unwrap();
        let listed: Vec<String> = store.list().await.unwrap().into_iter().map(|(path, _)| path).collect();
        assert!(!listed.contains(&files[0].path) && listed.contains(&files[1].path));
    }
}

#[tokio::test]
async fn checks_look_at_what_is_stored() {
    let cache_dir = tempfile::tempdir().unwrap();
    let Place { bucket, store, ranges, _data } =
        place_of(&Arc::default(), cache_in(cache_dir.path(), 64), Verification::default());
    let map = one_segment();
    let files = write(&store, spec(8_192), batches(3)).await;
    let files = delete_some(&store, &files).await;
    assert_eq!(store.check(&table(), &map, &files).await, []);
    // The cache has the right bytes still.
    ranges.settled().await;
    let vector = files[1].deletes.clone().unwrap();
    bucket.damage(&format!("seg0/{}", files[0].path), |bytes| bytes[100] ^= 1).await;
    bucket.damage(&format!("seg0/{}", files[2].path), |bytes| bytes.truncate(1000)).await;
    let problems = store.check(&table(), &map, &files).await;
    let of = |path: &str| problems.iter().find(|found| found.path == path).map(|found| found.problem.clone());
    assert!(of(&files[0].path).unwrap().contains("checksum"), "{problems:?}");
    assert!(of(&files[2].path).unwrap().contains("it has 1000 bytes"), "{problems:?}");
    assert_eq!(problems.len(), 2, "{problems:?}");
    bucket.objects.delete(&format!("seg0/{}", vector.path).into()).await.unwrap();
    let others = place_of(&bucket, RangeCache::off(), Verification::default());
    let problems = others.store.check(&table(), &map, &files[1..2]).await;
    assert!(problems[0].path == vector.path && problems[0].problem.contains("missing"), "{problems:?}");
}

#[tokio::test]
async fn what_a_bucket_lacks_or_has_changed_is_an_error() {
    for verification in [Verification::Length, Verification::Once, Verification::Always] {
        let Place { bucket, store, _data, .. } = place_of(&Arc::default(), RangeCache::off(), verification);
        let files = write(&store, spec(8_192), batches(3)).await;
        bucket.objects.delete(&format!("seg0/{}", files[0].path).into()).await.unwrap();
        bucket.damage(&format!("seg0/{}", files[1].path), |bytes| bytes.truncate(5_000)).await;
        bucket.damage(&format!("seg0/{}", files[2].path), |bytes| bytes[50] ^= 4).await;
        let scan = |file: &FileEntry| store.scan(&schema(), &[0], std::slice::from_ref(file), 1).unwrap();
        assert_eq!(failure(scan(&files[0])).await.0, "58P01");
        let (code, message) = failure(scan(&files[1])).await;
        assert!(code == "XX001" && message.contains("it has 5000 bytes"), "{code} {message}");
        if verification == Verification::Always {
            assert_eq!(failure(scan(&files[2])).await.0, "XX001");
        }
        // That may not be read.
        bucket.fail("head", Fault::Forbidden);
        let left = write(&store, spec(8_192), batches(1)).await;
        assert_eq!(failure(scan(&left[0])).await.0, "42501");
    }
}

#[tokio::test]
async fn a_write_is_there_whatever_was_answered() {
    let Place { bucket, store, _data, .. } = place();
    for faults in [
        &[("put", Fault::Refused), ("put", Fault::Refused)][..],
        &[("put", Fault::AnswerLost)],
        &[("put", Fault::Refused), ("put", Fault::AnswerLost), ("head", Fault::Refused)],
    ] {
        let before = bucket.count("put");
        faults.iter().for_each(|(kind, fault)| bucket.fail(kind, *fault));
        let files = write(&store, spec(1 << 20), batches(1)).await;
        assert!(bucket.is_over(), "{faults:?}");
        let refused = faults.iter().filter(|fault| **fault == ("put", Fault::Refused)).count();
        let lost = faults.iter().filter(|fault| fault.1 == Fault::AnswerLost).count();
        assert_eq!(bucket.count("put") - before, refused + lost.max(1), "one that is there is not sent again");
        assert_eq!(scanned(&store, &files).await.num_rows(), 8192);
    }
    assert_eq!(bucket.keys().await.len(), 3);
}

#[tokio::test]
async fn a_large_file_is_sent_in_parts() {
    let Place { bucket, store, _data, .. } = place();
    // 16 bytes a row at least, and more than a row group.
    let count = 3 * PLACE_PART_BYTES / 16 / 8192;
    let wanted = batches(count);
    for faults in [
        &[][..],
        &[("begin", Fault::AnswerLost), ("part", Fault::Refused), ("part", Fault::AnswerLost)],
        &[("complete", Fault::Refused), ("complete", Fault::AnswerLost), ("head", Fault::Refused)],
        &[("part", Fault::Refused), ("part", Fault::Refused), ("complete", Fault::AnswerLost)],
    ] {
        let before = bucket.count("put");
        faults.iter().for_each(|(kind, fault)| bucket.fail(kind, *fault));
        let files = write(&store, spec(1 << 24), wanted.clone()).await;
        assert!(bucket.is_over() && files.len() == 1 && files[0].bytes > 2 * PLACE_PART_BYTES as u64, "{faults:?}");
        assert_eq!(bucket.count("put"), before);
        assert_eq!(store.check(&table(), &one_segment(), &files).await, []);
    }
    assert_eq!(bucket.keys().await.len(), 4);
    // That of the begin whose answer was lost.
    assert_eq!(bucket.unfinished_uploads(), 1);
}

#[tokio::test]
async fn a_writer_that_is_given_up_leaves_nothing() {
    let Place { bucket, store, _data, .. } = place();
    // More than a row group, which is handed on when it is full.
    let count = ROW_GROUP_ROWS_MAX / 8192 + 1;
    for is_large in [false, true] {
        // Two files, or an upload that has begun; then a row that the table does not take.
        let strict = Arc::new(Schema::new(vec![
            Field::new("k", DataType::Int64, false),
            Field::new("v", DataType::Int64, true),
            Field::new("t", DataType::Utf8View, true),
        ]));
        let mut input = batches(if is_large { count } else { 3 });
        let mut columns = input[0].columns().to_vec();
        columns[0] = new_null_array(&DataType::Int64, 8192);
        input.push(RecordBatch::try_new(schema(), columns).unwrap());
        let rows_max = if is_large { 1 << 24 } else { 8_192 };
        let spec = WriteSpec { schema: strict, ..spec(rows_max) };
        let (code, _) = failure(store.write(spec, memory(&schema(), input)).unwrap()).await;
        assert_eq!(code, "23502");
        let is_empty = async || bucket.keys().await.is_empty() && bucket.unfinished_uploads() == 0;
        for _ in 0..500 {
            if is_empty().await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(is_empty().await, "{:?}, {} uploads", bucket.keys().await, bucket.unfinished_uploads());
        assert_eq!(bucket.count("put"), 3, "of the small files");
    }
    // A bucket that does not let it write says so at once.
    bucket.fail("put", Fault::Forbidden);
    let (code, message) = failure(store.write(spec(1 << 20), memory(&schema(), batches(1))).unwrap()).await;
    assert!(code == "42501" && message.contains("fake://bucket/seg0/base/t7/"), "{code} {message}");
}

#[tokio::test]
async fn reads_are_made_again() {
    let Place { bucket, store, _data, .. } = place();
    let files = write(&store, spec(8_192), batches(3)).await;
    let wanted = scanned(&store, &files).await;
    let other = place_of(&bucket, RangeCache::off(), Verification::Always);
    for fault in [Fault::Refused, Fault::Cut, Fault::AnswerLost, Fault::Cut] {
        bucket.fail("get", fault);
    }
    bucket.fail("head", Fault::Refused);
    bucket.fail("list", Fault::Refused);
    assert_eq!(scanned(&other.store, &files).await, wanted);
    assert_eq!(other.store.list().await.unwrap().len(), 3);
    assert!(bucket.is_over());
}

#[tokio::test]
async fn several_files_are_read_at_once() {
    let Place { bucket, store, _data, .. } = place();
    let files = write(&store, spec(8_192), batches(12)).await;
    let other = place_of(&bucket, RangeCache::off(), Verification::default());
    *bucket.delay.lock() = Duration::from_millis(20);
    let wanted: Vec<i64> = (0..12 * 8192).collect();
    let found = rows(other.store.scan(&schema(), &[0], &files, 1).unwrap()).await.unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values()[..], wanted);
    let at_once = bucket.at_once.load(Ordering::SeqCst);
    assert!((3..=12).contains(&at_once), "{at_once}");
}

#[tokio::test]
async fn the_cache_spares_requests_and_survives() {
    let cache_dir = tempfile::tempdir().unwrap();
    let Place { bucket, store, ranges, _data } =
        place_of(&Arc::default(), cache_in(cache_dir.path(), 64), Verification::default());
    let files = write(&store, spec(100_000), batches(30)).await;
    let wanted = scanned(&store, &files).await;
    ranges.settled().await;
    let asked = bucket.count("get");
    assert!(asked > 0);
    assert_eq!(scanned(&store, &files).await, wanted);
    assert_eq!(bucket.count("get"), asked, "everything is here");
    drop((store, ranges));

    // Another process.
    let again = place_of(&bucket, cache_in(cache_dir.path(), 64), Verification::default());
    assert_eq!(scanned(&again.store, &files).await, wanted);
    assert_eq!(bucket.count("get"), asked, "everything is still here");
    let stats = again.ranges.stats();
    assert!(stats.disk_hits > 0 && stats.misses == 0 && stats.disk_bytes <= stats.disk_capacity, "{stats:?}");
    drop(again);

    // Damage is a miss.
    let path = cache_dir.path().join("ranges");
    let mut bytes = fs::read(&path).unwrap();
    (0..bytes.len()).step_by(700_000).for_each(|at| bytes[at] ^= 32);
    fs::write(&path, bytes).unwrap();
    let again = place_of(&bucket, cache_in(cache_dir.path(), 64), Verification::default());
    assert_eq!(scanned(&again.store, &files).await, wanted);
    assert!(bucket.count("get") > asked);
    again.ranges.settled().await;
    let asked = bucket.count("get");
    assert_eq!(scanned(&again.store, &files).await, wanted);
    assert_eq!(bucket.count("get"), asked, "it is whole again");
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let cache_dir = tempfile::tempdir().unwrap();
    let Place { bucket, store, ranges, _data } =
        place_of(&Arc::default(), cache_in(cache_dir.path(), 3), Verification::default());
    let files = write(&store, spec(100_000), batches(60)).await;
    assert!(files.iter().map(|file| file.bytes).sum::<u64>() > 6 * RANGE_BLOCK_BYTES);
    let wanted = scanned(&store, &files).await;
    for _ in 0..3 {
        assert_eq!(scanned(&store, &files).await, wanted);
        ranges.settled().await;
        let stats = ranges.stats();
        assert!(stats.disk_bytes <= stats.disk_capacity && stats.disk_capacity <= 3 * (RANGE_BLOCK_BYTES + 4096));
        assert!(fs::metadata(cache_dir.path().join("ranges")).unwrap().len() <= stats.disk_capacity);
    }
    assert!(bucket.count("get") > 2 * files.len());

    // Another process has the directory: it is done without.
    let other = place_of(&bucket, cache_in(cache_dir.path(), 3), Verification::default());
    assert_eq!(scanned(&other.store, &files).await, wanted);
    assert_eq!(other.ranges.stats().disk_capacity, 0);

    // In memory alone.
    let config = RangeCacheConfig { directory: cache_dir.path().into(), disk_bytes: 0, memory_bytes: 1 << 30 };
    let memory = place_of(&bucket, RangeCache::new(config), Verification::default());
    assert_eq!(scanned(&memory.store, &files).await, wanted);
    let asked = bucket.count("get");
    assert_eq!(scanned(&memory.store, &files).await, wanted);
    assert_eq!(bucket.count("get"), asked);
    assert!(memory.ranges.stats().memory_bytes <= 1 << 30);
}

#[tokio::test]
async fn nothing_is_made_of_a_cache_before_a_bucket_is_read() {
    let (data, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let directory = dir.path().join("cache");
    let ranges = Arc::new(RangeCache::new(RangeCacheConfig::new(directory.clone())));
    let caches = StoreCaches { columns: Arc::new(ColumnCache::new(0)), ranges };
    let store = TableStore::open_with_caches(ContentId(0), data.path(), caches, Verification::default()).unwrap();
    let files = write(&store, spec(1 << 20), batches(1)).await;
    assert_eq!(scanned(&store, &files).await.num_rows(), 8192);
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_directory_is_a_place_too() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let local = open(data.path());
    let spec_of = |url: String, id: u64| PlaceSpec {
        id: PlaceId(id),
        url,
        cluster_id: "c1".into(),
        access: SourceAccess::default(),
    };
    let url = format!("file://{}", elsewhere.path().display());
    let store = local.at(&spec_of(url.clone(), 1)).await.unwrap();
    let files = write(&store, spec(8_192), batches(2)).await;
    let wanted = scanned(&store, &files).await;
    assert!(elsewhere.path().join("c1/seg0").join(&files[0].path).exists());
    assert!(local.list().await.unwrap().is_empty());
    let again = local.at(&spec_of(url.clone(), 1)).await.unwrap();
    assert_eq!(scanned(&again, &files).await, wanted);
    assert_eq!(again.list().await.unwrap().len(), 2);
    // Backups are not made among tables, wherever they are.
    let inside = format!("{url}/c1/seg0/backups");
    assert_eq!(local.refuse_place_inside(&inside).await.unwrap_err().sqlstate(), "22023");
    let same = local.at(&spec_of("file:///nowhere".into(), 0)).await.unwrap();
    assert!(same.list().await.unwrap().is_empty(), "the local disks are no other place");
    for url in ["s3://", "ftp://host/a", "s3://key:hushhush@bucket/p"] {
        let error = local.at(&spec_of(url.into(), 2)).await.unwrap_err();
        assert!(error.sqlstate() == "22023" && !error.to_string().contains("hushhush"), "{error}");
    }
}

#[tokio::test]
async fn tables_of_a_bucket_are_backed_up_and_restored() {
    let Place { bucket, store, _data, .. } = place();
    let files = delete_some(&store, &write(&store, spec(8_192), batches(2)).await).await;
    let wanted = scanned(&store, &files).await;
    let backup_dir = tempfile::tempdir().unwrap();
    let backups = BackupPlace::create(&format!("file://{}", backup_dir.path().display())).await.unwrap();
    let mut copied = vec![];
    for file in &files {
        let vector = file.deletes.clone().unwrap();
        for (path, bytes, checksum) in
            [(file.path.clone(), file.bytes, file.checksum), (vector.path, vector.bytes, vector.checksum)]
        {
            copied.push(BackupFile { table: TABLE, path, bytes, checksum });
        }
    }
    bucket.fail("get", Fault::Refused);
    bucket.fail("get", Fault::Cut);
    let done: Vec<Copied> = store.back_up(&backups, copied.clone()).try_collect().await.unwrap();
    assert_eq!(done.iter().map(|done| done.new_files).sum::<u64>(), 4);

    let target = place();
    let restored = copied.iter().map(|file| RestoreFile {
        content: ContentId(0),
        path: file.path.clone(),
        target: file.path.replace("base/t7/", "base/t7/new-"),
        bytes: file.bytes,
        checksum: file.checksum,
    });
    target.bucket.fail("put", Fault::AnswerLost);
    let done: Vec<Copied> = target.store.restore(&backups, restored.collect()).try_collect().await.unwrap();
    assert_eq!(done.iter().map(|done| done.new_files).sum::<u64>(), 4);
    let renamed = |path: &String| path.replace("base/t7/", "base/t7/new-");
    let files: Vec<FileEntry> = files
        .iter()
        .map(|file| {
            let mut file = FileEntry { path: renamed(&file.path), created: SnapshotId(1), ..file.clone() };
            let vector = file.deletes.as_mut().unwrap();
            vector.path = renamed(&vector.path);
            file
        })
        .collect();
    assert_eq!(scanned(&target.store, &files).await, wanted);
}
