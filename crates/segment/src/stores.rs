//! Where the tables of one query are.

use damson_cluster::{PlaceId, PlaceSpec};
use damson_storage::{StorageError, TableStore};
use datafusion::error::{DataFusionError, Result};
use std::collections::HashMap;

/// This segment's files at each place that a query names. Made from its request, used while its slices are resolved.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    local: TableStore,
    others: HashMap<PlaceId, TableStore>,
}

impl Stores {
    /// # Errors
    /// See [`TableStore::at`].
    pub(crate) async fn open(local: &TableStore, places: &[PlaceSpec]) -> Result<Self, StorageError> {
        let mut others = HashMap::new();
        for place in places {
            others.insert(place.id, local.at(place).await?);
        }
        Ok(Stores { local: local.clone(), others })
    }

    /// On the segment's own disk, whatever place tables have: error logs.
    pub(crate) fn local(&self) -> &TableStore {
        &self.local
    }

    /// # Errors
    /// A place that the request does not describe: it was made wrongly.
    pub(crate) fn at(&self, place: PlaceId) -> Result<&TableStore> {
        if place.is_local() {
            return Ok(&self.local);
        }
        let store = self.others.get(&place);
        store.ok_or_else(|| DataFusionError::Internal(format!("a plan names {place}, which its request does not")))
    }
}
