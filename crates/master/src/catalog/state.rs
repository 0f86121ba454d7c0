//! The whole catalog as of one snapshot: what a statement reads for its whole life.

use super::access::{AccessDef, Object};
use super::external::ExternalDef;
use super::files::TableFiles;
use super::object_ids::ObjectName;
use super::pins::{Pin, Pins};
use super::roles::{RoleDef, RoleId};
use super::secrets::SecretDef;
use super::sequences::SequenceDef;
use super::statistics::TableStatistics;
use super::tablespaces::TablespaceDef;
use damson_cluster::{BucketMap, MapVersion, SegmentSet, SnapshotId, TableDef, TableId, TablespaceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// What does not change while a master serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// A UUID, given when the catalog was made.
    pub cluster_id: String,
    /// Grows by one each time a master opens the catalog: fences the one before.
    pub epoch: u64,
}

/// A view: its query is text, planned where it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewDef {
    pub schema: String,
    pub name: String,
    /// New names of the query's columns; empty keeps the query's.
    pub columns: Vec<String>,
    pub query: String,
    /// Tables and views that the query names, as (schema, name): DROP refuses them without CASCADE.
    pub references: BTreeSet<(String, String)>,
    /// The schema that unqualified names of the query are looked up in.
    pub search_schema: String,
    /// An external table instead of a query, which is empty then. Kept where views are: it has no rows of its own either, has a name among
    /// theirs, and other views may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Box<ExternalDef>>,
}

impl ViewDef {
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A table and its files. Immutable.
#[derive(Debug)]
pub struct TableEntry {
    pub def: Arc<TableDef>,
    pub files: TableFiles,
    /// The snapshot that last changed what a row of the table is or where it lies: CREATE, ADD COLUMN, SET DISTRIBUTED.
    pub defined: SnapshotId,
    statistics: OnceLock<TableStatistics>,
}

impl TableEntry {
    pub(super) fn new(def: Arc<TableDef>, files: TableFiles, defined: SnapshotId) -> Self {
        TableEntry { def, files, defined, statistics: OnceLock::new() }
    }

    /// Merged from what was collected while the files were written; computed at first use.
    pub fn statistics(&self) -> &TableStatistics {
        self.statistics.get_or_init(|| TableStatistics::of(&self.def, &self.files))
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Relation {
    Table(Arc<TableEntry>),
    View(Arc<ViewDef>),
    Sequence(Arc<SequenceDef>),
}

impl Relation {
    pub fn qualified_name(&self) -> String {
        match self {
            Relation::Table(entry) => entry.def.qualified_name(),
            Relation::View(view) => view.qualified_name(),
            Relation::Sequence(def) => def.qualified_name(),
        }
    }
}

/// Everything in the catalog as of one snapshot, or as a transaction has changed it. Made by the [`Catalog`](super::Catalog) at each
/// commit and by a [`Workspace`](super::Workspace) at each change, shared by pointer. While one is held, no file that it lists is removed.
#[derive(Debug)]
pub struct CatalogState {
    pub snapshot: SnapshotId,
    pub settings: Arc<ClusterSettings>,
    pub(super) maps: Arc<BTreeMap<MapVersion, Arc<BucketMap>>>,
    pub(super) schemas: Arc<BTreeSet<String>>,
    /// Of all schemas and views.
    pub(super) object_ids: Arc<BTreeMap<ObjectName, u64>>,
    /// By schema and name: tables, views and sequences share one name space.
    pub(super) relations: Arc<BTreeMap<(String, String), Relation>>,
    pub(super) table_names: Arc<BTreeMap<TableId, (String, String)>>,
    /// By name.
    pub(super) secrets: Arc<BTreeMap<String, Arc<SecretDef>>>,
    pub(super) tablespaces: Arc<BTreeMap<TablespaceId, Arc<TablespaceDef>>>,
    pub(super) roles: Arc<BTreeMap<RoleId, Arc<RoleDef>>>,
    pub(super) access: Arc<BTreeMap<Object, Arc<AccessDef>>>,
    _pin: Pin,
}

/// The parts of a state that the next one may change; each is copied only if it does.
#[derive(Clone)]
pub(super) struct StateParts {
    pub settings: Arc<ClusterSettings>,
    pub maps: Arc<BTreeMap<MapVersion, Arc<BucketMap>>>,
    pub schemas: Arc<BTreeSet<String>>,
    pub object_ids: Arc<BTreeMap<ObjectName, u64>>,
    pub relations: Arc<BTreeMap<(String, String), Relation>>,
    pub table_names: Arc<BTreeMap<TableId, (String, String)>>,
    pub secrets: Arc<BTreeMap<String, Arc<SecretDef>>>,
    pub tablespaces: Arc<BTreeMap<TablespaceId, Arc<TablespaceDef>>>,
    pub roles: Arc<BTreeMap<RoleId, Arc<RoleDef>>>,
    pub access: Arc<BTreeMap<Object, Arc<AccessDef>>>,
}

impl StateParts {
    pub fn into_state(self, snapshot: SnapshotId, pins: &Arc<Pins>) -> Arc<CatalogState> {
        Arc::new(CatalogState {
            snapshot,
            settings: self.settings,
            maps: self.maps,
            schemas: self.schemas,
            object_ids: self.object_ids,
            relations: self.relations,
            table_names: self.table_names,
            secrets: self.secrets,
            tablespaces: self.tablespaces,
            roles: self.roles,
            access: self.access,
            _pin: pins.pin(snapshot),
        })
    }

    /// Puts a table under its name, in place of what it was called before.
    pub fn put_table(&mut self, entry: TableEntry) {
        let key = (entry.def.schema.clone(), entry.def.name.clone());
        let relations = Arc::make_mut(&mut self.relations);
        if self.table_names.get(&entry.def.id) != Some(&key) {
            let names = Arc::make_mut(&mut self.table_names);
            if let Some(old) = names.insert(entry.def.id, key.clone()) {
                relations.remove(&old);
            }
        }
        relations.insert(key, Relation::Table(Arc::new(entry)));
    }

    pub fn remove_table(&mut self, id: TableId) {
        if let Some(key) = Arc::make_mut(&mut self.table_names).remove(&id) {
            Arc::make_mut(&mut self.relations).remove(&key);
        }
    }

    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableEntry>> {
        self.relations.values().filter_map(|relation| match relation {
            Relation::Table(entry) => Some(entry),
            Relation::View(_) | Relation::Sequence(_) => None,
        })
    }

    pub fn views(&self) -> impl Iterator<Item = &Arc<ViewDef>> {
        self.relations.values().filter_map(|relation| match relation {
            Relation::View(view) => Some(view),
            Relation::Table(_) | Relation::Sequence(_) => None,
        })
    }

    pub fn view(&self, schema: &str, name: &str) -> Option<&Arc<ViewDef>> {
        match self.relations.get(&(schema.to_owned(), name.to_owned())) {
            Some(Relation::View(view)) => Some(view),
            _ => None,
        }
    }

    pub fn sequence(&self, schema: &str, name: &str) -> Option<&Arc<SequenceDef>> {
        match self.relations.get(&(schema.to_owned(), name.to_owned())) {
            Some(Relation::Sequence(def)) => Some(def),
            _ => None,
        }
    }

    pub fn table(&self, id: TableId) -> Option<&Arc<TableEntry>> {
        match self.relations.get(self.table_names.get(&id)?) {
            Some(Relation::Table(entry)) => Some(entry),
            _ => None,
        }
    }
}

impl CatalogState {
    pub(super) fn parts(&self) -> StateParts {
        StateParts {
            settings: Arc::clone(&self.settings),
            maps: Arc::clone(&self.maps),
            schemas: Arc::clone(&self.schemas),
            object_ids: Arc::clone(&self.object_ids),
            relations: Arc::clone(&self.relations),
            table_names: Arc::clone(&self.table_names),
            secrets: Arc::clone(&self.secrets),
            tablespaces: Arc::clone(&self.tablespaces),
            roles: Arc::clone(&self.roles),
            access: Arc::clone(&self.access),
        }
    }

    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        // The tuple key needs owned strings to look up; names are short and this is once a name of a statement.
        self.relations.get(&(schema.to_owned(), name.to_owned()))
    }

    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<TableEntry>> {
        match self.relation(schema, name) {
            Some(Relation::Table(entry)) => Some(entry),
            _ => None,
        }
    }

    pub fn view(&self, schema: &str, name: &str) -> Option<&Arc<ViewDef>> {
        match self.relation(schema, name) {
            Some(Relation::View(view)) => Some(view),
            _ => None,
        }
    }

    pub fn sequence(&self, schema: &str, name: &str) -> Option<&Arc<SequenceDef>> {
        match self.relation(schema, name) {
            Some(Relation::Sequence(def)) => Some(def),
            _ => None,
        }
    }

    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableEntry>> {
        let (schema, name) = self.table_names.get(&id)?;
        self.table(schema, name)
    }

    /// By schema and name.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// By schema and name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableEntry>> {
        self.relations().filter_map(|relation| match relation {
            Relation::Table(entry) => Some(entry),
            Relation::View(_) | Relation::Sequence(_) => None,
        })
    }

    /// By schema and name.
    pub fn views(&self) -> impl Iterator<Item = &Arc<ViewDef>> {
        self.relations().filter_map(|relation| match relation {
            Relation::View(view) => Some(view),
            Relation::Table(_) | Relation::Sequence(_) => None,
        })
    }

    /// By schema and name.
    pub fn sequences(&self) -> impl Iterator<Item = &Arc<SequenceDef>> {
        self.relations().filter_map(|relation| match relation {
            Relation::Sequence(def) => Some(def),
            Relation::Table(_) | Relation::View(_) => None,
        })
    }

    /// By name.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<SecretDef>> {
        self.secrets.values()
    }

    pub fn secret(&self, name: &str) -> Option<&Arc<SecretDef>> {
        self.secrets.get(name)
    }

    /// In the order in which they were made.
    pub fn tablespaces(&self) -> impl Iterator<Item = &Arc<TablespaceDef>> {
        self.tablespaces.values()
    }

    pub fn tablespace(&self, name: &str) -> Option<&Arc<TablespaceDef>> {
        self.tablespaces().find(|tablespace| tablespace.name == name)
    }

    pub fn tablespace_by_id(&self, id: TablespaceId) -> Option<&Arc<TablespaceDef>> {
        self.tablespaces.get(&id)
    }

    /// Schemas that users made, and `public`; by name.
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.iter().map(String::as_str)
    }

    pub fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains(name)
    }

    pub fn bucket_map(&self, version: MapVersion) -> Option<&Arc<BucketMap>> {
        self.maps.get(&version)
    }

    /// All that are kept, by version.
    pub fn bucket_maps(&self) -> impl Iterator<Item = &Arc<BucketMap>> {
        self.maps.values()
    }

    /// The map that new tables are laid out by.
    ///
    /// # Panics
    /// Never: a catalog has at least one map, see `Catalog::open`.
    pub fn current_map(&self) -> &Arc<BucketMap> {
        self.maps.values().next_back().expect("a catalog has at least one bucket map")
    }

    /// Who has files, and who gets those of new tables: the owners of the newest map. The others may be gone.
    pub fn segments_in_use(&self) -> SegmentSet {
        let files = self.tables().flat_map(|entry| entry.files.contents()).filter(|(_, files)| !files.is_empty());
        self.current_map().owning_segments().iter().chain(files.map(|(content, _)| content)).collect()
    }

    /// Views that name the relation, by name.
    pub fn dependent_views<'a>(&'a self, schema: &'a str, name: &'a str) -> impl Iterator<Item = &'a Arc<ViewDef>> {
        self.views().filter(move |view| view.references.iter().any(|(s, n)| s == schema && n == name))
    }
}
