//! What names mean to one statement: tables as of its snapshot, views, system tables.

use super::{DamsonTable, PastRelations, StatementFiles};
use crate::catalog::{CatalogState, Relation, RoleId};
use crate::planner::Tables;
use async_trait::async_trait;
use damson_cluster::{BucketMap, MapVersion, SegmentSet, SnapshotId, TableDef, TableId};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::Result;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The one database's name.
pub(crate) const CATALOG: &str = "damson";

/// Where system tables are found without a schema.
pub(crate) const PG_CATALOG: &str = "pg_catalog";

/// One statement's names. Views, system tables and what is read as it was are put in before the statement is bound, because making
/// them takes planning or asking the segments.
#[derive(Clone)]
pub(crate) struct StatementNames {
    inner: Arc<Inner>,
    /// Of the whole statement, views and all.
    past: Arc<PastRelations>,
    files: Arc<StatementFiles>,
    /// Whose rights to read count; None: a superuser's.
    reader: Option<RoleId>,
}

struct Inner {
    state: Arc<CatalogState>,
    /// The state's snapshot, if it is not the statement's own.
    as_of: Option<SnapshotId>,
    search_schema: String,
    /// True if the statement names `gp_segment_id`: only then do tables have it.
    segment_id: bool,
    /// Tables that are being made by this statement, and are not in the catalog yet.
    new_tables: RwLock<HashMap<TableId, Arc<TableDef>>>,
    prepared: RwLock<HashMap<(String, String), Arc<dyn TableProvider>>>,
}

impl StatementNames {
    pub(crate) fn new(state: Arc<CatalogState>, search_schema: &str, segment_id: bool) -> Self {
        Self::of(state, None, search_schema, segment_id, Arc::default(), Arc::default())
    }

    fn of(
        state: Arc<CatalogState>,
        as_of: Option<SnapshotId>,
        search_schema: &str,
        segment_id: bool,
        past: Arc<PastRelations>,
        files: Arc<StatementFiles>,
    ) -> Self {
        let inner = Inner {
            state,
            as_of,
            search_schema: search_schema.into(),
            segment_id,
            new_tables: RwLock::default(),
            prepared: RwLock::default(),
        };
        StatementNames { inner: Arc::new(inner), past, files, reader: None }
    }

    /// Names of a view's query, of the same state.
    pub(crate) fn within_view(&self, search_schema: &str, segment_id: bool) -> Self {
        let (state, past) = (Arc::clone(&self.inner.state), Arc::clone(&self.past));
        Self::of(state, self.inner.as_of, search_schema, segment_id, past, Arc::clone(&self.files))
    }

    /// Names as of a past snapshot, whose state was [added](StatementNames::add_past).
    pub(crate) fn as_of(&self, snapshot: SnapshotId) -> Option<Self> {
        let state = self.past.state(snapshot)?;
        let (search_schema, segment_id) = (self.search_schema(), self.inner.segment_id);
        let (past, files) = (Arc::clone(&self.past), Arc::clone(&self.files));
        let names = Self::of(state, Some(snapshot), search_schema, segment_id, past, files);
        Some(names.with_reader(self.reader))
    }

    /// These names, of a statement that reads what another of its parts has bound.
    pub(crate) fn with_past(self, other: &StatementNames) -> Self {
        StatementNames { past: Arc::clone(&other.past), files: Arc::clone(&other.files), ..self }
    }

    /// These names, for a role that may not read everything.
    pub(crate) fn with_reader(self, reader: Option<RoleId>) -> Self {
        StatementNames { reader, ..self }
    }

    /// Whether they are of another snapshot than the statement's own.
    pub(crate) fn is_past(&self) -> bool {
        self.inner.as_of.is_some()
    }

    pub(crate) fn reader(&self) -> Option<RoleId> {
        self.reader
    }

    /// The files that the statement reads as relations.
    pub(crate) fn files(&self) -> &Arc<StatementFiles> {
        &self.files
    }

    /// What the statement reads as it was, its files held.
    pub(crate) fn past(&self) -> &Arc<PastRelations> {
        &self.past
    }

    pub(crate) fn add_past(&self, state: Arc<CatalogState>) {
        self.past.add(state);
    }

    pub(crate) fn state(&self) -> &Arc<CatalogState> {
        &self.inner.state
    }

    /// The newest bucket map of all that the statement reads: all its segments may have rows.
    pub(crate) fn newest_map(&self) -> Arc<BucketMap> {
        let own = self.inner.state.current_map();
        self.past.newest_map().filter(|past| past.version > own.version).unwrap_or_else(|| Arc::clone(own))
    }

    /// Whether tables have `gp_segment_id`.
    pub(crate) fn has_segment_id(&self) -> bool {
        self.inner.segment_id
    }

    pub(crate) fn search_schema(&self) -> &str {
        &self.inner.search_schema
    }

    /// Makes a view or system table known under its qualified name.
    pub(crate) fn prepare(&self, schema: &str, name: &str, table: Arc<dyn TableProvider>) {
        self.inner.prepared.write().insert((schema.into(), name.into()), table);
    }

    pub(crate) fn is_prepared(&self, schema: &str, name: &str) -> bool {
        self.inner.prepared.read().contains_key(&(schema.to_owned(), name.to_owned()))
    }

    pub(crate) fn add_new_table(&self, def: Arc<TableDef>) {
        self.inner.new_tables.write().insert(def.id, def);
    }

    pub(crate) fn find(&self, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
        if let Some(table) = self.inner.prepared.read().get(&(schema.to_owned(), name.to_owned())) {
            return Some(Arc::clone(table));
        }
        match self.inner.state.relation(schema, name)? {
            Relation::Table(entry) => {
                let segments = self.inner.state.current_map().owning_segments().len();
                let table = DamsonTable::new(Arc::clone(entry), self.inner.segment_id, segments);
                Some(Arc::new(table.with_snapshot(self.inner.as_of)))
            }
            // A view that was not prepared is not named by the statement.
            // Nor is a sequence a table to read.
            Relation::View(_) | Relation::Sequence(_) => None,
        }
    }
}

impl Tables for StatementNames {
    fn map(&self, version: MapVersion) -> Option<Arc<BucketMap>> {
        self.inner.state.bucket_map(version).map(Arc::clone).or_else(|| self.past.bucket_map(version))
    }

    fn table(&self, id: TableId, as_of: Option<SnapshotId>) -> Option<Arc<TableDef>> {
        let state = match as_of {
            Some(snapshot) => self.past.state(snapshot)?,
            None => Arc::clone(&self.inner.state),
        };
        let known = state.table_by_id(id).map(|entry| Arc::clone(&entry.def));
        known.or_else(|| self.inner.new_tables.read().get(&id).cloned())
    }

    fn segments_with_files(&self, id: TableId, as_of: Option<SnapshotId>) -> SegmentSet {
        let state = match as_of {
            Some(snapshot) => self.past.state(snapshot),
            None => Some(Arc::clone(&self.inner.state)),
        };
        let files = state.as_ref().and_then(|state| state.table_by_id(id)).map(|entry| entry.files.contents());
        files.into_iter().flatten().filter(|(_, files)| !files.is_empty()).map(|(content, _)| content).collect()
    }
}

impl fmt::Debug for StatementNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementNames").field("snapshot", &self.inner.state.snapshot).finish_non_exhaustive()
    }
}

impl CatalogProviderList for StatementNames {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        if name == CATALOG {
            return Some(Arc::new(Database { names: self.clone() }));
        }
        self.past.database(name)
    }
}

#[derive(Debug)]
struct Database {
    names: StatementNames,
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        self.names.state().schemas().map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Schema { names: self.names.clone(), schema: name.into() }))
    }
}

#[derive(Debug)]
struct Schema {
    names: StatementNames,
    schema: String,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        let in_schema = |relation: &Relation| match relation {
            Relation::Table(entry) if entry.def.schema == self.schema => Some(entry.def.name.clone()),
            Relation::View(view) if view.schema == self.schema => Some(view.name.clone()),
            _ => None,
        };
        self.names.state().relations().filter_map(in_schema).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let found = self.names.find(&self.schema, name);
        let is_default = self.schema == self.names.search_schema();
        Ok(found.or_else(|| if is_default { self.names.find(PG_CATALOG, name) } else { None }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.find(&self.schema, name).is_some()
    }
}
