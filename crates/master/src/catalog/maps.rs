//! Bucket maps: how tables are laid out from now on.

use super::durable::Catalog;
use super::error::CatalogError;
use super::step::Step;
use super::store::{Change, Durability};
use super::workspace::Workspace;
use damson_cluster::{BucketMap, MapVersion, failpoint};
use std::sync::Arc;

/// Whether a catalog may be of a cluster that was started with `asked` segments: it has as many, or had fewer when it was made, or before it grew.
///
/// # Errors
/// [`CatalogError::SegmentCount`].
pub(super) fn check_segments(stored: usize, first: &BucketMap, asked: usize) -> Result<(), CatalogError> {
    match (first.segment_count()..=stored).contains(&asked) {
        true => Ok(()),
        false => Err(CatalogError::SegmentCount { stored, asked }),
    }
}

impl Catalog {
    /// Owners of buckets for tables that are made from now on; tables that are there stay laid out by their own map. Owners that the cluster
    /// does not have yet are its segments from now on. Gives the new map's version. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::Map`] for owners that are no map of this cluster's segments; the store's.
    pub fn install_map(self: &Arc<Self>, owners: Vec<u16>) -> Result<MapVersion, CatalogError> {
        let mut workspace = Workspace::new(self);
        let state = workspace.state();
        let current = state.current_map();
        let version = MapVersion(current.version.0 + 1);
        let named = owners.iter().max().map_or(0, |&owner| usize::from(owner) + 1);
        let map = BucketMap::from_owners(version, owners, current.segment_count().max(named));
        let map = map.map_err(|error| CatalogError::Map(error.to_string()))?;
        workspace.push(|base| Step::new(vec![Change::PutMap(map)], base))?;
        failpoint("map.before_commit");
        workspace.commit(Durability::Synced)?;
        failpoint("map.after_commit");
        Ok(version)
    }
}
