//! Executes the statements that define things: checks them against the catalog, then changes it.

mod alter;
mod alter_constraints;
mod columns;
mod constraints;
mod distribution;
mod drop;
mod relation;
mod schema;
mod table;
mod table_as;
mod view;

pub use alter::{Rewrite, add_column_with_default, alter_table, set_distributed};
pub use alter_constraints::altered;
pub use columns::resolve_columns;
pub use drop::{drop_schema, drop_tables, drop_views, truncate};
pub use relation::find_table;
pub use schema::create_schema;
pub use table::create_table;
pub use table_as::{TableAs, define_table_as};
pub use view::create_view;

use crate::catalog::Workspace;
use crate::error::SqlResult;
use crate::sql::{AlterAction, Statement};

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

/// Executes `statement` if it needs the catalog alone. None for what needs planning or running as well: CREATE TABLE AS,
/// CREATE VIEW, SET DISTRIBUTED, and everything that is not DDL.
pub fn execute(
    workspace: &mut Workspace,
    statement: &Statement,
    search_schema: &str,
) -> Option<SqlResult<CommandDone>> {
    Some(match statement {
        Statement::CreateTable(create) => create_table(workspace, create, search_schema),
        Statement::CreateSchema(create) => create_schema(workspace, create),
        Statement::DropTable(drop) => drop_tables(workspace, drop, search_schema),
        Statement::DropView(drop) => drop_views(workspace, drop, search_schema),
        Statement::DropSchema(drop) => drop_schema(workspace, drop),
        Statement::Truncate(tables) => truncate(workspace, tables, search_schema),
        Statement::AlterTable(alter) if !matches!(alter.action, AlterAction::SetDistributed { .. }) => {
            alter_table(workspace, alter, search_schema)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
