//! What a statement reads as it was: the catalog's past states, and the relations of theirs that it names.

use crate::catalog::CatalogState;
use async_trait::async_trait;
use damson_cluster::SnapshotId;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The database that tables are found in as of a snapshot.
pub(crate) fn past_catalog(snapshot: SnapshotId) -> String {
    format!("{}@{}", super::CATALOG, snapshot.0)
}

/// Past states, and what was found in them. One a statement; while it is held, so are the states' files.
#[derive(Default)]
pub(crate) struct PastRelations {
    states: RwLock<BTreeMap<SnapshotId, PastState>>,
}

struct PastState {
    state: Arc<CatalogState>,
    /// By schema and name.
    relations: BTreeMap<(String, String), Arc<dyn TableProvider>>,
}

impl PastRelations {
    pub(super) fn add(&self, state: Arc<CatalogState>) {
        let past = PastState { state: Arc::clone(&state), relations: BTreeMap::new() };
        self.states.write().entry(state.snapshot).or_insert(past);
    }

    pub(crate) fn state(&self, snapshot: SnapshotId) -> Option<Arc<CatalogState>> {
        self.states.read().get(&snapshot).map(|past| Arc::clone(&past.state))
    }

    /// The snapshot whose relations are in the database of that name.
    pub(crate) fn snapshot_of(&self, catalog: &str) -> Option<SnapshotId> {
        self.states.read().keys().copied().find(|snapshot| past_catalog(*snapshot) == catalog)
    }

    /// Makes a relation known to the binder.
    ///
    /// # Panics
    /// If there is no such state.
    pub(crate) fn prepare(&self, snapshot: SnapshotId, schema: &str, name: &str, relation: Arc<dyn TableProvider>) {
        let mut states = self.states.write();
        let past = states.get_mut(&snapshot).expect("its state was added before");
        past.relations.insert((schema.to_owned(), name.to_owned()), relation);
    }

    pub(super) fn database(self: &Arc<Self>, catalog: &str) -> Option<Arc<dyn CatalogProvider>> {
        let snapshot = self.snapshot_of(catalog)?;
        Some(Arc::new(PastDatabase { past: Arc::clone(self), snapshot }))
    }
}

impl fmt::Debug for PastRelations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.states.read().keys()).finish()
    }
}

#[derive(Debug)]
struct PastDatabase {
    past: Arc<PastRelations>,
    snapshot: SnapshotId,
}

impl CatalogProvider for PastDatabase {
    fn schema_names(&self) -> Vec<String> {
        let state = self.past.state(self.snapshot);
        state.map(|state| state.schemas().map(str::to_owned).collect()).unwrap_or_default()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let (past, snapshot) = (Arc::clone(&self.past), self.snapshot);
        Some(Arc::new(PastSchema { past, snapshot, schema: name.to_owned() }))
    }
}

#[derive(Debug)]
struct PastSchema {
    past: Arc<PastRelations>,
    snapshot: SnapshotId,
    schema: String,
}

impl PastSchema {
    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let states = self.past.states.read();
        states.get(&self.snapshot)?.relations.get(&(self.schema.clone(), name.to_owned())).map(Arc::clone)
    }
}

#[async_trait]
impl SchemaProvider for PastSchema {
    /// Those that the statement names.
    fn table_names(&self) -> Vec<String> {
        let states = self.past.states.read();
        let relations = states.get(&self.snapshot).into_iter().flat_map(|past| past.relations.keys());
        relations.filter(|(schema, _)| *schema == self.schema).map(|(_, name)| name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
