//! Which files SQLite knows as loaded.

use super::super::copied::CopiedFile;
use super::super::error::CatalogError;
use super::super::rows::{CopiedRow, int, to_json};
use damson_cluster::TableId;
use rusqlite::{Connection, Row, params};

/// Since version 5.
pub(super) const COPIED_FILES: &str = "
CREATE TABLE copied_files (
    table_id INTEGER NOT NULL REFERENCES tables(id),
    url TEXT NOT NULL,
    etag TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    modified_us INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    loaded_us INTEGER NOT NULL,
    snapshot INTEGER NOT NULL REFERENCES snapshots(id),
    UNIQUE (table_id, url, etag, bytes, modified_us));
";

/// # Errors
/// [`CatalogError::Store`], also for a file that is there without `force`.
pub(super) fn put(sqlite: &Connection, file: &CopiedFile, force: bool) -> Result<(), CatalogError> {
    let put = match force {
        false => "INSERT INTO copied_files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        true => "INSERT OR REPLACE INTO copied_files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    };
    let CopiedRow { table, url, etag, bytes, modified_us, rows, loaded_us, snapshot } = CopiedRow::of(file);
    let row = params![table, url, etag, bytes, modified_us, rows, loaded_us, snapshot];
    sqlite.prepare_cached(put)?.execute(row)?;
    Ok(())
}

pub(super) fn forget(sqlite: &Connection, table: TableId) -> Result<(), CatalogError> {
    sqlite.prepare_cached("DELETE FROM copied_files WHERE table_id = ?1")?.execute([int(table.0)])?;
    Ok(())
}

pub(super) fn of_urls(sqlite: &Connection, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
    let select = "SELECT table_id, url, etag, bytes, modified_us, rows, loaded_us, snapshot FROM copied_files
                  WHERE table_id = ?1 AND url IN (SELECT value FROM json_each(?2))";
    let mut statement = sqlite.prepare_cached(select)?;
    files(statement.query(params![int(table.0), to_json(&urls)?])?)
}

pub(super) fn history(sqlite: &Connection) -> Result<Vec<CopiedFile>, CatalogError> {
    let select = "SELECT table_id, url, etag, bytes, modified_us, rows, loaded_us, snapshot FROM copied_files
                  ORDER BY snapshot, table_id, url";
    let mut statement = sqlite.prepare_cached(select)?;
    files(statement.query([])?)
}

fn files(mut rows: rusqlite::Rows<'_>) -> Result<Vec<CopiedFile>, CatalogError> {
    let mut files = vec![];
    while let Some(row) = rows.next()? {
        files.push(row_of(row)?.stored()?);
    }
    Ok(files)
}

fn row_of(row: &Row<'_>) -> Result<CopiedRow, CatalogError> {
    Ok(CopiedRow {
        table: row.get(0)?,
        url: row.get(1)?,
        etag: row.get(2)?,
        bytes: row.get(3)?,
        modified_us: row.get(4)?,
        rows: row.get(5)?,
        loaded_us: row.get(6)?,
        snapshot: row.get(7)?,
    })
}
