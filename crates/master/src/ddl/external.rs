//! CREATE EXTERNAL TABLE. Its files are looked at when it is read, and its place when it is written.

use super::CommandDone;
use super::columns::{check_new, define, positions};
use super::distribution::of_clause;
use super::relation::{already_exists, find_relation, find_table, skipped_existing, target_schema};
use crate::backup::shown_url;
use crate::catalog::{CatalogState, ExternalDef, Relation, ViewDef, Workspace};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::{CreateExternal, RelationName};
use damson_cluster::{ColumnDef, Distribution, TableId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The external table that rows are added to, if the name is one's.
///
/// # Errors
/// 42809 for a readable one.
pub fn find_writable(
    state: &CatalogState,
    name: &RelationName,
    search_schema: &str,
) -> SqlResult<Option<Arc<ViewDef>>> {
    let Some(Relation::View(view)) = find_relation(state, name, search_schema) else { return Ok(None) };
    match &view.external {
        None => Ok(None),
        Some(external) if external.writable => Ok(Some(Arc::clone(view))),
        Some(_) => {
            let message = format!("cannot change a readable external table \"{name}\"");
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).at(name.position);
            Err(error.with_hint("CREATE WRITABLE EXTERNAL TABLE makes one that INSERT adds to."))
        }
    }
}

/// Under which id the rows are logged that an external table's scans pass over: its own, which no table has.
///
/// # Errors
/// Internal: it has none.
pub fn error_log_of(state: &CatalogState, table: &ViewDef) -> SqlResult<TableId> {
    let id = state.view_id(&table.schema, &table.name);
    id.map(TableId).ok_or_else(|| internal(format!("external table \"{}\" has no id", table.name)))
}

/// The error log, and the name, of a table or of a readable external one.
///
/// # Errors
/// 42P01; 42809 for what has none.
pub fn find_error_log(state: &CatalogState, name: &RelationName, search_schema: &str) -> SqlResult<(TableId, String)> {
    match find_relation(state, name, search_schema) {
        Some(Relation::View(view)) if view.external.as_ref().is_some_and(|external| !external.writable) => {
            Ok((error_log_of(state, view)?, view.name.clone()))
        }
        _ => {
            let entry = find_table(state, name, search_schema)?;
            Ok((entry.def.id, entry.def.name.clone()))
        }
    }
}

/// # Errors
/// 42P07, 3F000, 42701; 42P16 for a place or a distribution that a writable one cannot have; 0A000 for what external tables cannot do yet.
pub fn create_external(
    workspace: &mut Workspace,
    create: &CreateExternal,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    let CreateExternal { table, if_not_exists, copy, writable, .. } = create;
    let state = workspace.state();
    let schema = target_schema(&state, table, search_schema)?;
    let mut done = CommandDone::new("CREATE EXTERNAL TABLE");
    if find_relation(&state, table, search_schema).is_some() {
        if !if_not_exists {
            return Err(already_exists(&table.name).at(table.position));
        }
        done.notices.push(skipped_existing(&table.name));
        return Ok(done);
    }
    let refused = [("FORCE", copy.force), ("VALIDATE", copy.is_validation())];
    if let Some((option, _)) = refused.into_iter().find(|(_, is_asked)| *is_asked) {
        let message = format!("{option} of an external table is not supported");
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(table.position));
    }
    let columns = columns(&state, create, search_schema)?;
    let partition_by = positions(&columns, &create.partition_by, "named in PARTITION BY ")?;
    if !columns.is_empty() && partition_by.len() == columns.len() {
        let message = "PARTITION BY takes all columns: none is left for the files";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(table.position));
    }
    if *writable {
        copy.sources.iter().try_for_each(|place| check_written(place)).map_err(|error| error.at(table.position))?;
    }
    let distribution_key = match create.distribution.as_ref().map(|clause| of_clause(clause, &columns, &[])) {
        None => vec![],
        Some(distribution) => match distribution? {
            Distribution::Hashed(key) => key,
            Distribution::Randomly => vec![],
            Distribution::Replicated => {
                let message = "external tables can't have DISTRIBUTED REPLICATED clause";
                return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(table.position));
            }
        },
    };
    let external = ExternalDef {
        columns,
        locations: copy.sources.clone(),
        pattern: copy.pattern.clone(),
        format: copy.format.clone(),
        codec: copy.codec,
        on_bad_row: copy.on_bad_row,
        secret: copy.secret.as_ref().map(|name| name.text.clone()),
        writable: *writable,
        distribution_key,
        partition_by,
    };
    let view = ViewDef {
        schema,
        name: table.name.clone(),
        columns: vec![],
        query: String::new(),
        references: BTreeSet::new(),
        search_schema: search_schema.to_owned(),
        external: Some(Box::new(external)),
    };
    workspace.create_view(view, false).map_err(|error| SqlError::from(error).at(table.position))?;
    Ok(done)
}

/// Those that are written, or another table's by name and type.
fn columns(state: &CatalogState, create: &CreateExternal, search_schema: &str) -> SqlResult<Vec<ColumnDef>> {
    if let Some(like) = &create.like {
        let of = |column: &ColumnDef| ColumnDef { nullable: true, default: None, identity: None, ..column.clone() };
        return Ok(find_table(state, like, search_schema)?.def.columns.iter().map(of).collect());
    }
    let mut columns = vec![];
    for spec in &create.columns {
        check_new(&columns, &spec.name.text).map_err(|error| error.at(spec.name.position))?;
        columns.push(define(spec, state, search_schema)?);
    }
    Ok(columns)
}

/// # Errors
/// 42P16 for what is no directory, and no prefix of a bucket; 22023 for credentials in its name.
fn check_written(place: &str) -> SqlResult<()> {
    let refuse = |why: &str| {
        let message = format!("rows cannot be written to {}: {why}", shown_url(place));
        Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message))
    };
    let scheme = place.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if matches!(scheme.as_deref(), Some("http" | "https")) {
        return refuse("it is a web server");
    }
    if place.contains(['*', '[', '{']) || (scheme.is_none() && place.contains('?')) {
        return refuse("it has wildcards");
    }
    if scheme.is_some() && shown_url(place) != place {
        let message = format!("{} says more than where it is", shown_url(place));
        let hint = "Credentials come from a secret, or the environment of the nodes.";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(hint));
    }
    Ok(())
}
