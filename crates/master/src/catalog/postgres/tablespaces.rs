//! Tablespaces and secrets in PostgreSQL.

use super::super::error::CatalogError;
use super::super::rows::{count, from_json, int, to_json};
use super::super::secrets::SecretDef;
use super::super::store::Change;
use super::super::tablespaces::TablespaceDef;
use super::connection::{Session, column};
use damson_cluster::{SnapshotId, TableId, TablespaceId};

/// Since version 6.
pub(super) const TABLESPACES: &str = "
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id));
CREATE TABLE tablespaces (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id));
";

/// A change of secrets or tablespaces.
pub(super) fn change(session: &mut Session, change: &Change, snapshot: Option<i64>) -> Result<(), CatalogError> {
    match change {
        Change::PutSecret { def, .. } => {
            let put = "INSERT INTO secrets VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE
                       SET definition = excluded.definition, created = excluded.created";
            session.execute(put, &[&def.name, &to_json(def)?, &snapshot])?;
        }
        Change::DropSecret(name) => {
            session.execute("DELETE FROM secrets WHERE name = $1", &[name])?;
        }
        Change::PutTablespace(def) => {
            let put = "INSERT INTO tablespaces VALUES ($1, $2, $3, $4)";
            session.execute(put, &[&int(def.id.0), &def.name, &to_json(def)?, &snapshot])?;
        }
        Change::DropTablespace(id) => {
            session.execute("DELETE FROM tablespaces WHERE id = $1", &[&int(id.0)])?;
        }
        _ => unreachable!("the caller has told the changes of secrets and tablespaces from the others"),
    }
    Ok(())
}

pub(super) fn load_secrets(session: &mut Session) -> Result<Vec<SecretDef>, CatalogError> {
    let mut secrets = vec![];
    session.each("SELECT definition FROM secrets", |row| {
        secrets.push(from_json("a secret", column(row, 0)?)?);
        Ok(())
    })?;
    Ok(secrets)
}

pub(super) fn load(session: &mut Session, at: Option<SnapshotId>) -> Result<Vec<TablespaceDef>, CatalogError> {
    let select = "SELECT definition FROM tablespaces WHERE $1::bigint IS NULL OR created <= $1";
    let mut tablespaces = vec![];
    session.each_of(select, &[&at.map(|at| int(at.0))], |row| {
        tablespaces.push(from_json("a tablespace", column(row, 0)?)?);
        Ok(())
    })?;
    Ok(tablespaces)
}

/// Dropped tables are there as long as they have files.
pub(super) fn has_tables(session: &mut Session, tablespace: TablespaceId) -> Result<bool, CatalogError> {
    let has = "SELECT EXISTS (SELECT FROM tables WHERE (definition::json->>'tablespace')::bigint = $1)";
    let row = session.row(has, &[&int(tablespace.0)])?;
    row.map_or(Ok(false), |row| column(&row, 0))
}

/// Also of a dropped table that has files; None where there is no such table.
pub(super) fn of_table(session: &mut Session, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError> {
    let select = "SELECT (definition::json->>'tablespace')::bigint FROM tables WHERE id = $1";
    let Some(row) = session.row(select, &[&int(table.0)])? else { return Ok(None) };
    let id: Option<i64> = column(&row, 0)?;
    Ok(Some(id.map(|id| count(id).map(TablespaceId)).transpose()?))
}
