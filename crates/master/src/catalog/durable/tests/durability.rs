//! What commits wait for, and what a loss of power takes of those that wait for nothing.

use super::*;
use std::path::Path;

/// Notes what it is asked to wait for.
struct Noting {
    inner: Box<dyn CatalogStore>,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl CatalogStore for Noting {
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
        self.inner.load(at)
    }

    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        self.asked.lock().push(if durability == Durability::Synced { "synced" } else { "unsynced" });
        self.inner.apply(transactions, durability)
    }

    fn sync(&mut self) -> Result<(), CatalogError> {
        self.asked.lock().push("sync");
        self.inner.sync()
    }

    fn history(&mut self) -> Result<History, CatalogError> {
        self.inner.history()
    }

    fn now_us(&mut self) -> Result<i64, CatalogError> {
        self.inner.now_us()
    }

    fn snapshot_at(&mut self, time_us: i64) -> Result<Option<SnapshotId>, CatalogError> {
        self.inner.snapshot_at(time_us)
    }

    fn copied_files(&mut self, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
        self.inner.copied_files(table, urls)
    }

    fn copy_history(&mut self) -> Result<Vec<CopiedFile>, CatalogError> {
        self.inner.copy_history()
    }

    fn has_tables(&mut self, tablespace: TablespaceId) -> Result<bool, CatalogError> {
        self.inner.has_tables(tablespace)
    }

    fn tablespace_of(&mut self, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError> {
        self.inner.tablespace_of(table)
    }
}

fn add(catalog: &Arc<Catalog>, table: TableId, path: &str, durability: Durability) {
    let mut workspace = Workspace::new(catalog);
    workspace.add(Commit::of_adds(vec![file(table, 0, path)])).unwrap();
    workspace.commit(durability).unwrap().unwrap();
}

#[test]
fn only_what_did_not_wait_is_synced_later() {
    let place = Place::new();
    let asked: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let noting = Noting { inner: place.store(), asked: Arc::clone(&asked) };
    let catalog = Catalog::of_store(Box::new(noting), 2).unwrap();
    let t = create(&catalog, "t").id;
    let heard = || std::mem::take(&mut *asked.lock());
    heard();
    add(&catalog, t, "a", Durability::Synced);
    catalog.sync().unwrap();
    assert_eq!(heard(), ["synced"]);
    add(&catalog, t, "b", Durability::Unsynced);
    assert_eq!(catalog.current().table_by_id(t).unwrap().files.len(), 2, "everybody sees it at once");
    catalog.sync().unwrap();
    catalog.sync().unwrap();
    assert_eq!(heard(), ["unsynced", "sync"]);
    // Before a file goes that a commit has dropped which did not wait, the drop is on the disk.
    let mut workspace = Workspace::new(&catalog);
    workspace.truncate(&[t]).unwrap();
    workspace.commit(Durability::Unsynced).unwrap();
    assert_eq!(catalog.collectable().unwrap(), [(ContentId(0), vec!["a".to_owned(), "b".to_owned()])]);
    assert_eq!(heard(), ["unsynced", "synced"]);
    let again = place.open(2).unwrap();
    assert!(again.current().table_by_id(t).unwrap().files.is_empty());
}

/// The catalog's files as they are, but of the log only so many bytes.
fn copy_cut(from: &Path, to: &Path, log_bytes: u64) {
    std::fs::copy(from.join(DATABASE), to.join(DATABASE)).unwrap();
    let log = std::fs::read(from.join(format!("{DATABASE}-wal"))).unwrap();
    std::fs::write(to.join(format!("{DATABASE}-wal")), &log[..log_bytes as usize]).unwrap();
}

/// A loss of power can cut the log anywhere after what was synced.
#[test]
fn power_that_fails_takes_whole_commits_and_the_last_ones() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(directory.path(), 2).unwrap();
    let t = create(&catalog, "t").id;
    add(&catalog, t, "waited", Durability::Synced);
    let log = directory.path().join(format!("{DATABASE}-wal"));
    let length = || std::fs::metadata(&log).unwrap().len();
    let synced = length();
    let mut lengths = vec![synced];
    for i in 0..4 {
        let mut workspace = Workspace::new(&catalog);
        let files = vec![file(t, 0, &format!("{i}.a")), file(t, 1, &format!("{i}.b"))];
        workspace.add(Commit::of_adds(files)).unwrap();
        workspace.commit(Durability::Unsynced).unwrap();
        lengths.push(length());
    }
    assert!(lengths.is_sorted() && lengths[4] > synced, "{lengths:?}: the log was not written in order");
    let mut found = BTreeSet::new();
    for cut in (synced..=lengths[4]).step_by(1000).chain(lengths.iter().copied()) {
        let copy = tempfile::tempdir().unwrap();
        copy_cut(directory.path(), copy.path(), cut);
        let after = Catalog::open(copy.path(), 2).unwrap();
        let state = after.current();
        let paths: Vec<String> = state.table_by_id(t).unwrap().files.iter().map(|file| file.path.clone()).collect();
        assert!(paths.contains(&"waited".to_owned()), "cut at {cut} of {lengths:?}: {paths:?}");
        let whole = lengths.iter().rposition(|length| *length <= cut).unwrap();
        assert_eq!(paths.len(), 1 + 2 * whole, "cut at {cut} of {lengths:?}: {paths:?}");
        found.insert(whole);
    }
    assert_eq!(found.len(), 5);
}

#[test]
fn sqlite_waits_for_the_disk_only_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&directory.path().join(DATABASE), 2).unwrap();
    let schema = |name: &str, snapshot| Transaction {
        snapshot: Some(SnapshotId(snapshot)),
        changes: vec![Change::CreateSchema(name.into())],
    };
    store.apply(&[schema("a", 2)], Durability::Unsynced).unwrap();
    assert_eq!(store.synchronous().unwrap(), 1, "NORMAL");
    store.apply(&[schema("b", 3)], Durability::Synced).unwrap();
    assert_eq!(store.synchronous().unwrap(), 2, "FULL");
    store.apply(&[schema("c", 4)], Durability::Unsynced).unwrap();
    store.sync().unwrap();
    assert_eq!(store.synchronous().unwrap(), 2, "FULL");
    assert_eq!(store.load(None).unwrap().snapshot, SnapshotId(4));
}

on_postgres![only_what_did_not_wait_is_synced_later];
