//! Tablespaces: places for tables' files other than the segments' own disks.

use super::durable::Catalog;
use super::error::CatalogError;
use super::secrets::SecretDef;
use super::state::{CatalogState, StateParts};
use super::store::{CatalogStore, Change, Transaction};
use super::workspace::Workspace;
use damson_cluster::{PlaceId, SecretType, TableId, TablespaceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Tablespaces of a cluster.
const TABLESPACES_MAX: usize = 1_000;

/// A prefix of a bucket's names that is the cluster's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablespaceDef {
    pub id: TablespaceId,
    pub name: String,
    /// `s3://bucket/prefix`, without a slash at its end.
    pub location: String,
    /// By which it is reached; None: by the one in whose scope it is, or the nodes' environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl TablespaceDef {
    /// Whether a file's name could be in both.
    fn overlaps(&self, location: &str) -> bool {
        is_in(location, &self.location) || is_in(&self.location, location)
    }
}

/// Whether the names below `inner` are below `outer`.
fn is_in(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Workspace {
    /// Makes a tablespace. The id is given here.
    ///
    /// # Errors
    /// [`CatalogError::TablespaceExists`], [`CatalogError::LocationTaken`], [`CatalogError::NoSecret`],
    /// [`CatalogError::WrongSecret`], [`CatalogError::TooMany`]; the store's.
    pub fn create_tablespace(
        &mut self,
        name: &str,
        location: &str,
        secret: Option<String>,
    ) -> Result<(), CatalogError> {
        if self.state().tablespaces().count() >= TABLESPACES_MAX {
            return Err(CatalogError::TooMany { what: "tablespaces", max: TABLESPACES_MAX });
        }
        let id = TablespaceId(self.next_id()?.0);
        let def = TablespaceDef { id, name: name.to_owned(), location: location.to_owned(), secret };
        self.change(|_| Ok((vec![Change::PutTablespace(def)], ())))
    }

    /// # Errors
    /// [`CatalogError::NoTablespace`]; [`CatalogError::TablespaceNotEmpty`] while tables are in it. That no files of dropped tables are,
    /// the commit sees to.
    pub fn drop_tablespace(&mut self, name: &str) -> Result<(), CatalogError> {
        self.change(|state| {
            let def = state.tablespace(name).ok_or_else(|| CatalogError::NoTablespace(name.to_owned()))?;
            Ok((vec![Change::DropTablespace(def.id)], ()))
        })
    }
}

impl Catalog {
    /// Where the files of tables are, dropped ones included that have files which are not forgotten. Others are not in the answer. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub fn places_of(&self, tables: &BTreeSet<TableId>) -> Result<HashMap<TableId, PlaceId>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        let state = self.current();
        let mut places = HashMap::new();
        for table in tables {
            let tablespace = match state.table_by_id(*table) {
                Some(entry) => Some(entry.def.tablespace),
                None => writer.store.tablespace_of(*table)?,
            };
            places.extend(tablespace.map(|tablespace| (*table, PlaceId::of(tablespace))));
        }
        Ok(places)
    }
}

/// Whether a tablespace can be made, of which there is none of that name or place.
pub(super) fn refuse_new(parts: &StateParts, new: &TablespaceDef) -> Result<(), CatalogError> {
    for there in parts.tablespaces.values() {
        if there.name == new.name {
            return Err(CatalogError::TablespaceExists(new.name.clone()));
        }
        if there.overlaps(&new.location) {
            let (location, tablespace) = (new.location.clone(), there.name.clone());
            return Err(CatalogError::LocationTaken { location, tablespace });
        }
    }
    let Some(name) = &new.secret else { return Ok(()) };
    match parts.secrets.get(name) {
        None => Err(CatalogError::NoSecret(name.clone())),
        Some(secret) if SecretType::of_url(&new.location) != Some(secret.kind) => {
            Err(CatalogError::WrongSecret { secret: name.clone(), kind: secret.kind, url: new.location.clone() })
        }
        Some(_) => Ok(()),
    }
}

/// Whether a tablespace can go: no table is in it.
pub(super) fn refuse_drop(parts: &StateParts, id: TablespaceId) -> Result<(), CatalogError> {
    let Some(def) = parts.tablespaces.get(&id) else { return Err(CatalogError::NoTablespace(id.to_string())) };
    match parts.tables().find(|entry| entry.def.tablespace == Some(id)) {
        None => Ok(()),
        Some(entry) => Err(CatalogError::TablespaceNotEmpty {
            tablespace: def.name.clone(),
            table: Some(entry.def.qualified_name()),
        }),
    }
}

/// Whether a secret can be made, in place of another one of its name: no tablespace needs one of another type.
pub(super) fn refuse_secret(parts: &StateParts, new: &SecretDef) -> Result<(), CatalogError> {
    let misfits = parts.tablespaces.values().filter(|tablespace| {
        tablespace.secret.as_ref() == Some(&new.name) && SecretType::of_url(&tablespace.location) != Some(new.kind)
    });
    let tablespaces: Vec<String> = misfits.map(|tablespace| tablespace.name.clone()).collect();
    match tablespaces.is_empty() {
        true => Ok(()),
        false => Err(CatalogError::SecretUsed { secret: new.name.clone(), tablespaces }),
    }
}

/// Whether a secret can go: no tablespace needs it.
pub(super) fn refuse_drop_secret(parts: &StateParts, name: &str) -> Result<(), CatalogError> {
    if !parts.secrets.contains_key(name) {
        return Err(CatalogError::NoSecret(name.to_owned()));
    }
    let using = parts.tablespaces.values().filter(|tablespace| tablespace.secret.as_deref() == Some(name));
    let tablespaces: Vec<String> = using.map(|tablespace| tablespace.name.clone()).collect();
    match tablespaces.is_empty() {
        true => Ok(()),
        false => Err(CatalogError::SecretUsed { secret: name.to_owned(), tablespaces }),
    }
}

/// Files of dropped tables stay until no snapshot needs them and they are removed: so long their tablespace says where they are.
/// `before` are commits that the store does not have yet, `state` is what they make.
pub(super) fn refuse_left_files(
    store: &mut dyn CatalogStore,
    state: &CatalogState,
    before: &[Transaction],
    changes: &[Change],
) -> Result<(), CatalogError> {
    for change in changes {
        let Change::DropTablespace(id) = change else { continue };
        let is_put = |change: &Change| matches!(change, Change::PutTable { def, .. } if def.tablespace == Some(*id));
        let is_planned = before.iter().flat_map(|transaction| &transaction.changes).any(is_put);
        if is_planned || store.has_tables(*id)? {
            let tablespace = state.tablespace_by_id(*id).map_or_else(|| id.to_string(), |def| def.name.clone());
            return Err(CatalogError::TablespaceNotEmpty { tablespace, table: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_overlap_by_whole_names() {
        let def = |location: &str| TablespaceDef {
            id: TablespaceId(1),
            name: "t".into(),
            location: location.into(),
            secret: None,
        };
        let overlaps = |a: &str, b: &str| def(a).overlaps(b);
        assert!(overlaps("s3://b/a", "s3://b/a"));
        assert!(overlaps("s3://b/a", "s3://b/a/c") && overlaps("s3://b/a/c", "s3://b/a"));
        assert!(overlaps("s3://b", "s3://b/a"), "the whole bucket");
        assert!(!overlaps("s3://b/a", "s3://b/ab") && !overlaps("s3://b", "s3://bb"));
        assert!(!overlaps("s3://b/a", "gs://b/a"));
    }
}
