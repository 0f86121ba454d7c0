use super::*;
use damson_cluster::{MapVersion, SnapshotId, TableId};

const TABLE: TableId = TableId(7);

fn file(content: i32, name: &str, rows: u64) -> Arc<FileEntry> {
    Arc::new(FileEntry {
        table: TABLE,
        content: ContentId(content),
        path: format!("base/t7/{name}.parquet"),
        rows,
        bytes: rows * 100,
        checksum: 1,
        buckets: Some((0, (BUCKETS - 1) as u16)),
        columns: vec![],
        deletes: None,
        created: SnapshotId(3),
    })
}

fn map(version: u32, runs: &[(u16, usize)]) -> BucketMap {
    let owners: Vec<u16> = runs.iter().flat_map(|&(owner, buckets)| vec![owner; buckets]).collect();
    let segments = usize::from(*owners.iter().max().unwrap()) + 1;
    BucketMap::from_owners(MapVersion(version), owners, segments).unwrap()
}

#[test]
fn rows_leave_where_a_bucket_of_their_segment_gets_another_owner() {
    let old = map(1, &[(0, 8192), (1, 8192)]);
    let new = map(2, &[(0, 4096), (2, 4096), (1, 4096), (3, 4096)]);
    let of = |content: i32, buckets| FileEntry { buckets, ..FileEntry::clone(&file(content, "a", 9)) };
    let leaves = |content: i32, buckets| some_leave(&of(content, buckets), &old, &new);
    assert!(leaves(0, Some((0, 16_383))) && leaves(1, Some((0, 16_383))) && leaves(0, None));
    assert!(!leaves(0, Some((0, 4095))) && leaves(0, Some((4095, 4096))));
    // Others' buckets that move are nothing of its.
    assert!(!leaves(1, Some((0, 8191))) && !leaves(2, None));
}

/// Rows of each segment after what is given.
fn spread(files: &[Arc<FileEntry>], map: &BucketMap) -> Vec<u64> {
    let given = givings(files.to_vec(), map);
    let mut rows = vec![0; map.segment_count()];
    for file in files {
        let taker = given.iter().find(|(of, _)| of.path == file.path).map(|(_, taker)| *taker);
        rows[taker.unwrap_or(file.content).0 as usize] += file.live_rows();
    }
    rows
}

#[test]
fn whole_files_make_it_as_even_as_they_can() {
    let four = map(2, &[(0, 4096), (1, 4096), (2, 4096), (3, 4096)]);
    let of = |content: i32, sizes: &[u64]| -> Vec<Arc<FileEntry>> {
        sizes.iter().enumerate().map(|(i, &rows)| file(content, &format!("{content}-{i}"), rows)).collect()
    };
    let files = [of(0, &[10; 8]), of(1, &[10; 8])].concat();
    assert_eq!(spread(&files, &four), [40; 4]);
    // Even already, and of a file more than what anybody lacks: it stays.
    assert!(givings([of(0, &[5]), of(1, &[5]), of(2, &[5]), of(3, &[5])].concat(), &four).is_empty());
    assert!(givings([of(0, &[100]), of(1, &[100])].concat(), &four).is_empty());
    // Who owns nothing gives all.
    let last = map(3, &[(3, 16384)]);
    assert_eq!(spread(&files, &last), [0, 0, 0, 160]);
    assert!(givings(vec![], &four).is_empty());
}
