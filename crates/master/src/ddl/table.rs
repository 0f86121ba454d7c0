//! CREATE TABLE.

use super::column_sequence::{ColumnSequence, identity_sequence};
use super::columns::{check_new, define};
use super::constraints::Constraints;
use super::layout::laid_out;
use super::relation::{already_exists, find_relation, find_table, skipped_existing, target_schema};
use super::{CommandDone, distribution};
use crate::catalog::{CatalogState, CreateTableOutcome, NewTable, Workspace};
use crate::error::SqlResult;
use crate::sql::{ColumnSpec, CreateTable, Including};
use damson_cluster::{ColumnDef, Compression, Distribution, TableDef, TablespaceId};

/// Without `WITH (compresstype=…)`: decodes fastest of those that shrink.
pub const DEFAULT_COMPRESSION: Compression = Compression::Lz4;

/// Makes an empty table in a tablespace, and the sequences of its columns.
///
/// # Errors
/// 42P07, 42701, 42703, 3F000, 42P16, 42883, 0A000, and the catalog's.
pub fn create_table(
    workspace: &mut Workspace,
    create: &CreateTable,
    search_schema: &str,
    tablespace: Option<TablespaceId>,
) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let mut done = CommandDone::new("CREATE TABLE");
    let schema = target_schema(&state, &create.table, search_schema)?;
    if find_relation(&state, &create.table, search_schema).is_some() {
        if !create.if_not_exists {
            return Err(already_exists(&create.table.name).at(create.table.position));
        }
        done.notices.push(skipped_existing(&create.table.name));
        return Ok(done);
    }
    let (new, sequences, notices) = define_table(&state, create, schema, search_schema)?;
    let id = workspace.next_id()?;
    for sequence in sequences {
        sequence.create(workspace, id)?;
    }
    let new = NewTable { id: Some(id), tablespace, ..new };
    match workspace.create_table(new, Vec::new(), create.if_not_exists)? {
        CreateTableOutcome::Created(_) => done.notices = notices,
        // Another session was quicker.
        CreateTableOutcome::Exists => done.notices.push(skipped_existing(&create.table.name)),
    }
    Ok(done)
}

fn define_table(
    state: &CatalogState,
    create: &CreateTable,
    schema: String,
    search_schema: &str,
) -> SqlResult<(NewTable, Vec<ColumnSequence>, Vec<String>)> {
    let mut notices = Vec::new();
    let mut columns: Vec<ColumnDef> = Vec::with_capacity(create.columns.len());
    let mut sequences: Vec<ColumnSequence> = vec![];
    let table = (schema.as_str(), create.table.name.as_str());
    for spec in &create.columns {
        check_new(&columns, &spec.name.text).map_err(|error| error.at(spec.name.position))?;
        let column = match &spec.identity {
            None => define(spec, state, search_schema)?,
            Some(identity) => {
                let sequence = ColumnSequence::of_spec(state, table, (columns.len(), spec), identity, &sequences)?;
                let default = Some(sequence.default());
                sequences.push(sequence);
                define(&ColumnSpec { default, ..spec.clone() }, state, search_schema)?
            }
        };
        columns.push(column);
    }
    let mut constraints = Constraints { table: create.table.name.clone(), keys: vec![], checks: vec![] };
    let like = create.like.as_ref();
    let entry = like.map(|like| find_table(state, &like.table, search_schema)).transpose()?;
    if let (Some(like), Some(entry)) = (like, &entry) {
        (columns, sequences) = columns_like(state, table, &entry.def, &like.including);
        constraints.copy(&entry.def, &like.including, &columns);
    }
    for key in &create.keys {
        constraints.add_key(key, &mut columns)?;
    }
    for check in &create.checks {
        constraints.add_check(check, &columns)?;
    }
    let Constraints { keys, checks, .. } = constraints;
    let (distribution, notice) = match (&create.distribution, &entry) {
        (Some(clause), _) => (distribution::of_clause(clause, &columns, &keys)?, None),
        (None, Some(like)) => (like.def.distribution.clone(), like_notice(&like.def.distribution, &columns)),
        (None, None) => distribution::by_default(&columns, &keys)?,
    };
    notices.extend(notice);
    if create.foreign_key {
        notices.push("FOREIGN KEY constraints are not enforced, and not kept.".into());
    }
    let copied = entry.as_ref().filter(|_| like.is_some_and(|like| like.including.storage));
    let before = copied.map(|like| like.def.layout.clone()).unwrap_or_default();
    let layout = laid_out(&before, &create.layout, &columns)?;
    let new = NewTable {
        id: None,
        schema,
        name: create.table.name.clone(),
        columns,
        distribution,
        map_version: None,
        keys,
        checks,
        compression: create.compression.or(entry.map(|like| like.def.compression)).unwrap_or(DEFAULT_COMPRESSION),
        layout,
        tablespace: None,
    };
    Ok((new, sequences, notices))
}

/// The columns of another table, and the sequences of those that are an identity here, too.
fn columns_like(
    state: &CatalogState,
    table: (&str, &str),
    other: &TableDef,
    including: &Including,
) -> (Vec<ColumnDef>, Vec<ColumnSequence>) {
    let mut sequences: Vec<ColumnSequence> = vec![];
    let mut columns = other.columns.clone();
    for (position, column) in columns.iter_mut().enumerate() {
        let old = column.identity.and_then(|_| identity_sequence(state, other, position));
        match old.filter(|_| including.identity) {
            Some(old) => {
                let sequence = ColumnSequence::like(state, table, (position, &column.name), old, &sequences);
                column.default = Some(sequence.default());
                sequences.push(sequence);
            }
            None if including.defaults && column.identity.is_none() => {}
            None => (column.default, column.identity) = (None, None),
        }
    }
    (columns, sequences)
}

fn like_notice(distribution: &Distribution, columns: &[ColumnDef]) -> Option<String> {
    let Distribution::Hashed(key) = distribution else { return None };
    let key: Vec<&str> = key.iter().map(|column| columns[*column].name.as_str()).collect();
    let key = key.join(", ");
    Some(format!(
        "Table doesn't have 'DISTRIBUTED BY' clause, defaulting to the LIKE table's distribution key ({key})."
    ))
}
