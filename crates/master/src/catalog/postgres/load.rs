//! Reads the whole catalog, as it is or as it was.

use super::super::error::CatalogError;
use super::super::object_ids::{self, ObjectName};
use super::super::rows::int;
use super::super::rows::{DeletesRow, FileRow, count, from_json, stored_table};
use super::super::store::Stored;
use super::connection::{Session, column};
use super::past;
use super::roles;
use super::schema::setting;
use super::tablespaces;
use damson_cluster::{SequenceId, SequencePosition, SnapshotId, TableId};
use postgres::Row;
use std::collections::HashMap;

/// The transaction has the epoch's lock, so that nothing changes between two of its statements.
pub(super) fn load(session: &mut Session, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
    let snapshot = at.map(|at| int(at.0));
    let (mut maps, mut schemas, mut tables, mut views) = (vec![], vec![], vec![], vec![]);
    let (mut files, mut deletes) = (vec![], vec![]);
    let (mut sequences, mut positions) = (vec![], HashMap::new());
    session.each("SELECT definition FROM bucket_maps ORDER BY version", |row| {
        maps.push(from_json("a bucket map", column(row, 0)?)?);
        Ok(())
    })?;
    let all_schemas = "SELECT name FROM schemas WHERE $1::bigint IS NULL OR created <= $1
                       UNION ALL SELECT definition FROM past_definitions
                       WHERE kind = 'schema' AND created <= $1 AND dropped > $1";
    session.each_of(all_schemas, &[&snapshot], |row| {
        schemas.push(column(row, 0)?);
        Ok(())
    })?;
    let mut object_ids = vec![];
    let all_ids = "SELECT key, value FROM settings WHERE starts_with(key, $1)";
    session.each_of(all_ids, &[&object_ids::KEYS], |row| {
        object_ids.push(ObjectName::of_setting(column(row, 0)?, column(row, 1)?)?);
        Ok(())
    })?;
    let all_tables = "SELECT definition, defined FROM tables
                      WHERE dropped IS NULL AND ($1::bigint IS NULL OR since <= $1)
                      UNION ALL SELECT definition, defined FROM past_definitions
                      WHERE kind = 'table' AND created <= $1 AND dropped > $1";
    session.each_of(all_tables, &[&snapshot], |row| {
        tables.push(stored_table(column(row, 0)?, column(row, 1)?)?);
        Ok(())
    })?;
    let all_views = "SELECT definition FROM views WHERE $1::bigint IS NULL OR created <= $1
                     UNION ALL SELECT definition FROM past_definitions
                     WHERE kind = 'view' AND created <= $1 AND dropped > $1";
    session.each_of(all_views, &[&snapshot], |row| {
        views.push(from_json("a view", column(row, 0)?)?);
        Ok(())
    })?;
    let all_sequences = "SELECT definition FROM sequence_definitions WHERE $1::bigint IS NULL OR created <= $1
                         UNION ALL SELECT definition FROM past_definitions
                         WHERE kind = 'sequence' AND created <= $1 AND dropped > $1";
    session.each_of(all_sequences, &[&snapshot], |row| {
        sequences.push(from_json("a sequence", column(row, 0)?)?);
        Ok(())
    })?;
    session.each("SELECT id, last, is_called FROM sequence_positions", |row| {
        let position = SequencePosition { last: column(row, 1)?, is_called: column(row, 2)? };
        positions.insert(SequenceId(count(column(row, 0)?)?), position);
        Ok(())
    })?;
    let all_files =
        "SELECT content, path, table_id, rows, bytes, checksum, bucket_low, bucket_high, statistics, created, dropped
                     FROM files WHERE $1::bigint IS NULL OR (created <= $1 AND (dropped IS NULL OR dropped > $1))
                     ORDER BY id";
    session.each_of(all_files, &[&snapshot], |row| {
        let file = file(row)?;
        // What was dropped later was not dropped then.
        files.push(FileRow { dropped: file.dropped.filter(|_| at.is_none()), ..file }.stored()?);
        Ok(())
    })?;
    let all_deletes = "SELECT content, path, file_path, rows, bytes, checksum, created, dropped FROM delete_vectors
                       WHERE $1::bigint IS NULL OR (created <= $1 AND (dropped IS NULL OR dropped > $1))";
    session.each_of(all_deletes, &[&snapshot], |row| {
        let vector = vector(row)?;
        deletes.push(DeletesRow { dropped: vector.dropped.filter(|_| at.is_none()), ..vector }.stored()?);
        Ok(())
    })?;
    Ok(Stored {
        cluster_id: setting(session, "cluster_id")?,
        segment_count: setting(session, "segment_count")?,
        epoch: setting(session, "epoch")?,
        snapshot: match at {
            Some(at) => at,
            None => SnapshotId(newest(session)?),
        },
        next_table_id: TableId(number(session, "SELECT next FROM sequences WHERE name = 'table_id'")?),
        maps,
        schemas,
        object_ids,
        tables,
        views,
        sequences,
        secrets: tablespaces::load_secrets(session)?,
        roles: roles::load(session)?,
        access: roles::load_access(session)?,
        tablespaces: tablespaces::load(session, at)?,
        positions,
        files,
        deletes,
        history: past::history(session)?,
    })
}

pub(super) fn newest(session: &mut Session) -> Result<u64, CatalogError> {
    number(session, "SELECT max(id) FROM snapshots")
}

fn number(session: &mut Session, sql: &'static str) -> Result<u64, CatalogError> {
    let row = session.row(sql, &[])?;
    let row = row.ok_or_else(|| CatalogError::Damaged(format!("no row: {sql}")))?;
    count(column(&row, 0)?)
}

fn file(row: &Row) -> Result<FileRow, CatalogError> {
    Ok(FileRow {
        content: column(row, 0)?,
        path: column(row, 1)?,
        table: column(row, 2)?,
        rows: column(row, 3)?,
        bytes: column(row, 4)?,
        checksum: column(row, 5)?,
        bucket_low: column(row, 6)?,
        bucket_high: column(row, 7)?,
        statistics: column(row, 8)?,
        created: column(row, 9)?,
        dropped: column(row, 10)?,
    })
}

fn vector(row: &Row) -> Result<DeletesRow, CatalogError> {
    Ok(DeletesRow {
        content: column(row, 0)?,
        path: column(row, 1)?,
        file_path: column(row, 2)?,
        rows: column(row, 3)?,
        bytes: column(row, 4)?,
        checksum: column(row, 5)?,
        created: column(row, 6)?,
        dropped: column(row, 7)?,
    })
}
