//! DROP TABLE, VIEW, SCHEMA; TRUNCATE.

use super::CommandDone;
use super::relation::{find_relation, find_table, no_relation, wrong_kind};
use crate::catalog::{Relation, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{Drop, Name, RelationName};

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
            (Some(Relation::Table(_)), "table") | (Some(Relation::View(_)), "view") => {
                names.push((name.schema_or(search_schema).to_owned(), name.name.clone()));
            }
            (Some(Relation::View(_)), _) => {
                return Err(wrong_kind(name, "a table", "Use DROP VIEW to remove a view."));
            }
            (Some(Relation::Table(_)), _) => {
                return Err(wrong_kind(name, "a view", "Use DROP TABLE to remove a table."));
            }
            (None, _) if drop.if_exists => {
                done.notices.push(format!("{kind} \"{}\" does not exist, skipping", name.name));
            }
            (None, _) => return Err(no_relation(kind, name)),
        }
    }
    let also = workspace.drop_relations(&names, drop.cascade)?;
    done.notices.extend(also.into_iter().map(|view| format!("drop cascades to view {view}")));
    Ok(done)
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
pub fn truncate(workspace: &mut Workspace, tables: &[RelationName], search_schema: &str) -> SqlResult<CommandDone> {
    let state = workspace.state();
    let mut ids = Vec::with_capacity(tables.len());
    for name in tables {
        ids.push(find_table(&state, name, search_schema)?.def.id);
    }
    workspace.truncate(&ids)?;
    Ok(CommandDone::new("TRUNCATE TABLE"))
}
