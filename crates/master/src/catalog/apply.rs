//! What a step makes of a state.

use super::access::{self, dropped_by};
use super::error::CatalogError;
use super::files::{FileKey, Origin, TableFiles};
use super::object_ids::ObjectName;
use super::roles;
use super::state::{Relation, StateParts, TableEntry};
use super::store::Change;
use super::tablespaces;
use damson_cluster::{ContentId, DeleteVector, FileEntry, SnapshotId, TableId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Applies the changes of one statement, whose new definitions are of `snapshot`. Gives the files and delete vectors that no later
/// state has, with the snapshots that made them.
///
/// # Errors
/// [`CatalogError::RelationExists`], [`CatalogError::SchemaExists`], [`CatalogError::NoSchema`],
/// [`CatalogError::SchemaNotEmpty`], [`CatalogError::TableGone`], and those of secrets and tablespaces, where a name is not, or not any
/// more, as the changes need it.
pub(super) fn apply(parts: &mut StateParts, changes: &[Change], snapshot: SnapshotId) -> Result<Gone, CatalogError> {
    let mut unneeded = vec![];
    let mut added: BTreeMap<TableId, Vec<Arc<FileEntry>>> = BTreeMap::new();
    let mut dropped: BTreeMap<TableId, HashSet<FileKey>> = BTreeMap::new();
    let mut deletes: BTreeMap<TableId, Vec<(&FileKey, &DeleteVector)>> = BTreeMap::new();
    // A file's delete vector goes with it, or is replaced.
    let origins = origins(parts, changes);
    let origin_of = |table: &TableId, key: &FileKey| origins.get(table).and_then(|of| of.get(key));
    for change in changes {
        refuse(parts, change)?;
        if let Some(object) = dropped_by(change)
            && parts.access.contains_key(&object)
        {
            Arc::make_mut(&mut parts.access).remove(&object);
        }
        match change {
            Change::CreateSchema(name) => {
                Arc::make_mut(&mut parts.schemas).insert(name.clone());
            }
            Change::DropSchema(name) => {
                Arc::make_mut(&mut parts.schemas).remove(name);
                Arc::make_mut(&mut parts.object_ids).remove(&ObjectName::Schema(name.clone()));
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
            Change::PutObjectId { object, id } => {
                Arc::make_mut(&mut parts.object_ids).insert(object.clone(), *id);
            }
            Change::DropView { schema, name } => {
                let object = ObjectName::View(schema.clone(), name.clone());
                Arc::make_mut(&mut parts.object_ids).remove(&object);
                Arc::make_mut(&mut parts.relations).remove(&(schema.clone(), name.clone()));
            }
            Change::PutSequence(def) => {
                let key = (def.schema.clone(), def.name.clone());
                Arc::make_mut(&mut parts.relations).insert(key, Relation::Sequence(Arc::new(def.clone())));
            }
            Change::DropSequence { schema, name } => {
                Arc::make_mut(&mut parts.relations).remove(&(schema.clone(), name.clone()));
            }
            Change::PutMap(map) => _ = Arc::make_mut(&mut parts.maps).insert(map.version, Arc::new(map.clone())),
            Change::PutSecret { def, .. } => {
                Arc::make_mut(&mut parts.secrets).insert(def.name.clone(), Arc::new(def.clone()));
            }
            Change::DropSecret(name) => {
                Arc::make_mut(&mut parts.secrets).remove(name);
            }
            Change::PutTablespace(def) => {
                Arc::make_mut(&mut parts.tablespaces).insert(def.id, Arc::new(def.clone()));
            }
            Change::DropTablespace(id) => {
                Arc::make_mut(&mut parts.tablespaces).remove(id);
            }
            Change::PutRole(def) => {
                Arc::make_mut(&mut parts.roles).insert(def.id, Arc::new(def.clone()));
            }
            Change::DropRole(id) => {
                Arc::make_mut(&mut parts.roles).remove(id);
            }
            Change::PutAccess(def) => {
                Arc::make_mut(&mut parts.access).insert(def.object.clone(), Arc::new(def.clone()));
            }
            Change::AddFile(file) => added.entry(file.table).or_default().push(Arc::new(file.clone())),
            Change::DropFile { table, key } => {
                if let Some(origin) = origin_of(table, key) {
                    unneeded.push((key.clone(), origin.created));
                    unneeded.extend(origin.vector.clone());
                }
                dropped.entry(*table).or_default().insert(key.clone());
            }
            Change::PutDeletes { table, file, vector } => {
                unneeded.extend(origin_of(table, file).and_then(|origin| origin.vector.clone()));
                deletes.entry(*table).or_default().push((file, vector));
            }
            Change::PutCopied { .. }
            | Change::ForgetCopied(_)
            | Change::ForgetFile(_)
            | Change::NextTableId(_)
            | Change::PutPosition { .. }
            | Change::ForgetHistory(_)
            | Change::PutRetention(_)
            | Change::PutRestorePoint { .. }
            | Change::DropRestorePoint(_) => {}
        }
    }
    replace_files(parts, added, &dropped, &deletes);
    Ok(unneeded)
}

/// Files that are gone, and which snapshot made each.
pub(super) type Gone = Vec<(FileKey, SnapshotId)>;

/// Of the tables whose files the changes drop, or delete from.
fn origins(parts: &StateParts, changes: &[Change]) -> HashMap<TableId, HashMap<FileKey, Origin>> {
    let mut origins = HashMap::new();
    for change in changes {
        if let Change::DropFile { table, .. } | Change::PutDeletes { table, .. } = change
            && let Some(entry) = parts.table(*table)
        {
            origins.entry(*table).or_insert_with(|| entry.files.origins());
        }
    }
    origins
}

/// Whether the names that a change needs are there, and those that it takes are free.
fn refuse(parts: &StateParts, change: &Change) -> Result<(), CatalogError> {
    let is_free = |schema: &str, name: &str| {
        if !parts.schemas.contains(schema) {
            return Err(CatalogError::NoSchema(schema.to_owned()));
        }
        match parts.relations.get(&(schema.to_owned(), name.to_owned())) {
            Some(_) => Err(CatalogError::RelationExists(name.to_owned())),
            None => Ok(()),
        }
    };
    match change {
        Change::CreateSchema(name) if parts.schemas.contains(name) => Err(CatalogError::SchemaExists(name.clone())),
        Change::DropSchema(name) if !parts.schemas.contains(name) => Err(CatalogError::NoSchema(name.clone())),
        Change::DropSchema(name) if parts.relations.keys().any(|(schema, _)| schema == name) => {
            Err(CatalogError::SchemaNotEmpty(name.clone()))
        }
        Change::PutSecret { def, or_replace: false } if parts.secrets.contains_key(&def.name) => {
            Err(CatalogError::SecretExists(def.name.clone()))
        }
        Change::PutSecret { def, .. } => tablespaces::refuse_secret(parts, def),
        Change::DropSecret(name) => tablespaces::refuse_drop_secret(parts, name),
        Change::PutTablespace(def) => tablespaces::refuse_new(parts, def),
        Change::DropTablespace(id) => tablespaces::refuse_drop(parts, *id),
        Change::PutRole(def) => roles::refuse_put(parts, def),
        Change::DropRole(id) => roles::refuse_drop(parts, *id),
        Change::PutAccess(def) => access::refuse_put(parts, def),
        Change::PutTable { def, .. } if def.tablespace.is_some_and(|id| !parts.tablespaces.contains_key(&id)) => {
            Err(CatalogError::TablespaceGone)
        }
        Change::PutTable { def, .. } => match parts.table(def.id) {
            Some(entry) if (&entry.def.schema, &entry.def.name) == (&def.schema, &def.name) => Ok(()),
            _ => is_free(&def.schema, &def.name),
        },
        Change::PutMap(map) if parts.maps.keys().next_back().is_some_and(|newest| map.version.0 != newest.0 + 1) => {
            Err(CatalogError::Conflict { table: "the bucket map".into(), reason: "there is a newer one" })
        }
        Change::DropTable(id) if parts.table(*id).is_none() => Err(CatalogError::TableGone(*id)),
        Change::AddFile(FileEntry { table, .. }) if parts.table(*table).is_none() => {
            Err(CatalogError::TableGone(*table))
        }
        Change::PutCopied { file, .. } if parts.table(file.table).is_none() => Err(CatalogError::TableGone(file.table)),
        Change::DropView { schema, name } if parts.view(schema, name).is_none() => {
            Err(CatalogError::Conflict { table: format!("{schema}.{name}"), reason: "the view was dropped" })
        }
        Change::DropSequence { schema, name } if parts.sequence(schema, name).is_none() => {
            Err(CatalogError::Conflict { table: format!("{schema}.{name}"), reason: "the sequence was dropped" })
        }
        Change::PutSequence(def) => match parts.sequence(&def.schema, &def.name) {
            Some(_) => Ok(()),
            None => is_free(&def.schema, &def.name),
        },
        Change::PutView(view) => match parts.relations.get(&(view.schema.clone(), view.name.clone())) {
            Some(Relation::View(_)) => Ok(()),
            _ => is_free(&view.schema, &view.name),
        },
        _ => Ok(()),
    }
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
        for file in added.remove(&id).unwrap_or_default() {
            files.add(file);
        }
        // Of new files, too.
        let mut vectors: BTreeMap<ContentId, HashMap<&str, &DeleteVector>> = BTreeMap::new();
        for (file, vector) in deletes.get(&id).into_iter().flatten() {
            vectors.entry(file.content).or_default().insert(&file.path, vector);
        }
        vectors.into_iter().for_each(|(content, vectors)| files.put_deletes(content, vectors));
        parts.put_table(TableEntry::new(Arc::clone(&entry.def), files, entry.defined));
    }
}
