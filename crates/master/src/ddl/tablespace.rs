//! Tablespaces and secrets.

use super::CommandDone;
use crate::catalog::{CatalogError, Workspace};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{CreateTablespace, DEFAULT_TABLESPACE, Name};

/// # Errors
/// 42710, 42939 for a name that is the system's, 42P17 for a location that another one has, 42704 and 22023 for the secret, and the
/// catalog's.
pub fn create_tablespace(workspace: &mut Workspace, create: &CreateTablespace) -> SqlResult<CommandDone> {
    let name = &create.name;
    if name.text.starts_with("pg_") {
        let message = format!("unacceptable tablespace name \"{}\"", name.text);
        return Err(SqlError::new(SqlState::RESERVED_NAME, message)
            .with_detail("The prefix \"pg_\" is reserved for system tablespaces.")
            .at(name.position));
    }
    let secret = create.secret.as_ref();
    let made = workspace.create_tablespace(&name.text, &create.location, secret.map(|secret| secret.text.clone()));
    made.map_err(|error| {
        let position = match (&error, secret) {
            (CatalogError::NoSecret(_) | CatalogError::WrongSecret { .. }, Some(secret)) => secret.position,
            _ => name.position,
        };
        SqlError::from(error).at(position)
    })?;
    Ok(CommandDone::new("CREATE TABLESPACE"))
}

/// # Errors
/// 42704, 42501 for the segments' own disks, 55000 for one that is not empty, and the catalog's.
pub fn drop_tablespace(workspace: &mut Workspace, name: &Name, if_exists: bool) -> SqlResult<CommandDone> {
    let mut done = CommandDone::new("DROP TABLESPACE");
    if name.text == DEFAULT_TABLESPACE {
        let message = format!("tablespace \"{DEFAULT_TABLESPACE}\" cannot be dropped");
        return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message).at(name.position));
    }
    match workspace.drop_tablespace(&name.text) {
        Ok(()) => Ok(done),
        Err(CatalogError::NoTablespace(_)) if if_exists => {
            done.notices.push(format!("tablespace \"{}\" does not exist, skipping", name.text));
            Ok(done)
        }
        Err(error) => Err(SqlError::from(error).at(name.position)),
    }
}

/// # Errors
/// 42704, 2BP01 for one that a tablespace names, and the catalog's.
pub fn drop_secret(workspace: &mut Workspace, name: &Name, if_exists: bool) -> SqlResult<CommandDone> {
    let mut done = CommandDone::new("DROP SECRET");
    match workspace.drop_secret(&name.text) {
        Ok(()) => Ok(done),
        Err(CatalogError::NoSecret(_)) if if_exists => {
            done.notices.push(format!("secret \"{}\" does not exist, skipping", name.text));
            Ok(done)
        }
        Err(error) => Err(SqlError::from(error).at(name.position)),
    }
}
