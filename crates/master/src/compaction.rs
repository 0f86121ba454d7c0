//! Which files of a table are worth being written anew: many small ones, those whose rows are mostly deleted, and of a table with a sort key
//! those whose keys lie over each other.

mod overlap;

use crate::catalog::{FileKey, TableEntry};
use crate::master::Master;
use crate::session::is_busy;
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often the background looks for work.
const COMPACT_EVERY: Duration = Duration::from_secs(10);

/// When a file is written anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// A file with fewer live rows is small.
    pub small_rows: u64,
    /// So many small files of a segment are made one.
    pub small_files_min: usize,
    /// A file is written without its deleted rows once they are this share of it.
    pub deleted_share_min: f64,
    /// So many files of a segment that are not small are merged where their sort keys lie over each other, as [`overlap::deepest`] says; None:
    /// every file that lies over another.
    pub overlapping_files_min: Option<usize>,
    /// Bytes of the files that one run writes anew on a segment, or one file: what it costs at a time.
    pub input_bytes_max: u64,
    /// How long the commit waits for those who have the table locked. What was written is thrown away then.
    pub lock_timeout: Duration,
    /// A table that somebody changes is left alone from the beginning.
    pub skips_busy: bool,
}

impl Policy {
    /// What is worth its cost while others work. A row of a small file is written anew until the file is no longer small: at
    /// worst once for every [`Policy::small_files_min`] others.
    pub(crate) const BACKGROUND: Policy = Policy {
        small_rows: 64 << 10,
        small_files_min: 8,
        deleted_share_min: 0.2,
        overlapping_files_min: Some(8),
        input_bytes_max: 256 << 20,
        lock_timeout: Duration::from_secs(1),
        skips_busy: true,
    };

    /// All that VACUUM was asked for.
    pub(crate) const VACUUM: Policy = Policy {
        small_rows: 64 << 10,
        small_files_min: 2,
        deleted_share_min: 0.0,
        overlapping_files_min: None,
        input_bytes_max: u64::MAX,
        lock_timeout: Duration::from_secs(60),
        skips_busy: false,
    };

    /// The files to write anew, whole, on each segment for itself.
    pub(crate) fn choose(&self, table: &TableEntry) -> HashSet<FileKey> {
        let mut chosen = HashSet::new();
        for (_, files) in table.files.contents() {
            let is_small = |rows: u64| rows < self.small_rows;
            let small = files.iter().filter(|file| is_small(file.live_rows())).count();
            let mut bytes = 0;
            for file in files.iter() {
                let deleted = file.rows - file.live_rows();
                let is_thinned = deleted > 0 && deleted as f64 >= self.deleted_share_min * file.rows as f64;
                let is_one_of_many = small >= self.small_files_min && is_small(file.live_rows());
                if (is_thinned || is_one_of_many) && (bytes == 0 || bytes + file.bytes <= self.input_bytes_max) {
                    bytes += file.bytes;
                    chosen.insert(FileKey::of(file));
                }
            }
            if let Some(sort) = table.def.layout.sort_key.first() {
                // Small files are merged with each other first.
                let large = files.iter().filter(|file| !chosen.contains(&FileKey::of(file)) && !is_small(file.rows));
                let overlapping = match self.overlapping_files_min {
                    Some(files_min) => {
                        let bytes_left = self.input_bytes_max.saturating_sub(bytes);
                        overlap::deepest(large, sort.column, files_min, bytes_left)
                    }
                    None => overlap::all(files.iter(), sort.column),
                };
                chosen.extend(overlapping.into_iter().map(FileKey::of));
            }
        }
        chosen
    }
}

/// Compacts table after table, one at a time, for as long as the master is there.
pub(crate) async fn compact_forever(master: Weak<Master>) {
    loop {
        tokio::time::sleep(COMPACT_EVERY).await;
        let Some(master) = master.upgrade() else { return };
        // A query that waits for a lost segment would fail, again and again.
        if master.is_ready() {
            compact_all(&master).await;
        }
    }
}

async fn compact_all(master: &Arc<Master>) {
    let state = master.catalog.current();
    let due = state.tables().filter(|table| !Policy::BACKGROUND.choose(table).is_empty());
    let due: Vec<_> = due.map(|table| (table.def.id, table.def.qualified_name())).collect();
    drop(state);
    for (id, name) in due {
        let session = master.own_session("compaction");
        match session.compact(id, Policy::BACKGROUND, CancellationToken::new()).await {
            Ok(files) => debug!(table = name, files, "compacted"),
            Err(error) if is_busy(&error) => debug!(table = name, %error, "left a table to those who change it"),
            // Its files are as they were; the next round tries again.
            Err(error) => warn!(table = name, %error, "could not compact a table"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Commit, CreateTableOutcome, NewTable};
    use damson_cluster::{Compression, ContentId, DeleteVector, Distribution, FileEntry, SnapshotId, TableId};

    fn file(table: TableId, content: i32, path: &str, rows: u64, bytes: u64) -> FileEntry {
        FileEntry {
            table,
            content: ContentId(content),
            path: path.into(),
            rows,
            bytes,
            checksum: 0,
            buckets: None,
            columns: vec![],
            deletes: None,
            created: SnapshotId(0),
        }
    }

    fn thinned(file: FileEntry, deleted: u64) -> FileEntry {
        let path = format!("{}.deletes", file.path);
        let deletes = DeleteVector { path, rows: deleted, bytes: 1, checksum: 0, created: SnapshotId(0) };
        FileEntry { deletes: Some(deletes), ..file }
    }

    fn chosen(policy: Policy, files: impl Fn(TableId) -> Vec<FileEntry>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 2).unwrap();
        let new = NewTable {
            id: None,
            schema: "public".into(),
            name: "t".into(),
            columns: vec![],
            distribution: Distribution::Randomly,
            map_version: None,
            keys: vec![],
            checks: vec![],
            compression: Compression::None,
            layout: Default::default(),
            tablespace: None,
        };
        let CreateTableOutcome::Created(def) = catalog.alone(|w| w.create_table(new, vec![], false)).unwrap() else {
            panic!("there")
        };
        for file in files(def.id) {
            let deletes = file.deletes.clone().map(|vector| (def.id, FileKey::of(&file), vector));
            catalog.alone(|w| w.add(Commit::of_adds(vec![FileEntry { deletes: None, ..file }]))).unwrap();
            let deletes = Commit { deletes: deletes.into_iter().collect(), ..Commit::default() };
            catalog.alone(|w| w.add(deletes)).unwrap();
        }
        let state = catalog.current();
        let mut chosen: Vec<_> = policy.choose(state.table_by_id(def.id).unwrap()).into_iter().collect();
        chosen.sort();
        chosen.into_iter().map(|key| key.path).collect()
    }

    #[test]
    fn small_files_wait_for_others() {
        let policy = Policy { small_files_min: 3, ..Policy::BACKGROUND };
        let two = |t| {
            vec![file(t, 0, "a", 1, 9), file(t, 0, "b", 1, 9), file(t, 1, "c", 1, 9), file(t, 0, "large", 1 << 20, 9)]
        };
        assert!(chosen(policy, two).is_empty(), "on no segment are three");
        let three = |t| {
            vec![file(t, 0, "a", 1, 9), file(t, 0, "b", 1, 9), file(t, 0, "c", 1, 9), file(t, 0, "large", 1 << 20, 9)]
        };
        assert_eq!(chosen(policy, three), ["a", "b", "c"]);
        assert_eq!(chosen(Policy::VACUUM, two), ["a", "b"]);
        let bounded = Policy { input_bytes_max: 20, ..policy };
        assert_eq!(chosen(bounded, three), ["a", "b"]);
    }

    #[test]
    fn deleted_rows_go_when_they_are_many() {
        let files = |t| {
            vec![
                file(t, 0, "whole", 1 << 20, 9),
                thinned(file(t, 0, "few", 1 << 20, 9), 1 << 10),
                thinned(file(t, 0, "many", 1 << 20, 9), 1 << 19),
            ]
        };
        assert_eq!(chosen(Policy::BACKGROUND, files), ["many"]);
        assert_eq!(chosen(Policy::VACUUM, files), ["few", "many"]);
        // However large it is, one file is written anew at a time.
        assert_eq!(chosen(Policy { input_bytes_max: 1, ..Policy::VACUUM }, files), ["few"]);
    }
}
