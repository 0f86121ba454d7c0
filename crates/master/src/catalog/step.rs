//! One statement's changes, and what they rely on.

use super::access::{AccessDef, Object};
use super::apply::{Gone, apply};
use super::error::CatalogError;
use super::files::{FileKey, TableFiles};
use super::roles::{RoleDef, RoleId};
use super::sequences::{SequenceDef, check_defaults};
use super::state::{CatalogState, Relation, StateParts, TableEntry, ViewDef};
use super::store::Change;
use crate::sql::{NEXTVAL, sequences_of};
use damson_cluster::{ContentId, SequenceId, SnapshotId, TableDef, TableId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The changes of one statement of a transaction, planned on the state that the statement read. They can be made of a later state,
/// if what they rely on is still so.
#[derive(Debug)]
pub(super) struct Step {
    pub changes: Vec<Change>,
    relies_on: BTreeMap<TableId, Reliance>,
    /// Views that it makes, drops or names, as they were; None where there was none.
    views: BTreeMap<(String, String), Option<Arc<ViewDef>>>,
    /// Sequences that it makes, changes or drops, as they were; None where there was none.
    sequences: BTreeMap<(String, String), Option<Arc<SequenceDef>>>,
    /// Roles that it makes, changes or drops, as they were; None where there was none.
    roles: BTreeMap<RoleId, Option<Arc<RoleDef>>>,
    /// What it changes of who may do what, as it was; None where nothing was said.
    access: BTreeMap<Object, Option<Arc<AccessDef>>>,
    /// Sequences from which its rows may have values: these must not begin anew.
    takes: BTreeMap<(String, String), SequenceId>,
    /// It is right only where there are no relations but the transaction's own.
    on_empty: bool,
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
    /// Files that it had, if no row may be added to it: those whose rows were read, to see whether a key is free.
    known: Option<TableFiles>,
}

impl Reliance {
    fn on(entry: &TableEntry) -> Self {
        let (name, defined) = (entry.def.qualified_name(), entry.defined);
        Reliance { name, defined, def: None, files: HashMap::new(), all_files: false, known: None }
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
        let (mut views, mut sequences) = (BTreeMap::new(), BTreeMap::new());
        let (mut roles, mut access) = (BTreeMap::new(), BTreeMap::new());
        let mut read: BTreeMap<TableId, BTreeSet<&FileKey>> = BTreeMap::new();
        for change in &changes {
            let (table, all_files) = match change {
                Change::AddFile(file) => (file.table, false),
                Change::PutCopied { file, .. } => (file.table, false),
                Change::ForgetCopied(table) => (*table, false),
                Change::DropFile { table, key: file } | Change::PutDeletes { table, file, .. } => {
                    read.entry(*table).or_default().insert(file);
                    (*table, false)
                }
                Change::PutTable { def, .. } => (def.id, false),
                Change::DropTable(id) => (*id, true),
                Change::PutView(view) => {
                    let named = view.references.iter().cloned().chain([(view.schema.clone(), view.name.clone())]);
                    for name in named {
                        match base.relation(&name.0, &name.1) {
                            // A view's columns are those that the tables had when it was made.
                            Some(Relation::Table(entry)) => {
                                let reliance = relies_on.entry(entry.def.id).or_insert_with(|| Reliance::on(entry));
                                reliance.def = Some(Arc::clone(&entry.def));
                            }
                            Some(Relation::View(view)) => _ = views.insert(name, Some(Arc::clone(view))),
                            Some(Relation::Sequence(_)) | None => _ = views.insert(name, None),
                        }
                    }
                    continue;
                }
                Change::DropView { schema, name } => {
                    let view = base.view(schema, name).map(Arc::clone);
                    views.insert((schema.clone(), name.clone()), view);
                    continue;
                }
                Change::PutSequence(def) => {
                    let name = (def.schema.clone(), def.name.clone());
                    sequences.insert(name, base.sequence(&def.schema, &def.name).map(Arc::clone));
                    match def.owner {
                        Some(owner) => (owner.table, false),
                        None => continue,
                    }
                }
                Change::DropSequence { schema, name } => {
                    let def = base.sequence(schema, name).map(Arc::clone);
                    sequences.insert((schema.clone(), name.clone()), def);
                    continue;
                }
                Change::PutRole(RoleDef { id, .. }) | Change::DropRole(id) => {
                    roles.insert(*id, base.role_by_id(*id).map(Arc::clone));
                    continue;
                }
                Change::PutAccess(def) => {
                    access.insert(def.object.clone(), base.access.get(&def.object).map(Arc::clone));
                    continue;
                }
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
            // Rows that are only added rely on no file, of which there may be many.
            if reliance.all_files || !files.is_empty() {
                reliance.rely_on(entry, |file| files.contains(file));
            }
        }
        let takes = taken(&changes, base);
        Step { changes, relies_on, views, sequences, roles, access, takes, on_empty: false }
    }

    /// As [`Step::new`], of changes that rely on all files of the tables.
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

    /// As the step, which relies on no rows being added to `tables`.
    pub(super) fn of_all_rows(mut self, base: &CatalogState, tables: &[TableId]) -> Self {
        for table in tables {
            // What only the transaction has made cannot change under it.
            let Some(entry) = base.table_by_id(*table) else { continue };
            let reliance = self.relies_on.entry(*table).or_insert_with(|| Reliance::on(entry));
            reliance.known = Some(entry.files.clone());
        }
        self
    }

    /// No changes, but nothing may be there before the transaction's own.
    pub(super) fn on_empty(base: &CatalogState) -> Self {
        Step { on_empty: true, ..Step::new(vec![], base) }
    }

    /// Whether it only adds files, as INSERT and COPY do, and records what was loaded.
    pub(super) fn only_adds(&self) -> bool {
        !self.on_empty
            && self.changes.iter().all(|change| matches!(change, Change::AddFile(_) | Change::PutCopied { .. }))
    }

    /// Makes one step of two that only add files.
    pub(super) fn append(&mut self, other: Step) {
        assert!(self.only_adds() && other.only_adds(), "other steps are applied one after the other");
        self.changes.extend(other.changes);
        // What both rely on of a table was so in the later base, too.
        for (table, reliance) in other.relies_on {
            let known = reliance.known.clone();
            let own = self.relies_on.entry(table).or_insert(reliance);
            own.known = own.known.take().or(known);
        }
        other.takes.into_iter().for_each(|(name, id)| _ = self.takes.entry(name).or_insert(id));
    }

    /// Whether all that it relies on is so in `state`.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`].
    fn check<'a>(&self, state: &'a CatalogState, files: &mut VectorsByFile<'a>) -> Result<(), CatalogError> {
        for (id, reliance) in &self.relies_on {
            let conflict = |reason| Err(CatalogError::Conflict { table: reliance.name.clone(), reason });
            let Some(entry) = state.table_by_id(*id) else { return conflict("it was dropped") };
            if entry.defined != reliance.defined || reliance.def.as_ref().is_some_and(|def| *def != entry.def) {
                return conflict("it was redefined");
            }
            if !reliance.files.is_empty() {
                let now = files.entry(*id).or_insert_with(|| vectors_by_file(entry));
                let is_as_read = |(file, read): (&FileKey, &Option<String>)| {
                    now.get(&(file.content, file.path.as_str())).is_some_and(|vector| *vector == read.as_deref())
                };
                if !reliance.files.iter().all(is_as_read) {
                    return conflict("its rows were changed");
                }
            }
            if reliance.all_files && entry.files.len() != reliance.files.len() {
                return conflict("rows were added to it");
            }
            if reliance.known.as_ref().is_some_and(|known| !entry.files.adds_nothing_to(known)) {
                return conflict("rows were added to it");
            }
        }
        for ((schema, name), view) in &self.views {
            if state.view(schema, name) != view.as_ref() {
                let table = format!("{schema}.{name}");
                return Err(CatalogError::Conflict { table, reason: "the view was changed" });
            }
        }
        for ((schema, name), def) in &self.sequences {
            if state.sequence(schema, name) != def.as_ref() {
                let table = format!("{schema}.{name}");
                return Err(CatalogError::Conflict { table, reason: "the sequence was changed" });
            }
        }
        for (id, def) in &self.roles {
            if state.role_by_id(*id) != def.as_ref() {
                let table = def.as_ref().map_or_else(|| id.0.to_string(), |def| def.name.clone());
                return Err(CatalogError::Conflict { table, reason: "the role was changed" });
            }
        }
        for (object, def) in &self.access {
            if state.access.get(object) != def.as_ref() {
                let table = object.described(&state.parts());
                return Err(CatalogError::Conflict { table, reason: "its privileges were changed" });
            }
        }
        for ((schema, name), id) in &self.takes {
            if state.sequence(schema, name).map(|def| def.id) != Some(*id) {
                let table = format!("{schema}.{name}");
                return Err(CatalogError::Conflict { table, reason: "the sequence begins anew" });
            }
        }
        if self.on_empty
            && let Some(relation) = state.relations().next()
        {
            return Err(CatalogError::NotEmpty(relation.qualified_name()));
        }
        Ok(())
    }
}

/// The sequences that rows of tables with new files may have taken values from.
fn taken(changes: &[Change], base: &CatalogState) -> BTreeMap<(String, String), SequenceId> {
    let tables: BTreeSet<TableId> = changes
        .iter()
        .filter_map(|change| match change {
            Change::AddFile(file) => Some(file.table),
            _ => None,
        })
        .collect();
    let entries = tables.into_iter().filter_map(|table| base.table_by_id(table));
    let defaults = entries.flat_map(|entry| entry.def.columns.iter().filter_map(|column| column.default.as_deref()));
    let names = defaults.filter(|default| default.contains(NEXTVAL)).flat_map(sequences_of);
    names.filter_map(|name| base.sequence(&name.0, &name.1).map(|def| def.id).map(|id| (name, id))).collect()
}

/// For each table that was asked for: its files, and their delete vectors.
type VectorsByFile<'a> = HashMap<TableId, HashMap<(ContentId, &'a str), Option<&'a str>>>;

fn vectors_by_file(entry: &TableEntry) -> HashMap<(ContentId, &str), Option<&str>> {
    let mut vectors = HashMap::with_capacity(entry.files.len());
    for file in entry.files.iter() {
        let vector = file.deletes.as_ref().map(|vector| vector.path.as_str());
        vectors.insert((file.content, file.path.as_str()), vector);
    }
    vectors
}

/// Whether all that `steps` rely on is so in `state`.
///
/// # Errors
/// [`CatalogError::Conflict`].
pub(super) fn check(steps: &[Step], state: &CatalogState) -> Result<(), CatalogError> {
    let mut files = VectorsByFile::new();
    steps.iter().try_for_each(|step| step.check(state, &mut files))
}

/// The state after `steps`, of which new definitions are of `snapshot`; and the files that it and all later ones do not have.
///
/// # Errors
/// As [`check`], and where a name is not free any more, or gone.
pub(super) fn replay(
    state: &CatalogState,
    steps: &[Step],
    snapshot: SnapshotId,
) -> Result<(StateParts, Gone), CatalogError> {
    check(steps, state)?;
    make(state, steps, snapshot)
}

/// As [`replay`], of the very state that `steps` were planned on.
pub(super) fn make(
    state: &CatalogState,
    steps: &[Step],
    snapshot: SnapshotId,
) -> Result<(StateParts, Gone), CatalogError> {
    let mut parts = state.parts();
    let mut unneeded = vec![];
    for step in steps {
        unneeded.extend(apply(&mut parts, &step.changes, snapshot)?);
    }
    check_views(state, &parts, steps)?;
    check_defaults(&parts, steps.iter().flat_map(|step| &step.changes))?;
    Ok((parts, unneeded))
}

/// Views that `steps` made, or that use what `steps` took away, must find all that they name, and not themselves.
fn check_views(before: &CatalogState, parts: &StateParts, steps: &[Step]) -> Result<(), CatalogError> {
    let changes = || steps.iter().flat_map(|step| &step.changes);
    let is_gone = |name: &(String, String)| !parts.relations.contains_key(name);
    let left = |change: &Change| match change {
        Change::DropTable(id) => before.table_names.get(id).cloned(),
        Change::PutTable { def, .. } => {
            let is_other = |name: &&(String, String)| (&name.0, &name.1) != (&def.schema, &def.name);
            before.table_names.get(&def.id).filter(is_other).cloned()
        }
        Change::DropView { schema, name } => Some((schema.clone(), name.clone())),
        _ => None,
    };
    // What took such a name afterwards is not what the views of others were made of.
    let left: BTreeSet<(String, String)> = changes().filter_map(left).collect();
    if !left.is_empty() {
        let needs = |view: &Arc<ViewDef>| {
            let is_others = before.view(&view.schema, &view.name).is_some_and(|old| Arc::ptr_eq(old, view));
            let name = view.references.iter().find(|name| is_others && left.contains(name))?;
            Some((format!("{}.{}", name.0, name.1), format!("view {}", view.qualified_name())))
        };
        if let Some((relation, view)) = parts.views().find_map(needs) {
            return Err(CatalogError::Needed { relation, dependents: vec![view] });
        }
    }
    for change in changes() {
        let Change::PutView(view) = change else { continue };
        let name = (view.schema.clone(), view.name.clone());
        // Dropped again, or replaced.
        let Some(view) = parts.view(&name.0, &name.1) else { continue };
        if let Some((schema, name)) = view.references.iter().find(|name| is_gone(name)) {
            return Err(CatalogError::Conflict { table: format!("{schema}.{name}"), reason: "it was dropped" });
        }
        if uses(|schema, name| parts.view(schema, name), &view.references, &name) {
            return Err(CatalogError::RecursiveView(name.1));
        }
    }
    Ok(())
}

/// True if one of `references` is `name`, or is a view that uses it.
pub(super) fn uses<'a>(
    view: impl Fn(&str, &str) -> Option<&'a Arc<ViewDef>>,
    references: &BTreeSet<(String, String)>,
    name: &(String, String),
) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<(String, String)> = references.iter().cloned().collect();
    while let Some(reference) = open.pop() {
        if reference == *name {
            return true;
        }
        if !seen.contains(&reference)
            && let Some(view) = view(&reference.0, &reference.1)
        {
            open.extend(view.references.iter().cloned());
        }
        seen.insert(reference);
    }
    false
}
