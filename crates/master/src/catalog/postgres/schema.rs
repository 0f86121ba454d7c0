//! The tables, and how they come to be.

use super::super::durable::first_map;
use super::super::error::CatalogError;
use super::super::maps::check_segments;
use super::super::rows::{self, SCHEMA_VERSION, from_json, to_json};
use super::connection::Session;
use super::copied;
use super::past;
use super::roles;
use super::tablespaces;
use crate::sql::DEFAULT_SCHEMA;

/// Masters that make the schema, or take the catalog over, do so one after the other. The number is "DMSN".
pub(in super::super) const LOCK_SCHEMA: &str = "SELECT pg_advisory_xact_lock(1145918286)";

/// There is none before a master opened the catalog; the lease may be older.
pub(super) const CLUSTER_ID: &str = "SELECT value FROM settings WHERE key = 'cluster_id'";

const SCHEMA: &str = "
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE lease (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    holder TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    expires TIMESTAMPTZ NOT NULL);
CREATE TABLE sequences (name TEXT PRIMARY KEY, next BIGINT NOT NULL);
CREATE TABLE snapshots (id BIGINT PRIMARY KEY, committed_us BIGINT NOT NULL);
CREATE TABLE bucket_maps (version BIGINT PRIMARY KEY, definition TEXT NOT NULL);
CREATE TABLE schemas (name TEXT PRIMARY KEY, created BIGINT NOT NULL REFERENCES snapshots(id));
CREATE TABLE tables (
    id BIGINT PRIMARY KEY,
    schema_name TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id),
    defined BIGINT NOT NULL REFERENCES snapshots(id),
    dropped BIGINT REFERENCES snapshots(id));
CREATE UNIQUE INDEX tables_name ON tables(schema_name, name) WHERE dropped IS NULL;
CREATE TABLE views (
    schema_name TEXT NOT NULL REFERENCES schemas(name),
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id),
    PRIMARY KEY (schema_name, name));
CREATE TABLE files (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content INTEGER NOT NULL,
    path TEXT NOT NULL,
    table_id BIGINT NOT NULL REFERENCES tables(id),
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    checksum BIGINT NOT NULL,
    bucket_low INTEGER,
    bucket_high INTEGER,
    statistics TEXT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id),
    dropped BIGINT REFERENCES snapshots(id),
    UNIQUE (content, path));
CREATE INDEX files_table ON files(table_id);
CREATE TABLE delete_vectors (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content INTEGER NOT NULL,
    path TEXT NOT NULL,
    file_path TEXT NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    checksum BIGINT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id),
    dropped BIGINT REFERENCES snapshots(id),
    UNIQUE (content, path));
CREATE UNIQUE INDEX delete_vectors_file ON delete_vectors(content, file_path) WHERE dropped IS NULL;
INSERT INTO settings VALUES ('epoch', '0');
";

/// Since version 4. A position may be there before its sequence is committed.
const SEQUENCES: &str = "
CREATE TABLE sequence_definitions (
    schema_name TEXT NOT NULL REFERENCES schemas(name),
    name TEXT NOT NULL,
    id BIGINT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL REFERENCES snapshots(id),
    PRIMARY KEY (schema_name, name));
CREATE TABLE sequence_positions (id BIGINT PRIMARY KEY, last BIGINT NOT NULL, is_called BOOLEAN NOT NULL);
";

/// The oldest version that was kept in PostgreSQL.
const OLDEST_VERSION: i64 = 3;

/// A file's statistics are long, and PostgreSQL's own compression is most of the time of a large commit. Not every build has another.
const COMPRESSION: &str = "
DO $$ BEGIN
    EXECUTE 'ALTER TABLE files ALTER COLUMN statistics SET COMPRESSION lz4';
EXCEPTION WHEN feature_not_supported OR syntax_error THEN NULL;
END $$";

/// Makes the tables where there are none. The transaction has [`LOCK_SCHEMA`].
///
/// # Errors
/// [`CatalogError::NewerSchema`]; [`CatalogError::Damaged`] if the schema is another program's.
pub(in super::super) fn prepare(session: &mut Session) -> Result<(), CatalogError> {
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname = 'damson'";
    if session.one(schemas, &[])?.is_none() {
        session.batch("CREATE SCHEMA damson")?;
    }
    let relations = "SELECT relname::text FROM pg_class
                     WHERE relnamespace = 'damson'::regnamespace ORDER BY relname <> 'settings' LIMIT 1";
    match session.one(relations, &[])?.as_deref() {
        Some("settings") => {}
        None => {
            session.batch(SCHEMA)?;
            session.batch(COMPRESSION)?;
            session.batch(past::HISTORY)?;
            session.batch(SEQUENCES)?;
            session.batch(copied::COPIED_FILES)?;
            session.batch(tablespaces::TABLESPACES)?;
            session.batch(roles::ROLES)?;
            put_setting(session, "schema_version", &SCHEMA_VERSION.to_string())?;
        }
        Some(other) => {
            let message = format!("the schema damson has {other}, and no settings: it is another program's");
            return Err(CatalogError::Damaged(message));
        }
    }
    match setting::<i64>(session, "schema_version")? {
        SCHEMA_VERSION => Ok(()),
        stored if stored > SCHEMA_VERSION => Err(CatalogError::NewerSchema { stored, known: SCHEMA_VERSION }),
        stored if stored < OLDEST_VERSION => Err(CatalogError::Damaged(format!("schema version {stored} is too old"))),
        stored => migrate(session, stored),
    }
}

/// Brings the tables of an older version up to this one's. A master of an older build that has the catalog goes on meanwhile: what is
/// new here, it does not know.
fn migrate(session: &mut Session, from: i64) -> Result<(), CatalogError> {
    if from < 4 {
        session.batch(past::HISTORY)?;
        session.batch(SEQUENCES)?;
    }
    if from < 5 {
        session.batch(copied::COPIED_FILES)?;
    }
    if from < 6 {
        session.batch(tablespaces::TABLESPACES)?;
    }
    if from < 8 {
        session.batch(roles::ROLES)?;
    }
    put_setting(session, "schema_version", &SCHEMA_VERSION.to_string())
}

/// Makes the first snapshot where there is none. The tables are there.
///
/// # Errors
/// [`CatalogError::SegmentCount`].
pub(super) fn open(session: &mut Session, segment_count: usize) -> Result<(), CatalogError> {
    if session.one(CLUSTER_ID, &[])?.is_none() {
        create(session, segment_count)?;
    }
    let stored: usize = setting(session, "segment_count")?;
    let first = session.one("SELECT definition FROM bucket_maps ORDER BY version LIMIT 1", &[])?;
    let first = first.ok_or_else(|| CatalogError::Damaged("there is no bucket map".into()))?;
    check_segments(stored, &from_json("a bucket map", &first)?, segment_count)?;
    let fsync = session.one("SELECT setting FROM pg_settings WHERE name = 'fsync'", &[])?;
    if fsync.as_deref() == Some("off") {
        tracing::warn!("the catalog's database runs with fsync off: a crash of its host loses commits");
    }
    // Of sequences that were dropped, or never committed.
    let left = "DELETE FROM sequence_positions WHERE id NOT IN (SELECT id FROM sequence_definitions)
                AND id NOT IN (SELECT (definition::json->>'id')::bigint FROM past_definitions WHERE kind = 'sequence')";
    session.execute(left, &[])?;
    put_setting(session, "build", env!("CARGO_PKG_VERSION"))
}

/// The past begins now, if it has not begun. No other master commits any more.
pub(super) fn begin_history(session: &mut Session) -> Result<(), CatalogError> {
    let begin =
        "UPDATE settings SET value = (SELECT max(id)::text FROM snapshots) WHERE key = 'history_from' AND value = '0'";
    session.execute(begin, &[])?;
    Ok(())
}

fn create(session: &mut Session, segment_count: usize) -> Result<(), CatalogError> {
    put_setting(session, "cluster_id", &uuid::Uuid::new_v4().to_string())?;
    put_setting(session, "segment_count", &segment_count.to_string())?;
    session.execute("INSERT INTO sequences VALUES ('table_id', 1)", &[])?;
    super::write::add_snapshots(session, &[1])?;
    session.execute("INSERT INTO schemas VALUES ($1, 1)", &[&DEFAULT_SCHEMA])?;
    let map = first_map(segment_count);
    let version = i64::from(map.version.0);
    session.execute("INSERT INTO bucket_maps VALUES ($1, $2)", &[&version, &to_json(&map)?])?;
    Ok(())
}

/// Fences the master that had the catalog.
///
/// # Errors
/// [`CatalogError::Postgres`].
pub(in super::super) fn next_epoch(session: &mut Session) -> Result<u64, CatalogError> {
    let next = "UPDATE settings SET value = (value::bigint + 1)::text WHERE key = 'epoch' RETURNING value";
    let epoch = session.one(next, &[])?;
    rows::setting("epoch", epoch.as_deref())
}

pub(super) fn setting<T: std::str::FromStr>(session: &mut Session, key: &str) -> Result<T, CatalogError> {
    let value = session.one("SELECT value FROM settings WHERE key = $1", &[&key])?;
    rows::setting(key, value.as_deref())
}

pub(super) fn put_setting(session: &mut Session, key: &str, value: &str) -> Result<(), CatalogError> {
    let put = "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    session.execute(put, &[&key, &value])?;
    Ok(())
}
