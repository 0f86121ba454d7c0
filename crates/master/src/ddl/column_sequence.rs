//! The sequences of serial and identity columns, and those that defaults name.

use super::relation::{find_relation, find_sequence};
use super::sequence::{Settled, settle};
use crate::catalog::{CatalogState, SequenceDef, SequenceOwner, Workspace};
use crate::error::{SqlError, SqlResult};
use crate::sql::{
    AlterAction, AlterTable, ColumnSpec, IdentitySpec, RelationName, SequenceOptions, nextval_of, qualify_sequences,
};
use damson_cluster::{Counting, TableDef, TableId};

/// Longest name that is made of others.
const NAME_BYTES_MAX: usize = 63;

/// A sequence to be made for a column.
#[derive(Clone, Debug)]
pub(super) struct ColumnSequence {
    schema: String,
    name: String,
    sql_type: String,
    counting: Counting,
    start: i64,
    /// Position of the column.
    column: usize,
    identity: bool,
}

impl ColumnSequence {
    /// For a column that a definition describes, at `column`. Its name is none of `taken`.
    ///
    /// # Errors
    /// 22023 for options.
    pub(super) fn of_spec(
        state: &CatalogState,
        (schema, table): (&str, &str),
        (column, spec): (usize, &ColumnSpec),
        identity: &IdentitySpec,
        taken: &[ColumnSequence],
    ) -> SqlResult<Self> {
        let options = SequenceOptions { data_type: Some(spec.sql_type.clone()), ..identity.options.clone() };
        let settled = settle(&options, None).map_err(|error| error.at(spec.name.position))?;
        let name = free_name(state, schema, table, &spec.name.text, taken);
        Ok(Self::named(schema, name, settled, column, !identity.serial))
    }

    /// For a column that is as another table's identity column.
    pub(super) fn like(
        state: &CatalogState,
        (schema, table): (&str, &str),
        (column, name): (usize, &str),
        other: &SequenceDef,
        taken: &[ColumnSequence],
    ) -> Self {
        let name = free_name(state, schema, table, name, taken);
        let SequenceDef { sql_type, counting, start, .. } = other.clone();
        Self::named(schema, name, Settled { sql_type, counting, start }, column, true)
    }

    fn named(schema: &str, name: String, settled: Settled, column: usize, identity: bool) -> Self {
        let Settled { sql_type, counting, start } = settled;
        ColumnSequence { schema: schema.to_owned(), name, sql_type, counting, start, column, identity }
    }

    /// The column's default.
    pub(super) fn default(&self) -> String {
        nextval_of(&self.schema, &self.name)
    }

    /// Makes it, owned by the column of `table`.
    ///
    /// # Errors
    /// The catalog's.
    pub(super) fn create(self, workspace: &mut Workspace, table: TableId) -> SqlResult<()> {
        let ColumnSequence { schema, name, sql_type, counting, start, column, identity } = self;
        let owner = Some(SequenceOwner { table, column, identity });
        let id = workspace.sequence_id()?;
        workspace.create_sequence(SequenceDef { schema, name, id, sql_type, counting, start, first: start, owner })?;
        Ok(())
    }
}

/// The sequence of an identity column.
pub(super) fn identity_sequence<'a>(
    state: &'a CatalogState,
    table: &TableDef,
    column: usize,
) -> Option<&'a SequenceDef> {
    let is_its = |owner: SequenceOwner| owner.identity && (owner.table, owner.column) == (table.id, column);
    state.sequences().find(|def| def.owner.is_some_and(is_its)).map(AsRef::as_ref)
}

/// `ADD COLUMN` of a serial or identity column: makes the sequence, and gives the action with the default that takes from it. None
/// where there is nothing to make, or the column cannot be added anyway.
///
/// # Errors
/// 22023 for options, and the catalog's.
pub fn add_column_sequence(
    workspace: &mut Workspace,
    alter: &AlterTable,
    search_schema: &str,
) -> SqlResult<Option<AlterTable>> {
    let AlterAction::AddColumn { column: spec, if_not_exists, checks } = &alter.action else { return Ok(None) };
    let state = workspace.state();
    let entry = state.table(alter.table.schema_or(search_schema), &alter.table.name);
    let (Some(identity), Some(entry)) = (&spec.identity, entry) else { return Ok(None) };
    if entry.def.columns.iter().any(|column| column.name == spec.name.text) {
        return Ok(None);
    }
    let (table, position) = ((entry.def.schema.as_str(), entry.def.name.as_str()), entry.def.columns.len());
    let sequence = ColumnSequence::of_spec(&state, table, (position, spec), identity, &[])?;
    let column = ColumnSpec { default: Some(sequence.default()), ..spec.clone() };
    sequence.create(workspace, entry.def.id)?;
    let action = AlterAction::AddColumn { column, if_not_exists: *if_not_exists, checks: checks.clone() };
    Ok(Some(AlterTable { action, ..alter.clone() }))
}

/// A default as it is kept: sequences named with their schemas. NULL is none.
///
/// # Errors
/// 42P01, 42809.
pub(super) fn kept_default(default: &str, state: &CatalogState, search_schema: &str) -> SqlResult<Option<String>> {
    if default.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    let find = |name: &RelationName| {
        // The position would be that of the name in its quotes.
        let found = find_sequence(state, name, search_schema);
        found.map(|def| (def.schema.clone(), def.name.clone())).map_err(|e| SqlError { position: None, ..e })
    };
    qualify_sequences(default, find).map(Some)
}

/// `table_column_seq` as PostgreSQL makes it: cut to fit, with a number where it is taken.
fn free_name(state: &CatalogState, schema: &str, table: &str, column: &str, taken: &[ColumnSequence]) -> String {
    let is_free = |name: &String| {
        let relation = RelationName { schema: Some(schema.to_owned()), name: name.clone(), position: 1 };
        find_relation(state, &relation, schema).is_none() && !taken.iter().any(|other| other.name == *name)
    };
    let suffixes = std::iter::once("seq".to_owned()).chain((1..).map(|number| format!("seq{number}")));
    let mut names = suffixes.map(|suffix| joined(table, column, &suffix));
    names.find(is_free).expect("numbers do not end")
}

fn joined(table: &str, column: &str, suffix: &str) -> String {
    let room = NAME_BYTES_MAX - suffix.len() - 2;
    let (mut of_table, mut of_column) = (table.len(), column.len());
    while of_table + of_column > room {
        if of_table > of_column {
            of_table -= 1;
        } else {
            of_column -= 1;
        }
    }
    let cut = |name: &str, bytes: usize| name[..name.floor_char_boundary(bytes)].to_owned();
    format!("{}_{}_{suffix}", cut(table, of_table), cut(column, of_column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_postgresql_cuts_them() {
        assert_eq!(joined("t", "id", "seq"), "t_id_seq");
        let long = joined(&"t".repeat(60), &"c".repeat(60), "seq");
        assert_eq!(long, format!("{}_{}_seq", "t".repeat(29), "c".repeat(29)));
        let short = joined(&"t".repeat(63), "id", "seq12");
        assert_eq!((short.len(), short.ends_with("t_id_seq12")), (63, true));
        assert!(joined(&"ä".repeat(40), "id", "seq").len() <= NAME_BYTES_MAX, "and between characters");
    }
}
