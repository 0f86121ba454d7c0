//! Row groups that go to other segments: all rows are somewhere once, deleted ones stay deleted, and what does not arrive as it was sent is refused.

mod support;

use damson_cluster::{
    BucketMap, ContentId, Departures, FileEntry, HandedOver, HandoverPart, MapVersion, Modification, TakenFile,
    handover_schema,
};
use damson_storage::{ModifySpec, TableStore, Writes};
use datafusion::arrow::array::*;
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::*;
use datafusion::parquet::bloom_filter::Sbbf;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fs;
use std::iter::repeat_n;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::bucketed::*;
use support::*;

fn map(version: u32, runs: &[(u16, usize)]) -> BucketMap {
    let owners = runs.iter().flat_map(|&(owner, buckets)| repeat_n(owner, buckets)).collect();
    BucketMap::from_owners(MapVersion(version), owners, 4).unwrap()
}

/// Segment 0 gives its second half but for four buckets, segment 1 a quarter to segment 3 and the rest, in two parts, to others.
fn maps() -> (BucketMap, BucketMap) {
    let new = [(0, 4100), (2, 4092), (2, 3000), (0, 3144), (3, 2048)];
    (map(1, &[(0, 8192), (1, 8192)]), map(2, &new))
}

async fn delete(store: &TableStore, file: &FileEntry, rows: &[i64]) -> FileEntry {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("file", Arc::new(Int32Array::from(vec![0; rows.len()]))),
        ("row", Arc::new(Int64Array::from(rows.to_vec()))),
    ];
    let named = RecordBatch::try_from_iter(columns).unwrap();
    let write = damson_storage::WriteSpec { files: vec![file.clone()], ..spec(&maps().0, store.content()) };
    let spec = ModifySpec { write, writes: Writes::Nothing, once: None };
    let (report, _) = sink(store.modify(spec, memory(&named.schema(), vec![named])).unwrap()).await.unwrap();
    let report: Modification = serde_json::from_slice(&report).unwrap();
    FileEntry { deletes: report.deletes[0].1.clone(), ..file.clone() }
}

fn departures(content: ContentId) -> Arc<Departures> {
    let (old, new) = maps();
    Arc::new(Departures::of(content, &old, &new))
}

/// What a segment gives of its files, by who gets it.
async fn given(store: &TableStore, files: &[FileEntry]) -> Vec<Vec<RecordBatch>> {
    let plan = store.give_row_groups(&schema(), files, &[KEY], &departures(store.content()));
    let batches = run(plan).await.unwrap();
    (0..4).map(|content| to(&batches, content)).collect()
}

/// Those of a segment.
fn to(batches: &[RecordBatch], content: i32) -> Vec<RecordBatch> {
    let of = |batch: &RecordBatch| {
        let to = batch.column(0).as_primitive::<Int32Type>();
        filter_record_batch(batch, &to.iter().map(|to| Some(to == Some(content))).collect()).unwrap()
    };
    batches.iter().map(of).filter(|batch| batch.num_rows() > 0).collect()
}

async fn take(store: &TableStore, files: &[FileEntry], batches: Vec<RecordBatch>) -> HandedOver {
    let plan = store.take_row_groups(TABLE, files, memory(&handover_schema(), batches)).unwrap();
    let (report, rows) = sink(plan).await.unwrap();
    let report: HandedOver = serde_json::from_slice(&report).unwrap();
    assert_eq!(report.taken.iter().map(|taken| taken.entry.live_rows()).sum::<u64>(), rows);
    report
}

/// The files as they are afterwards.
fn left(files: &[FileEntry], report: &HandedOver) -> Vec<FileEntry> {
    let now = |file: &FileEntry| match report.left.iter().find(|(path, _)| *path == file.path) {
        None => Some(file.clone()),
        Some((_, None)) => None,
        Some((_, vector)) => Some(FileEntry { deletes: vector.clone(), ..file.clone() }),
    };
    files.iter().filter_map(now).collect()
}

fn entries(taken: &[TakenFile]) -> Vec<FileEntry> {
    taken.iter().map(|taken| taken.entry.clone()).collect()
}

/// The rows with other numbers.
fn numbered_from(rows: &RecordBatch, first: i64) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[NUMBER] = Arc::new(Int64Array::from_iter_values(first..first + rows.num_rows() as i64));
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The rows whose numbers pass.
fn with_numbers(rows: &RecordBatch, passes: impl Fn(i64) -> bool) -> RecordBatch {
    let numbers = rows.column(NUMBER).as_primitive::<Int64Type>();
    filter_record_batch(rows, &numbers.iter().map(|number| Some(passes(number.unwrap()))).collect()).unwrap()
}

/// The rows whose buckets a segment owns.
fn owned(rows: &RecordBatch, map: &BucketMap, content: i32) -> RecordBatch {
    let own = buckets(rows.column(KEY)).into_iter().map(|bucket| Some(map.owner(bucket) == ContentId(content)));
    filter_record_batch(rows, &own.collect()).unwrap()
}

fn together(batches: &[RecordBatch]) -> RecordBatch {
    by_number(&concat_batches(&schema(), batches).unwrap())
}

fn check_filters(path: &Path) {
    let (metadata, bytes) = (metadata(path), fs::read(path).unwrap());
    for index in 0..metadata.num_row_groups() {
        let chunk = metadata.row_group(index).column(KEY);
        let (offset, length) = (chunk.bloom_filter_offset().unwrap() as usize, chunk.bloom_filter_length().unwrap());
        let filter = Sbbf::from_bytes(&bytes[offset..offset + length as usize]).unwrap();
        let rows = row_group(path, index);
        assert!(rows.column(KEY).as_primitive::<Int64Type>().iter().flatten().all(|key| filter.check(&key)));
        let ranges = ranges(&metadata);
        let found = buckets(rows.column(KEY));
        let is_within = |(low, high): (u16, u16)| found.iter().all(|bucket| (low..=high).contains(bucket));
        assert!(ranges.is_none_or(|ranges| is_within(ranges[index])));
    }
}

#[tokio::test]
async fn every_row_is_somewhere_once() {
    let mut rng = StdRng::seed_from_u64(21);
    let (old, new) = maps();
    for content in [0, 1] {
        let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let stores: Vec<TableStore> =
            (0..4).map(|at| TableStore::open(ContentId(at as i32), dirs[at].path()).unwrap()).collect();
        let store = &stores[content as usize];
        // A large file with deleted rows, a small one of all buckets, and one whose rows all leave for one segment.
        let large = own_rows(&mut rng, 500_000, &old, ContentId(content));
        let large = concat_batches(&schema(), &large).unwrap();
        let small = concat_batches(&schema(), &own_rows(&mut rng, 5_000, &old, ContentId(content))).unwrap();
        let small = numbered_from(&small, 10_000_000);
        let taker = if content == 0 { 2 } else { 3 };
        let leaving = owned(&small, &new, taker);
        let mut files = vec![];
        for batch in [&large, &small, &leaving] {
            let written = write(store, spec(&old, ContentId(content)), vec![batch.clone()]).await;
            files.extend(written);
        }
        assert_eq!(files.len(), 3);
        let stored = rows(store.scan_with_row_ids(&schema(), &[NUMBER], &files[..1]).unwrap()).await.unwrap();
        let number_of = stored.column(0).as_primitive::<Int64Type>();
        let deleted: Vec<i64> = (0..files[0].rows as i64).filter(|row| row % 9 == 4 || *row < 1000).collect();
        let numbers: std::collections::HashSet<i64> =
            deleted.iter().map(|&row| number_of.value(row as usize)).collect();
        files[0] = delete(store, &files[0], &deleted).await;
        let large = with_numbers(&large, |number| !numbers.contains(&number));

        let given = given(store, &files).await;
        let mut moved = 0;
        for at in [0, 2, 3].into_iter().filter(|at| *at != content as usize) {
            let report = take(&stores[at], &[], given[at].clone()).await;
            assert!(report.left.is_empty());
            for TakenFile { from, path, entry } in &report.taken {
                assert_eq!(*from, ContentId(content));
                let own = dirs[at].path().join(&entry.path);
                check_filters(&own);
                if *path == files[2].path {
                    assert_eq!(fs::read(own).unwrap(), fs::read(dirs[content as usize].path().join(path)).unwrap());
                }
                let whole = rows(
                    stores[at]
                        .scan(&schema(), &[0, 1, 2, 3], &[FileEntry { deletes: None, ..entry.clone() }], 1)
                        .unwrap(),
                );
                let whole = whole.await.unwrap();
                let nulls: Vec<u64> = entry.columns.iter().map(|column| column.nulls).collect();
                assert_eq!(nulls, whole.columns().iter().map(|column| column.null_count() as u64).collect::<Vec<_>>());
            }
            let taken = entries(&report.taken);
            assert_eq!(stores[at].check(&table(), &new, &taken).await, []);
            let read = together(&[all_rows(&stores[at], &taken).await]);
            moved += read.num_rows();
            let of_leaving = if at as i32 == taker { leaving.clone() } else { leaving.slice(0, 0) };
            let wanted = together(&[owned(&large, &new, at as i32), of_leaving]);
            if content == 0 {
                assert!(read == wanted, "all of segment 0's rows that leave");
            } else {
                // Of segment 1's, those of whole row groups: the others are left to go one by one.
                let numbers: std::collections::HashSet<i64> =
                    read.column(NUMBER).as_primitive::<Int64Type>().values().iter().copied().collect();
                assert!(with_numbers(&wanted, |number| numbers.contains(&number)) == read);
            }
        }
        assert!(moved > 50_000, "{moved}");
        let report = take(store, &files, given[content as usize].clone()).await;
        assert!(
            report.taken.is_empty() && report.left.iter().any(|(path, left)| *path == files[2].path && left.is_none())
        );
        let left = left(&files, &report);
        assert_eq!(
            left.iter().map(|file| file.live_rows()).sum::<u64>() as usize,
            large.num_rows() + small.num_rows() + leaving.num_rows() - moved
        );
        // What is left of the large file and is another's is found by the next scan, and it reads no row group for nothing.
        let scan =
            store.scan_leaving(&schema(), &[0, 1, 2, 3], &left, &[KEY], &departures(ContentId(content))).unwrap();
        let rest = rows(Arc::clone(&scan)).await.unwrap();
        let rest = rest.project(&[0, 1, 2, 3]).unwrap();
        let stays = if content == 0 { owned(&rest, &new, 0) } else { owned(&rest, &new, 1) };
        let strays: usize = left.iter().map(|file| file.live_rows() as usize).sum::<usize>()
            - owned(&together(&[all_rows(store, &left).await]), &new, content).num_rows();
        assert_eq!(rest.num_rows() - stays.num_rows(), strays, "each that leaves");
        if content == 0 {
            assert_eq!(counted(&scan, "row_groups"), 1, "the small file's");
            assert_eq!(store.check(&table(), &new, &left[..1]).await, []);
        }
    }
}

/// What each of four segments reads of a file that stays where it is, and the bytes of its vector; who had the file is among them.
async fn shared(
    dirs: &[tempfile::TempDir],
    stores: &[TableStore],
    file: &FileEntry,
    departures: &Arc<Departures>,
) -> Vec<(RecordBatch, u64)> {
    let home = stores.iter().position(|store| store.content() == file.content).unwrap();
    let files = std::slice::from_ref(file);
    let batches = run(stores[home].share_files(&schema(), files, &[KEY], departures)).await.unwrap();
    let mut read = vec![];
    for (at, store) in stores.iter().enumerate() {
        let report = take(store, if at == home { files } else { &[] }, to(&batches, at as i32)).await;
        assert!(report.taken.is_empty() && (at == home || report.left.is_empty()));
        let deletes = match (at == home, &report.left[..], &report.shared[..]) {
            (true, [], []) => Some(file.deletes.clone()),
            (true, [(path, left)], []) if *path == file.path => left.clone().map(Some),
            (false, [], []) => None,
            (false, [], [shared]) if shared.path == file.path && shared.from == file.content => {
                Some(shared.deletes.clone())
            }
            (_, left, shared) => panic!("{left:?} {shared:?}"),
        };
        let Some(deletes) = deletes else {
            read.push((RecordBatch::new_empty(schema()), 0));
            continue;
        };
        // Readers of a bucket see the file and the vector at one place.
        if let Some(vector) = deletes.as_ref().filter(|_| at != home) {
            fs::copy(dirs[at].path().join(&vector.path), dirs[home].path().join(&vector.path)).unwrap();
        }
        let bytes = deletes.as_ref().map_or(0, |vector| vector.bytes);
        let entry = FileEntry { deletes, ..file.clone() };
        let rows = all_rows(&stores[home], std::slice::from_ref(&entry)).await;
        assert_eq!(rows.num_rows() as u64, entry.live_rows());
        read.push((together(&[rows]), bytes));
    }
    read
}

#[tokio::test]
async fn a_file_that_stays_is_divided_among_its_readers() {
    let mut rng = StdRng::seed_from_u64(23);
    let (old, odd) = maps();
    let halves = map(2, &[(0, 4096), (2, 4096), (1, 4096), (3, 4096)]);
    for content in [0, 1] {
        let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let stores: Vec<TableStore> =
            (0..4).map(|at| TableStore::open(ContentId(at as i32), dirs[at].path()).unwrap()).collect();
        let store = &stores[content as usize];
        let mut files = vec![];
        // One of several row groups, one of all buckets in one.
        for count in [500_000, 5_000] {
            let rows = concat_batches(&schema(), &own_rows(&mut rng, count, &old, ContentId(content))).unwrap();
            let written = write(store, spec(&old, ContentId(content)), vec![rows]).await;
            assert_eq!(written.len(), 1);
            files.extend(written.clone());
            let deleted: Vec<i64> = (0..written[0].rows as i64).filter(|row| row % 9 == 4 || *row < 1000).collect();
            files.push(delete(store, &written[0], &deleted).await);
        }
        for new in [&odd, &halves] {
            let departures = Arc::new(Departures::of(ContentId(content), &old, new));
            for file in &files {
                let rows = all_rows(store, std::slice::from_ref(file)).await;
                let read = shared(&dirs, &stores, file, &departures).await;
                for (at, (read, bytes)) in read.iter().enumerate() {
                    assert!(*read == together(&[owned(&rows, new, at as i32)]), "segment {at} of {content}'s");
                    let is_by_row_group = file.rows > 100_000 && file.deletes.is_none() && new == &halves;
                    assert!(!is_by_row_group || *bytes < 300, "{bytes} bytes, of runs");
                }
            }
        }
        // Nothing moves: nothing is said.
        let same = Arc::new(Departures::of(ContentId(content), &old, &old));
        assert_eq!(run(store.share_files(&schema(), &files, &[KEY], &same)).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_does_not_arrive_as_it_was_sent_is_refused() {
    let mut rng = StdRng::seed_from_u64(22);
    let (old, _) = maps();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let store = TableStore::open(ContentId(0), dirs[0].path()).unwrap();
    let taker = TableStore::open(ContentId(2), dirs[1].path()).unwrap();
    let files = write(&store, spec(&old, ContentId(0)), own_rows(&mut rng, 400_000, &old, ContentId(0))).await;
    let sent = concat_batches(&handover_schema(), &given(&store, &files).await[2]).unwrap();
    let bytes = sent.column(5).as_binary::<i32>();
    let rows = sent.num_rows();
    let with_bytes = |changed: BinaryArray| {
        let mut columns = sent.columns().to_vec();
        columns[5] = Arc::new(changed);
        RecordBatch::try_new(handover_schema(), columns).unwrap()
    };
    let damaged = with_bytes(BinaryArray::from_iter_values((0..rows).map(|row| {
        let mut value = bytes.value(row).to_vec();
        if row == 1 {
            value[100] ^= 1;
        }
        value
    })));
    let attempt = async |batch: RecordBatch| {
        let plan = taker.take_row_groups(TABLE, &[], memory(&handover_schema(), vec![batch])).unwrap();
        failure(plan).await
    };
    let (sqlstate, message) = attempt(damaged).await;
    assert!(sqlstate == "XX001" && message.contains("arrived"), "{sqlstate}: {message}");
    let parts = sent.column(3).as_primitive::<UInt8Type>();
    assert_eq!(parts.value(rows - 1), HandoverPart::End as u8);
    for (batch, told) in [
        (sent.slice(0, rows - 1), "has no end"),
        (sent.slice(1, rows - 1), "come after 0"),
        (sent.slice(rows - 1, 1), "has no beginning"),
        (concat_batches(&handover_schema(), [&sent.slice(0, 1), &sent.slice(2, rows - 2)]).unwrap(), "bytes from"),
    ] {
        let (sqlstate, message) = attempt(batch).await;
        assert!(sqlstate == "XX000" && message.contains(told), "{sqlstate}: {message}");
    }
    // What was being written is removed by whoever wrote it.
    for _ in 0..100 {
        if taker.list().await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(taker.list().await.unwrap(), [], "nothing of it stays");
    assert_eq!(take(&taker, &[], vec![sent.clone()]).await.taken.len(), 1);
}
