//! The catalog's only writer: each change is durable in the store before any statement can see it.

use super::apply::Gone;
use super::copied::Recorded;
use super::counters::Counters;
use super::error::CatalogError;
use super::files::{FileKey, TableFiles, stored_of};
use super::history::{History, Lifetime};
use super::lease::Lease;
use super::location::CatalogLocation;
use super::maps::check_segments;
use super::object_ids::ObjectName;
use super::pins::Pins;
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::state::{CatalogState, ClusterSettings, Relation, StateParts, TableEntry};
use super::step::{Step, replay};
use super::store::{CatalogStore, Change, Durability, Stored, StoredDeletes, StoredFile, Transaction};
use super::tablespaces::refuse_left_files;
#[cfg(test)]
use super::workspace::Workspace;
use damson_cluster::{BucketMap, ContentId, DeleteVector, MapVersion, SnapshotId, TableId, failpoint};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
#[cfg(test)]
use std::path::Path;
use std::sync::{Arc, Weak, mpsc};

/// The durable catalog. One a master process; readers take [`Catalog::current`] and never wait for writers.
pub struct Catalog {
    published: RwLock<Arc<CatalogState>>,
    pub(super) history: RwLock<Arc<History>>,
    pub(super) writer: Mutex<Writer>,
    /// Commits that wait for the writer, in their order.
    queue: Mutex<Vec<Queued>>,
    pins: Arc<Pins>,
    counters: Counters,
}

/// A commit, and whom to tell.
struct Queued {
    steps: Vec<Step>,
    durability: Durability,
    done: mpsc::Sender<Result<SnapshotId, CatalogError>>,
}

pub(super) struct Writer {
    pub store: Box<dyn CatalogStore>,
    next_table_id: TableId,
    /// Ids below are taken in the store.
    reserved_table_ids: TableId,
    /// Files whose drop is committed and that are not forgotten.
    pub dropped: HashMap<FileKey, Lifetime>,
    /// Files that were taken for orphans, and are being removed: nobody may commit them. Since this master began.
    condemned: HashSet<FileKey>,
    /// The store failed while it committed: which of the two states it holds must be read again.
    pub in_doubt: bool,
    /// Past states that somebody may hold.
    pub past: HashMap<SnapshotId, Weak<CatalogState>>,
    /// Something may have been applied that is not synced.
    is_unsynced: bool,
}

/// The catalog's database in the master's data directory.
const DATABASE: &str = "catalog.db";

/// Table ids that one write to the store reserves; a restart skips those that were not used.
const TABLE_IDS_AT_ONCE: u64 = 32;

impl Catalog {
    /// True if there is one at `location`. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::Postgres`], if the database cannot say.
    pub fn exists_at(location: &CatalogLocation) -> Result<bool, CatalogError> {
        match location {
            CatalogLocation::Directory(data_dir) => Ok(data_dir.join(DATABASE).exists()),
            CatalogLocation::Postgres { url } => PostgresStore::exists(url),
        }
    }

    /// Opens the catalog in `data_dir`.
    #[cfg(test)]
    pub fn open(data_dir: &Path, segment_count: usize) -> Result<Arc<Self>, CatalogError> {
        Self::open_at(&data_dir.into(), segment_count)
    }

    /// Opens the catalog at `location`, or makes a new one for `segment_count` segments. Takes the next epoch, so that a master that
    /// had it open can change nothing any more. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::SegmentCount`] if it is there with another number of segments, and had another when it was made;
    /// [`CatalogError::NewerSchema`], [`CatalogError::Damaged`], and the store's.
    ///
    /// # Panics
    /// If `segment_count` is 0 or exceeds the number of buckets.
    pub fn open_at(location: &CatalogLocation, segment_count: usize) -> Result<Arc<Self>, CatalogError> {
        let store: Box<dyn CatalogStore> = match location {
            CatalogLocation::Directory(data_dir) => {
                std::fs::create_dir_all(data_dir)?;
                Box::new(SqliteStore::open(&data_dir.join(DATABASE), segment_count)?)
            }
            CatalogLocation::Postgres { url } => Box::new(PostgresStore::open(url, segment_count, None)?),
        };
        Self::of_store(store, segment_count)
    }

    /// Opens the catalog that `lease` is of, with its epoch.
    ///
    /// # Errors
    /// As [`Catalog::open_at`], and [`CatalogError::Fenced`] if another master came since the lease was taken.
    ///
    /// # Panics
    /// As [`Catalog::open_at`].
    pub fn open_leased(lease: &Lease, segment_count: usize) -> Result<Arc<Self>, CatalogError> {
        let store = PostgresStore::open(lease.url(), segment_count, Some(lease.epoch()))?;
        Self::of_store(Box::new(store), segment_count)
    }

    pub(super) fn of_store(mut store: Box<dyn CatalogStore>, segment_count: usize) -> Result<Arc<Self>, CatalogError> {
        let stored = store.load(None)?;
        let first = stored.maps.first().ok_or_else(|| CatalogError::Damaged("there is no bucket map".into()))?;
        check_segments(stored.segment_count, first, segment_count)?;
        let pins = Arc::new(Pins::default());
        let counters = Counters::of(&stored);
        let Loaded { state, next_table_id, dropped, history } = state_of(stored, &pins)?;
        let mut writer = Writer {
            store,
            next_table_id,
            reserved_table_ids: next_table_id,
            dropped,
            condemned: HashSet::new(),
            in_doubt: false,
            past: HashMap::new(),
            is_unsynced: false,
        };
        let state = with_object_ids(&mut writer, state, &pins)?;
        Ok(Arc::new(Catalog {
            published: RwLock::new(state),
            history: RwLock::new(Arc::new(history)),
            writer: Mutex::new(writer),
            queue: Mutex::default(),
            pins,
            counters,
        }))
    }

    /// The newest snapshot. Hold it for as long as a statement runs: its files stay while it is held.
    pub fn current(&self) -> Arc<CatalogState> {
        Arc::clone(&self.published.read())
    }

    /// The oldest snapshot that a statement holds; the newest one if none does.
    pub fn oldest_pinned(&self) -> SnapshotId {
        self.pins.oldest().unwrap_or_else(|| self.published.read().snapshot)
    }

    /// Makes the changes that `plan` puts in a workspace, at once.
    ///
    /// # Errors
    /// As `plan`, and [`Workspace::commit`].
    #[cfg(test)]
    pub fn alone<T>(
        self: &Arc<Self>,
        plan: impl FnOnce(&mut Workspace) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut workspace = Workspace::new(self);
        let result = plan(&mut workspace)?;
        workspace.commit(Durability::Synced)?;
        Ok(result)
    }

    /// An id for a table. Durable: it is never given again, so that files can be written for the table before it is committed.
    ///
    /// # Errors
    /// The store's.
    pub fn reserve_table_id(&self) -> Result<TableId, CatalogError> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        self.settle(writer)?;
        reserve(writer)?;
        let id = writer.next_table_id;
        writer.next_table_id = TableId(id.0 + 1);
        Ok(id)
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Applies what no statement reads. Blocks.
    ///
    /// # Errors
    /// The store's, and then it may be applied or not.
    pub(super) fn apply_alone(&self, transaction: Transaction) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        writer.apply(&[transaction], Durability::Synced)
    }

    /// Makes the next snapshot, durably. Those that come while another is written wait, and are written together: one wait for the
    /// disk serves them all, and each is a snapshot of its own. Blocks.
    ///
    /// # Errors
    /// See [`Workspace::commit`].
    pub(super) fn commit(&self, steps: Vec<Step>, durability: Durability) -> Result<SnapshotId, CatalogError> {
        let (done, result) = mpsc::channel();
        self.queue.lock().push(Queued { steps, durability, done });
        let mut writer = self.writer.lock();
        // Whoever had it before may have written this, too.
        if let Ok(done) = result.try_recv() {
            return done;
        }
        let queued = std::mem::take(&mut *self.queue.lock());
        self.commit_all(&mut writer, queued);
        result.recv().expect("what was queued was answered")
    }

    fn commit_all(&self, writer: &mut Writer, queued: Vec<Queued>) {
        let mut state = self.current();
        let (mut transactions, mut waiting, mut unneeded) = (vec![], vec![], vec![]);
        let (mut wanted, mut recorded) = (Durability::Unsynced, Recorded::default());
        for Queued { steps, durability, done } in queued {
            let planned = self.settle(writer).and_then(|()| {
                if transactions.is_empty() {
                    // What was in doubt may have become so.
                    state = self.current();
                }
                let next = next(&state, steps, writer)?;
                refuse_left_files(&mut *writer.store, &state, &transactions, &next.transaction.changes)?;
                recorded.add(&mut *writer.store, &next.transaction.changes, &next.parts)?;
                Ok(next)
            });
            match planned {
                Ok(Next { snapshot, parts, transaction, gone }) => {
                    state = parts.into_state(snapshot, &self.pins);
                    let ended = |(file, created)| (file, Lifetime { created, dropped: snapshot });
                    unneeded.extend(gone.into_iter().map(ended));
                    transactions.push(transaction);
                    waiting.push((snapshot, done));
                    wanted = wanted.max(durability);
                }
                // A caller that does not listen any more has gone.
                Err(error) => _ = done.send(Err(error)),
            }
        }
        if transactions.is_empty() {
            return;
        }
        failpoint("commit.before_store");
        let applied = writer.apply(&transactions, wanted);
        failpoint("commit.after_store");
        let failure = match applied {
            Ok(()) => {
                writer.dropped.extend(unneeded);
                *self.published.write() = state;
                None
            }
            Err(error) => {
                writer.in_doubt |= !matches!(error, CatalogError::Fenced { .. });
                // If the store can be read, it says at once whether the commits stand after all.
                match self.settle(writer) {
                    Ok(()) if self.current().snapshot == state.snapshot => None,
                    Ok(()) => Some((error, false)),
                    Err(_) => Some((error, true)),
                }
            }
        };
        let results: Vec<Result<SnapshotId, CatalogError>> = match failure {
            None => waiting.iter().map(|(snapshot, _)| Ok(*snapshot)).collect(),
            Some((error, in_doubt)) => {
                let told = |error| Err(if in_doubt { CatalogError::InDoubt(Box::new(error)) } else { error });
                error.together(waiting.len()).into_iter().map(told).collect()
            }
        };
        for ((_, done), result) in waiting.into_iter().zip(results) {
            let _ = done.send(result);
        }
    }

    /// Makes durable what was committed without waiting for it. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub fn sync(&self) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        if writer.is_unsynced {
            writer.store.sync()?;
            writer.is_unsynced = false;
        }
        Ok(())
    }

    pub(super) fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// Files that no statement can read any more, by content: to be deleted, then [forgotten](Catalog::forget). Of a file that has several
    /// names only the last one is given; the others are forgotten here. Snapshots that are older than the retention cannot be read from now on.
    /// Blocks.
    ///
    /// # Errors
    /// The store's.
    pub fn collectable(&self) -> Result<Vec<(ContentId, Vec<String>)>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        self.forget_past(&mut writer)?;
        let (oldest, history) = (self.oldest_pinned(), self.history());
        let is_over = |lifetime: &Lifetime| lifetime.dropped <= oldest && !history.needs(*lifetime);
        let (last, others) = last_names(&self.current(), &writer.dropped, is_over);
        self.forget_in(&mut writer, others)?;
        let mut files: BTreeMap<ContentId, Vec<String>> = BTreeMap::new();
        for FileKey { content, path } in last {
            files.entry(content).or_default().push(path);
        }
        files.values_mut().for_each(|paths| paths.sort());
        Ok(files.into_iter().collect())
    }

    /// Forgets dropped files that were deleted; others of `keys` are left alone.
    ///
    /// # Errors
    /// The store's.
    pub fn forget(&self, keys: &[FileKey]) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        let dropped = keys.iter().filter(|key| writer.dropped.contains_key(key)).cloned().collect();
        self.forget_in(&mut writer, dropped)
    }

    /// Of dropped files.
    fn forget_in(&self, writer: &mut Writer, keys: Vec<FileKey>) -> Result<(), CatalogError> {
        if keys.is_empty() {
            return Ok(());
        }
        let changes = keys.iter().cloned().map(Change::ForgetFile).collect();
        let applied = writer.apply(&[Transaction { snapshot: None, changes }], Durability::Synced);
        if applied.is_err() {
            writer.in_doubt = true;
        }
        applied?;
        for key in keys {
            writer.dropped.remove(&key);
        }
        Ok(())
    }

    /// Every path on `content` that the catalog knows, dropped ones that are not forgotten included, and those that another content reads: any
    /// other file there, and not being written now, is an orphan.
    ///
    /// # Errors
    /// The store's, where a commit is in doubt and the store cannot say.
    pub fn known_paths(&self, content: ContentId) -> Result<HashSet<String>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        Ok(self.known_to(&writer, content))
    }

    /// Those of `paths` on `content` that the catalog does not know: from now on no commit may name them, so that they can be
    /// removed. They were listed before the call.
    ///
    /// # Errors
    /// As [`Catalog::known_paths`]; [`CatalogError::Fenced`].
    pub fn condemn(&self, content: ContentId, paths: HashSet<String>) -> Result<Vec<String>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        // A master that was deposed does not know the files of the one after it.
        writer.apply(&[Transaction { snapshot: None, changes: vec![] }], Durability::Synced)?;
        let known = self.known_to(&writer, content);
        let orphans: Vec<String> = paths.into_iter().filter(|path| !known.contains(path)).collect();
        writer.condemned.extend(orphans.iter().map(|path| FileKey { content, path: path.clone() }));
        Ok(orphans)
    }

    fn known_to(&self, writer: &Writer, content: ContentId) -> HashSet<String> {
        let state = self.current();
        let live = state.tables().flat_map(|entry| entry.files.iter()).flat_map(|file| stored_of(file));
        let all = live.chain(writer.dropped.keys().map(FileKey::stored));
        all.filter(|(home, _)| *home == content).map(|(_, path)| path.to_owned()).collect()
    }

    /// After a failed commit: reads from the store which state holds, and publishes it.
    pub(super) fn settle(&self, writer: &mut Writer) -> Result<(), CatalogError> {
        if !writer.in_doubt {
            return Ok(());
        }
        let stored = writer.store.load(None)?;
        *self.history.write() = Arc::new(stored.history.clone());
        if stored.snapshot == self.current().snapshot {
            writer.in_doubt = false;
            return Ok(());
        }
        let Loaded { state, next_table_id, dropped, .. } = state_of(stored, &self.pins)?;
        if next_table_id > writer.reserved_table_ids {
            (writer.next_table_id, writer.reserved_table_ids) = (next_table_id, next_table_id);
        }
        writer.dropped = dropped;
        writer.in_doubt = false;
        *self.published.write() = state;
        Ok(())
    }
}

impl Writer {
    pub fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        // Also what fails may be there.
        self.is_unsynced |= durability == Durability::Unsynced;
        self.store.apply(transactions, durability)
    }

    /// The table of a change that names a file which is being removed.
    fn condemns(&self, change: &Change) -> Option<TableId> {
        let (table, key) = match change {
            Change::AddFile(file) => (file.table, FileKey::of(file)),
            Change::PutDeletes { table, file, vector } => {
                (*table, FileKey { content: file.content, path: vector.path.clone() })
            }
            _ => return None,
        };
        // Whatever it calls it.
        let (content, path) = key.stored();
        self.condemned.contains(&FileKey { content, path: path.to_owned() }).then_some(table)
    }
}

/// The names of dropped files that nobody needs: the last name of each file, with which it goes, and those of files that have other names, in
/// use or not. The last one is that of a segment which owns something, if there is one: another may have been stopped for good.
fn last_names(
    state: &CatalogState,
    dropped: &HashMap<FileKey, Lifetime>,
    is_over: impl Fn(&Lifetime) -> bool,
) -> (Vec<FileKey>, Vec<FileKey>) {
    let mut over: HashMap<(ContentId, &str), Vec<&FileKey>> = HashMap::new();
    let mut needed = vec![];
    for (key, lifetime) in dropped {
        if is_over(lifetime) { over.entry(key.stored()).or_default().push(key) } else { needed.push(key.stored()) }
    }
    if over.is_empty() {
        return (vec![], vec![]);
    }
    let live = state.tables().flat_map(|entry| entry.files.iter()).flat_map(|file| stored_of(file));
    let used: HashSet<(ContentId, &str)> = live.chain(needed).filter(|stored| over.contains_key(stored)).collect();
    let (mut last, mut others) = (vec![], vec![]);
    for (stored, mut names) in over {
        if !used.contains(&stored) {
            names.sort_by_key(|key| (state.current_map().owns_any(key.content), *key));
            last.extend(names.pop().cloned());
        }
        others.extend(names.into_iter().cloned());
    }
    (last, others)
}

/// A commit that was planned on the state before it.
struct Next {
    snapshot: SnapshotId,
    parts: StateParts,
    transaction: Transaction,
    /// Files that it and all later ones do not have.
    gone: Gone,
}

/// Files' `created` is set here, and the snapshot of what was loaded.
fn next(state: &CatalogState, mut steps: Vec<Step>, writer: &Writer) -> Result<Next, CatalogError> {
    let snapshot = SnapshotId(state.snapshot.0 + 1);
    for change in steps.iter_mut().flat_map(|step| &mut step.changes) {
        match change {
            Change::AddFile(file) => file.created = snapshot,
            Change::PutDeletes { vector, .. } => vector.created = snapshot,
            Change::PutCopied { file, .. } => file.snapshot = snapshot,
            _ => {}
        }
    }
    let (parts, gone) = replay(state, &steps, snapshot)?;
    if let Some(table) = steps.iter().flat_map(|step| &step.changes).find_map(|change| writer.condemns(change)) {
        let table = parts.table(table).map_or_else(|| table.to_string(), |entry| entry.def.qualified_name());
        return Err(CatalogError::Conflict { table, reason: "the statement's files were taken for orphans" });
    }
    let changes = steps.into_iter().flat_map(|step| step.changes).collect();
    Ok(Next { snapshot, parts, transaction: Transaction { snapshot: Some(snapshot), changes }, gone })
}

fn reserve(writer: &mut Writer) -> Result<(), CatalogError> {
    let id = writer.next_table_id;
    if id != writer.reserved_table_ids {
        return Ok(());
    }
    let reserved = TableId(id.0 + TABLE_IDS_AT_ONCE);
    // After a failure they may or may not be taken in the store; skipping them is right in both cases.
    (writer.next_table_id, writer.reserved_table_ids) = (reserved, reserved);
    let changes = vec![Change::NextTableId(reserved)];
    writer.apply(&[Transaction { snapshot: None, changes }], Durability::Synced)?;
    writer.next_table_id = id;
    Ok(())
}

/// Gives ids to what an older build has made without.
fn with_object_ids(
    writer: &mut Writer,
    state: Arc<CatalogState>,
    pins: &Arc<Pins>,
) -> Result<Arc<CatalogState>, CatalogError> {
    let mut parts = state.parts();
    let missing = parts.without_ids();
    if missing.is_empty() {
        return Ok(state);
    }
    let ids: Vec<(ObjectName, u64)> = missing.into_iter().zip(writer.next_table_id.0..).collect();
    let next = TableId(writer.next_table_id.0 + ids.len() as u64);
    let put = |(object, id): &(ObjectName, u64)| Change::PutObjectId { object: object.clone(), id: *id };
    let changes = [Change::NextTableId(next)].into_iter().chain(ids.iter().map(put)).collect();
    writer.apply(&[Transaction { snapshot: None, changes }], Durability::Synced)?;
    (writer.next_table_id, writer.reserved_table_ids) = (next, next);
    Arc::make_mut(&mut parts.object_ids).extend(ids);
    Ok(parts.into_state(state.snapshot, pins))
}

pub(super) struct Loaded {
    pub state: Arc<CatalogState>,
    next_table_id: TableId,
    dropped: HashMap<FileKey, Lifetime>,
    history: History,
}

/// What a store holds, as of its snapshot.
pub(super) fn state_of(stored: Stored, pins: &Arc<Pins>) -> Result<Loaded, CatalogError> {
    let mut dropped = HashMap::new();
    let mut live: BTreeMap<TableId, TableFiles> = BTreeMap::new();
    let mut vectors: HashMap<FileKey, DeleteVector> = HashMap::new();
    for StoredDeletes { file, vector, dropped: at } in stored.deletes {
        match at {
            Some(at) => {
                let lifetime = Lifetime { created: vector.created, dropped: at };
                dropped.insert(FileKey { path: vector.path, ..file }, lifetime);
            }
            None => _ = vectors.insert(file, vector),
        }
    }
    for StoredFile { mut entry, dropped: at } in stored.files {
        match at {
            Some(at) => {
                dropped.insert(FileKey::of(&entry), Lifetime { created: entry.created, dropped: at });
            }
            None => {
                entry.deletes = vectors.remove(&FileKey::of(&entry));
                live.entry(entry.table).or_default().add(Arc::new(entry));
            }
        }
    }
    if let Some(file) = vectors.keys().next() {
        return Err(CatalogError::Damaged(format!("a delete vector of {}, which is not there", file.path)));
    }
    let mut parts = StateParts {
        settings: Arc::new(ClusterSettings { cluster_id: stored.cluster_id, epoch: stored.epoch }),
        maps: Arc::new(stored.maps.into_iter().map(|map| (map.version, Arc::new(map))).collect()),
        schemas: Arc::new(stored.schemas.into_iter().collect()),
        object_ids: Arc::new(stored.object_ids.into_iter().collect()),
        relations: Arc::default(),
        table_names: Arc::default(),
        secrets: Arc::new(stored.secrets.into_iter().map(|def| (def.name.clone(), Arc::new(def))).collect()),
        roles: Arc::new(stored.roles.into_iter().map(|def| (def.id, Arc::new(def))).collect()),
        access: Arc::new(stored.access.into_iter().map(|def| (def.object.clone(), Arc::new(def))).collect()),
        tablespaces: Arc::new(stored.tablespaces.into_iter().map(|def| (def.id, Arc::new(def))).collect()),
    };
    let Some(newest) = parts.maps.values().next_back() else {
        return Err(CatalogError::Damaged("there is no bucket map".into()));
    };
    if newest.segment_count() != stored.segment_count {
        return Err(CatalogError::Damaged(format!("the bucket map {} is of another cluster", newest.version)));
    }
    for table in stored.tables {
        let files = live.remove(&table.def.id).unwrap_or_default();
        if !parts.maps.contains_key(&table.def.map_version) {
            return Err(CatalogError::Damaged(format!("table {} names no bucket map", table.def.qualified_name())));
        }
        parts.put_table(TableEntry::new(Arc::new(table.def), files, table.defined));
    }
    if let Some(id) = live.keys().next() {
        return Err(CatalogError::Damaged(format!("live files of table {id}, which does not exist")));
    }
    let relations = Arc::make_mut(&mut parts.relations);
    for view in stored.views {
        relations.insert((view.schema.clone(), view.name.clone()), Relation::View(Arc::new(view)));
    }
    for def in stored.sequences {
        relations.insert((def.schema.clone(), def.name.clone()), Relation::Sequence(Arc::new(def)));
    }
    let state = parts.into_state(stored.snapshot, pins);
    Ok(Loaded { state, next_table_id: stored.next_table_id, dropped, history: stored.history })
}

/// What a new catalog starts with.
pub(super) fn first_map(segment_count: usize) -> BucketMap {
    BucketMap::uniform(MapVersion(1), segment_count)
}

#[cfg(test)]
mod tests;
