//! What a statement reads as it was: the catalog's past states, and the relations of theirs that it names.

use crate::catalog::CatalogState;
use async_trait::async_trait;
use damson_cluster::{BucketMap, MapVersion, SnapshotId};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The database that tables are found in as of a snapshot, with `gp_segment_id` or without.
pub(crate) fn past_catalog(snapshot: SnapshotId, segment_id: bool) -> String {
    format!("{}@{}{}", super::CATALOG, snapshot.0, if segment_id { "+" } else { "" })
}

/// Past states, and what was found in them. One a statement; while it is held, so are the states' files.
#[derive(Default)]
pub(crate) struct PastRelations {
    states: RwLock<BTreeMap<SnapshotId, PastState>>,
}

struct PastState {
    state: Arc<CatalogState>,
    /// By whether they have `gp_segment_id`, by schema and name.
    relations: BTreeMap<(bool, String, String), Arc<dyn TableProvider>>,
}

impl PastRelations {
    pub(super) fn add(&self, state: Arc<CatalogState>) {
        let past = PastState { state: Arc::clone(&state), relations: BTreeMap::new() };
        self.states.write().entry(state.snapshot).or_insert(past);
    }

    pub(crate) fn state(&self, snapshot: SnapshotId) -> Option<Arc<CatalogState>> {
        self.states.read().get(&snapshot).map(|past| Arc::clone(&past.state))
    }

    /// The newest bucket map of these states; None without any. They may be newer than the statement's own: AS OF now, or in a transaction that
    /// stays with a snapshot.
    pub(crate) fn newest_map(&self) -> Option<Arc<BucketMap>> {
        let states = self.states.read();
        states.values().map(|past| past.state.current_map()).max_by_key(|map| map.version).map(Arc::clone)
    }

    /// A bucket map that one of these states has.
    pub(crate) fn bucket_map(&self, version: MapVersion) -> Option<Arc<BucketMap>> {
        self.states.read().values().find_map(|past| past.state.bucket_map(version)).map(Arc::clone)
    }

    /// The snapshot whose relations are in the database of that name, and whether they have `gp_segment_id`.
    pub(crate) fn snapshot_of(&self, catalog: &str) -> Option<(SnapshotId, bool)> {
        let states = self.states.read();
        let mut databases = states.keys().flat_map(|snapshot| [(*snapshot, false), (*snapshot, true)]);
        databases.find(|(snapshot, segment_id)| past_catalog(*snapshot, *segment_id) == catalog)
    }

    /// Makes a relation known to the binder.
    ///
    /// # Panics
    /// If there is no such state.
    pub(crate) fn prepare(
        &self,
        (snapshot, segment_id): (SnapshotId, bool),
        schema: &str,
        name: &str,
        relation: Arc<dyn TableProvider>,
    ) {
        let mut states = self.states.write();
        let past = states.get_mut(&snapshot).expect("its state was added before");
        past.relations.insert((segment_id, schema.to_owned(), name.to_owned()), relation);
    }

    pub(super) fn database(self: &Arc<Self>, catalog: &str) -> Option<Arc<dyn CatalogProvider>> {
        let (snapshot, segment_id) = self.snapshot_of(catalog)?;
        Some(Arc::new(PastDatabase { past: Arc::clone(self), snapshot, segment_id }))
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
    segment_id: bool,
}

impl CatalogProvider for PastDatabase {
    fn schema_names(&self) -> Vec<String> {
        let state = self.past.state(self.snapshot);
        state.map(|state| state.schemas().map(str::to_owned).collect()).unwrap_or_default()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let (past, snapshot, segment_id) = (Arc::clone(&self.past), self.snapshot, self.segment_id);
        Some(Arc::new(PastSchema { past, snapshot, segment_id, schema: name.to_owned() }))
    }
}

#[derive(Debug)]
struct PastSchema {
    past: Arc<PastRelations>,
    snapshot: SnapshotId,
    segment_id: bool,
    schema: String,
}

impl PastSchema {
    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let states = self.past.states.read();
        let key = (self.segment_id, self.schema.clone(), name.to_owned());
        states.get(&self.snapshot)?.relations.get(&key).map(Arc::clone)
    }
}

#[async_trait]
impl SchemaProvider for PastSchema {
    /// Those that the statement names.
    fn table_names(&self) -> Vec<String> {
        let states = self.past.states.read();
        let relations = states.get(&self.snapshot).into_iter().flat_map(|past| past.relations.keys());
        let own = relations.filter(|(segment_id, schema, _)| (segment_id, schema) == (&self.segment_id, &self.schema));
        own.map(|(_, _, name)| name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
