//! Sequences: their definitions, and what changes them. Where they are is in [`counters`](super::counters).

use super::error::CatalogError;
use super::state::{CatalogState, Relation, StateParts, TableEntry};
use super::store::Change;
use super::workspace::Workspace;
use crate::sql::sequences_of;
use damson_cluster::{ColumnDef, Counting, Sequence, SequenceId, SequencePosition, TableDef, TableId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A sequence. Its name is in the name space of tables and views.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceDef {
    pub schema: String,
    pub name: String,
    /// Of its values: RESTART gives it another, so that it is undone with its transaction.
    pub id: SequenceId,
    /// `smallint`, `integer` or `bigint`.
    pub sql_type: String,
    pub counting: Counting,
    /// Where RESTART without a value begins.
    pub start: i64,
    /// Where `id` begins.
    pub first: i64,
    pub owner: Option<SequenceOwner>,
}

/// The column that a sequence is dropped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOwner {
    pub table: TableId,
    /// Position in [`TableDef::columns`].
    pub column: usize,
    /// It is an identity column's: neither can be without the other.
    pub identity: bool,
}

impl SequenceDef {
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Before its first value.
    pub fn beginning(&self) -> SequencePosition {
        SequencePosition { last: self.first, is_called: false }
    }

    /// For those who take its values.
    pub fn sequence(&self) -> Sequence {
        Sequence { id: self.id, name: self.name.clone(), counting: self.counting.clone() }
    }
}

impl Workspace {
    /// An id for a sequence's values.
    ///
    /// # Errors
    /// The store's.
    pub fn sequence_id(&mut self) -> Result<SequenceId, CatalogError> {
        self.next_id().map(|id| SequenceId(id.0))
    }

    /// # Errors
    /// [`CatalogError::NoSchema`], [`CatalogError::RelationExists`].
    pub fn create_sequence(&mut self, def: SequenceDef) -> Result<(), CatalogError> {
        if self.state().relation(&def.schema, &def.name).is_some() {
            return Err(CatalogError::RelationExists(def.name));
        }
        self.put_sequence(def)
    }

    /// Gives a sequence another definition; with another id, it begins anew.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if there is none of that name.
    pub fn alter_sequence(&mut self, def: SequenceDef) -> Result<(), CatalogError> {
        match self.state().sequence(&def.schema, &def.name) {
            Some(_) => self.put_sequence(def),
            None => Err(CatalogError::Conflict { table: def.qualified_name(), reason: "the sequence was dropped" }),
        }
    }

    fn put_sequence(&mut self, def: SequenceDef) -> Result<(), CatalogError> {
        let known = self.state().sequence(&def.schema, &def.name).map(|old| old.id);
        if known != Some(def.id) {
            self.catalog().begin_counter(def.id, def.beginning());
        }
        self.change(|_| Ok((vec![Change::PutSequence(def)], ())))
    }
}

/// What a default that takes from a sequence is called where that is dropped.
fn default_of(table: &TableDef, column: &ColumnDef) -> String {
    format!("default value for column {} of table {}", column.name, table.qualified_name())
}

fn uses(column: &ColumnDef, names: &BTreeSet<(String, String)>) -> bool {
    column.default.as_deref().is_some_and(|default| sequences_of(default).iter().any(|name| names.contains(name)))
}

/// Names of the sequences that tables of `names` own.
pub(super) fn owned_by(state: &CatalogState, names: &BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
    let id = |name: &(String, String)| state.table(&name.0, &name.1).map(|entry| entry.def.id);
    let tables: BTreeSet<TableId> = names.iter().filter_map(id).collect();
    let owned = state.sequences().filter(|def| def.owner.is_some_and(|owner| tables.contains(&owner.table)));
    owned.map(|def| (def.schema.clone(), def.name.clone())).collect()
}

/// The defaults that take from one of `names`, of tables that are not among `gone`: without them, and what they are called.
pub(super) fn defaults_from(
    state: &CatalogState,
    names: &BTreeSet<(String, String)>,
    gone: &BTreeSet<(String, String)>,
) -> (Vec<Change>, Vec<String>) {
    let (mut changes, mut described) = (vec![], vec![]);
    if !names.iter().any(|(schema, name)| state.sequence(schema, name).is_some()) {
        return (changes, described);
    }
    let stays =
        |entry: &&std::sync::Arc<TableEntry>| !gone.contains(&(entry.def.schema.clone(), entry.def.name.clone()));
    for entry in state.tables().filter(stays) {
        let mut def = (*entry.def).clone();
        for column in def.columns.iter_mut().filter(|column| uses(column, names)) {
            described.push(default_of(&entry.def, column));
            column.default = None;
        }
        if def != *entry.def {
            changes.push(Change::PutTable { def, redefined: false });
        }
    }
    (changes, described)
}

/// Whether the sequences are there that defaults take from, after `changes`.
///
/// # Errors
/// [`CatalogError::Conflict`] for a table that `changes` define; [`CatalogError::Needed`] for another, from whose default a sequence is
/// taken away.
pub(super) fn check_defaults<'a>(
    parts: &StateParts,
    changes: impl Iterator<Item = &'a Change> + Clone,
) -> Result<(), CatalogError> {
    let missing = |table: &TableDef| {
        table.columns.iter().find_map(|column| {
            let names = column.default.as_deref().map(sequences_of).unwrap_or_default();
            let missing =
                names.into_iter().find(|name| !matches!(parts.relations.get(name), Some(Relation::Sequence(_))));
            missing.map(|(schema, name)| (format!("{schema}.{name}"), default_of(table, column)))
        })
    };
    for change in changes.clone() {
        if let Change::PutTable { def, .. } = change
            && let Some(entry) = parts.table(def.id)
            && let Some((table, _)) = missing(&entry.def)
        {
            return Err(CatalogError::Conflict { table, reason: "the sequence was dropped" });
        }
    }
    if !changes.clone().any(|change| matches!(change, Change::DropSequence { .. })) {
        return Ok(());
    }
    let tables = parts.relations.values().filter_map(|relation| match relation {
        Relation::Table(entry) => Some(entry),
        Relation::View(_) | Relation::Sequence(_) => None,
    });
    match tables.into_iter().find_map(|entry| missing(&entry.def)) {
        Some((relation, default)) => Err(CatalogError::Needed { relation, dependents: vec![default] }),
        None => Ok(()),
    }
}
