//! Finds what a name stands for.

use crate::catalog::{CatalogState, Relation, SequenceDef, TableEntry};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::RelationName;
use std::sync::Arc;

/// Schemas whose relations are made of the catalog's state, not kept in it.
pub(super) const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

pub(super) fn no_relation(kind: &str, name: &RelationName) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("{kind} \"{name}\" does not exist")).at(name.position)
}

pub(super) fn wrong_kind(name: &RelationName, what: &str, hint: &str) -> SqlError {
    let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not {what}")).at(name.position);
    if hint.is_empty() { error } else { error.with_hint(hint) }
}

/// The relation, or None. A name without a schema is in `search_schema`.
pub(super) fn find_relation<'a>(
    state: &'a CatalogState,
    name: &RelationName,
    search_schema: &str,
) -> Option<&'a Relation> {
    state.relation(name.schema_or(search_schema), &name.name)
}

/// The table of that name: for INSERT, COPY, ANALYZE and the like.
///
/// # Errors
/// 42P01; 42809 for a view or a system table.
pub fn find_table(state: &CatalogState, name: &RelationName, search_schema: &str) -> SqlResult<Arc<TableEntry>> {
    let schema = name.schema_or(search_schema);
    match find_relation(state, name, search_schema) {
        Some(Relation::Table(entry)) => Ok(Arc::clone(entry)),
        Some(Relation::View(view)) if view.external.is_some() => {
            let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("\"{name}\" is an external table"));
            Err(error.at(name.position).with_hint("Queries read a readable one, and INSERT adds to a writable one."))
        }
        Some(Relation::View(_)) => Err(wrong_kind(name, "a table", "It is a view.")),
        Some(Relation::Sequence(_)) => Err(wrong_kind(name, "a table", "It is a sequence.")),
        None if SYSTEM_SCHEMAS.contains(&schema) => Err(wrong_kind(name, "a table", "System tables are read-only.")),
        None => Err(no_relation("relation", name)),
    }
}

/// The sequence of that name.
///
/// # Errors
/// 42P01; 42809 for what is none.
pub fn find_sequence(state: &CatalogState, name: &RelationName, search_schema: &str) -> SqlResult<Arc<SequenceDef>> {
    match find_relation(state, name, search_schema) {
        Some(Relation::Sequence(def)) => Ok(Arc::clone(def)),
        Some(Relation::Table(_) | Relation::View(_)) => Err(wrong_kind(name, "a sequence", "")),
        None => Err(no_relation("relation", name)),
    }
}

/// The schema that a new relation goes to.
///
/// # Errors
/// 3F000; 42939 for a system schema.
pub(super) fn target_schema(state: &CatalogState, name: &RelationName, search_schema: &str) -> SqlResult<String> {
    let schema = name.schema_or(search_schema);
    if SYSTEM_SCHEMAS.contains(&schema) {
        let message = format!("nothing can be created in schema \"{schema}\"");
        return Err(SqlError::new(SqlState::RESERVED_NAME, message).at(name.position));
    }
    if !state.has_schema(schema) {
        let message = format!("schema \"{schema}\" does not exist");
        return Err(SqlError::new(SqlState::UNDEFINED_SCHEMA, message).at(name.position));
    }
    Ok(schema.to_owned())
}

pub(super) fn already_exists(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
}

pub(super) fn skipped_existing(name: &str) -> String {
    format!("relation \"{name}\" already exists, skipping")
}
