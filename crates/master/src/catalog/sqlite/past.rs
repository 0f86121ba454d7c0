//! What SQLite keeps of the past: definitions that were replaced, restore points, and how long all of it is kept.

use super::super::error::CatalogError;
use super::super::history::{History, RestorePoint};
use super::super::past::micros;
use super::super::rows::{count, int};
use super::super::store::Change;
use super::{put_setting, setting};
use damson_cluster::SnapshotId;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::time::Duration;

/// Since version 4. The past begins with the newest snapshot that there is.
pub(super) const HISTORY: &str = "
ALTER TABLE tables ADD COLUMN since INTEGER NOT NULL DEFAULT 1;
CREATE TABLE past_definitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    defined INTEGER NOT NULL,
    created INTEGER NOT NULL,
    dropped INTEGER NOT NULL);
CREATE INDEX past_definitions_dropped ON past_definitions(dropped);
CREATE TABLE restore_points (
    name TEXT PRIMARY KEY,
    snapshot INTEGER NOT NULL REFERENCES snapshots(id),
    created_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX snapshots_time ON snapshots(committed_us);
INSERT INTO settings VALUES ('snapshot_retention_us', '0');
INSERT INTO settings SELECT 'history_from', max(id) FROM snapshots;
";

/// Times grow with ids: a clock that was set back does not make the past another.
pub(super) fn add_snapshot(sqlite: &Connection, snapshot: SnapshotId, now_us: i64) -> Result<(), CatalogError> {
    let insert = "INSERT INTO snapshots VALUES
        (?1, max(?2, coalesce((SELECT committed_us + 1 FROM snapshots ORDER BY id DESC LIMIT 1), ?2)))";
    sqlite.prepare_cached(insert)?.execute(params![int(snapshot.0), now_us])?;
    Ok(())
}

/// A table's definition takes another's place, or nothing does. Not that of a definition that no snapshot before this one had.
pub(super) fn keep_table(sqlite: &Connection, id: i64, snapshot: Option<i64>) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'table', definition, defined, since, ?2 FROM tables WHERE id = ?1 AND since < ?2";
    sqlite.prepare_cached(keep)?.execute(params![id, snapshot])?;
    Ok(())
}

/// As [`keep_table`].
pub(super) fn keep_view(sqlite: &Connection, name: [&str; 2], snapshot: Option<i64>) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'view', definition, created, created, ?3 FROM views
                WHERE schema_name = ?1 AND name = ?2 AND created < ?3";
    sqlite.prepare_cached(keep)?.execute(params![name[0], name[1], snapshot])?;
    Ok(())
}

/// As [`keep_table`].
pub(super) fn keep_schema(sqlite: &Connection, name: &str, snapshot: Option<i64>) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'schema', name, created, created, ?2 FROM schemas WHERE name = ?1 AND created < ?2";
    sqlite.prepare_cached(keep)?.execute(params![name, snapshot])?;
    Ok(())
}

/// As [`keep_table`].
pub(super) fn keep_sequence(
    sqlite: &Connection,
    schema: &str,
    name: &str,
    snapshot: Option<i64>,
) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'sequence', definition, created, created, ?3 FROM sequence_definitions
                WHERE schema_name = ?1 AND name = ?2 AND created < ?3";
    sqlite.prepare_cached(keep)?.execute(params![schema, name, snapshot])?;
    Ok(())
}

/// A change of what is kept.
pub(super) fn change(sqlite: &Connection, change: &Change, now_us: i64) -> Result<(), CatalogError> {
    match change {
        Change::ForgetHistory(from) => put_setting(sqlite, "history_from", &from.0.to_string())?,
        Change::PutRetention(retention) => {
            return put_setting(sqlite, "snapshot_retention_us", &micros(*retention).to_string());
        }
        Change::PutRestorePoint { name, snapshot } => {
            let put = "INSERT INTO restore_points VALUES (?1, ?2, ?3)";
            sqlite.execute(put, params![name, int(snapshot.0), now_us])?;
            return Ok(());
        }
        Change::DropRestorePoint(name) => {
            sqlite.execute("DELETE FROM restore_points WHERE name = ?1", [name])?;
        }
        _ => unreachable!("the caller has told the changes of history from the others"),
    }
    // Definitions go with the last snapshot that has them.
    let sweep = "DELETE FROM past_definitions
         WHERE dropped <= (SELECT CAST(value AS INTEGER) FROM settings WHERE key = 'history_from')
         AND NOT EXISTS (SELECT 1 FROM restore_points AS p
             WHERE past_definitions.created <= p.snapshot AND p.snapshot < past_definitions.dropped)";
    sqlite.execute(sweep, [])?;
    Ok(())
}

pub(super) fn history(sqlite: &Connection) -> Result<History, CatalogError> {
    let mut points = sqlite.prepare("SELECT name, snapshot, created_us FROM restore_points")?;
    let mut rows = points.query([])?;
    let mut restore_points = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let snapshot = SnapshotId(count(row.get(1)?)?);
        restore_points.insert(row.get(0)?, RestorePoint { snapshot, created_us: row.get(2)? });
    }
    Ok(History {
        from: SnapshotId(setting(sqlite, "history_from")?),
        retention: Duration::from_micros(setting(sqlite, "snapshot_retention_us")?),
        restore_points,
    })
}

pub(super) fn snapshot_at(sqlite: &Connection, time_us: i64) -> Result<Option<SnapshotId>, CatalogError> {
    let newest = "SELECT id FROM snapshots WHERE committed_us <= ?1 ORDER BY committed_us DESC, id DESC LIMIT 1";
    let id: Option<i64> = sqlite.query_row(newest, [time_us], |row| row.get(0)).optional()?;
    Ok(id.map(count).transpose()?.map(SnapshotId))
}
