//! One statement's changes, and what they rely on.

use super::apply::apply;
use super::error::CatalogError;
use super::files::FileKey;
use super::state::{CatalogState, StateParts, TableEntry};
use super::store::Change;
use damson_cluster::{FileEntry, SnapshotId, TableDef, TableId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The changes of one statement of a transaction, planned on the state that the statement read. They can be made of a later state,
/// if what they rely on is still so.
#[derive(Debug)]
pub(super) struct Step {
    pub changes: Vec<Change>,
    relies_on: BTreeMap<TableId, Reliance>,
}

/// What was read of one table.
#[derive(Debug)]
struct Reliance {
    /// Its qualified name, for messages.
    name: String,
    /// The snapshot of its definition, by which rows were written.
    defined: SnapshotId,
    /// Its whole definition, where that is replaced.
    def: Option<Arc<TableDef>>,
    /// Files whose rows were read, and the delete vectors that they had.
    files: HashMap<FileKey, Option<String>>,
    /// Whether `files` are all that it has.
    all_files: bool,
}

impl Reliance {
    fn on(entry: &TableEntry) -> Self {
        let (name, defined) = (entry.def.qualified_name(), entry.defined);
        Reliance { name, defined, def: None, files: HashMap::new(), all_files: false }
    }

    fn rely_on(&mut self, entry: &TableEntry, is_read: impl Fn(&FileKey) -> bool) {
        for file in entry.files.iter() {
            let key = FileKey::of(file);
            if self.all_files || is_read(&key) {
                self.files.insert(key, file.deletes.as_ref().map(|vector| vector.path.clone()));
            }
        }
    }
}

impl Step {
    /// `base` is the snapshot below the transaction's own changes: what is only the transaction's cannot change under it.
    pub(super) fn new(changes: Vec<Change>, base: &CatalogState) -> Self {
        let mut relies_on: BTreeMap<TableId, Reliance> = BTreeMap::new();
        let mut read: BTreeMap<TableId, BTreeSet<&FileKey>> = BTreeMap::new();
        for change in &changes {
            let (table, all_files) = match change {
                Change::AddFile(file) => (file.table, false),
                Change::DropFile { table, key: file } | Change::PutDeletes { table, file, .. } => {
                    read.entry(*table).or_default().insert(file);
                    (*table, false)
                }
                Change::PutTable { def, .. } => (def.id, false),
                Change::DropTable(id) => (*id, true),
                _ => continue,
            };
            let Some(entry) = base.table_by_id(table) else { continue };
            let reliance = relies_on.entry(table).or_insert_with(|| Reliance::on(entry));
            reliance.all_files |= all_files;
            if let Change::PutTable { .. } = change {
                reliance.def = Some(Arc::clone(&entry.def));
            }
        }
        for (table, reliance) in &mut relies_on {
            let (Some(entry), files) = (base.table_by_id(*table), read.remove(table).unwrap_or_default()) else {
                continue;
            };
            reliance.rely_on(entry, |file| files.contains(file));
        }
        Step { changes, relies_on }
    }

    /// As [`Step::new`], of changes that leave nothing of the files that the tables had.
    pub(super) fn of_all_files(changes: Vec<Change>, base: &CatalogState, tables: &[TableId]) -> Self {
        let mut step = Step::new(changes, base);
        for table in tables {
            // What only the transaction has made cannot change under it.
            let Some(entry) = base.table_by_id(*table) else { continue };
            let reliance = step.relies_on.entry(*table).or_insert_with(|| Reliance::on(entry));
            reliance.all_files = true;
            reliance.rely_on(entry, |_| true);
        }
        step
    }

    /// Whether it only adds files, as INSERT and COPY do.
    pub(super) fn only_adds(&self) -> bool {
        self.changes.iter().all(|change| matches!(change, Change::AddFile(_)))
    }

    /// Makes one step of two that only add files.
    pub(super) fn append(&mut self, other: Step) {
        assert!(self.only_adds() && other.only_adds(), "other steps are applied one after the other");
        self.changes.extend(other.changes);
        // Both were planned on one base: they rely on the same of a table.
        self.relies_on.extend(other.relies_on);
    }

    /// Whether all that it relies on is so in `state`.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`], [`CatalogError::TableGone`].
    pub(super) fn check(&self, state: &CatalogState) -> Result<(), CatalogError> {
        for (id, reliance) in &self.relies_on {
            let conflict = |reason| Err(CatalogError::Conflict { table: reliance.name.clone(), reason });
            let entry = state.table_by_id(*id).ok_or(CatalogError::TableGone(*id))?;
            if entry.defined != reliance.defined || reliance.def.as_ref().is_some_and(|def| *def != entry.def) {
                return conflict("it was redefined");
            }
            let is_as_read = |file: &FileKey, vector: Option<&String>| {
                reliance.files.get(file).is_some_and(|read| read.as_ref() == vector)
            };
            if !reliance.files.is_empty() {
                let vector = |file: &FileEntry| file.deletes.as_ref().map(|vector| vector.path.clone());
                let as_read = entry.files.iter().filter(|file| is_as_read(&FileKey::of(file), vector(file).as_ref()));
                if as_read.count() != reliance.files.len() {
                    return conflict("its rows were changed");
                }
            }
            if reliance.all_files && entry.files.len() != reliance.files.len() {
                return conflict("rows were added to it");
            }
        }
        Ok(())
    }
}

/// The state after `steps`, of which new definitions are of `snapshot`; and the files that nothing needs after it.
///
/// # Errors
/// As [`Step::check`], and where a name is not free any more, or gone.
pub(super) fn replay(
    state: &CatalogState,
    steps: &[Step],
    snapshot: SnapshotId,
) -> Result<(StateParts, Vec<FileKey>), CatalogError> {
    steps.iter().try_for_each(|step| step.check(state))?;
    make(state, steps, snapshot)
}

/// As [`replay`], of the very state that `steps` were planned on.
pub(super) fn make(
    state: &CatalogState,
    steps: &[Step],
    snapshot: SnapshotId,
) -> Result<(StateParts, Vec<FileKey>), CatalogError> {
    let mut parts = state.parts();
    let mut unneeded = vec![];
    for step in steps {
        unneeded.extend(apply(&mut parts, &step.changes, snapshot)?);
    }
    check_views(&parts, steps)?;
    Ok((parts, unneeded))
}

/// Views that `steps` made, or that use what `steps` dropped, must find all that they name.
fn check_views(parts: &StateParts, steps: &[Step]) -> Result<(), CatalogError> {
    let changes = || steps.iter().flat_map(|step| &step.changes);
    let is_there = |name: &(String, String)| parts.relations.contains_key(name);
    if changes().any(|change| matches!(change, Change::DropTable(_) | Change::DropView { .. })) {
        let views = parts.views().filter_map(|view| Some((view, view.references.iter().find(|name| !is_there(name))?)));
        if let Some((view, (schema, name))) = views.into_iter().next() {
            let relation = format!("{schema}.{name}");
            return Err(CatalogError::Needed { relation, dependents: vec![view.qualified_name()] });
        }
    }
    for change in changes() {
        if let Change::PutView(view) = change
            && parts.view(&view.schema, &view.name).is_some()
            && let Some((schema, name)) = view.references.iter().find(|name| !is_there(name))
        {
            return Err(CatalogError::Conflict { table: format!("{schema}.{name}"), reason: "it was dropped" });
        }
    }
    Ok(())
}
