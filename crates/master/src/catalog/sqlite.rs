//! The catalog's store in SQLite: `catalog.db`, described in `docs/formats/catalog.md`.

mod copied;
mod past;
mod roles;
mod tablespaces;

use super::access::dropped_by;
use super::copied::CopiedFile;
use super::durable::first_map;
use super::error::CatalogError;
use super::files::FileKey;
use super::history::History;
use super::maps::check_segments;
use super::object_ids::{self, ObjectName};
use super::rows::{self, DeletesRow, FileRow, SCHEMA_VERSION, count, from_json, int, stored_table, to_json};
use super::sequences::SequenceDef;
use super::state::ViewDef;
use super::store::{CatalogStore, Change, Durability, Stored, StoredDeletes, StoredFile, StoredTable, Transaction};
use crate::sql::DEFAULT_SCHEMA;
use damson_cluster::{BucketMap, FileEntry, SequenceId, SequencePosition, SnapshotId, TableId, TablespaceId};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `application_id`: "DMSN".
const APPLICATION_ID: i64 = 0x444d_534e;

/// How long a statement waits for another process that has the database locked (a backup, `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sequences (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots (id INTEGER PRIMARY KEY, committed_us INTEGER NOT NULL);
CREATE TABLE bucket_maps (version INTEGER PRIMARY KEY, definition TEXT NOT NULL);
CREATE TABLE schemas (name TEXT PRIMARY KEY, created INTEGER NOT NULL REFERENCES snapshots(id)) WITHOUT ROWID;
CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    schema_name TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id),
    defined INTEGER NOT NULL REFERENCES snapshots(id),
    dropped INTEGER REFERENCES snapshots(id));
CREATE UNIQUE INDEX tables_name ON tables(schema_name, name) WHERE dropped IS NULL;
CREATE TABLE views (
    schema_name TEXT NOT NULL REFERENCES schemas(name),
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id),
    PRIMARY KEY (schema_name, name)) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content INTEGER NOT NULL,
    path TEXT NOT NULL,
    table_id INTEGER NOT NULL REFERENCES tables(id),
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    bucket_low INTEGER,
    bucket_high INTEGER,
    statistics TEXT NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id),
    dropped INTEGER REFERENCES snapshots(id),
    UNIQUE (content, path));
CREATE INDEX files_table ON files(table_id);
";

/// Since version 2.
const DELETE_VECTORS: &str = "
CREATE TABLE delete_vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content INTEGER NOT NULL,
    path TEXT NOT NULL,
    file_path TEXT NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id),
    dropped INTEGER REFERENCES snapshots(id),
    UNIQUE (content, path));
CREATE UNIQUE INDEX delete_vectors_file ON delete_vectors(content, file_path) WHERE dropped IS NULL;
";

/// Since version 4. A position may be there before its sequence is committed.
const SEQUENCES: &str = "
CREATE TABLE sequence_definitions (
    schema_name TEXT NOT NULL REFERENCES schemas(name),
    name TEXT NOT NULL,
    id INTEGER NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    created INTEGER NOT NULL REFERENCES snapshots(id),
    PRIMARY KEY (schema_name, name)) WITHOUT ROWID;
CREATE TABLE sequence_positions (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, is_called INTEGER NOT NULL);
";

/// One open `catalog.db`.
pub(super) struct SqliteStore {
    connection: Connection,
    epoch: u64,
    durability: Durability,
}

impl SqliteStore {
    /// Opens or makes the catalog and takes the next epoch.
    ///
    /// # Errors
    /// As [`Catalog::open`](super::Catalog::open).
    pub fn open(path: &Path, segment_count: usize) -> Result<Self, CatalogError> {
        let mut connection = connect(path)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match version_of(&transaction)? {
            0 => create(&transaction, segment_count)?,
            version if version < SCHEMA_VERSION => migrate(&transaction, version)?,
            _ => {}
        }
        let stored: usize = setting(&transaction, "segment_count")?;
        let first = "SELECT definition FROM bucket_maps ORDER BY version LIMIT 1";
        let first: String = transaction.query_row(first, [], |row| row.get(0))?;
        check_segments(stored, &from_json("a bucket map", &first)?, segment_count)?;
        let epoch = setting::<u64>(&transaction, "epoch")? + 1;
        put_setting(&transaction, "epoch", &epoch.to_string())?;
        put_setting(&transaction, "build", env!("CARGO_PKG_VERSION"))?;
        // Of sequences that were dropped, or never committed; unless a snapshot that is kept has dropped ones.
        let left = "DELETE FROM sequence_positions WHERE id NOT IN (SELECT id FROM sequence_definitions)
                    AND id NOT IN (SELECT json_extract(definition, '$.id') FROM past_definitions WHERE kind = 'sequence')";
        transaction.execute(left, [])?;
        transaction.commit()?;
        Ok(SqliteStore { connection, epoch, durability: Durability::Synced })
    }
}

impl SqliteStore {
    /// What the next transactions do. NORMAL syncs the log before its pages get into the database, which is whole in any case.
    fn wait_for(&mut self, durability: Durability) -> Result<(), CatalogError> {
        if self.durability != durability {
            self.connection.execute_batch(match durability {
                Durability::Synced => "PRAGMA synchronous = FULL",
                Durability::Unsynced => "PRAGMA synchronous = NORMAL",
            })?;
            self.durability = durability;
        }
        Ok(())
    }
}

fn refuse_fenced(transaction: &Connection, ours: u64) -> Result<(), CatalogError> {
    let stored = setting(transaction, "epoch")?;
    if stored == ours { Ok(()) } else { Err(CatalogError::Fenced { ours, stored }) }
}

#[cfg(test)]
impl SqliteStore {
    /// What it does at a commit, as SQLite numbers it.
    pub fn synchronous(&self) -> Result<i64, CatalogError> {
        Ok(self.connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?)
    }

    /// A disk that has room for so many pages of the database, and no more.
    pub fn limit_pages(&self, pages: u32) -> Result<(), CatalogError> {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(())
    }
}

fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // FULL: a commit is on the disk before it is visible, not only ordered.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    Ok(connection)
}

/// The schema version; 0 for an empty database.
fn version_of(connection: &Connection) -> Result<i64, CatalogError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > SCHEMA_VERSION {
        return Err(CatalogError::NewerSchema { stored: version, known: SCHEMA_VERSION });
    }
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects > 0 && application != APPLICATION_ID {
        return Err(CatalogError::Damaged("catalog.db is another program's database".into()));
    }
    Ok(version)
}

/// Version 1 has no delete vectors.
fn migrate(connection: &Connection, from: i64) -> Result<(), CatalogError> {
    if from < 2 {
        connection.execute_batch(DELETE_VECTORS)?;
    }
    if from < 3 {
        keys_of_primary_keys(connection)?;
    }
    if from < 4 {
        connection.execute_batch(past::HISTORY)?;
        connection.execute_batch(SEQUENCES)?;
    }
    if from < 5 {
        connection.execute_batch(copied::COPIED_FILES)?;
    }
    if from < 6 {
        connection.execute_batch(tablespaces::TABLESPACES)?;
    }
    if from < 8 {
        connection.execute_batch(roles::ROLES)?;
    }
    connection.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION};"))?;
    Ok(())
}

/// Before version 3 a definition had the columns of its primary key, which was not enforced.
fn keys_of_primary_keys(connection: &Connection) -> Result<(), CatalogError> {
    let mut tables = connection.prepare("SELECT id, definition FROM tables")?;
    let tables = tables.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    for table in tables.collect::<Result<Vec<_>, _>>()? {
        let (id, definition) = table;
        let mut definition: serde_json::Value = from_json("a table", &definition)?;
        let Some(fields) = definition.as_object_mut() else { continue };
        let columns = fields.remove("primary_key").unwrap_or_default();
        if columns.as_array().is_some_and(|columns| !columns.is_empty()) {
            let name = fields.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
            let key = serde_json::json!({ "name": format!("{name}_pkey"), "columns": columns, "primary": true });
            fields.insert("keys".into(), serde_json::json!([key]));
        }
        connection.execute("UPDATE tables SET definition = ?2 WHERE id = ?1", params![id, definition.to_string()])?;
    }
    Ok(())
}

fn create(connection: &Connection, segment_count: usize) -> Result<(), CatalogError> {
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(DELETE_VECTORS)?;
    connection.execute_batch(SEQUENCES)?;
    connection.execute_batch(copied::COPIED_FILES)?;
    connection.execute_batch(tablespaces::TABLESPACES)?;
    connection.execute_batch(roles::ROLES)?;
    connection
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"))?;
    put_setting(connection, "cluster_id", &uuid::Uuid::new_v4().to_string())?;
    put_setting(connection, "segment_count", &segment_count.to_string())?;
    put_setting(connection, "epoch", "0")?;
    connection.execute("INSERT INTO sequences VALUES ('table_id', 1)", [])?;
    connection.execute("INSERT INTO snapshots VALUES (1, ?1)", params![now_us()])?;
    connection.execute("INSERT INTO schemas VALUES (?1, 1)", params![DEFAULT_SCHEMA])?;
    let map = first_map(segment_count);
    connection.execute("INSERT INTO bucket_maps VALUES (?1, ?2)", params![map.version.0, to_json(&map)?])?;
    connection.execute_batch(past::HISTORY)?;
    Ok(())
}

fn setting<T: std::str::FromStr>(connection: &Connection, key: &str) -> Result<T, CatalogError> {
    let sql = "SELECT value FROM settings WHERE key = ?1";
    let value: Option<String> = connection.query_row(sql, [key], |row| row.get(0)).optional()?;
    rows::setting(key, value.as_deref())
}

fn put_setting(connection: &Connection, key: &str, value: &str) -> Result<(), CatalogError> {
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", [key, value])?;
    Ok(())
}

fn now_us() -> i64 {
    // A clock before 1970 or after 294247 gives a wrong time, not a failed commit.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

impl CatalogStore for SqliteStore {
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        let stored = load(&transaction, at)?;
        transaction.commit()?;
        Ok(stored)
    }

    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        self.wait_for(durability)?;
        let sqlite = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        refuse_fenced(&sqlite, self.epoch)?;
        let mut sweep = false;
        for Transaction { snapshot, changes } in transactions {
            if let Some(snapshot) = snapshot {
                past::add_snapshot(&sqlite, *snapshot, now_us())?;
            }
            for change in changes {
                apply_change(&sqlite, change, *snapshot)?;
                sweep |= matches!(change, Change::DropTable(_) | Change::ForgetFile(_));
            }
        }
        if sweep {
            // A dropped table is kept until the last of its files is forgotten.
            let unused = "dropped IS NOT NULL AND NOT EXISTS (SELECT 1 FROM files WHERE table_id = tables.id)";
            sqlite.execute(&format!("DELETE FROM tables WHERE {unused}"), [])?;
        }
        sqlite.commit()?;
        Ok(())
    }

    /// The log is synced as a whole, with what others have written to it.
    fn sync(&mut self) -> Result<(), CatalogError> {
        self.wait_for(Durability::Synced)?;
        let sqlite = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        refuse_fenced(&sqlite, self.epoch)?;
        put_setting(&sqlite, "synced_us", &now_us().to_string())?;
        sqlite.commit()?;
        Ok(())
    }

    fn history(&mut self) -> Result<History, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        past::history(&transaction)
    }

    fn now_us(&mut self) -> Result<i64, CatalogError> {
        Ok(now_us())
    }

    fn snapshot_at(&mut self, time_us: i64) -> Result<Option<SnapshotId>, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        past::snapshot_at(&transaction, time_us)
    }

    fn copied_files(&mut self, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        copied::of_urls(&transaction, table, urls)
    }

    fn copy_history(&mut self) -> Result<Vec<CopiedFile>, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        copied::history(&transaction)
    }

    fn has_tables(&mut self, tablespace: TablespaceId) -> Result<bool, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        tablespaces::has_tables(&transaction, tablespace)
    }

    fn tablespace_of(&mut self, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError> {
        let transaction = self.connection.transaction()?;
        refuse_fenced(&transaction, self.epoch)?;
        tablespaces::of_table(&transaction, table)
    }
}

fn load(connection: &Connection, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
    let newest: i64 = connection.query_row("SELECT max(id) FROM snapshots", [], |row| row.get(0))?;
    let next_table_id: i64 =
        connection.query_row("SELECT next FROM sequences WHERE name = 'table_id'", [], |row| row.get(0))?;
    let texts = |sql: &str, as_of: bool| -> Result<Vec<String>, CatalogError> {
        let mut statement = connection.prepare(sql)?;
        let at = params![at.map(|at| int(at.0))];
        let rows = statement.query_map(if as_of { at } else { &[] }, |row| row.get::<_, String>(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let mut maps = Vec::new();
    for text in texts("SELECT definition FROM bucket_maps ORDER BY version", false)? {
        maps.push(from_json::<BucketMap>("a bucket map", &text)?);
    }
    let mut views = Vec::new();
    let all_views = "SELECT definition FROM views WHERE ?1 IS NULL OR created <= ?1
                     UNION ALL SELECT definition FROM past_definitions
                     WHERE kind = 'view' AND created <= ?1 AND dropped > ?1";
    for text in texts(all_views, true)? {
        views.push(from_json::<ViewDef>("a view", &text)?);
    }
    let schemas = "SELECT name FROM schemas WHERE ?1 IS NULL OR created <= ?1
                   UNION ALL SELECT definition FROM past_definitions
                   WHERE kind = 'schema' AND created <= ?1 AND dropped > ?1";
    let all_sequences = "SELECT definition FROM sequence_definitions WHERE ?1 IS NULL OR created <= ?1
                         UNION ALL SELECT definition FROM past_definitions
                         WHERE kind = 'sequence' AND created <= ?1 AND dropped > ?1";
    let mut sequences = Vec::new();
    for text in texts(all_sequences, true)? {
        sequences.push(from_json::<SequenceDef>("a sequence", &text)?);
    }
    Ok(Stored {
        cluster_id: setting(connection, "cluster_id")?,
        segment_count: setting(connection, "segment_count")?,
        epoch: setting(connection, "epoch")?,
        snapshot: at.unwrap_or(SnapshotId(count(newest)?)),
        next_table_id: TableId(count(next_table_id)?),
        maps,
        schemas: texts(schemas, true)?,
        object_ids: load_object_ids(connection)?,
        tables: load_tables(connection, at)?,
        views,
        sequences,
        secrets: tablespaces::load_secrets(connection)?,
        roles: roles::load(connection)?,
        access: roles::load_access(connection)?,
        tablespaces: tablespaces::load(connection, at)?,
        positions: load_positions(connection)?,
        files: load_files(connection, at)?,
        deletes: load_deletes(connection, at)?,
        history: past::history(connection)?,
    })
}

fn load_object_ids(connection: &Connection) -> Result<Vec<(ObjectName, u64)>, CatalogError> {
    let mut statement = connection.prepare("SELECT key, value FROM settings WHERE substr(key, 1, ?1) = ?2")?;
    let length = object_ids::KEYS.len() as i64;
    let mut rows = statement.query(params![length, object_ids::KEYS])?;
    let mut ids = vec![];
    while let Some(row) = rows.next()? {
        ids.push(ObjectName::of_setting(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?);
    }
    Ok(ids)
}

fn forget_object_id(connection: &Connection, object: &ObjectName) -> Result<(), CatalogError> {
    connection.execute("DELETE FROM settings WHERE key = ?1", [object.to_string()])?;
    Ok(())
}

fn load_positions(connection: &Connection) -> Result<HashMap<SequenceId, SequencePosition>, CatalogError> {
    let mut statement = connection.prepare("SELECT id, last, is_called FROM sequence_positions")?;
    let mut rows = statement.query([])?;
    let mut positions = HashMap::new();
    while let Some(row) = rows.next()? {
        let position = SequencePosition { last: row.get(1)?, is_called: row.get(2)? };
        positions.insert(SequenceId(count(row.get(0)?)?), position);
    }
    Ok(positions)
}

fn load_tables(connection: &Connection, at: Option<SnapshotId>) -> Result<Vec<StoredTable>, CatalogError> {
    let mut statement = connection.prepare(
        "SELECT definition, defined FROM tables WHERE dropped IS NULL AND (?1 IS NULL OR since <= ?1)
         UNION ALL SELECT definition, defined FROM past_definitions
         WHERE kind = 'table' AND created <= ?1 AND dropped > ?1",
    )?;
    let mut rows = statement.query([at.map(|at| int(at.0))])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        tables.push(stored_table(&row.get::<_, String>(0)?, row.get(1)?)?);
    }
    Ok(tables)
}

fn load_files(connection: &Connection, at: Option<SnapshotId>) -> Result<Vec<StoredFile>, CatalogError> {
    let mut statement = connection.prepare(
        "SELECT content, path, table_id, rows, bytes, checksum, bucket_low, bucket_high, statistics, created, dropped
         FROM files WHERE ?1 IS NULL OR (created <= ?1 AND (dropped IS NULL OR dropped > ?1)) ORDER BY id",
    )?;
    let mut rows = statement.query([at.map(|at| int(at.0))])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        let file = FileRow {
            content: row.get(0)?,
            path: row.get(1)?,
            table: row.get(2)?,
            rows: row.get(3)?,
            bytes: row.get(4)?,
            checksum: row.get(5)?,
            bucket_low: row.get(6)?,
            bucket_high: row.get(7)?,
            statistics: row.get(8)?,
            created: row.get(9)?,
            // What was dropped later was not dropped then.
            dropped: if at.is_some() { None } else { row.get(10)? },
        };
        files.push(file.stored()?);
    }
    Ok(files)
}

fn load_deletes(connection: &Connection, at: Option<SnapshotId>) -> Result<Vec<StoredDeletes>, CatalogError> {
    let mut statement = connection.prepare(
        "SELECT content, path, file_path, rows, bytes, checksum, created, dropped FROM delete_vectors
         WHERE ?1 IS NULL OR (created <= ?1 AND (dropped IS NULL OR dropped > ?1))",
    )?;
    let mut rows = statement.query([at.map(|at| int(at.0))])?;
    let mut deletes = Vec::new();
    while let Some(row) = rows.next()? {
        let vector = DeletesRow {
            content: row.get(0)?,
            path: row.get(1)?,
            file_path: row.get(2)?,
            rows: row.get(3)?,
            bytes: row.get(4)?,
            checksum: row.get(5)?,
            created: row.get(6)?,
            dropped: if at.is_some() { None } else { row.get(7)? },
        };
        deletes.push(vector.stored()?);
    }
    Ok(deletes)
}

fn apply_change(sqlite: &Connection, change: &Change, snapshot: Option<SnapshotId>) -> Result<(), CatalogError> {
    let snapshot = snapshot.map(|snapshot| int(snapshot.0));
    if let Some(object) = dropped_by(change) {
        roles::drop_access(sqlite, &object)?;
    }
    match change {
        Change::CreateSchema(name) => {
            sqlite.execute("INSERT INTO schemas VALUES (?1, ?2)", params![name, snapshot])?;
        }
        Change::DropSchema(name) => {
            past::keep_schema(sqlite, name, snapshot)?;
            sqlite.execute("DELETE FROM schemas WHERE name = ?1", [name])?;
            forget_object_id(sqlite, &ObjectName::Schema(name.clone()))?;
        }
        Change::PutTable { def, redefined } => {
            past::keep_table(sqlite, int(def.id.0), snapshot)?;
            sqlite
                .prepare_cached(
                    "INSERT INTO tables VALUES (?1, ?2, ?3, ?4, ?5, ?5, NULL, ?5) ON CONFLICT (id) DO UPDATE SET
                     schema_name = ?2, name = ?3, definition = ?4, defined = CASE WHEN ?6 THEN ?5 ELSE defined END,
                     since = ?5",
                )?
                .execute(params![int(def.id.0), def.schema, def.name, to_json(def)?, snapshot, redefined])?;
        }
        Change::DropTable(id) => {
            past::keep_table(sqlite, int(id.0), snapshot)?;
            sqlite.execute("UPDATE tables SET dropped = ?2 WHERE id = ?1", params![int(id.0), snapshot])?;
        }
        Change::PutView(view) => {
            past::keep_view(sqlite, [&view.schema, &view.name], snapshot)?;
            sqlite.execute(
                "INSERT OR REPLACE INTO views VALUES (?1, ?2, ?3, ?4)",
                params![view.schema, view.name, to_json(view)?, snapshot],
            )?;
        }
        Change::DropView { schema, name } => {
            past::keep_view(sqlite, [schema, name], snapshot)?;
            sqlite.execute("DELETE FROM views WHERE schema_name = ?1 AND name = ?2", [schema, name])?;
            forget_object_id(sqlite, &ObjectName::View(schema.clone(), name.clone()))?;
        }
        Change::PutObjectId { object, id } => put_setting(sqlite, &object.to_string(), &id.to_string())?,
        Change::PutSequence(def) => {
            past::keep_sequence(sqlite, &def.schema, &def.name, snapshot)?;
            sqlite.execute(
                "INSERT OR REPLACE INTO sequence_definitions VALUES (?1, ?2, ?3, ?4, ?5)",
                params![def.schema, def.name, int(def.id.0), to_json(def)?, snapshot],
            )?;
        }
        Change::DropSequence { schema, name } => {
            past::keep_sequence(sqlite, schema, name, snapshot)?;
            let sql = "DELETE FROM sequence_definitions WHERE schema_name = ?1 AND name = ?2";
            sqlite.execute(sql, [schema, name])?;
        }
        Change::PutPosition { id, position } => {
            sqlite
                .prepare_cached("INSERT OR REPLACE INTO sequence_positions VALUES (?1, ?2, ?3)")?
                .execute(params![int(id.0), position.last, position.is_called])?;
        }
        Change::PutSecret { .. } | Change::DropSecret(_) | Change::PutTablespace(_) | Change::DropTablespace(_) => {
            tablespaces::change(sqlite, change, snapshot)?;
        }
        Change::PutRole(_) | Change::DropRole(_) | Change::PutAccess(_) => roles::change(sqlite, change)?,
        Change::AddFile(file) => add_file(sqlite, file)?,
        Change::DropFile { key, .. } => {
            sqlite
                .prepare_cached("UPDATE files SET dropped = ?3 WHERE content = ?1 AND path = ?2 AND dropped IS NULL")?
                .execute(params![key.content.0, key.path, snapshot])?;
            drop_deletes(sqlite, key, snapshot)?;
        }
        Change::PutDeletes { file, vector, .. } => {
            drop_deletes(sqlite, file, snapshot)?;
            let sql = "INSERT INTO delete_vectors (content, path, file_path, rows, bytes, checksum, created)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let DeletesRow { content, path, file_path, rows, bytes, checksum, created, .. } =
                DeletesRow::of(file, vector);
            let row = params![content, path, file_path, rows, bytes, checksum, created];
            sqlite.prepare_cached(sql)?.execute(row)?;
        }
        Change::ForgetFile(key) => {
            sqlite
                .prepare_cached("DELETE FROM files WHERE content = ?1 AND path = ?2 AND dropped IS NOT NULL")?
                .execute(params![key.content.0, key.path])?;
            sqlite
                .prepare_cached("DELETE FROM delete_vectors WHERE content = ?1 AND path = ?2 AND dropped IS NOT NULL")?
                .execute(params![key.content.0, key.path])?;
        }
        Change::PutCopied { file, force } => copied::put(sqlite, file, *force)?,
        Change::ForgetCopied(table) => copied::forget(sqlite, *table)?,
        Change::PutMap(map) => {
            sqlite.execute("INSERT INTO bucket_maps VALUES (?1, ?2)", params![map.version.0, to_json(map)?])?;
            put_setting(sqlite, "segment_count", &map.segment_count().to_string())?;
        }
        Change::NextTableId(next) => {
            sqlite.execute("UPDATE sequences SET next = ?1 WHERE name = 'table_id'", params![int(next.0)])?;
        }
        Change::ForgetHistory(_)
        | Change::PutRetention(_)
        | Change::PutRestorePoint { .. }
        | Change::DropRestorePoint(_) => past::change(sqlite, change, now_us())?,
    }
    Ok(())
}

/// A file's delete vector, if it has one.
fn drop_deletes(sqlite: &Connection, file: &FileKey, snapshot: Option<i64>) -> Result<(), CatalogError> {
    let sql = "UPDATE delete_vectors SET dropped = ?3 WHERE content = ?1 AND file_path = ?2 AND dropped IS NULL";
    sqlite.prepare_cached(sql)?.execute(params![file.content.0, file.path, snapshot])?;
    Ok(())
}

fn add_file(sqlite: &Connection, file: &FileEntry) -> Result<(), CatalogError> {
    let file = FileRow::of(file)?;
    sqlite
        .prepare_cached(
            "INSERT INTO files (content, path, table_id, rows, bytes, checksum, bucket_low, bucket_high, statistics,
             created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            file.content,
            file.path,
            file.table,
            file.rows,
            file.bytes,
            file.checksum,
            file.bucket_low,
            file.bucket_high,
            file.statistics,
            file.created,
        ])?;
    Ok(())
}
