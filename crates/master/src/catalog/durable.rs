//! The catalog's only writer: each change is durable in the store before any statement can see it.

use super::error::CatalogError;
use super::files::{FileKey, TableFiles};
use super::pins::Pins;
use super::sqlite::SqliteStore;
use super::state::{CatalogState, ClusterSettings, Relation, StateParts, TableEntry, ViewDef};
use super::store::{CatalogStore, Change, Stored, StoredDeletes, StoredFile, Transaction};
use damson_cluster::{
    BucketMap, ColumnDef, Compression, ContentId, DeleteVector, Distribution, FileEntry, MapVersion, SnapshotId,
    TableDef, TableId,
};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A table to be made. The catalog gives it its id, unless one was reserved, and the current bucket map.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// From [`Catalog::reserve_table_id`], where files are written before the table is there (CREATE TABLE AS).
    pub id: Option<TableId>,
    pub schema: String,
    pub name: String,
    pub columns: Vec<ColumnDef>,
    pub distribution: Distribution,
    /// None is the current one; name it where files were written by it.
    pub map_version: Option<MapVersion>,
    pub primary_key: Vec<usize>,
    pub compression: Compression,
}

/// What [`Catalog::create_table`] found.
#[derive(Clone, Debug)]
pub enum CreateTableOutcome {
    Created(Arc<TableDef>),
    /// There is a relation of that name, and `if_not_exists` was given.
    Exists,
}

/// New and dropped files, all at once, as one snapshot.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The snapshot that the statement read.
    pub base: SnapshotId,
    pub adds: Vec<FileEntry>,
    /// Live files to be dropped, by table.
    pub drops: Vec<(TableId, FileKey)>,
    /// New delete vectors of live files, made from those that the files had at `base`.
    pub deletes: Vec<(TableId, FileKey, DeleteVector)>,
    /// A table's new definition (SET DISTRIBUTED, expansion): `drops` must hold all of its files.
    pub replace_definition: Option<TableDef>,
}

impl Commit {
    /// New files only: INSERT, COPY.
    pub fn of_adds(base: SnapshotId, adds: Vec<FileEntry>) -> Self {
        Commit { base, adds, drops: Vec::new(), deletes: Vec::new(), replace_definition: None }
    }
}

/// The durable catalog. One a master process; readers take [`Catalog::current`] and never wait for writers.
pub struct Catalog {
    published: RwLock<Arc<CatalogState>>,
    writer: Mutex<Writer>,
    pins: Arc<Pins>,
}

struct Writer {
    store: Box<dyn CatalogStore>,
    next_table_id: TableId,
    /// Files whose drop is committed and that are not forgotten, with the snapshot that dropped them.
    dropped: HashMap<FileKey, SnapshotId>,
    /// Files that were taken for orphans, and are being removed: nobody may commit them. Since this master began.
    condemned: HashSet<FileKey>,
    /// The store failed while it committed: which of the two states it holds must be read again.
    in_doubt: bool,
}

/// The catalog's database in the master's data directory.
const DATABASE: &str = "catalog.db";

impl Catalog {
    /// True if there is one in `data_dir`.
    pub fn exists(data_dir: &Path) -> bool {
        data_dir.join(DATABASE).exists()
    }

    /// Opens the catalog in `data_dir`, or makes a new one for `segment_count` segments. Takes the next epoch, so that a
    /// master that had it open can change nothing any more.
    ///
    /// # Errors
    /// [`CatalogError::SegmentCount`] if it is there with another number of segments,
    /// [`CatalogError::NewerSchema`], [`CatalogError::Damaged`], and the store's.
    ///
    /// # Panics
    /// If `segment_count` is 0 or exceeds the number of buckets.
    pub fn open(data_dir: &Path, segment_count: usize) -> Result<Self, CatalogError> {
        std::fs::create_dir_all(data_dir)?;
        let store = SqliteStore::open(&data_dir.join(DATABASE), segment_count)?;
        Self::of_store(Box::new(store), segment_count)
    }

    pub(super) fn of_store(mut store: Box<dyn CatalogStore>, segment_count: usize) -> Result<Self, CatalogError> {
        let stored = store.load()?;
        if stored.segment_count != segment_count {
            return Err(CatalogError::SegmentCount { stored: stored.segment_count, asked: segment_count });
        }
        let pins = Arc::new(Pins::default());
        let (state, next_table_id, dropped) = state_of(stored, &pins)?;
        let writer = Writer { store, next_table_id, dropped, condemned: HashSet::new(), in_doubt: false };
        Ok(Catalog { published: RwLock::new(state), writer: Mutex::new(writer), pins })
    }

    /// The newest snapshot. Hold it for as long as a statement runs: its files stay while it is held.
    pub fn current(&self) -> Arc<CatalogState> {
        Arc::clone(&self.published.read())
    }

    /// The oldest snapshot that a statement holds; the newest one if none does.
    pub fn oldest_pinned(&self) -> SnapshotId {
        self.pins.oldest().unwrap_or_else(|| self.published.read().snapshot)
    }

    /// # Errors
    /// [`CatalogError::SchemaExists`] and the store's.
    pub fn create_schema(&self, name: &str) -> Result<(), CatalogError> {
        self.change(|state, _| {
            if state.has_schema(name) {
                return Err(CatalogError::SchemaExists(name.to_owned()));
            }
            Ok((vec![Change::CreateSchema(name.to_owned())], ()))
        })
    }

    /// Drops a schema; with `cascade` what is in it, and views elsewhere that use it. Gives the qualified names of what was dropped with it.
    ///
    /// # Errors
    /// [`CatalogError::NoSchema`]; [`CatalogError::SchemaNotEmpty`] without `cascade`; the store's.
    pub fn drop_schema(&self, name: &str, cascade: bool) -> Result<Vec<String>, CatalogError> {
        self.change(|state, _| {
            if !state.has_schema(name) {
                return Err(CatalogError::NoSchema(name.to_owned()));
            }
            let inside: BTreeSet<(String, String)> =
                state.relations.keys().filter(|(schema, _)| schema == name).cloned().collect();
            if !inside.is_empty() && !cascade {
                return Err(CatalogError::SchemaNotEmpty(name.to_owned()));
            }
            let (mut changes, dropped) = drop_relations(state, inside);
            changes.push(Change::DropSchema(name.to_owned()));
            Ok((changes, dropped))
        })
    }

    /// An id for a table that is created later, with files. Durable: it is never given again.
    ///
    /// # Errors
    /// The store's.
    pub fn reserve_table_id(&self) -> Result<TableId, CatalogError> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        self.settle(writer)?;
        let id = writer.next_table_id;
        let next = TableId(id.0 + 1);
        let transaction = Transaction { snapshot: None, changes: vec![Change::NextTableId(next)] };
        // After a failure the id may or may not be taken in the store; skipping it is right in both cases.
        writer.next_table_id = next;
        writer.store.apply(&transaction)?;
        Ok(id)
    }

    /// Makes a table, with the files that its rows are already in (CREATE TABLE AS), as one snapshot.
    ///
    /// # Errors
    /// [`CatalogError::RelationExists`] unless `if_not_exists`, [`CatalogError::NoSchema`], the store's.
    pub fn create_table(
        &self,
        new: NewTable,
        files: Vec<FileEntry>,
        if_not_exists: bool,
    ) -> Result<CreateTableOutcome, CatalogError> {
        self.change(|state, writer| {
            if !state.has_schema(&new.schema) {
                return Err(CatalogError::NoSchema(new.schema));
            }
            if state.relation(&new.schema, &new.name).is_some() {
                return if if_not_exists {
                    Ok((Vec::new(), CreateTableOutcome::Exists))
                } else {
                    Err(CatalogError::RelationExists(new.name))
                };
            }
            let mut changes = Vec::with_capacity(files.len() + 2);
            let id = match new.id {
                Some(id) => id,
                None => {
                    let id = writer.next_table_id;
                    writer.next_table_id = TableId(id.0 + 1);
                    changes.push(Change::NextTableId(writer.next_table_id));
                    id
                }
            };
            let def = TableDef {
                id,
                schema: new.schema,
                name: new.name,
                columns: new.columns,
                distribution: new.distribution,
                map_version: new.map_version.unwrap_or_else(|| state.current_map().version),
                primary_key: new.primary_key,
                compression: new.compression,
            };
            changes.push(Change::PutTable { def: def.clone(), redefined: true });
            changes.extend(files.into_iter().map(|file| {
                assert_eq!(file.table, id, "a new table's files belong to it");
                Change::AddFile(file)
            }));
            Ok((changes, CreateTableOutcome::Created(Arc::new(def))))
        })
    }

    /// Drops relations, and with `cascade` the views that use them; gives the qualified names of those views. Names of
    /// relations that are gone are left out.
    ///
    /// # Errors
    /// [`CatalogError::Needed`] without `cascade` if a view that is not among `names` uses one of them; the store's.
    pub fn drop_relations(&self, names: &[(String, String)], cascade: bool) -> Result<Vec<String>, CatalogError> {
        self.change(|state, _| {
            let asked: BTreeSet<(String, String)> = names.iter().cloned().collect();
            if !cascade {
                for (schema, name) in &asked {
                    let needing = state.dependent_views(schema, name);
                    let needing = needing.filter(|view| !asked.contains(&(view.schema.clone(), view.name.clone())));
                    let dependents: Vec<String> = needing.map(|view| view.qualified_name()).collect();
                    if !dependents.is_empty() {
                        return Err(CatalogError::Needed { relation: format!("{schema}.{name}"), dependents });
                    }
                }
            }
            let (changes, dropped) = drop_relations(state, asked.clone());
            let asked: BTreeSet<String> = asked.iter().map(|(schema, name)| format!("{schema}.{name}")).collect();
            Ok((changes, dropped.into_iter().filter(|name| !asked.contains(name)).collect()))
        })
    }

    /// Drops all files of the tables, as one snapshot.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`], the store's.
    pub fn truncate(&self, ids: &[TableId]) -> Result<(), CatalogError> {
        self.change(|state, _| {
            let mut changes = Vec::new();
            for id in ids.iter().collect::<BTreeSet<_>>() {
                let entry = state.table_by_id(*id).ok_or(CatalogError::TableGone(*id))?;
                changes.extend(drop_files(entry));
            }
            Ok((changes, ()))
        })
    }

    /// # Errors
    /// [`CatalogError::RelationExists`] if the name is a table's, or a view's and not `or_replace`;
    /// [`CatalogError::NoSchema`]; [`CatalogError::RecursiveView`] if its query uses the view itself, through other
    /// views or not; the store's.
    pub fn create_view(&self, view: ViewDef, or_replace: bool) -> Result<(), CatalogError> {
        self.change(|state, _| {
            if !state.has_schema(&view.schema) {
                return Err(CatalogError::NoSchema(view.schema));
            }
            match state.relation(&view.schema, &view.name) {
                Some(Relation::View(_)) if or_replace => {}
                Some(_) => return Err(CatalogError::RelationExists(view.name)),
                None => {}
            }
            if uses(state, &view.references, &(view.schema.clone(), view.name.clone())) {
                return Err(CatalogError::RecursiveView(view.name));
            }
            Ok((vec![Change::PutView(view)], ()))
        })
    }

    /// # Errors
    /// [`CatalogError::RelationExists`], [`CatalogError::TableGone`], the store's.
    pub fn rename_table(&self, id: TableId, name: &str) -> Result<(), CatalogError> {
        self.change(|state, _| {
            let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
            if state.relation(&entry.def.schema, name).is_some() {
                return Err(CatalogError::RelationExists(name.to_owned()));
            }
            let def = TableDef { name: name.to_owned(), ..(*entry.def).clone() };
            Ok((vec![Change::PutTable { def, redefined: false }], ()))
        })
    }

    /// # Errors
    /// [`CatalogError::TableGone`]; [`CatalogError::Conflict`] if there is a column called `name`; the store's.
    ///
    /// # Panics
    /// If `column` is not one of the table's positions: the caller looked it up.
    pub fn rename_column(&self, id: TableId, column: usize, name: &str) -> Result<(), CatalogError> {
        self.change(|state, _| {
            let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
            let mut def = (*entry.def).clone();
            if def.columns.iter().any(|column| column.name == name) {
                let table = def.qualified_name();
                return Err(CatalogError::Conflict { table, reason: "it got a column of that name" });
            }
            def.columns[column].name = name.to_owned();
            Ok((vec![Change::PutTable { def, redefined: false }], ()))
        })
    }

    /// Adds a column at the end; rows of existing files read NULL in it. `base` is the snapshot at which the caller found
    /// that this is right.
    ///
    /// # Errors
    /// [`CatalogError::TableGone`]; [`CatalogError::Conflict`] if the column may not be NULL and rows were added since
    /// `base`, or the table was redefined; the store's.
    pub fn add_column(&self, id: TableId, column: ColumnDef, base: SnapshotId) -> Result<(), CatalogError> {
        self.change(|state, _| {
            let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
            let conflict = |reason| CatalogError::Conflict { table: entry.def.qualified_name(), reason };
            if entry.defined > base {
                return Err(conflict("it was redefined"));
            }
            if !entry.files.is_empty() && (!column.nullable || column.default.is_some()) {
                return Err(conflict("rows were added to it"));
            }
            let mut def = (*entry.def).clone();
            def.columns.push(column);
            Ok((vec![Change::PutTable { def, redefined: true }], ()))
        })
    }

    /// Commits a statement's files: one durable transaction that makes the next snapshot. Entries' `created` is set here.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] and [`CatalogError::TableGone`] if a table of `adds`, `drops` or
    /// `replace_definition` was redefined or dropped since `base`, or a file of `drops` was dropped by somebody
    /// else, or a table that is laid out anew got files that are not among `drops`. Nothing is changed then, and
    /// the new files are nobody's. And the store's.
    pub fn commit(&self, commit: Commit) -> Result<SnapshotId, CatalogError> {
        self.change(|state, _| {
            let Commit { base, adds, drops, deletes, replace_definition } = commit;
            let mut touched: BTreeSet<TableId> = adds.iter().map(|file| file.table).collect();
            touched.extend(drops.iter().map(|(table, _)| *table));
            touched.extend(deletes.iter().map(|(table, ..)| *table));
            touched.extend(replace_definition.iter().map(|def| def.id));
            for id in touched {
                let entry = state.table_by_id(id).ok_or(CatalogError::TableGone(id))?;
                let conflict = |reason| CatalogError::Conflict { table: entry.def.qualified_name(), reason };
                if entry.defined > base {
                    return Err(conflict("it was redefined"));
                }
                let dropped = drops.iter().filter(|(table, _)| *table == id).count();
                // What was deleted since would be there again.
                let vectors = deletes.iter().filter(|(table, ..)| *table == id).map(|(_, key, _)| key);
                let read = drops.iter().filter(|(table, _)| *table == id).map(|(_, key)| key).chain(vectors);
                let read: HashSet<_> = read.map(|key| (key.content, key.path.as_str())).collect();
                let is_as_read = |file: &&Arc<FileEntry>| {
                    read.contains(&(file.content, file.path.as_str()))
                        && file.deletes.as_ref().is_none_or(|vector| vector.created <= base)
                };
                if entry.files.iter().filter(is_as_read).count() != read.len() {
                    return Err(conflict("its rows were changed"));
                }
                if replace_definition.as_ref().is_some_and(|def| def.id == id) && dropped != entry.files.len() {
                    return Err(conflict("rows were added to it"));
                }
            }
            let mut changes = Vec::with_capacity(adds.len() + drops.len() + 1);
            if let Some(mut def) = replace_definition {
                // A rename does not conflict, so the name may be newer than `base`.
                if let Some(entry) = state.table_by_id(def.id) {
                    def.schema = entry.def.schema.clone();
                    def.name = entry.def.name.clone();
                    for (column, now) in def.columns.iter_mut().zip(&entry.def.columns) {
                        column.name = now.name.clone();
                    }
                }
                changes.push(Change::PutTable { def, redefined: true });
            }
            changes.extend(drops.into_iter().map(|(table, key)| Change::DropFile { table, key }));
            let put = |(table, file, vector)| Change::PutDeletes { table, file, vector };
            changes.extend(deletes.into_iter().map(put));
            changes.extend(adds.into_iter().map(Change::AddFile));
            Ok((changes, ()))
        })?;
        Ok(self.current().snapshot)
    }

    /// Files that no statement can read any more, by content: to be deleted, then [forgotten](Catalog::forget).
    pub fn collectable(&self) -> Vec<(ContentId, Vec<String>)> {
        let writer = self.writer.lock();
        let oldest = self.oldest_pinned();
        let mut files: BTreeMap<ContentId, Vec<String>> = BTreeMap::new();
        for (key, dropped) in &writer.dropped {
            if *dropped <= oldest {
                files.entry(key.content).or_default().push(key.path.clone());
            }
        }
        files.values_mut().for_each(|paths| paths.sort());
        files.into_iter().collect()
    }

    /// Forgets dropped files that were deleted; others of `keys` are left alone.
    ///
    /// # Errors
    /// The store's.
    pub fn forget(&self, keys: &[FileKey]) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        self.settle(writer)?;
        let keys: Vec<&FileKey> = keys.iter().filter(|key| writer.dropped.contains_key(key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let changes = keys.iter().map(|key| Change::ForgetFile((*key).clone())).collect();
        let applied = writer.store.apply(&Transaction { snapshot: None, changes });
        if applied.is_err() {
            writer.in_doubt = true;
        }
        applied?;
        for key in keys {
            writer.dropped.remove(key);
        }
        Ok(())
    }

    /// Every path on `content` that the catalog knows, dropped ones that are not forgotten included: any other file
    /// there, and not being written now, is an orphan.
    ///
    /// # Errors
    /// The store's, where a commit is in doubt and the store cannot say.
    pub fn known_paths(&self, content: ContentId) -> Result<HashSet<String>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        Ok(self.known_to(&writer, content))
    }

    /// Those of `paths` on `content` that the catalog does not know: from now on no commit may name them, so that they can be
    /// removed.
    ///
    /// # Errors
    /// As [`Catalog::known_paths`].
    pub fn condemn(&self, content: ContentId, paths: HashSet<String>) -> Result<Vec<String>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        let known = self.known_to(&writer, content);
        let orphans: Vec<String> = paths.into_iter().filter(|path| !known.contains(path)).collect();
        writer.condemned.extend(orphans.iter().map(|path| FileKey { content, path: path.clone() }));
        Ok(orphans)
    }

    fn known_to(&self, writer: &Writer, content: ContentId) -> HashSet<String> {
        let state = self.current();
        let files = state.tables().flat_map(|entry| entry.files.of(content));
        let live = files.flat_map(|file| {
            [Some(&file.path), file.deletes.as_ref().map(|vector| &vector.path)].into_iter().flatten().cloned()
        });
        let dropped = writer.dropped.keys().filter(|key| key.content == content).map(|key| key.path.clone());
        live.chain(dropped).collect()
    }

    /// Plans changes on the newest state, makes them durable, then publishes the next state. No changes, no snapshot.
    fn change<T>(
        &self,
        plan: impl FnOnce(&CatalogState, &mut Writer) -> Result<(Vec<Change>, T), CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        self.settle(writer)?;
        let state = self.current();
        let (mut changes, result) = plan(&state, writer)?;
        if changes.is_empty() {
            return Ok(result);
        }
        let snapshot = SnapshotId(state.snapshot.0 + 1);
        for change in &mut changes {
            match change {
                Change::AddFile(file) => file.created = snapshot,
                Change::PutDeletes { vector, .. } => vector.created = snapshot,
                _ => {}
            }
        }
        if let Some(table) = changes.iter().find_map(|change| writer.condemns(change)) {
            let table = state.table_by_id(table).map_or_else(|| table.to_string(), |entry| entry.def.qualified_name());
            return Err(CatalogError::Conflict { table, reason: "the statement's files were taken for orphans" });
        }
        let transaction = Transaction { snapshot: Some(snapshot), changes };
        if let Err(error) = writer.store.apply(&transaction) {
            if !matches!(error, CatalogError::Fenced { .. }) {
                writer.in_doubt = true;
            }
            // If the store can be read, it says at once whether the commit stands after all.
            return match self.settle(writer) {
                Ok(()) if self.current().snapshot == snapshot => Ok(result),
                Ok(()) => Err(error),
                Err(_) => Err(CatalogError::InDoubt(Box::new(error))),
            };
        }
        let next = next_parts(&state, &transaction, writer).into_state(snapshot, &self.pins);
        *self.published.write() = next;
        Ok(result)
    }

    /// After a failed commit: reads from the store which state holds, and publishes it.
    fn settle(&self, writer: &mut Writer) -> Result<(), CatalogError> {
        if !writer.in_doubt {
            return Ok(());
        }
        let stored = writer.store.load()?;
        if stored.snapshot == self.current().snapshot {
            writer.in_doubt = false;
            return Ok(());
        }
        let (state, next_table_id, dropped) = state_of(stored, &self.pins)?;
        writer.next_table_id = TableId(next_table_id.0.max(writer.next_table_id.0));
        writer.dropped = dropped;
        writer.in_doubt = false;
        *self.published.write() = state;
        Ok(())
    }
}

impl Writer {
    /// The table of a change that names a file which is being removed.
    fn condemns(&self, change: &Change) -> Option<TableId> {
        let (table, key) = match change {
            Change::AddFile(file) => (file.table, FileKey::of(file)),
            Change::PutDeletes { table, file, vector } => {
                (*table, FileKey { content: file.content, path: vector.path.clone() })
            }
            _ => return None,
        };
        self.condemned.contains(&key).then_some(table)
    }
}

/// DROP of `names` and of every view that uses one of them, directly or through views; and the qualified names of all.
fn drop_relations(state: &CatalogState, names: BTreeSet<(String, String)>) -> (Vec<Change>, Vec<String>) {
    let mut all = names;
    loop {
        let using = state.views().filter(|view| view.references.iter().any(|reference| all.contains(reference)));
        let using: Vec<_> = using.map(|view| (view.schema.clone(), view.name.clone())).collect();
        let before = all.len();
        all.extend(using);
        if all.len() == before {
            break;
        }
    }
    let mut changes = Vec::new();
    let mut dropped = Vec::new();
    for (schema, name) in all {
        dropped.push(format!("{schema}.{name}"));
        match state.relation(&schema, &name) {
            Some(Relation::Table(entry)) => changes.extend(drop_table_changes(entry)),
            Some(Relation::View(_)) => changes.push(Change::DropView { schema, name }),
            // Dropped by another statement since the caller looked: what was asked for is so.
            None => {}
        }
    }
    (changes, dropped)
}

/// True if one of `references` is `name`, or is a view that uses it.
fn uses(state: &CatalogState, references: &BTreeSet<(String, String)>, name: &(String, String)) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&(String, String)> = references.iter().collect();
    while let Some(reference) = open.pop() {
        if reference == name {
            return true;
        }
        if seen.insert(reference)
            && let Some(view) = state.view(&reference.0, &reference.1)
        {
            open.extend(&view.references);
        }
    }
    false
}

fn drop_table_changes(entry: &TableEntry) -> Vec<Change> {
    drop_files(entry).chain([Change::DropTable(entry.def.id)]).collect()
}

fn drop_files(entry: &TableEntry) -> impl Iterator<Item = Change> {
    entry.files.iter().map(|file| Change::DropFile { table: file.table, key: FileKey::of(file) })
}

/// The state after `transaction`, which is durable; `writer` learns of dropped files.
fn next_parts(state: &CatalogState, transaction: &Transaction, writer: &mut Writer) -> StateParts {
    let snapshot = transaction.snapshot.unwrap_or(state.snapshot);
    let mut parts = state.parts();
    let mut added: BTreeMap<TableId, Vec<Arc<FileEntry>>> = BTreeMap::new();
    let mut dropped: BTreeMap<TableId, HashSet<FileKey>> = BTreeMap::new();
    let mut deletes: BTreeMap<TableId, Vec<(&FileKey, &DeleteVector)>> = BTreeMap::new();
    // A file's delete vector goes with it, or is replaced.
    let mut vectors: HashMap<TableId, HashMap<FileKey, FileKey>> = HashMap::new();
    let mut vector_of = |table: TableId, key: &FileKey| {
        let of_table = || state.table_by_id(table).map_or_else(HashMap::new, |entry| entry.files.vectors());
        vectors.entry(table).or_insert_with(of_table).get(key).cloned()
    };
    for change in &transaction.changes {
        match change {
            Change::CreateSchema(name) => {
                Arc::make_mut(&mut parts.schemas).insert(name.clone());
            }
            Change::DropSchema(name) => {
                Arc::make_mut(&mut parts.schemas).remove(name);
            }
            Change::PutTable { def, redefined } => {
                let (files, defined) = match parts.table(def.id) {
                    Some(entry) => (entry.files.clone(), if *redefined { snapshot } else { entry.defined }),
                    None => (TableFiles::default(), snapshot),
                };
                parts.put_table(TableEntry::new(Arc::new(def.clone()), files, defined));
            }
            Change::DropTable(id) => parts.remove_table(*id),
            Change::PutView(view) => {
                let key = (view.schema.clone(), view.name.clone());
                Arc::make_mut(&mut parts.relations).insert(key, Relation::View(Arc::new(view.clone())));
            }
            Change::DropView { schema, name } => {
                Arc::make_mut(&mut parts.relations).remove(&(schema.clone(), name.clone()));
            }
            Change::AddFile(file) => added.entry(file.table).or_default().push(Arc::new(file.clone())),
            Change::DropFile { table, key } => {
                writer.dropped.insert(key.clone(), snapshot);
                writer.dropped.extend(vector_of(*table, key).map(|vector| (vector, snapshot)));
                dropped.entry(*table).or_default().insert(key.clone());
            }
            Change::PutDeletes { table, file, vector } => {
                writer.dropped.extend(vector_of(*table, file).map(|vector| (vector, snapshot)));
                deletes.entry(*table).or_default().push((file, vector));
            }
            Change::ForgetFile(_) | Change::NextTableId(_) => {}
        }
    }
    replace_files(&mut parts, added, &dropped, &deletes);
    parts
}

/// New entries for the tables whose files change; the others keep theirs, statistics included.
fn replace_files(
    parts: &mut StateParts,
    mut added: BTreeMap<TableId, Vec<Arc<FileEntry>>>,
    dropped: &BTreeMap<TableId, HashSet<FileKey>>,
    deletes: &BTreeMap<TableId, Vec<(&FileKey, &DeleteVector)>>,
) {
    let changed: BTreeSet<TableId> = added.keys().chain(dropped.keys()).chain(deletes.keys()).copied().collect();
    for id in changed {
        // A dropped table is gone already.
        let Some(entry) = parts.table(id).map(Arc::clone) else { continue };
        let mut files = entry.files.clone();
        if let Some(dropped) = dropped.get(&id) {
            files.remove(dropped);
        }
        let mut vectors: BTreeMap<ContentId, HashMap<&str, &DeleteVector>> = BTreeMap::new();
        for (file, vector) in deletes.get(&id).into_iter().flatten() {
            vectors.entry(file.content).or_default().insert(&file.path, vector);
        }
        vectors.into_iter().for_each(|(content, vectors)| files.put_deletes(content, vectors));
        for file in added.remove(&id).unwrap_or_default() {
            files.add(file);
        }
        parts.put_table(TableEntry::new(Arc::clone(&entry.def), files, entry.defined));
    }
}

type Loaded = (Arc<CatalogState>, TableId, HashMap<FileKey, SnapshotId>);

fn state_of(stored: Stored, pins: &Arc<Pins>) -> Result<Loaded, CatalogError> {
    let mut dropped = HashMap::new();
    let mut live: BTreeMap<TableId, TableFiles> = BTreeMap::new();
    let mut vectors: HashMap<FileKey, DeleteVector> = HashMap::new();
    for StoredDeletes { file, vector, dropped: at } in stored.deletes {
        match at {
            Some(snapshot) => _ = dropped.insert(FileKey { path: vector.path, ..file }, snapshot),
            None => _ = vectors.insert(file, vector),
        }
    }
    for StoredFile { mut entry, dropped: at } in stored.files {
        match at {
            Some(snapshot) => {
                dropped.insert(FileKey::of(&entry), snapshot);
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
        relations: Arc::default(),
        table_names: Arc::default(),
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
    Ok((parts.into_state(stored.snapshot, pins), stored.next_table_id, dropped))
}

/// What a new catalog starts with.
pub(super) fn first_map(segment_count: usize) -> BucketMap {
    BucketMap::uniform(MapVersion(1), segment_count)
}

#[cfg(test)]
mod tests;
