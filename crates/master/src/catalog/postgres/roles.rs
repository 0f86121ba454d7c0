//! Roles and privileges in PostgreSQL.

use super::super::access::{AccessDef, Object};
use super::super::error::CatalogError;
use super::super::roles::RoleDef;
use super::super::rows::{from_json, int, to_json};
use super::super::store::Change;
use super::connection::{Session, column};

/// Since version 8.
pub(super) const ROLES: &str = r#"
CREATE TABLE roles (id BIGINT PRIMARY KEY, name TEXT NOT NULL, definition TEXT NOT NULL);
CREATE TABLE access (object TEXT PRIMARY KEY, definition TEXT NOT NULL);
INSERT INTO roles VALUES (0, 'damson', '{"id":0,"name":"damson","superuser":true,"createdb":true,"createrole":true,"inherit":true,"login":true}');
"#;

/// A change of roles or privileges.
pub(super) fn change(session: &mut Session, change: &Change) -> Result<(), CatalogError> {
    match change {
        Change::PutRole(def) => {
            let put = "INSERT INTO roles VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE
                       SET name = excluded.name, definition = excluded.definition";
            session.execute(put, &[&int(def.id.0), &def.name, &to_json(def)?])?;
        }
        Change::DropRole(id) => {
            session.execute("DELETE FROM roles WHERE id = $1", &[&int(id.0)])?;
        }
        Change::PutAccess(def) => {
            let put = "INSERT INTO access VALUES ($1, $2) ON CONFLICT (object) DO UPDATE
                       SET definition = excluded.definition";
            session.execute(put, &[&to_json(&def.object)?, &to_json(def)?])?;
        }
        _ => unreachable!("the caller has told the changes of roles from the others"),
    }
    Ok(())
}

/// Privileges go with what they are of.
pub(super) fn drop_access(session: &mut Session, object: &Object) -> Result<(), CatalogError> {
    session.execute("DELETE FROM access WHERE object = $1", &[&to_json(object)?])?;
    Ok(())
}

pub(super) fn load(session: &mut Session) -> Result<Vec<RoleDef>, CatalogError> {
    let mut roles = vec![];
    session.each("SELECT definition FROM roles", |row| {
        roles.push(from_json("a role", column(row, 0)?)?);
        Ok(())
    })?;
    Ok(roles)
}

pub(super) fn load_access(session: &mut Session) -> Result<Vec<AccessDef>, CatalogError> {
    let mut access = vec![];
    session.each("SELECT definition FROM access", |row| {
        access.push(from_json("a privilege", column(row, 0)?)?);
        Ok(())
    })?;
    Ok(access)
}
