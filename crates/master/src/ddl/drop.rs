//! DROP TABLE, VIEW, SEQUENCE, SCHEMA; TRUNCATE.

use super::CommandDone;
use super::relation::{find_relation, find_table, no_relation, wrong_kind};
use crate::catalog::{CatalogState, Relation, SequenceDef, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{Drop, Name, RelationName, Truncate};
use damson_cluster::TableId;

/// # Errors
/// 42P01, 42809 for a view, 2BP01, and the catalog's. All tables are dropped or none.
pub fn drop_tables(
    workspace: &mut Workspace,
    drop: &Drop<RelationName>,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    drop_relations(workspace, drop, search_schema, "table", CommandDone::new("DROP TABLE"))
}

/// # Errors
/// 42P01, 42809 for a table, 2BP01, and the catalog's. All views are dropped or none.
pub fn drop_views(workspace: &mut Workspace, drop: &Drop<RelationName>, search_schema: &str) -> SqlResult<CommandDone> {
    drop_relations(workspace, drop, search_schema, "view", CommandDone::new("DROP VIEW"))
}

/// # Errors
/// 42P01, 42809 for what is none, 2BP01, and the catalog's. All external tables are dropped or none; their files stay.
pub fn drop_external(
    workspace: &mut Workspace,
    drop: &Drop<RelationName>,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    drop_relations(workspace, drop, search_schema, "external table", CommandDone::new("DROP EXTERNAL TABLE"))
}

/// # Errors
/// 42P01, 42809 for what is none, 2BP01 also for an identity column's, and the catalog's. All sequences are dropped or none.
pub fn drop_sequences(
    workspace: &mut Workspace,
    drop: &Drop<RelationName>,
    search_schema: &str,
) -> SqlResult<CommandDone> {
    let state = workspace.state();
    for name in &drop.names {
        if let Some(Relation::Sequence(def)) = find_relation(&state, name, search_schema) {
            refuse_identity(&state, def).map_err(|error| error.at(name.position))?;
        }
    }
    drop_relations(workspace, drop, search_schema, "sequence", CommandDone::new("DROP SEQUENCE"))
}

/// A sequence without which a column cannot be.
fn refuse_identity(state: &CatalogState, def: &SequenceDef) -> SqlResult<()> {
    let owner = def.owner.filter(|owner| owner.identity);
    let Some((owner, table)) = owner.and_then(|owner| Some((owner, state.table_by_id(owner.table)?))) else {
        return Ok(());
    };
    let (column, table) = (&table.def.columns[owner.column].name, table.def.qualified_name());
    let message =
        format!("cannot drop sequence {} because column {column} of table {table} requires it", def.qualified_name());
    Err(SqlError::new(SqlState::DEPENDENT_OBJECTS, message).with_hint(format!("Drop table {table} instead.")))
}

fn drop_relations(
    workspace: &mut Workspace,
    drop: &Drop<RelationName>,
    search_schema: &str,
    kind: &str,
    mut done: CommandDone,
) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let mut names = Vec::with_capacity(drop.names.len());
    for name in &drop.names {
        match (find_relation(&state, name, search_schema), kind) {
            (Some(Relation::View(view)), _) if view.external.is_some() && kind != "external table" => {
                return Err(wrong_kind(name, &a(kind), "Use DROP EXTERNAL TABLE to remove an external table."));
            }
            (Some(Relation::View(view)), "external table") if view.external.is_some() => {
                names.push((name.schema_or(search_schema).to_owned(), name.name.clone()));
            }
            (Some(Relation::Table(_)), "table")
            | (Some(Relation::View(_)), "view")
            | (Some(Relation::Sequence(_)), "sequence") => {
                names.push((name.schema_or(search_schema).to_owned(), name.name.clone()));
            }
            (Some(Relation::View(_)), _) => {
                return Err(wrong_kind(name, &a(kind), "Use DROP VIEW to remove a view."));
            }
            (Some(Relation::Table(_)), _) => {
                return Err(wrong_kind(name, &a(kind), "Use DROP TABLE to remove a table."));
            }
            (Some(Relation::Sequence(_)), _) => {
                return Err(wrong_kind(name, &a(kind), "Use DROP SEQUENCE to remove a sequence."));
            }
            (None, _) if drop.if_exists => {
                done.notices.push(format!("{kind} \"{}\" does not exist, skipping", name.name));
            }
            (None, _) => return Err(no_relation(kind, name)),
        }
    }
    let also = workspace.drop_relations(&names, drop.cascade)?;
    done.notices.extend(also.into_iter().map(|what| format!("drop cascades to {what}")));
    Ok(done)
}

/// With its article.
fn a(kind: &str) -> String {
    format!("{} {kind}", if kind.starts_with('e') { "an" } else { "a" })
}

/// # Errors
/// 3F000, 2BP01, and the catalog's. All schemas are dropped or none: the caller takes the workspace back after an error.
pub fn drop_schema(workspace: &mut Workspace, drop: &Drop<Name>) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let mut done = CommandDone::new("DROP SCHEMA");
    let mut names = Vec::with_capacity(drop.names.len());
    for name in &drop.names {
        if state.has_schema(&name.text) {
            names.push(&name.text);
        } else if drop.if_exists {
            done.notices.push(format!("schema \"{}\" does not exist, skipping", name.text));
        } else {
            let message = format!("schema \"{}\" does not exist", name.text);
            return Err(SqlError::new(SqlState::UNDEFINED_SCHEMA, message).at(name.position));
        }
    }
    for name in names {
        let also = workspace.drop_schema(name, drop.cascade)?;
        done.notices.extend(also.into_iter().map(|relation| format!("drop cascades to {relation}")));
    }
    Ok(done)
}

/// # Errors
/// 42P01, 42809, and the catalog's. All tables are emptied or none.
pub fn truncate(workspace: &mut Workspace, statement: &Truncate, search_schema: &str) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let mut ids = Vec::with_capacity(statement.tables.len());
    for name in &statement.tables {
        ids.push(find_table(&state, name, search_schema)?.def.id);
    }
    workspace.truncate(&ids)?;
    if statement.restart_identity {
        restart_owned(workspace, &ids)?;
    }
    Ok(CommandDone::new("TRUNCATE TABLE"))
}

/// Begins the sequences of tables' columns anew.
fn restart_owned(workspace: &mut Workspace, tables: &[TableId]) -> SqlResult<()> {
    let state = workspace.state();
    let owned = state.sequences().filter(|def| def.owner.is_some_and(|owner| tables.contains(&owner.table)));
    for def in owned {
        let id = workspace.sequence_id()?;
        workspace.alter_sequence(SequenceDef { id, first: def.start, ..SequenceDef::clone(def) })?;
    }
    Ok(())
}
