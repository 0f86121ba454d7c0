//! What PostgreSQL keeps of the past: definitions that were replaced, restore points, and how long all of it is kept.

use super::super::error::CatalogError;
use super::super::history::{History, RestorePoint};
use super::super::past::micros;
use super::super::rows::{count, int};
use super::super::store::Change;
use super::connection::{Session, column};
use super::schema::{put_setting, setting};
use damson_cluster::SnapshotId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Since version 4. The past begins when a master of this version opens the catalog: until then one of an older build may go on, which
/// keeps none.
pub(super) const HISTORY: &str = "
ALTER TABLE tables ADD COLUMN since BIGINT NOT NULL DEFAULT 1;
CREATE TABLE past_definitions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    defined BIGINT NOT NULL,
    created BIGINT NOT NULL,
    dropped BIGINT NOT NULL);
CREATE INDEX past_definitions_dropped ON past_definitions(dropped);
CREATE TABLE restore_points (
    name TEXT PRIMARY KEY,
    snapshot BIGINT NOT NULL REFERENCES snapshots(id),
    created_us BIGINT NOT NULL);
CREATE INDEX snapshots_time ON snapshots(committed_us);
INSERT INTO settings VALUES ('snapshot_retention_us', '0');
INSERT INTO settings VALUES ('history_from', '0');
";

/// A table's definition takes another's place, or nothing does. Not that of a definition that no snapshot before this one had.
pub(super) fn keep_table(session: &mut Session, id: i64, snapshot: Option<i64>) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'table', definition, defined, since, $2 FROM tables WHERE id = $1 AND since < $2";
    session.execute(keep, &[&id, &snapshot])?;
    Ok(())
}

/// As [`keep_table`].
pub(super) fn keep_view(
    session: &mut Session,
    schema: &str,
    name: &str,
    snapshot: Option<i64>,
) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'view', definition, created, created, $3 FROM views
                WHERE schema_name = $1 AND name = $2 AND created < $3";
    session.execute(keep, &[&schema, &name, &snapshot])?;
    Ok(())
}

/// As [`keep_table`].
pub(super) fn keep_schema(session: &mut Session, name: &str, snapshot: Option<i64>) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'schema', name, created, created, $2 FROM schemas WHERE name = $1 AND created < $2";
    session.execute(keep, &[&name, &snapshot])?;
    Ok(())
}

/// As [`keep_table`].
pub(super) fn keep_sequence(
    session: &mut Session,
    schema: &str,
    name: &str,
    snapshot: Option<i64>,
) -> Result<(), CatalogError> {
    let keep = "INSERT INTO past_definitions (kind, definition, defined, created, dropped)
                SELECT 'sequence', definition, created, created, $3 FROM sequence_definitions
                WHERE schema_name = $1 AND name = $2 AND created < $3";
    session.execute(keep, &[&schema, &name, &snapshot])?;
    Ok(())
}

/// A change of what is kept.
pub(super) fn change(session: &mut Session, change: &Change) -> Result<(), CatalogError> {
    match change {
        Change::ForgetHistory(from) => put_setting(session, "history_from", &from.0.to_string())?,
        Change::PutRetention(retention) => {
            return put_setting(session, "snapshot_retention_us", &micros(*retention).to_string());
        }
        Change::PutRestorePoint { name, snapshot } => {
            let put = "INSERT INTO restore_points
                       VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";
            session.execute(put, &[name, &int(snapshot.0)])?;
            return Ok(());
        }
        Change::DropRestorePoint(name) => {
            session.execute("DELETE FROM restore_points WHERE name = $1", &[name])?;
        }
        _ => unreachable!("the caller has told the changes of history from the others"),
    }
    // Definitions go with the last snapshot that has them.
    let sweep = "DELETE FROM past_definitions AS d
                 WHERE dropped <= (SELECT value::bigint FROM settings WHERE key = 'history_from')
                 AND NOT EXISTS (SELECT FROM restore_points AS p WHERE d.created <= p.snapshot AND p.snapshot < d.dropped)";
    session.execute(sweep, &[])?;
    Ok(())
}

pub(super) fn history(session: &mut Session) -> Result<History, CatalogError> {
    let mut restore_points = BTreeMap::new();
    session.each("SELECT name, snapshot, created_us FROM restore_points", |row| {
        let snapshot = SnapshotId(count(column(row, 1)?)?);
        restore_points.insert(column(row, 0)?, RestorePoint { snapshot, created_us: column(row, 2)? });
        Ok(())
    })?;
    Ok(History {
        from: SnapshotId(setting(session, "history_from")?),
        retention: Duration::from_micros(setting(session, "snapshot_retention_us")?),
        restore_points,
    })
}

pub(super) fn now_us(session: &mut Session) -> Result<i64, CatalogError> {
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let row = session.row(now, &[])?;
    let row = row.ok_or_else(|| CatalogError::Damaged("the database does not tell the time".into()))?;
    column(&row, 0)
}

pub(super) fn snapshot_at(session: &mut Session, time_us: i64) -> Result<Option<SnapshotId>, CatalogError> {
    let newest = "SELECT id FROM snapshots WHERE committed_us <= $1 ORDER BY committed_us DESC, id DESC LIMIT 1";
    let row = session.row(newest, &[&time_us])?;
    let id = row.map(|row| column(&row, 0).and_then(count)).transpose()?;
    Ok(id.map(SnapshotId))
}
