//! CREATE TABLE.

use super::columns::{check_new, define};
use super::constraints::Constraints;
use super::relation::{already_exists, find_relation, find_table, skipped_existing, target_schema};
use super::{CommandDone, distribution};
use crate::catalog::{CatalogState, CreateTableOutcome, NewTable, Workspace};
use crate::error::SqlResult;
use crate::sql::CreateTable;
use damson_cluster::{ColumnDef, Compression, Distribution};

/// Without `WITH (compresstype=…)`: decodes fastest of those that shrink.
pub const DEFAULT_COMPRESSION: Compression = Compression::Lz4;

/// Makes an empty table.
///
/// # Errors
/// 42P07, 42701, 42703, 3F000, 42P16, and the catalog's.
pub fn create_table(workspace: &mut Workspace, create: &CreateTable, search_schema: &str) -> SqlResult<CommandDone> {
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
    let (new, notices) = define_table(&state, create, schema, search_schema)?;
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
) -> SqlResult<(NewTable, Vec<String>)> {
    let mut notices = Vec::new();
    let mut columns: Vec<ColumnDef> = Vec::with_capacity(create.columns.len());
    for spec in &create.columns {
        check_new(&columns, &spec.name.text).map_err(|error| error.at(spec.name.position))?;
        columns.push(define(spec)?);
    }
    let mut constraints = Constraints { table: create.table.name.clone(), keys: vec![], checks: vec![] };
    let like = create.like.as_ref();
    let entry = like.map(|like| find_table(state, &like.table, search_schema)).transpose()?;
    if let (Some(like), Some(entry)) = (like, &entry) {
        columns = entry.def.columns.clone();
        if !like.including.defaults {
            columns.iter_mut().for_each(|column| column.default = None);
        }
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
    };
    Ok((new, notices))
}

fn like_notice(distribution: &Distribution, columns: &[ColumnDef]) -> Option<String> {
    let Distribution::Hashed(key) = distribution else { return None };
    let key: Vec<&str> = key.iter().map(|column| columns[*column].name.as_str()).collect();
    let key = key.join(", ");
    Some(format!(
        "Table doesn't have 'DISTRIBUTED BY' clause, defaulting to the LIKE table's distribution key ({key})."
    ))
}
