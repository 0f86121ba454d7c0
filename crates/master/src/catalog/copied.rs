//! Which files COPY has loaded into which table, so that each is loaded once.

use super::durable::Catalog;
use super::error::CatalogError;
use super::rows::{CopiedRow, int};
use super::state::StateParts;
use super::step::Step;
use super::store::{CatalogStore, Change};
use super::workspace::Workspace;
use damson_cluster::{CopyFile, SnapshotId, TableId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// URLs that the store is asked about at once: bounds what one statement of it has in memory.
const URLS_AT_ONCE: usize = 500;

/// Bytes of a file's URL and its etag together: with more PostgreSQL could not have them in an index, whose rows have 2704 bytes at most.
/// Paths may be longer, keys of object stores are not.
const NAME_BYTES_MAX: usize = 2500;

/// A file whose rows a table has, or had: deleted rows do not make it a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct CopiedFile {
    pub table: TableId,
    /// As it was when it was read, without [`CopyFile::partition`]. If it has changed since it is another file.
    pub file: CopyFile,
    /// Of the statement that loaded it.
    pub rows: u64,
    /// Microseconds since 1970, by the master's clock.
    pub loaded_us: i64,
    /// Which made its rows visible; the commit sets it.
    pub snapshot: SnapshotId,
}

/// What a transaction knows of a table's loaded files that others do not see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnCopied {
    /// Those that it has loaded, and not committed.
    pub files: Vec<CopiedFile>,
    /// It has truncated the table: what is committed counts no more.
    pub forgets_committed: bool,
}

/// What makes two files of a table one, as stores have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CopiedKey {
    table: i64,
    url: String,
    etag: String,
    bytes: i64,
    modified_us: i64,
}

impl CopiedKey {
    pub fn of(copied: &CopiedFile) -> Self {
        let CopiedRow { table, url, etag, bytes, modified_us, .. } = CopiedRow::of(copied);
        CopiedKey { table, url, etag, bytes, modified_us }
    }
}

impl Catalog {
    /// Of the files of `urls` those that were loaded into a table, in every version that was. Blocks; commits wait while the store is
    /// asked, a part of the files at a time.
    ///
    /// # Errors
    /// The store's.
    pub fn copied_files(&self, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
        let mut files = vec![];
        for urls in urls.chunks(URLS_AT_ONCE) {
            let mut writer = self.writer.lock();
            self.settle(&mut writer)?;
            files.extend(writer.store.copied_files(table, urls)?);
        }
        Ok(files)
    }

    /// All files that were loaded into tables that are there, in the order of the commits. Blocks; commits wait for it.
    ///
    /// # Errors
    /// The store's.
    pub fn copy_history(&self) -> Result<Vec<CopiedFile>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        writer.store.copy_history()
    }
}

impl Workspace {
    /// Records files whose rows were added as loaded. With `force` each takes the place of the same file, if it was loaded before;
    /// without, the commit is refused then.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`]; [`CatalogError::Conflict`] for a file that the transaction itself has loaded, without `force`;
    /// [`CatalogError::FileNameTooLong`].
    pub fn add_copied(&mut self, files: Vec<CopiedFile>, force: bool) -> Result<(), CatalogError> {
        let state = self.state();
        let mut own: HashMap<TableId, HashSet<CopiedKey>> = HashMap::new();
        for copied in &files {
            let entry = state.table_by_id(copied.table).ok_or(CatalogError::TableGone(copied.table))?;
            let name_bytes = copied.file.url.len() + copied.file.etag.as_ref().map_or(0, String::len);
            if name_bytes > NAME_BYTES_MAX {
                return Err(CatalogError::FileNameTooLong { url: copied.file.url.clone(), max: NAME_BYTES_MAX });
            }
            let own = own
                .entry(copied.table)
                .or_insert_with(|| self.own_copied(copied.table).files.iter().map(CopiedKey::of).collect());
            if !own.insert(CopiedKey::of(copied)) && !force {
                return Err(CatalogError::Conflict { table: entry.def.qualified_name(), reason: LOADED_BEFORE });
            }
        }
        let changes = files.into_iter().map(|file| Change::PutCopied { file, force }).collect();
        self.push(|base| Step::new(changes, base))
    }

    /// What the transaction has not committed of a table's loaded files.
    pub fn own_copied(&self, table: TableId) -> OwnCopied {
        let mut files: BTreeMap<CopiedKey, CopiedFile> = BTreeMap::new();
        let mut forgets_committed = false;
        for change in self.steps().iter().flat_map(|step| &step.changes) {
            match change {
                Change::PutCopied { file, .. } if file.table == table => {
                    files.insert(CopiedKey::of(file), file.clone());
                }
                Change::ForgetCopied(id) if *id == table => {
                    files.clear();
                    forgets_committed = true;
                }
                _ => {}
            }
        }
        OwnCopied { files: files.into_values().collect(), forgets_committed }
    }
}

const LOADED_BEFORE: &str = "a file was loaded into it by another statement";

/// What commits that are planned, and written together, record and forget; the store does not have it yet.
#[derive(Default)]
pub(super) struct Recorded {
    files: HashSet<CopiedKey>,
    /// Tables of which nothing counts that the store has.
    forgotten: HashSet<TableId>,
}

impl Recorded {
    /// Adds what one more commit records, whose changes leave `parts`.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if it records a file that is recorded already, and is not forced to; the store's. Nothing is added then.
    pub fn add(
        &mut self,
        store: &mut dyn CatalogStore,
        changes: &[Change],
        parts: &StateParts,
    ) -> Result<(), CatalogError> {
        let stored = self.stored(store, changes)?;
        let mut own = Recorded::default();
        for change in changes {
            match change {
                Change::ForgetCopied(table) => own.forget(*table),
                Change::PutCopied { file, force } => {
                    let key = CopiedKey::of(file);
                    let is_there = || {
                        let is_others = |files: &HashSet<CopiedKey>| files.contains(&key);
                        let is_kept = !own.forgotten.contains(&file.table);
                        is_others(&own.files) || is_kept && (is_others(&self.files) || is_others(&stored))
                    };
                    if !force && is_there() {
                        let table = parts.table(file.table).map(|entry| entry.def.qualified_name());
                        let table = table.unwrap_or_else(|| file.table.to_string());
                        return Err(CatalogError::Conflict { table, reason: LOADED_BEFORE });
                    }
                    own.files.insert(key);
                }
                _ => {}
            }
        }
        own.forgotten.iter().for_each(|table| self.forget(*table));
        self.files.extend(own.files);
        Ok(())
    }

    fn forget(&mut self, table: TableId) {
        self.files.retain(|file| file.table != int(table.0));
        self.forgotten.insert(table);
    }

    /// Of the files that must be new, those that the store has, and that no commit before this one forgets.
    fn stored(&self, store: &mut dyn CatalogStore, changes: &[Change]) -> Result<HashSet<CopiedKey>, CatalogError> {
        let mut asked: BTreeMap<TableId, BTreeSet<&String>> = BTreeMap::new();
        for change in changes {
            if let Change::PutCopied { file, force: false } = change
                && !self.forgotten.contains(&file.table)
            {
                asked.entry(file.table).or_default().insert(&file.file.url);
            }
        }
        let mut stored = HashSet::new();
        for (table, urls) in asked {
            let urls: Vec<String> = urls.into_iter().cloned().collect();
            for urls in urls.chunks(URLS_AT_ONCE) {
                stored.extend(store.copied_files(table, urls)?.iter().map(CopiedKey::of));
            }
        }
        Ok(stored)
    }
}
