//! Why the catalog refused.

use super::lease::LeaseHolder;
use super::postgres::PostgresError;
use crate::error::{SqlError, SqlState};
use damson_cluster::{SecretType, SnapshotId, TableId};
use thiserror::Error;

/// What a catalog operation met. Nothing was changed, on disk or in memory, except perhaps by [`CatalogError::InDoubt`].
#[derive(Debug, Error)]
pub enum CatalogError {
    // The user's to mend.
    #[error("relation \"{0}\" already exists")]
    RelationExists(String),
    #[error("schema \"{0}\" already exists")]
    SchemaExists(String),
    #[error("schema \"{0}\" does not exist")]
    NoSchema(String),
    #[error("cannot drop schema \"{0}\" because other objects depend on it")]
    SchemaNotEmpty(String),
    /// `dependents`: `view s.v`, `default value for column c of table s.t`.
    #[error("cannot drop {relation} because other objects depend on it")]
    Needed { relation: String, dependents: Vec<String> },
    #[error("infinite recursion: the query of view \"{0}\" uses the view itself")]
    RecursiveView(String),
    #[error("the name of file \"{url}\" is too long: COPY keeps at most {max} bytes of a name and its etag")]
    FileNameTooLong { url: String, max: usize },
    #[error("secret \"{0}\" already exists")]
    SecretExists(String),
    #[error("secret \"{0}\" does not exist")]
    NoSecret(String),
    #[error("cannot drop or change secret \"{secret}\" because tablespaces depend on it")]
    SecretUsed { secret: String, tablespaces: Vec<String> },
    #[error("secret \"{secret}\" is of type {kind}, and {url} is not of that type")]
    WrongSecret { secret: String, kind: SecretType, url: String },
    #[error("role \"{0}\" already exists")]
    RoleExists(String),
    #[error("role \"{0}\" does not exist")]
    NoRole(String),
    #[error("role \"{0}\" is a member of itself")]
    MemberOfItself(String),
    #[error("role \"{role}\" cannot be dropped because some objects depend on it")]
    RoleUsed { role: String, dependents: Vec<String> },
    #[error("tablespace \"{0}\" already exists")]
    TablespaceExists(String),
    #[error("tablespace \"{0}\" does not exist")]
    NoTablespace(String),
    #[error("the tablespace was dropped by another statement")]
    TablespaceGone,
    /// `table`: one that is in it; None: files of dropped ones.
    #[error("tablespace \"{tablespace}\" is not empty")]
    TablespaceNotEmpty { tablespace: String, table: Option<String> },
    #[error("{location} overlaps with the location of tablespace \"{tablespace}\"")]
    LocationTaken { location: String, tablespace: String },
    #[error("there are {max} {what} already, and no more can be")]
    TooMany { what: &'static str, max: usize },
    #[error("nextval: reached {} value of sequence \"{name}\" ({end})", if *.up { "maximum" } else { "minimum" })]
    SequenceEnded { name: String, up: bool, end: i64 },
    #[error("the bucket map cannot be: {0}")]
    Map(String),
    #[error("the catalog is of a cluster of {stored} segments, and {asked} were asked for")]
    SegmentCount { stored: usize, asked: usize },

    /// A place where no catalog can be; without the password.
    #[error("{0}")]
    Location(String),

    /// The qualified name of what is there.
    #[error("cannot restore into a cluster that is not empty: it has {0}")]
    NotEmpty(String),

    // The past.
    /// Snapshot 0: before the first.
    #[error("{}", not_kept(*snapshot, *from))]
    NotKept { snapshot: SnapshotId, from: SnapshotId },
    #[error("{0}")]
    InFuture(String),
    #[error("restore point \"{0}\" does not exist")]
    NoRestorePoint(String),
    #[error("restore point \"{0}\" already exists")]
    RestorePointExists(String),

    // Wait.
    #[error("{0} has the catalog")]
    Held(LeaseHolder),

    // Retry the statement.
    #[error("could not serialize access due to concurrent change of table \"{table}\": {reason}")]
    Conflict { table: String, reason: &'static str },
    #[error("table {0} was dropped by another statement")]
    TableGone(TableId),

    /// What happened to several commits that were written together, to one of them.
    #[error("{message}")]
    Together { state: SqlState, message: String },

    /// The store failed while it committed, and cannot be read: the change may be there, so that its files must stay.
    #[error("it is not known whether the statement was committed: {0}")]
    InDoubt(Box<CatalogError>),

    // Stop this master.
    #[error("this master was replaced: another one opened the catalog (epoch {stored}, ours is {ours})")]
    Fenced { ours: u64, stored: u64 },
    #[error("the catalog's database has lost commits: it is at snapshot {}, this master at {}", stored.0, ours.0)]
    Rewound { ours: SnapshotId, stored: SnapshotId },
    #[error("this master (epoch {ours}) was deposed by {by}")]
    Deposed { ours: u64, by: String },
    #[error("this master could not renew its lease of the catalog, and another may have it: {failure}")]
    LeaseExpired { failure: String },
    #[error("the catalog was written by a newer version of Damson (schema version {stored}, this build knows {known})")]
    NewerSchema { stored: i64, known: i64 },
    #[error("there is no catalog, but {0} holds table files, which a new catalog would take for orphans")]
    Orphaned(String),
    #[error("the catalog is damaged: {0}")]
    Damaged(String),
    #[error("the catalog's database failed: {0}")]
    Store(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("cannot create the data directory: {0}")]
    Directory(#[from] std::io::Error),
}

impl CatalogError {
    /// The same for each of `count` commits.
    pub(super) fn together(self, count: usize) -> Vec<CatalogError> {
        if count == 1 {
            return vec![self];
        }
        let SqlError { state, message, .. } = SqlError::from(self);
        (0..count).map(|_| CatalogError::Together { state, message: message.clone() }).collect()
    }
}

impl From<CatalogError> for SqlError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::RelationExists(_) => SqlError::new(SqlState::DUPLICATE_TABLE, message),
            CatalogError::SchemaExists(_) => SqlError::new(SqlState::DUPLICATE_SCHEMA, message),
            CatalogError::NoSchema(_) => SqlError::new(SqlState::UNDEFINED_SCHEMA, message),
            CatalogError::SchemaNotEmpty(_) => SqlError::new(SqlState::DEPENDENT_OBJECTS, message)
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."),
            CatalogError::Needed { relation, dependents } => SqlError::new(SqlState::DEPENDENT_OBJECTS, message)
                .with_detail(
                    dependents
                        .iter()
                        .map(|what| format!("{what} depends on {relation}"))
                        .collect::<Vec<_>>()
                        .join("\n"),
                )
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."),
            CatalogError::RecursiveView(_) => SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message),
            CatalogError::FileNameTooLong { .. } => SqlError::new(SqlState::NAME_TOO_LONG, message),
            CatalogError::MemberOfItself(_) => SqlError::new(SqlState::INVALID_GRANT_OPERATION, message),
            CatalogError::NoRole(_) => SqlError::new(SqlState::UNDEFINED_OBJECT, message),
            CatalogError::RoleUsed { dependents, .. } => {
                SqlError::new(SqlState::DEPENDENT_OBJECTS, message).with_detail(dependents.join("\n"))
            }
            CatalogError::RoleExists(_) | CatalogError::SecretExists(_) | CatalogError::TablespaceExists(_) => {
                SqlError::new(SqlState::DUPLICATE_OBJECT, message)
            }
            CatalogError::NoSecret(_) => {
                SqlError::new(SqlState::UNDEFINED_OBJECT, message).with_hint("gp_secrets lists them.")
            }
            CatalogError::NoTablespace(_) | CatalogError::TablespaceGone => {
                SqlError::new(SqlState::UNDEFINED_OBJECT, message).with_hint("pg_tablespace lists them.")
            }
            CatalogError::SecretUsed { secret, tablespaces } => SqlError::new(SqlState::DEPENDENT_OBJECTS, message)
                .with_detail(
                    tablespaces
                        .iter()
                        .map(|name| format!("tablespace {name} depends on secret {secret}"))
                        .collect::<Vec<_>>()
                        .join("\n"),
                ),
            CatalogError::WrongSecret { .. } => SqlError::new(SqlState::INVALID_PARAMETER, message),
            CatalogError::TablespaceNotEmpty { table: Some(table), .. } => {
                SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message).with_detail(format!("Table {table} is in it."))
            }
            CatalogError::TablespaceNotEmpty { table: None, .. } => {
                SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message)
                    .with_detail("It has files of dropped tables, which AS OF may read or which are not removed yet.")
            }
            CatalogError::LocationTaken { .. } => SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message)
                .with_hint("Each tablespace has a prefix of its own, which is in no other's."),
            CatalogError::TooMany { .. } => SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message),
            CatalogError::SequenceEnded { .. } => SqlError::new(SqlState::SEQUENCE_EXHAUSTED, message),
            CatalogError::Map(_) => SqlError::new(SqlState::INVALID_PARAMETER, message),
            CatalogError::SegmentCount { stored, .. } => SqlError::new(SqlState::INVALID_PARAMETER, message)
                .with_hint(format!("Start with --segments {stored}, or keep the catalog elsewhere.")),
            CatalogError::NotKept { .. } => SqlError::new(SqlState::SNAPSHOT_TOO_OLD, message).with_hint(
                "ALTER SYSTEM SET snapshot_retention keeps snapshots for a time; CREATE RESTORE POINT keeps one.",
            ),
            CatalogError::NotEmpty(_) => SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message)
                .with_hint("Restore into a new cluster, or drop what is there."),
            CatalogError::InFuture(_) => SqlError::new(SqlState::INVALID_PARAMETER, message),
            CatalogError::NoRestorePoint(_) => {
                SqlError::new(SqlState::UNDEFINED_OBJECT, message).with_hint("gp_restore_points lists them.")
            }
            CatalogError::RestorePointExists(_) => SqlError::new(SqlState::DUPLICATE_OBJECT, message),
            CatalogError::Conflict { .. } | CatalogError::TableGone(_) => {
                SqlError::new(SqlState::SERIALIZATION_FAILURE, message).with_hint("Run the transaction again.")
            }
            CatalogError::Together { state, .. } => SqlError::new(state, message),
            CatalogError::InDoubt(_) => SqlError::new(SqlState::IO_ERROR, message)
                .with_hint("Look whether its rows are there before you run the statement again."),
            CatalogError::Orphaned(_) => SqlError::new(SqlState::DATA_CORRUPTED, message)
                .with_hint("Bring the catalog back, or remove the segments' directories to begin anew."),
            CatalogError::Location(_) => SqlError::new(SqlState::INVALID_PARAMETER, message),
            CatalogError::Rewound { .. } => SqlError::new(SqlState::CANNOT_CONNECT_NOW, message)
                .with_hint("Restart the master: it goes on from what the database has."),
            CatalogError::Fenced { .. }
            | CatalogError::Held(_)
            | CatalogError::Deposed { .. }
            | CatalogError::LeaseExpired { .. } => SqlError::new(SqlState::CANNOT_CONNECT_NOW, message),
            CatalogError::NewerSchema { .. } => SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message),
            CatalogError::Damaged(_) => SqlError::new(SqlState::DATA_CORRUPTED, message),
            CatalogError::Directory(_) => SqlError::new(SqlState::IO_ERROR, message),
            CatalogError::Store(error) => SqlError::new(store_state(&error), message),
            CatalogError::Postgres(error) => {
                SqlError { hint: error.hint(), ..SqlError::new(postgres_state(&error), message) }
            }
        }
    }
}

fn not_kept(snapshot: SnapshotId, from: SnapshotId) -> String {
    match snapshot.0 {
        0 => "there was no snapshot then".into(),
        _ => format!("snapshot {} is no longer kept: the oldest is {}", snapshot.0, from.0),
    }
}

fn store_state(error: &rusqlite::Error) -> SqlState {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => SqlState::DISK_FULL,
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => SqlState::DATA_CORRUPTED,
        Some(rusqlite::ErrorCode::OutOfMemory) => SqlState::OUT_OF_MEMORY,
        _ => SqlState::IO_ERROR,
    }
}

/// Not 08006: to a client that would be its own connection, and to a query that of a route.
fn postgres_state(error: &PostgresError) -> SqlState {
    match error.code().map(|code| code.code()) {
        Some("53100") => SqlState::DISK_FULL,
        Some("53200") => SqlState::OUT_OF_MEMORY,
        Some("XX001" | "XX002") => SqlState::DATA_CORRUPTED,
        _ => SqlState::IO_ERROR,
    }
}
