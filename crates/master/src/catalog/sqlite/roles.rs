//! Roles and privileges in SQLite.

use super::super::access::{AccessDef, Object};
use super::super::error::CatalogError;
use super::super::roles::RoleDef;
use super::super::rows::{from_json, int, to_json};
use super::super::store::Change;
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

/// Since version 8.
pub(super) const ROLES: &str = r#"
CREATE TABLE roles (id INTEGER PRIMARY KEY, name TEXT NOT NULL, definition TEXT NOT NULL);
CREATE TABLE access (object TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO roles VALUES (0, 'damson', '{"id":0,"name":"damson","superuser":true,"createdb":true,"createrole":true,"inherit":true,"login":true}');
"#;

/// A change of roles or privileges.
pub(super) fn change(sqlite: &Connection, change: &Change) -> Result<(), CatalogError> {
    match change {
        Change::PutRole(def) => {
            let put = "INSERT OR REPLACE INTO roles VALUES (?1, ?2, ?3)";
            sqlite.execute(put, params![int(def.id.0), def.name, to_json(def)?])?;
        }
        Change::DropRole(id) => {
            sqlite.execute("DELETE FROM roles WHERE id = ?1", [int(id.0)])?;
        }
        Change::PutAccess(def) => {
            let put = "INSERT OR REPLACE INTO access VALUES (?1, ?2)";
            sqlite.execute(put, [to_json(&def.object)?, to_json(def)?])?;
        }
        _ => unreachable!("the caller has told the changes of roles from the others"),
    }
    Ok(())
}

/// Privileges go with what they are of.
pub(super) fn drop_access(sqlite: &Connection, object: &Object) -> Result<(), CatalogError> {
    sqlite.prepare_cached("DELETE FROM access WHERE object = ?1")?.execute([to_json(object)?])?;
    Ok(())
}

pub(super) fn load(sqlite: &Connection) -> Result<Vec<RoleDef>, CatalogError> {
    all(sqlite, "SELECT definition FROM roles", "a role")
}

pub(super) fn load_access(sqlite: &Connection) -> Result<Vec<AccessDef>, CatalogError> {
    all(sqlite, "SELECT definition FROM access", "a privilege")
}

fn all<T: DeserializeOwned>(sqlite: &Connection, select: &str, what: &'static str) -> Result<Vec<T>, CatalogError> {
    let mut statement = sqlite.prepare(select)?;
    let mut rows = statement.query([])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(from_json(what, &row.get::<_, String>(0)?)?);
    }
    Ok(found)
}
