//! CREATE SCHEMA.

use super::CommandDone;
use super::relation::SYSTEM_SCHEMAS;
use crate::catalog::{CatalogError, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::CreateSchema;

/// # Errors
/// 42P06, 42939 for a name that is the system's, and the catalog's.
pub fn create_schema(workspace: &mut Workspace, create: &CreateSchema) -> SqlResult<CommandDone> {
    let mut done = CommandDone::new("CREATE SCHEMA");
    let name = &create.schema.text;
    if name.starts_with("pg_") || SYSTEM_SCHEMAS.contains(&name.as_str()) {
        return Err(SqlError::new(SqlState::RESERVED_NAME, format!("unacceptable schema name \"{name}\""))
            .with_detail("The prefix \"pg_\" is reserved for system schemas.")
            .at(create.schema.position));
    }
    match workspace.create_schema(name) {
        Ok(()) => Ok(done),
        Err(CatalogError::SchemaExists(_)) if create.if_not_exists => {
            done.notices.push(format!("schema \"{name}\" already exists, skipping"));
            Ok(done)
        }
        Err(error @ CatalogError::SchemaExists(_)) => Err(SqlError::from(error).at(create.schema.position)),
        Err(error) => Err(error.into()),
    }
}
