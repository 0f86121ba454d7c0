//! Delete vectors: rows that are deleted stay so, with every cache and at every boundary; the rows that take their place.

mod support;

use damson_cluster::{Compression, FileEntry, Modification, Once};
use damson_storage::limits::CHUNK_ROWS;
use damson_storage::{ColumnCache, ModifySpec, TableStore, WriteSpec, Writes};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use support::*;

fn ints(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("v", column)]).unwrap()
}

fn spec(file_rows_max: u64) -> WriteSpec {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    WriteSpec { file_rows_max, ..WriteSpec::new(TABLE, schema, Compression::Zstd(1), vec![]) }
}

/// Where rows are: file and number.
fn named(rows: &[(i32, i64)]) -> RecordBatch {
    let files: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    RecordBatch::try_from_iter([("damson_file", files), ("damson_row", numbers)]).unwrap()
}

/// Runs a modification, and gives the files as they are after its commit.
async fn modify(store: &TableStore, files: &[FileEntry], writes: Writes, input: RecordBatch) -> (u64, Vec<FileEntry>) {
    let spec = ModifySpec { write: WriteSpec { files: files.to_vec(), ..spec(1 << 20) }, writes, once: None };
    let (report, rows) = sink(store.modify(spec, memory(&input.schema(), vec![input.clone()])).unwrap()).await.unwrap();
    let Modification { deletes, adds, .. } = serde_json::from_slice(&report).unwrap();
    let mut after = files.to_vec();
    for (path, vector) in deletes {
        match vector {
            Some(vector) => after.iter_mut().find(|file| file.path == path).unwrap().deletes = Some(vector),
            None => after.retain(|file| file.path != path),
        }
    }
    after.extend(adds);
    (rows, after)
}

async fn values(store: &TableStore, files: &[FileEntry]) -> Vec<i64> {
    let scan = store.scan(&spec(1).schema, &[0], files, 1).unwrap();
    rows(scan).await.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn files_on_disk(dir: &Path) -> BTreeSet<String> {
    let base = dir.join(format!("base/{TABLE}"));
    let Ok(entries) = std::fs::read_dir(base) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Random deletes, in several statements, on files of several batches: with and without a cache, the rows that are left, under
/// the numbers that they always had.
#[tokio::test]
async fn deleted_rows_stay_deleted() {
    let mut rng = StdRng::seed_from_u64(3);
    for cache_bytes in [0, 64 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let store = open_with_cache(dir.path(), &Arc::new(ColumnCache::new(cache_bytes)));
        let rows_each = 3 * CHUNK_ROWS as i64 + 17;
        let batch = ints(0..2 * rows_each);
        let mut files = write(&store, spec(rows_each as u64), vec![batch]).await;
        // Files end where a batch does.
        let all = values(&store, &files).await;
        assert_eq!(all, (0..2 * rows_each).collect::<Vec<_>>());
        let scan = store.scan_with_row_ids(&spec(1).schema, &[0], &files).unwrap();
        let named_rows = rows(scan).await.unwrap();
        let place = |at: usize| {
            let file = named_rows.column(1).as_primitive::<Int32Type>().value(at);
            (file, named_rows.column(2).as_primitive::<Int64Type>().value(at))
        };
        let mut left: Vec<usize> = (0..all.len()).collect();
        let mut snapshots = vec![(files.clone(), all.clone())];
        for share in [0.001, 0.3, 0.9] {
            let deleted: BTreeSet<usize> = left.iter().copied().filter(|_| rng.random_bool(share)).collect();
            let mut input: Vec<_> = deleted.iter().map(|&at| place(at)).collect();
            // Twice is once.
            input.extend(input.first().copied());
            let (count, after) = modify(&store, &files, Writes::Nothing, named(&input)).await;
            assert_eq!(count, deleted.len() as u64);
            files = after;
            left.retain(|at| !deleted.contains(at));
            let wanted: Vec<i64> = left.iter().map(|&at| all[at]).collect();
            for _ in 0..2 {
                assert_eq!(values(&store, &files).await, wanted);
            }
            // Who reads an older snapshot sees what was there, and takes nothing from the others.
            snapshots.push((files.clone(), wanted));
            for (files, wanted) in snapshots.iter().rev().chain(&snapshots) {
                assert_eq!(values(&store, files).await, *wanted);
            }
            let live: u64 = files.iter().map(FileEntry::live_rows).sum();
            assert_eq!(live, left.len() as u64);
            let scan = store.scan_with_row_ids(&spec(1).schema, &[0], &files).unwrap();
            let found = rows(scan).await.unwrap();
            let numbers = found.column(2).as_primitive::<Int64Type>().values().to_vec();
            assert_eq!(numbers, left.iter().map(|&at| place(at).1).collect::<Vec<_>>());
        }
        // A limit counts the rows that are left.
        let scan = store.scan(&spec(1).schema, &[0], &files, 1).unwrap().with_fetch(Some(10)).unwrap();
        assert_eq!(rows(scan).await.unwrap().num_rows(), 10);
        // And all of them.
        let input: Vec<_> = left.iter().map(|&at| place(at)).collect();
        let (_, files) = modify(&store, &files, Writes::Nothing, named(&input)).await;
        assert!(files.is_empty());
    }
}

#[tokio::test]
async fn new_rows_take_the_place_of_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = write(&store, spec(1 << 20), vec![ints(0..10)]).await;
    let update = |rows: &[(i32, i64)], new: Vec<i64>| {
        let place = named(rows);
        let new: ArrayRef = Arc::new(Int64Array::from(new));
        let columns = [place.column(0).clone(), place.column(1).clone(), new];
        RecordBatch::try_from_iter(["damson_file", "damson_row", "v"].into_iter().zip(columns)).unwrap()
    };
    // A row that comes twice is written once, with what came first.
    let (count, files) =
        modify(&store, &files, Writes::InPlace, update(&[(0, 3), (0, 5), (0, 3)], vec![30, 50, 31])).await;
    assert_eq!((count, files.len()), (2, 2));
    let mut found = values(&store, &files).await;
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2, 4, 6, 7, 8, 9, 30, 50]);

    // Where once is all that is allowed, it is an error, and nothing is left of it.
    let before = files_on_disk(dir.path());
    let twice = update(&[(0, 1), (0, 1)], vec![10, 11]);
    let write = WriteSpec { files: files.clone(), ..spec(1 << 20) };
    let spec = ModifySpec { write, writes: Writes::InPlace, once: Some(Once::Merge) };
    let plan = store.modify(spec, memory(&twice.schema(), vec![twice.clone()])).unwrap();
    assert_eq!(failure(plan).await.0, "21000");
    assert_eq!(files_on_disk(dir.path()), before);
}

/// Old rows without new ones, and new ones without old.
#[tokio::test]
async fn what_moves_is_deleted_here_and_written_there() {
    use damson_cluster::RowChange::{Arrive, Delete, Depart, Insert};
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = write(&store, spec(1 << 20), vec![ints(0..5)]).await;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("damson_file", Arc::new(Int32Array::from(vec![Some(0), None, Some(0), None]))),
        ("damson_row", Arc::new(Int64Array::from(vec![Some(2), None, Some(4), None]))),
        ("change", Arc::new(UInt8Array::from_iter_values([Depart, Arrive, Delete, Insert].map(|change| change as u8)))),
        ("v", Arc::new(Int64Array::from(vec![None, Some(70), None, Some(80)]))),
    ];
    let input = RecordBatch::try_from_iter(columns).unwrap();
    let (count, files) = modify(&store, &files, Writes::AsTold, input).await;
    assert_eq!(count, 3, "what arrives was counted elsewhere");
    assert_eq!(values(&store, &files).await, [0, 1, 3, 70, 80]);
}

#[tokio::test]
async fn rows_that_are_not_there_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = write(&store, spec(1 << 20), vec![ints(0..5)]).await;
    for row in [(0, 5), (0, -1), (1, 0), (-1, 0)] {
        let write = WriteSpec { files: files.clone(), ..spec(1 << 20) };
        let spec = ModifySpec { write, writes: Writes::Nothing, once: None };
        let input = named(&[(0, 1), row]);
        let plan = store.modify(spec, memory(&input.schema(), vec![input.clone()])).unwrap();
        assert_eq!(failure(plan).await.0, "XX000", "{row:?}");
    }
    assert_eq!(files_on_disk(dir.path()).len(), 1, "no vector is left");
}

#[tokio::test]
async fn a_damaged_vector_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = write(&store, spec(1 << 20), vec![ints(0..100)]).await;
    let (_, files) = modify(&store, &files, Writes::Nothing, named(&[(0, 7), (0, 70)])).await;
    let path = dir.path().join(&files[0].deletes.as_ref().unwrap().path);
    let right = std::fs::read(&path).unwrap();
    let mut damaged = right.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, damaged).unwrap();
    // Another process: this one has it in memory.
    let other = open(dir.path());
    let (state, message) = failure(other.scan(&spec(1).schema, &[0], &files, 1).unwrap()).await;
    assert!(state == "XX001" && message.contains(".deletes"), "{state} {message}");
    std::fs::remove_file(&path).unwrap();
    let (state, message) = failure(other.scan(&spec(1).schema, &[0], &files, 1).unwrap()).await;
    assert!(state == "58P01" && message.contains(".deletes"), "{state} {message}");
    std::fs::write(&path, right).unwrap();
    assert_eq!(values(&other, &files).await.len(), 98);
}

/// What a check finds, of files that were damaged in every way that it looks for.
#[tokio::test]
async fn a_check_finds_what_is_damaged() {
    use damson_cluster::{BucketMap, ColumnDef, ContentId, Distribution, MapVersion, TableDef, placement};
    let dir = tempfile::tempdir().unwrap();
    let store = TableStore::open(ContentId(1), dir.path()).unwrap();
    let (one, two) = (BucketMap::uniform(MapVersion(1), 1), BucketMap::uniform(MapVersion(1), 2));
    let column = ColumnDef {
        name: "v".into(),
        sql_type: "bigint".into(),
        data_type: DataType::Int64,
        nullable: true,
        default: None,
        identity: None,
    };
    let table = |distribution| TableDef {
        id: TABLE,
        schema: "public".into(),
        name: "t".into(),
        columns: vec![column.clone()],
        distribution,
        map_version: MapVersion(1),
        keys: vec![],
        checks: vec![],
        compression: Compression::Zstd(1),
        layout: Default::default(),
        tablespace: None,
    };
    let (hashed, strewn) = (table(Distribution::Hashed(vec![0])), table(Distribution::Randomly));
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    // Of a hundred values, about half belong to each of two segments.
    let writes = WriteSpec::new(TABLE, schema, Compression::Zstd(1), vec![0]);
    let batch = ints(0..100);
    let (report, _) = sink(store.write(writes, memory(&batch.schema(), vec![batch.clone()])).unwrap()).await.unwrap();
    let files: Vec<FileEntry> = serde_json::from_slice(&report).unwrap();
    let (_, files) = modify(&store, &files, Writes::Nothing, named(&[(0, 3), (0, 7)])).await;
    let file = files[0].clone();
    assert_eq!(store.check(&strewn, &two, &files).await, []);

    let problem = async |table: &TableDef, map: &BucketMap, file: FileEntry| -> String {
        let problems = store.check(table, map, &[file]).await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].problem.clone()
    };
    let strays = problem(&hashed, &two, file.clone()).await;
    assert!(strays.contains("of its 100 rows belong to other segments"), "{strays}");
    assert!(!strays.starts_with("100 "), "{strays}");
    let strays = problem(&hashed, &one, file.clone()).await;
    assert!(strays.starts_with("98 of its 100 rows"), "all that are not deleted are the other segment's: {strays}");
    // Those that have left are deleted: the rest is where it belongs.
    let mut hashes = vec![];
    placement::hash_rows(batch.columns(), &mut hashes).unwrap();
    let leaves = |row: &i64| two.owner(placement::bucket_of(hashes[*row as usize])) != ContentId(1);
    let left: Vec<(i32, i64)> =
        (0..100).filter(|row| leaves(row) && ![3, 7].contains(row)).map(|row| (0, row)).collect();
    let (_, staying) = modify(&store, &files, Writes::Nothing, named(&left)).await;
    assert_eq!(store.check(&hashed, &two, &staying).await, []);

    let own = TableStore::open(ContentId(0), dir.path()).unwrap();
    assert_eq!(own.check(&hashed, &one, &files).await, []);
    let listed = FileEntry { buckets: Some((5, 5)), ..file.clone() };
    let problems = own.check(&hashed, &one, &[listed]).await;
    assert!(problems[0].problem.contains("in buckets that the catalog does not list"), "{problems:?}");

    let rows = problem(&strewn, &two, FileEntry { rows: 99, ..file.clone() }).await;
    assert!(rows.contains("100 rows, not 99"), "{rows}");
    let bytes = problem(&strewn, &two, FileEntry { bytes: file.bytes + 1, ..file.clone() }).await;
    assert!(bytes.contains("bytes, not"), "{bytes}");
    let vector = file.deletes.clone().unwrap();
    let short = FileEntry { rows: 5, ..file.clone() };
    let problems = store.check(&strewn, &two, &[short]).await;
    assert!(problems.iter().any(|p| p.path == vector.path && p.problem.contains("deletes row 7")), "{problems:?}");

    // On the disk: a flipped bit, and nothing at all. What was read before does not count.
    let flip = |path: &str| {
        let path = dir.path().join(path);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    flip(&file.path);
    let flipped = problem(&strewn, &two, file.clone()).await;
    assert!(flipped.contains("checksum"), "{flipped}");
    flip(&file.path);
    flip(&vector.path);
    let flipped = store.check(&strewn, &two, &files).await;
    assert!(flipped[0].path == vector.path && flipped[0].problem.contains("checksum"), "{flipped:?}");
    std::fs::remove_file(dir.path().join(&file.path)).unwrap();
    std::fs::remove_file(dir.path().join(&vector.path)).unwrap();
    assert_eq!(store.check(&strewn, &two, &files).await.len(), 2);
}
