//! How segments reach the places of tables.

use super::Dispatch;
use super::run::visit;
use crate::catalog::{CatalogError, CatalogState, SecretDef};
use crate::error::{SqlResult, task_ended};
use crate::secrets::{SecretKeyFile, of_urls, unseal};
use damson_cluster::{PlaceId, PlaceSpec, SourceAccess};
use damson_motion::{TableModifyExec, TableScanExec, TableWriteExec};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Makes what segments must know of the catalog's tablespaces, credentials included. One a master.
pub(crate) struct Places {
    keys: Arc<SecretKeyFile>,
    /// Secrets that were read, by name: how they were defined then, and what they say. No more than the catalog has.
    unsealed: Mutex<HashMap<String, (Arc<SecretDef>, SourceAccess)>>,
}

impl Places {
    pub(crate) fn new(keys: Arc<SecretKeyFile>) -> Self {
        Places { keys, unsealed: Mutex::default() }
    }

    /// A place as a state has it; None for the segments' own disks.
    ///
    /// # Errors
    /// 42704 for a tablespace that the state does not have; 22023 where several secrets have its scope; those of [`Places::access`].
    pub(crate) async fn spec(&self, state: &CatalogState, place: PlaceId) -> SqlResult<Option<PlaceSpec>> {
        let Some(id) = place.tablespace() else { return Ok(None) };
        let def = state.tablespace_by_id(id).ok_or_else(|| CatalogError::NoTablespace(id.to_string()))?;
        let secret = match &def.secret {
            Some(name) => Some(state.secret(name).ok_or_else(|| CatalogError::NoSecret(name.clone()))?),
            None => of_urls(state, std::slice::from_ref(&def.location))?,
        };
        let access = match secret {
            Some(secret) => self.access(state, secret).await?,
            None => SourceAccess::default(),
        };
        let cluster_id = state.settings.cluster_id.clone();
        Ok(Some(PlaceSpec { id: place, url: def.location.clone(), cluster_id, access }))
    }

    /// What a secret says.
    ///
    /// # Errors
    /// 55000 where this master does not have its key, XX001 for one that was changed, and those of reading the key.
    pub(crate) async fn access(&self, state: &CatalogState, secret: &Arc<SecretDef>) -> SqlResult<SourceAccess> {
        if let Some(access) = self.known(secret) {
            return Ok(access);
        }
        let (keys, cluster_id, def) = (Arc::clone(&self.keys), state.settings.cluster_id.clone(), Arc::clone(secret));
        let read = tokio::task::spawn_blocking(move || unseal(&keys, &cluster_id, &def));
        let access = read.await.map_err(task_ended)??;
        let mut unsealed = self.unsealed.lock();
        unsealed.retain(|name, _| state.secret(name).is_some());
        unsealed.insert(secret.name.clone(), (Arc::clone(secret), access.clone()));
        Ok(access)
    }

    fn known(&self, secret: &SecretDef) -> Option<SourceAccess> {
        let unsealed = self.unsealed.lock();
        let (def, access) = unsealed.get(&secret.name)?;
        (**def == *secret).then(|| access.clone())
    }

    /// The places of the tables that a query's segments scan and write.
    ///
    /// # Errors
    /// As [`Places::spec`].
    pub(super) async fn of_query(&self, dispatch: &Dispatch<'_>) -> SqlResult<Vec<PlaceSpec>> {
        let mut named = BTreeMap::new();
        for slice in &dispatch.table.slices {
            visit(&slice.plan, &mut |plan| {
                let read = plan.downcast_ref::<TableScanExec>().map(|scan| (scan.spec().place, scan.spec().as_of));
                let modified =
                    || plan.downcast_ref::<TableModifyExec>().map(|modify| (modify.spec().write.place, None));
                let written = || plan.downcast_ref::<TableWriteExec>().map(|write| (write.spec().place, None));
                if let Some((place, as_of)) = read.or_else(modified).or_else(written) {
                    named.entry(place).or_insert(as_of);
                }
            });
        }
        let mut specs = vec![];
        for (place, as_of) in named {
            // What is read as it was may be newer than the statement's own snapshot.
            let past = as_of.and_then(|snapshot| dispatch.past.state(snapshot));
            specs.extend(self.spec(past.as_ref().unwrap_or(&dispatch.catalog), place).await?);
        }
        Ok(specs)
    }
}

/// Every place that files of tables can be at.
pub(super) fn places_in(state: &CatalogState) -> Vec<PlaceId> {
    let tablespaces = state.tablespaces().map(|tablespace| PlaceId::of(Some(tablespace.id)));
    std::iter::once(PlaceId::LOCAL).chain(tablespaces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Durability, Workspace};
    use crate::error::SqlState;
    use crate::secrets::{NewSecret, seal};
    use damson_cluster::{SecretType, TablespaceId};
    use std::path::Path;

    fn keys(path: &Path) -> Arc<SecretKeyFile> {
        Arc::new(SecretKeyFile::new(path.to_owned()))
    }

    fn create_secret(catalog: &Arc<Catalog>, keys: &SecretKeyFile, name: &str, scope: &str, says: &str) {
        let new = NewSecret {
            name: name.into(),
            kind: SecretType::S3,
            scope: scope.into(),
            access: access(says),
            created_us: 5,
        };
        let cluster_id = catalog.current().settings.cluster_id.clone();
        let def = seal(&keys.read_or_make().unwrap(), &cluster_id, new).unwrap();
        let mut workspace = Workspace::new(catalog);
        workspace.create_secret(def, true).unwrap();
        workspace.commit(Durability::Synced).unwrap();
    }

    fn create_tablespace(catalog: &Arc<Catalog>, name: &str, location: &str, secret: Option<&str>) -> PlaceId {
        let mut workspace = Workspace::new(catalog);
        workspace.create_tablespace(name, location, secret.map(str::to_owned)).unwrap();
        workspace.commit(Durability::Synced).unwrap();
        PlaceId::of(Some(catalog.current().tablespace(name).unwrap().id))
    }

    fn access(says: &str) -> SourceAccess {
        SourceAccess { options: BTreeMap::from([("secret_access_key".to_owned(), says.to_owned())]) }
    }

    #[tokio::test]
    async fn a_tablespace_is_reached_with_its_secret_as_it_is_now() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(directory.path(), 1).unwrap();
        let key_file = directory.path().join("a.key");
        let keys_file = keys(&key_file);
        create_secret(&catalog, &keys_file, "named", "s3://elsewhere", "one");
        create_secret(&catalog, &keys_file, "scoped", "s3://b", "two");
        let named = create_tablespace(&catalog, "named", "s3://b/named", Some("named"));
        let scoped = create_tablespace(&catalog, "scoped", "s3://b/scoped", None);
        let plain = create_tablespace(&catalog, "plain", "s3://c", None);

        let places = Places::new(keys_file);
        let state = catalog.current();
        assert_eq!(places_in(&state), [PlaceId::LOCAL, named, scoped, plain]);
        assert_eq!(places.spec(&state, PlaceId::LOCAL).await.unwrap(), None);
        // What was read once is known.
        for _ in 0..2 {
            let spec = places.spec(&state, named).await.unwrap().unwrap();
            assert_eq!((spec.id, spec.url.as_str(), spec.access), (named, "s3://b/named", access("one")));
            assert_eq!(spec.cluster_id, state.settings.cluster_id);
            assert_eq!(places.spec(&state, scoped).await.unwrap().unwrap().access, access("two"));
            assert_eq!(places.spec(&state, plain).await.unwrap().unwrap().access, SourceAccess::default());
        }
        let unknown = places.spec(&state, PlaceId::of(Some(TablespaceId(1_000)))).await.unwrap_err();
        assert_eq!(unknown.state, SqlState::UNDEFINED_OBJECT);

        create_secret(&catalog, &keys(&key_file), "named", "s3://elsewhere", "three");
        let state = catalog.current();
        assert_eq!(places.spec(&state, named).await.unwrap().unwrap().access, access("three"));

        // A master without the key can use what needs none.
        let places = Places::new(keys(&directory.path().join("absent.key")));
        assert_eq!(places.spec(&state, named).await.unwrap_err().state, SqlState::OBJECT_NOT_IN_STATE);
        assert!(places.spec(&state, plain).await.is_ok());
    }
}
