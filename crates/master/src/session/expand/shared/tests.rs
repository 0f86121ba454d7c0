use super::*;
use damson_cluster::{MapVersion, SnapshotId, TableId};

const TABLE: TableId = TableId(7);

fn file(content: i32, name: &str, rows: u64, deleted: u64) -> Arc<FileEntry> {
    Arc::new(FileEntry {
        table: TABLE,
        content: ContentId(content),
        path: format!("base/t7/{name}.parquet"),
        rows,
        bytes: rows * 100,
        checksum: 1,
        buckets: Some((0, (BUCKETS - 1) as u16)),
        columns: vec![],
        deletes: (deleted > 0).then(|| vector(name, deleted)),
        created: SnapshotId(3),
    })
}

fn vector(name: &str, rows: u64) -> DeleteVector {
    DeleteVector { path: format!("base/t7/{name}.deletes"), rows, bytes: 10, checksum: 2, created: SnapshotId(3) }
}

fn shared(of: &Arc<FileEntry>, reader: i32) -> Shared {
    Shared { of: Arc::clone(of), entry: share(of, ContentId(reader)) }
}

fn key_of(share: &Shared) -> FileKey {
    FileKey::of(&share.entry)
}

fn map(version: u32, runs: &[(u16, usize)]) -> BucketMap {
    let owners: Vec<u16> = runs.iter().flat_map(|&(owner, buckets)| vec![owner; buckets]).collect();
    let segments = usize::from(*owners.iter().max().unwrap()) + 1;
    BucketMap::from_owners(MapVersion(version), owners, segments).unwrap()
}

#[test]
fn rows_leave_for_the_new_owners_of_their_segments_buckets_alone() {
    let old = map(1, &[(0, 8192), (1, 8192)]);
    let new = map(2, &[(0, 4096), (2, 4096), (1, 4096), (3, 4096)]);
    let to = |file: &FileEntry| {
        takers(file, &old, &new).map(|content| content.0).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!((to(&file(0, "a", 9, 0)), to(&file(1, "b", 9, 0))), (vec![2], vec![3]));
    let narrow = FileEntry { buckets: Some((0, 4095)), ..FileEntry::clone(&file(0, "c", 9, 0)) };
    assert_eq!(to(&narrow), [0; 0]);
    let unknown = FileEntry { buckets: None, ..FileEntry::clone(&file(0, "c", 9, 0)) };
    assert_eq!(to(&unknown), [2]);
}

#[test]
fn entries_are_made_of_what_their_segments_deleted() {
    // Of the first file rows stay and go to 2 and 3; all of the second go to 2; of the third all stay.
    let files = [file(0, "a", 100, 10), file(0, "b", 50, 5), file(1, "c", 20, 0)];
    let shares = vec![
        shared(&files[0], 2),
        shared(&files[0], 3),
        shared(&files[1], 2),
        shared(&files[1], 3),
        shared(&files[2], 3),
    ];
    let keys: Vec<FileKey> = shares.iter().map(key_of).collect();
    let reported = Commit {
        deletes: vec![
            (TABLE, FileKey::of(&files[0]), vector("a2", 60)),
            (TABLE, keys[0].clone(), vector("of2", 70)),
            (TABLE, keys[1].clone(), vector("of3", 80)),
        ],
        drops: [FileKey::of(&files[1]), keys[3].clone(), keys[4].clone()].map(|key| (TABLE, key)).into(),
        ..Commit::default()
    };
    let (commit, rows, bytes) = divided(&files, shares, reported).unwrap();
    assert_eq!((rows, bytes), (30 + 20 + 45, 30));
    let added: Vec<(FileKey, u64)> = commit.adds.iter().map(|file| (FileKey::of(file), file.live_rows())).collect();
    assert_eq!(added, [(keys[0].clone(), 30), (keys[1].clone(), 20), (keys[2].clone(), 45)]);
    // What has deleted nothing keeps the vector of who had the file.
    let kept = commit.adds[2].deletes.as_ref().unwrap();
    assert!(kept.path.starts_with("from/seg0/") && kept.path.ends_with("/base/t7/b.deletes"));
    assert_eq!(commit.drops, [(TABLE, FileKey::of(&files[1]))]);
    assert_eq!(commit.deletes, [(TABLE, FileKey::of(&files[0]), vector("a2", 60))]);
    // What a failure removes: vectors that were written, and nothing that was there.
    let new: Vec<String> = commit.new_files().into_iter().map(|file| file.path).collect();
    assert_eq!(new, ["base/t7/of2.deletes", "base/t7/of3.deletes", "base/t7/a2.deletes"]);
}

#[test]
fn rows_that_nobody_has_or_two_have_are_an_error() {
    let files = [file(0, "a", 100, 0)];
    let reported = |of_home, of_reader| {
        let share = shared(&files[0], 2);
        let vectors = [(FileKey::of(&files[0]), of_home), (key_of(&share), of_reader)];
        let deletes = vectors.map(|(key, rows)| (TABLE, key, vector("v", rows))).into();
        divided(&files, vec![share], Commit { deletes, ..Commit::default() })
    };
    assert!(reported(40, 60).is_ok());
    assert!(reported(40, 61).unwrap_err().contains("60 stay and 39 leave"));
    assert!(reported(40, 59).is_err());
    let stray = Commit { drops: vec![(TABLE, FileKey::of(&file(1, "x", 1, 0)))], ..Commit::default() };
    assert!(divided(&files, vec![], stray).is_err());
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
        sizes.iter().enumerate().map(|(i, &rows)| file(content, &format!("{content}-{i}"), rows, 0)).collect()
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
