//! Where the files of a backup go in the cluster that it is restored into.

use damson_cluster::{
    BucketMap, ContentId, DeleteVector, Distribution, FileEntry, RestoreFile, SnapshotId, TableDef, TableId,
};
use std::cmp::Reverse;
use uuid::Uuid;

/// A table of a backup, as the cluster gets it.
#[derive(Clone, Debug)]
pub(crate) struct PlacedTable {
    /// With the id and the map that it has here.
    pub def: TableDef,
    /// With the names that they have here.
    pub files: Vec<FileEntry>,
    /// What is copied to each content.
    pub copies: Vec<(ContentId, RestoreFile)>,
    /// Whether rows are on segments that are not theirs: the table must be laid out anew before anybody reads it.
    pub is_strewn: bool,
}

/// Gives the files of a table their places. `old` is the map that it was laid out by. Where the cluster has as many segments and the same
/// map, each file goes to the segment that it came from; else files go where there is room, of the segments that own something of the map, and
/// rows that have a place are sent there afterwards.
pub(crate) fn place_table(
    def: TableDef,
    id: TableId,
    files: Vec<FileEntry>,
    old: &BucketMap,
    current: &BucketMap,
) -> PlacedTable {
    let segments = current.segment_count();
    let owning = current.owning_segments();
    let has_same_segments = old.segment_count() == segments;
    let is_at_home = match def.distribution {
        Distribution::Hashed(_) => has_same_segments && old.owners() == current.owners(),
        Distribution::Randomly => has_same_segments,
        Distribution::Replicated => false,
    };
    // A segment that is not here has no files, and one that owns nothing gets none.
    let is_at_home = is_at_home && files.iter().all(|file| current.owns_any(file.content));
    let is_strewn = !is_at_home && matches!(def.distribution, Distribution::Hashed(_)) && !files.is_empty();
    let places: Vec<(FileEntry, ContentId)> = match def.distribution {
        // Of one copy, wherever those who change the table keep one.
        Distribution::Replicated => {
            files.iter().flat_map(|file| owning.iter().map(move |content| (file.clone(), content))).collect()
        }
        _ if is_at_home => files.into_iter().map(|file| (file.content, file)).map(|(to, file)| (file, to)).collect(),
        _ => spread(files, owning.as_slice()),
    };
    let def = TableDef { id, map_version: current.version, ..def };
    let mut placed = PlacedTable { def, files: Vec::with_capacity(places.len()), copies: vec![], is_strewn };
    for (file, content) in places {
        placed.add(file, content);
    }
    placed
}

/// The largest first, each to the segment that has the fewest bytes.
fn spread(mut files: Vec<FileEntry>, segments: &[ContentId]) -> Vec<(FileEntry, ContentId)> {
    let mut held = vec![0_u64; segments.len()];
    files.sort_by_key(|file| Reverse(file.bytes));
    let place = |file: FileEntry| {
        let least = (0..segments.len()).min_by_key(|&i| held[i]).expect("every bucket has an owner");
        held[least] = held[least].saturating_add(file.bytes);
        (file, segments[least])
    };
    files.into_iter().map(place).collect()
}

impl PlacedTable {
    fn add(&mut self, file: FileEntry, content: ContentId) {
        let table = self.def.id;
        let name = |kind: &str| format!("base/{table}/{}.{kind}", Uuid::now_v7());
        let deletes = file.deletes.as_ref().map(|vector| {
            let path = name("deletes");
            self.copies.push((content, copy_of(&file, &vector.path, &path, (vector.bytes, vector.checksum))));
            DeleteVector { path, created: SnapshotId(0), ..vector.clone() }
        });
        let path = name("parquet");
        self.copies.push((content, copy_of(&file, &file.path, &path, (file.bytes, file.checksum))));
        let buckets = if self.is_strewn { None } else { file.buckets };
        self.files.push(FileEntry { table, content, path, buckets, deletes, created: SnapshotId(0), ..file });
    }
}

fn copy_of(file: &FileEntry, path: &str, target: &str, (bytes, checksum): (u64, u64)) -> RestoreFile {
    RestoreFile { content: file.content, path: path.into(), target: target.into(), bytes, checksum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{Compression, MapVersion};
    use std::collections::BTreeSet;

    fn table(distribution: Distribution) -> TableDef {
        TableDef {
            id: TableId(3),
            schema: "public".into(),
            name: "t".into(),
            columns: vec![],
            distribution,
            map_version: MapVersion(1),
            keys: vec![],
            checks: vec![],
            compression: Compression::None,
            layout: Default::default(),
            tablespace: None,
        }
    }

    fn file(content: i32, bytes: u64) -> FileEntry {
        let vector = DeleteVector {
            path: format!("base/t3/{bytes}.deletes"),
            rows: 1,
            bytes: 9,
            checksum: 8,
            created: SnapshotId(5),
        };
        FileEntry {
            table: TableId(3),
            content: ContentId(content),
            path: format!("base/t3/{bytes}.parquet"),
            rows: 2,
            bytes,
            checksum: 7,
            buckets: Some((0, 9)),
            columns: vec![],
            deletes: (content == 1).then_some(vector),
            created: SnapshotId(4),
        }
    }

    fn place(distribution: Distribution, old: usize, new: usize) -> PlacedTable {
        let (old, new) = (BucketMap::uniform(MapVersion(1), old), BucketMap::uniform(MapVersion(2), new));
        let files = vec![file(0, 100), file(1, 50), file(1, 40), file(2, 30)];
        place_table(table(distribution), TableId(8), files, &old, &new)
    }

    fn contents(placed: &PlacedTable) -> Vec<i32> {
        placed.files.iter().map(|file| file.content.0).collect()
    }

    #[test]
    fn the_same_cluster_has_its_files_where_they_were() {
        for distribution in [Distribution::Hashed(vec![0]), Distribution::Randomly] {
            let placed = place(distribution, 3, 3);
            assert_eq!((contents(&placed), placed.is_strewn), (vec![0, 1, 1, 2], false));
            assert_eq!((placed.def.id, placed.def.map_version), (TableId(8), MapVersion(2)));
            assert!(placed.files.iter().all(|file| file.buckets.is_some() && file.table == TableId(8)));
            // Two of the files have a delete vector.
            assert_eq!(placed.copies.len(), 6);
        }
    }

    #[test]
    fn another_map_of_as_many_segments_is_another_cluster() {
        let mut owners = BucketMap::uniform(MapVersion(2), 3).owners().to_vec();
        owners.reverse();
        let (old, new) =
            (BucketMap::uniform(MapVersion(1), 3), BucketMap::from_owners(MapVersion(2), owners, 3).unwrap());
        let placed = place_table(table(Distribution::Hashed(vec![0])), TableId(8), vec![file(0, 1)], &old, &new);
        assert!(placed.is_strewn);
    }

    #[test]
    fn other_segments_share_the_bytes() {
        let placed = place(Distribution::Hashed(vec![0]), 3, 2);
        assert_eq!((contents(&placed), placed.is_strewn), (vec![0, 1, 1, 1], true));
        assert!(placed.files.iter().all(|file| file.buckets.is_none()), "rows are not where their buckets are");
        let placed = place(Distribution::Randomly, 3, 5);
        assert_eq!((contents(&placed), placed.is_strewn), (vec![0, 1, 2, 3], false));
        let nothing = place_table(
            table(Distribution::Hashed(vec![0])),
            TableId(8),
            vec![],
            &BucketMap::uniform(MapVersion(1), 3),
            &BucketMap::uniform(MapVersion(2), 5),
        );
        assert!(!nothing.is_strewn);
    }

    #[test]
    fn files_of_a_segment_that_is_not_here_are_spread() {
        let map = BucketMap::uniform(MapVersion(1), 3);
        for (distribution, is_strewn) in [(Distribution::Hashed(vec![0]), true), (Distribution::Randomly, false)] {
            let placed = place_table(table(distribution), TableId(8), vec![file(0, 2), file(7, 1)], &map, &map);
            assert_eq!((contents(&placed), placed.is_strewn), (vec![0, 1], is_strewn));
        }
    }

    #[test]
    fn a_replicated_table_is_everywhere() {
        let placed = place(Distribution::Replicated, 3, 2);
        assert_eq!((contents(&placed), placed.is_strewn), (vec![0, 1, 0, 1, 0, 1, 0, 1], false));
    }

    #[test]
    fn a_segment_that_owns_nothing_gets_no_files() {
        let old = BucketMap::uniform(MapVersion(1), 3);
        let owners = BucketMap::uniform(MapVersion(2), 2).owners().to_vec();
        let current = BucketMap::from_owners(MapVersion(2), owners, 3).unwrap();
        let placed = |distribution| {
            let files = vec![file(0, 100), file(2, 30)];
            let placed = place_table(table(distribution), TableId(8), files, &old, &current);
            (contents(&placed), placed.is_strewn)
        };
        // A copy that nobody changes would be read again, once its segment owns something.
        assert_eq!(placed(Distribution::Replicated), (vec![0, 1, 0, 1], false));
        assert_eq!(placed(Distribution::Randomly), (vec![0, 1], false));
        assert_eq!(placed(Distribution::Hashed(vec![0])), (vec![0, 1], true));
    }

    #[test]
    fn names_are_new_and_vectors_stay_with_their_files() {
        let placed = place(Distribution::Replicated, 3, 2);
        let targets: BTreeSet<&str> = placed.copies.iter().map(|(_, copy)| copy.target.as_str()).collect();
        assert_eq!(targets.len(), placed.copies.len());
        for file in &placed.files {
            let of = |path: &str| {
                let found = placed
                    .copies
                    .iter()
                    .find(|(content, copy)| (*content, copy.target.as_str()) == (file.content, path));
                found.map(|(_, copy)| copy.clone()).expect("it is copied")
            };
            let data = of(&file.path);
            assert!(file.path.starts_with("base/t8/") && data.path.ends_with(".parquet"));
            assert_eq!((data.bytes, data.checksum), (file.bytes, file.checksum));
            if let Some(vector) = &file.deletes {
                let copy = of(&vector.path);
                assert_eq!(
                    (copy.path, copy.bytes, copy.content),
                    (data.path.replace("parquet", "deletes"), 9, data.content)
                );
                assert!(!vector.is_committed());
            }
        }
    }
}
