//! Tablespaces and secrets in SQLite.

use super::super::error::CatalogError;
use super::super::rows::{count, from_json, int, to_json};
use super::super::secrets::SecretDef;
use super::super::store::Change;
use super::super::tablespaces::TablespaceDef;
use damson_cluster::{SnapshotId, TableId, TablespaceId};
use rusqlite::{Connection, OptionalExtension, params};

/// Since version 6.
pub(super) const TABLESPACES: &str = "
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id)) WITHOUT ROWID;
CREATE TABLE tablespaces (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id));
";

/// A change of secrets or tablespaces.
pub(super) fn change(sqlite: &Connection, change: &Change, snapshot: Option<i64>) -> Result<(), CatalogError> {
    match change {
        Change::PutSecret { def, .. } => {
            let put = "INSERT OR REPLACE INTO secrets VALUES (?1, ?2, ?3)";
            sqlite.execute(put, params![def.name, to_json(def)?, snapshot])?;
        }
        Change::DropSecret(name) => {
            sqlite.execute("DELETE FROM secrets WHERE name = ?1", [name])?;
        }
        Change::PutTablespace(def) => {
            let put = "INSERT INTO tablespaces VALUES (?1, ?2, ?3, ?4)";
            sqlite.execute(put, params![int(def.id.0), def.name, to_json(def)?, snapshot])?;
        }
        Change::DropTablespace(id) => {
            sqlite.execute("DELETE FROM tablespaces WHERE id = ?1", [int(id.0)])?;
        }
        _ => unreachable!("the caller has told the changes of secrets and tablespaces from the others"),
    }
    Ok(())
}

pub(super) fn load_secrets(sqlite: &Connection) -> Result<Vec<SecretDef>, CatalogError> {
    let mut statement = sqlite.prepare("SELECT definition FROM secrets")?;
    let mut rows = statement.query([])?;
    let mut secrets = vec![];
    while let Some(row) = rows.next()? {
        secrets.push(from_json("a secret", &row.get::<_, String>(0)?)?);
    }
    Ok(secrets)
}

pub(super) fn load(sqlite: &Connection, at: Option<SnapshotId>) -> Result<Vec<TablespaceDef>, CatalogError> {
    let mut statement = sqlite.prepare("SELECT definition FROM tablespaces WHERE ?1 IS NULL OR created <= ?1")?;
    let mut rows = statement.query([at.map(|at| int(at.0))])?;
    let mut tablespaces = vec![];
    while let Some(row) = rows.next()? {
        tablespaces.push(from_json("a tablespace", &row.get::<_, String>(0)?)?);
    }
    Ok(tablespaces)
}

/// Dropped tables are there as long as they have files.
pub(super) fn has_tables(sqlite: &Connection, tablespace: TablespaceId) -> Result<bool, CatalogError> {
    let has = "SELECT EXISTS (SELECT 1 FROM tables WHERE json_extract(definition, '$.tablespace') = ?1)";
    Ok(sqlite.query_row(has, [int(tablespace.0)], |row| row.get(0))?)
}

/// Also of a dropped table that has files; None where there is no such table.
pub(super) fn of_table(sqlite: &Connection, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError> {
    let select = "SELECT json_extract(definition, '$.tablespace') FROM tables WHERE id = ?1";
    let found: Option<Option<i64>> = sqlite.query_row(select, [int(table.0)], |row| row.get(0)).optional()?;
    found.map(|id| id.map(|id| count(id).map(TablespaceId)).transpose()).transpose()
}
