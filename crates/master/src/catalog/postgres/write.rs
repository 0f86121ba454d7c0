//! Makes changes in few statements: neighbours of one kind are one.

use super::super::access::dropped_by;
use super::super::copied::CopiedFile;
use super::super::error::CatalogError;
use super::super::files::FileKey;
use super::super::object_ids::ObjectName;
use super::super::rows::{DeletesRow, FileRow, int, to_json};
use super::super::store::{Change, Transaction};
use super::connection::Session;
use super::schema::put_setting;
use super::{copied, past, roles, tablespaces};
use damson_cluster::{DeleteVector, FileEntry};
use std::collections::HashSet;

/// Text of the files that one statement adds: bounds what the client and the server hold of it. Files of wide tables have statistics
/// of a megabyte.
const STATEMENT_BYTES_MAX: usize = 8 << 20;

/// Files that one statement changes.
const STATEMENT_ROWS_MAX: usize = 10_000;

/// The transaction has the epoch's lock.
pub(super) fn write(session: &mut Session, transactions: &[Transaction]) -> Result<(), CatalogError> {
    let snapshots: Vec<i64> = transactions.iter().filter_map(|t| t.snapshot).map(|snapshot| int(snapshot.0)).collect();
    if !snapshots.is_empty() {
        add_snapshots(session, &snapshots)?;
    }
    let mut sweep = false;
    for run in runs(transactions) {
        sweep |= matches!(run, Run::ForgetFiles(_) | Run::One(Change::DropTable(_), _));
        write_run(session, &run)?;
    }
    if sweep {
        // A dropped table is kept until the last of its files is forgotten.
        let unused = "DELETE FROM tables
                      WHERE dropped IS NOT NULL AND NOT EXISTS (SELECT FROM files WHERE table_id = tables.id)";
        session.execute(unused, &[])?;
    }
    Ok(())
}

/// The time is the server's: masters take turns, their clocks differ.
pub(super) fn add_snapshots(session: &mut Session, snapshots: &[i64]) -> Result<(), CatalogError> {
    // Times grow with ids: a clock that was set back does not make the past another.
    let insert = "INSERT INTO snapshots
                  SELECT s.id, t.first + s.position FROM unnest($1::bigint[]) WITH ORDINALITY AS s(id, position), (
                      SELECT greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                          (SELECT committed_us FROM snapshots ORDER BY id DESC LIMIT 1)) AS first) AS t";
    session.execute(insert, &[&snapshots])?;
    Ok(())
}

/// Changes that stand next to each other, and can be made by one statement. No file is in a run twice: the later change would not
/// see the earlier one.
#[derive(Debug)]
enum Run<'a> {
    AddFiles(Vec<&'a FileEntry>),
    /// And the snapshot that drops them.
    DropFiles(Vec<(&'a FileKey, Option<i64>)>),
    PutDeletes(Vec<(&'a FileKey, &'a DeleteVector)>),
    ForgetFiles(Vec<&'a FileKey>),
    /// Files that were loaded, all with `force` or all without.
    PutCopied(Vec<&'a CopiedFile>, bool),
    One(&'a Change, Option<i64>),
}

fn runs(transactions: &[Transaction]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = vec![];
    let mut seen: HashSet<&FileKey> = HashSet::new();
    for Transaction { snapshot, changes } in transactions {
        let snapshot = snapshot.map(|snapshot| int(snapshot.0));
        for change in changes {
            let again = match change {
                Change::DropFile { key, .. } | Change::ForgetFile(key) => !seen.insert(key),
                Change::PutDeletes { file, .. } => !seen.insert(file),
                _ => false,
            };
            match (runs.last_mut().filter(|_| !again), change) {
                (Some(Run::AddFiles(files)), Change::AddFile(file)) => files.push(file),
                (Some(Run::DropFiles(files)), Change::DropFile { key, .. }) => files.push((key, snapshot)),
                (Some(Run::PutDeletes(files)), Change::PutDeletes { file, vector, .. }) => files.push((file, vector)),
                (Some(Run::ForgetFiles(files)), Change::ForgetFile(key)) => files.push(key),
                (Some(Run::PutCopied(files, forced)), Change::PutCopied { file, force }) if *forced == *force => {
                    files.push(file);
                }
                _ => {
                    seen.clear();
                    let (run, key) = match change {
                        Change::AddFile(file) => (Run::AddFiles(vec![file]), None),
                        Change::DropFile { key, .. } => (Run::DropFiles(vec![(key, snapshot)]), Some(key)),
                        Change::PutDeletes { file, vector, .. } => (Run::PutDeletes(vec![(file, vector)]), Some(file)),
                        Change::ForgetFile(key) => (Run::ForgetFiles(vec![key]), Some(key)),
                        Change::PutCopied { file, force } => (Run::PutCopied(vec![file], *force), None),
                        _ => (Run::One(change, snapshot), None),
                    };
                    seen.extend(key);
                    runs.push(run);
                }
            }
        }
    }
    runs
}

fn write_run(session: &mut Session, run: &Run<'_>) -> Result<(), CatalogError> {
    match run {
        Run::AddFiles(files) => add_files(session, files),
        Run::DropFiles(files) => files.chunks(STATEMENT_ROWS_MAX).try_for_each(|files| drop_files(session, files)),
        Run::PutDeletes(files) => files.chunks(STATEMENT_ROWS_MAX).try_for_each(|files| put_deletes(session, files)),
        Run::ForgetFiles(files) => files.chunks(STATEMENT_ROWS_MAX).try_for_each(|files| forget_files(session, files)),
        Run::PutCopied(files, force) => {
            files.chunks(STATEMENT_ROWS_MAX).try_for_each(|files| copied::put(session, files, *force))
        }
        Run::One(change, snapshot) => write_one(session, change, *snapshot),
    }
}

/// The columns of `files`, as a statement takes them.
#[derive(Default)]
struct FileColumns {
    content: Vec<i32>,
    path: Vec<String>,
    table: Vec<i64>,
    rows: Vec<i64>,
    bytes: Vec<i64>,
    checksum: Vec<i64>,
    bucket_low: Vec<Option<i32>>,
    bucket_high: Vec<Option<i32>>,
    statistics: Vec<String>,
    created: Vec<i64>,
    text_bytes: usize,
}

impl FileColumns {
    fn push(&mut self, row: FileRow) {
        self.text_bytes += row.path.len() + row.statistics.len();
        self.content.push(row.content);
        self.path.push(row.path);
        self.table.push(row.table);
        self.rows.push(row.rows);
        self.bytes.push(row.bytes);
        self.checksum.push(row.checksum);
        self.bucket_low.push(row.bucket_low);
        self.bucket_high.push(row.bucket_high);
        self.statistics.push(row.statistics);
        self.created.push(row.created);
    }

    fn is_full(&self) -> bool {
        self.text_bytes >= STATEMENT_BYTES_MAX || self.path.len() >= STATEMENT_ROWS_MAX
    }

    /// In their order, which `files.id` keeps.
    fn insert(&self, session: &mut Session) -> Result<(), CatalogError> {
        let insert = "INSERT INTO files
                 (content, path, table_id, rows, bytes, checksum, bucket_low, bucket_high, statistics, created)
             SELECT content, path, table_id, rows, bytes, checksum, bucket_low, bucket_high, statistics, created
             FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[],
                 $8::integer[], $9::text[], $10::bigint[]) WITH ORDINALITY
                 AS f(content, path, table_id, rows, bytes, checksum, bucket_low, bucket_high, statistics, created, position)
             ORDER BY position";
        session.execute(
            insert,
            &[
                &self.content,
                &self.path,
                &self.table,
                &self.rows,
                &self.bytes,
                &self.checksum,
                &self.bucket_low,
                &self.bucket_high,
                &self.statistics,
                &self.created,
            ],
        )?;
        Ok(())
    }
}

fn add_files(session: &mut Session, files: &[&FileEntry]) -> Result<(), CatalogError> {
    let mut columns = FileColumns::default();
    for (i, file) in files.iter().enumerate() {
        columns.push(FileRow::of(file)?);
        if columns.is_full() || i + 1 == files.len() {
            std::mem::take(&mut columns).insert(session)?;
        }
    }
    Ok(())
}

fn drop_files(session: &mut Session, files: &[(&FileKey, Option<i64>)]) -> Result<(), CatalogError> {
    let (contents, paths) = keys(files.iter().map(|(key, _)| *key));
    let snapshots: Vec<Option<i64>> = files.iter().map(|(_, snapshot)| *snapshot).collect();
    let drop = "UPDATE files SET dropped = d.snapshot
                FROM unnest($1::integer[], $2::text[], $3::bigint[]) AS d(content, path, snapshot)
                WHERE files.content = d.content AND files.path = d.path AND files.dropped IS NULL";
    session.execute(drop, &[&contents, &paths, &snapshots])?;
    drop_deletes(session, &contents, &paths, &snapshots)
}

/// The files' delete vectors, of those that have one.
fn drop_deletes(
    session: &mut Session,
    contents: &[i32],
    paths: &[&str],
    snapshots: &[Option<i64>],
) -> Result<(), CatalogError> {
    let drop = "UPDATE delete_vectors SET dropped = d.snapshot
                FROM unnest($1::integer[], $2::text[], $3::bigint[]) AS d(content, path, snapshot)
                WHERE delete_vectors.content = d.content AND file_path = d.path AND delete_vectors.dropped IS NULL";
    session.execute(drop, &[&contents, &paths, &snapshots])?;
    Ok(())
}

fn put_deletes(session: &mut Session, files: &[(&FileKey, &DeleteVector)]) -> Result<(), CatalogError> {
    let (contents, file_paths) = keys(files.iter().map(|(file, _)| *file));
    let rows: Vec<DeletesRow> = files.iter().map(|(file, vector)| DeletesRow::of(file, vector)).collect();
    let created: Vec<Option<i64>> = rows.iter().map(|row| Some(row.created)).collect();
    drop_deletes(session, &contents, &file_paths, &created)?;
    let paths: Vec<&str> = rows.iter().map(|row| row.path.as_str()).collect();
    let counts: Vec<i64> = rows.iter().map(|row| row.rows).collect();
    let bytes: Vec<i64> = rows.iter().map(|row| row.bytes).collect();
    let checksums: Vec<i64> = rows.iter().map(|row| row.checksum).collect();
    let insert = "INSERT INTO delete_vectors (content, path, file_path, rows, bytes, checksum, created)
                  SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                      $7::bigint[])";
    session.execute(insert, &[&contents, &paths, &file_paths, &counts, &bytes, &checksums, &created])?;
    Ok(())
}

fn forget_files(session: &mut Session, files: &[&FileKey]) -> Result<(), CatalogError> {
    let (contents, paths) = keys(files.iter().copied());
    let forget = "DELETE FROM files USING unnest($1::integer[], $2::text[]) AS f(content, path)
                  WHERE files.content = f.content AND files.path = f.path AND dropped IS NOT NULL";
    session.execute(forget, &[&contents, &paths])?;
    let forget = "DELETE FROM delete_vectors USING unnest($1::integer[], $2::text[]) AS f(content, path)
                  WHERE delete_vectors.content = f.content AND delete_vectors.path = f.path AND dropped IS NOT NULL";
    session.execute(forget, &[&contents, &paths])?;
    Ok(())
}

fn keys<'a>(files: impl Iterator<Item = &'a FileKey>) -> (Vec<i32>, Vec<&'a str>) {
    files.map(|file| (file.content.0, file.path.as_str())).unzip()
}

fn forget_object_id(session: &mut Session, object: &ObjectName) -> Result<(), CatalogError> {
    session.execute("DELETE FROM settings WHERE key = $1", &[&object.to_string()])?;
    Ok(())
}

fn write_one(session: &mut Session, change: &Change, snapshot: Option<i64>) -> Result<(), CatalogError> {
    if let Some(object) = dropped_by(change) {
        roles::drop_access(session, &object)?;
    }
    match change {
        Change::ForgetHistory(_)
        | Change::PutRetention(_)
        | Change::PutRestorePoint { .. }
        | Change::DropRestorePoint(_) => past::change(session, change)?,
        Change::CreateSchema(name) => {
            session.execute("INSERT INTO schemas VALUES ($1, $2)", &[name, &snapshot])?;
        }
        Change::DropSchema(name) => {
            past::keep_schema(session, name, snapshot)?;
            session.execute("DELETE FROM schemas WHERE name = $1", &[name])?;
            forget_object_id(session, &ObjectName::Schema(name.clone()))?;
        }
        Change::PutTable { def, redefined } => {
            past::keep_table(session, int(def.id.0), snapshot)?;
            let put = "INSERT INTO tables VALUES ($1, $2, $3, $4, $5, $5, NULL, $5) ON CONFLICT (id) DO UPDATE SET
                       schema_name = $2, name = $3, definition = $4, since = $5,
                       defined = CASE WHEN $6 THEN $5 ELSE tables.defined END";
            session.execute(put, &[&int(def.id.0), &def.schema, &def.name, &to_json(def)?, &snapshot, redefined])?;
        }
        Change::DropTable(id) => {
            past::keep_table(session, int(id.0), snapshot)?;
            session.execute("UPDATE tables SET dropped = $2 WHERE id = $1", &[&int(id.0), &snapshot])?;
        }
        Change::PutView(view) => {
            past::keep_view(session, &view.schema, &view.name, snapshot)?;
            let put = "INSERT INTO views VALUES ($1, $2, $3, $4) ON CONFLICT (schema_name, name) DO UPDATE SET
                       definition = excluded.definition, created = excluded.created";
            session.execute(put, &[&view.schema, &view.name, &to_json(view)?, &snapshot])?;
        }
        Change::DropView { schema, name } => {
            past::keep_view(session, schema, name, snapshot)?;
            session.execute("DELETE FROM views WHERE schema_name = $1 AND name = $2", &[schema, name])?;
            forget_object_id(session, &ObjectName::View(schema.clone(), name.clone()))?;
        }
        Change::PutObjectId { object, id } => put_setting(session, &object.to_string(), &id.to_string())?,
        Change::PutSequence(def) => {
            past::keep_sequence(session, &def.schema, &def.name, snapshot)?;
            let put =
                "INSERT INTO sequence_definitions VALUES ($1, $2, $3, $4, $5) ON CONFLICT (schema_name, name) DO UPDATE
                       SET id = excluded.id, definition = excluded.definition, created = excluded.created";
            session.execute(put, &[&def.schema, &def.name, &int(def.id.0), &to_json(def)?, &snapshot])?;
        }
        Change::DropSequence { schema, name } => {
            past::keep_sequence(session, schema, name, snapshot)?;
            let drop = "DELETE FROM sequence_definitions WHERE schema_name = $1 AND name = $2";
            session.execute(drop, &[schema, name])?;
        }
        Change::PutPosition { id, position } => {
            let put = "INSERT INTO sequence_positions VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE
                       SET last = excluded.last, is_called = excluded.is_called";
            session.execute(put, &[&int(id.0), &position.last, &position.is_called])?;
        }
        Change::PutSecret { .. } | Change::DropSecret(_) | Change::PutTablespace(_) | Change::DropTablespace(_) => {
            tablespaces::change(session, change, snapshot)?;
        }
        Change::PutRole(_) | Change::DropRole(_) | Change::PutAccess(_) => roles::change(session, change)?,
        Change::ForgetCopied(table) => copied::forget(session, *table)?,
        Change::PutMap(map) => {
            let version = i64::from(map.version.0);
            session.execute("INSERT INTO bucket_maps VALUES ($1, $2)", &[&version, &to_json(map)?])?;
            put_setting(session, "segment_count", &map.segment_count().to_string())?;
        }
        Change::NextTableId(next) => {
            session.execute("UPDATE sequences SET next = $1 WHERE name = 'table_id'", &[&int(next.0)])?;
        }
        Change::AddFile(_)
        | Change::DropFile { .. }
        | Change::PutDeletes { .. }
        | Change::ForgetFile(_)
        | Change::PutCopied { .. } => unreachable!("changes of files are in runs of their own"),
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn lengths_of_runs(transactions: &[Transaction]) -> Vec<usize> {
    let length = |run: &Run<'_>| match run {
        Run::AddFiles(files) => files.len(),
        Run::DropFiles(files) => files.len(),
        Run::PutDeletes(files) => files.len(),
        Run::ForgetFiles(files) => files.len(),
        Run::PutCopied(files, _) => files.len(),
        Run::One(..) => 1,
    };
    runs(transactions).iter().map(length).collect()
}
