//! Which files PostgreSQL knows as loaded.

use super::super::copied::{CopiedFile, CopiedKey};
use super::super::error::CatalogError;
use super::super::rows::{CopiedRow, int};
use super::connection::{Session, column};
use damson_cluster::TableId;
use postgres::Row;
use std::collections::BTreeMap;

/// Since version 5.
pub(super) const COPIED_FILES: &str = "
CREATE TABLE copied_files (
    table_id BIGINT NOT NULL REFERENCES tables(id),
    url TEXT NOT NULL,
    etag TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    modified_us BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    loaded_us BIGINT NOT NULL,
    snapshot BIGINT NOT NULL REFERENCES snapshots(id),
    UNIQUE (table_id, url, etag, bytes, modified_us));
";

/// The columns of `copied_files`, as a statement takes them.
#[derive(Default)]
struct Columns {
    table: Vec<i64>,
    url: Vec<String>,
    etag: Vec<String>,
    bytes: Vec<i64>,
    modified_us: Vec<i64>,
    rows: Vec<i64>,
    loaded_us: Vec<i64>,
    snapshot: Vec<i64>,
}

impl Columns {
    fn of<'a>(files: impl Iterator<Item = &'a CopiedFile>) -> Self {
        let mut columns = Columns::default();
        for row in files.map(CopiedRow::of) {
            columns.table.push(row.table);
            columns.url.push(row.url);
            columns.etag.push(row.etag);
            columns.bytes.push(row.bytes);
            columns.modified_us.push(row.modified_us);
            columns.rows.push(row.rows);
            columns.loaded_us.push(row.loaded_us);
            columns.snapshot.push(row.snapshot);
        }
        columns
    }

    fn write(&self, session: &mut Session, sql: &'static str) -> Result<(), CatalogError> {
        let Columns { table, url, etag, bytes, modified_us, rows, loaded_us, snapshot } = self;
        session.execute(sql, &[table, url, etag, bytes, modified_us, rows, loaded_us, snapshot])?;
        Ok(())
    }
}

/// # Errors
/// [`CatalogError::Postgres`], also for a file that is there without `force`.
pub(super) fn put(session: &mut Session, files: &[&CopiedFile], force: bool) -> Result<(), CatalogError> {
    if !force {
        let insert = "INSERT INTO copied_files SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[],
                          $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])";
        return Columns::of(files.iter().copied()).write(session, insert);
    }
    // One statement changes no row twice: the last one stays.
    let last: BTreeMap<CopiedKey, &CopiedFile> = files.iter().map(|file| (CopiedKey::of(file), *file)).collect();
    let replace = "INSERT INTO copied_files SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[],
                       $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
                   ON CONFLICT (table_id, url, etag, bytes, modified_us) DO UPDATE
                   SET rows = excluded.rows, loaded_us = excluded.loaded_us, snapshot = excluded.snapshot";
    Columns::of(last.into_values()).write(session, replace)
}

pub(super) fn forget(session: &mut Session, table: TableId) -> Result<(), CatalogError> {
    session.execute("DELETE FROM copied_files WHERE table_id = $1", &[&int(table.0)])?;
    Ok(())
}

pub(super) fn of_urls(session: &mut Session, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
    let select = "SELECT table_id, url, etag, bytes, modified_us, rows, loaded_us, snapshot FROM copied_files
                  WHERE table_id = $1 AND url = ANY($2::text[])";
    let mut files = vec![];
    session.each_of(select, &[&int(table.0), &urls], |row| {
        files.push(row_of(row)?.stored()?);
        Ok(())
    })?;
    Ok(files)
}

pub(super) fn history(session: &mut Session) -> Result<Vec<CopiedFile>, CatalogError> {
    // By bytes, as SQLite has it, whatever the database's collation is.
    let select = "SELECT table_id, url, etag, bytes, modified_us, rows, loaded_us, snapshot FROM copied_files
                  ORDER BY snapshot, table_id, url COLLATE \"C\"";
    let mut files = vec![];
    session.each(select, |row| {
        files.push(row_of(row)?.stored()?);
        Ok(())
    })?;
    Ok(files)
}

fn row_of(row: &Row) -> Result<CopiedRow, CatalogError> {
    Ok(CopiedRow {
        table: column(row, 0)?,
        url: column(row, 1)?,
        etag: column(row, 2)?,
        bytes: column(row, 3)?,
        modified_us: column(row, 4)?,
        rows: column(row, 5)?,
        loaded_us: column(row, 6)?,
        snapshot: column(row, 7)?,
    })
}
