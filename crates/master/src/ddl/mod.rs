//! Executes the statements that define things: checks them against the catalog, then changes it.

mod alter;
mod alter_constraints;
mod column_sequence;
mod columns;
mod constraints;
mod distribution;
mod drop;
mod external;
mod layout;
mod relation;
mod schema;
mod sequence;
mod table;
mod table_as;
mod tablespace;
mod view;

pub use alter::{Rewrite, add_column_with_default, alter_table, set_distributed};
pub use alter_constraints::altered;
pub use column_sequence::add_column_sequence;
pub(crate) use columns::COLUMNS_MAX;
pub use columns::resolve_columns;
pub use drop::{drop_external, drop_schema, drop_sequences, drop_tables, drop_views, truncate};
pub use external::{create_external, error_log_of, find_error_log, find_writable};
pub use relation::{find_sequence, find_table};
pub use schema::create_schema;
pub use sequence::{alter_sequence, create_sequence};
pub use table_as::{TableAs, define_table_as};
pub use tablespace::{create_tablespace, drop_secret, drop_tablespace};
pub use view::create_view;

use crate::catalog::{CatalogState, Workspace};
use crate::error::SqlResult;
use crate::sql::{AlterAction, AlterTable, Statement};
use damson_cluster::TablespaceId;
use table::create_table;

/// What a command did: its tag, as PostgreSQL prints it, and what the user should notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandDone {
    pub tag: &'static str,
    pub notices: Vec<String>,
}

impl CommandDone {
    pub fn new(tag: &'static str) -> Self {
        CommandDone { tag, notices: Vec::new() }
    }
}

/// Executes `statement` if it needs the catalog alone. A new table is in `tablespace`. None for what needs planning or
/// running as well: CREATE TABLE AS, CREATE VIEW, CREATE SECRET, SET DISTRIBUTED, and everything that is not DDL.
pub fn execute(
    workspace: &mut Workspace,
    statement: &Statement,
    search_schema: &str,
    tablespace: Option<TablespaceId>,
) -> Option<SqlResult<CommandDone>> {
    Some(match statement {
        Statement::CreateTable(create) => create_table(workspace, create, search_schema, tablespace),
        Statement::CreateSchema(create) => create_schema(workspace, create),
        Statement::CreateTablespace(create) => create_tablespace(workspace, create),
        Statement::DropTablespace { name, if_exists } => drop_tablespace(workspace, name, *if_exists),
        Statement::DropSecret { name, if_exists } => drop_secret(workspace, name, *if_exists),
        Statement::CreateSequence(create) => create_sequence(workspace, create, search_schema),
        Statement::AlterSequence(alter) => alter_sequence(workspace, alter, search_schema),
        Statement::DropSequence(drop) => drop_sequences(workspace, drop, search_schema),
        Statement::DropTable(drop) => drop_tables(workspace, drop, search_schema),
        Statement::CreateExternal(create) => create_external(workspace, create, search_schema),
        Statement::DropExternal(drop) => drop_external(workspace, drop, search_schema),
        Statement::DropView(drop) => drop_views(workspace, drop, search_schema),
        Statement::DropSchema(drop) => drop_schema(workspace, drop),
        Statement::Truncate(statement) => truncate(workspace, statement, search_schema),
        Statement::AlterTable(alter) if !matches!(alter.action, AlterAction::SetDistributed { .. }) => {
            alter_table(workspace, alter, search_schema)
        }
        _ => return None,
    })
}

/// How many ids `statement` takes for what it makes; more or less are not wrong, only slower.
pub fn ids_needed(state: &CatalogState, statement: &Statement, search_schema: &str) -> usize {
    match statement {
        Statement::CreateTable(create) => {
            let own = create.columns.iter().filter(|column| column.identity.is_some()).count();
            let like = create.like.as_ref().filter(|like| like.including.identity);
            let like = like.and_then(|like| find_table(state, &like.table, search_schema).ok());
            1 + own + like.map_or(0, |entry| entry.def.columns.iter().filter(|c| c.identity.is_some()).count())
        }
        Statement::CreateSequence(_)
        | Statement::CreateTablespace(_)
        | Statement::CreateSchema(_)
        | Statement::CreateView(_)
        | Statement::CreateExternal(_) => 1,
        Statement::AlterSequence(alter) => usize::from(alter.options.restart.is_some()),
        Statement::AlterTable(AlterTable { action: AlterAction::AddColumn { column, .. }, .. }) => {
            // With a default, its sequence is there already.
            usize::from(column.identity.is_some() && column.default.is_none())
        }
        Statement::Truncate(truncate) if truncate.restart_identity => {
            let tables = truncate.tables.iter().filter_map(|table| find_table(state, table, search_schema).ok());
            let tables: Vec<_> = tables.map(|entry| entry.def.id).collect();
            state.sequences().filter(|def| def.owner.is_some_and(|owner| tables.contains(&owner.table))).count()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
