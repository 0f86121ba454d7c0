//! The catalog's store in PostgreSQL: the schema `damson` of a database, described in `docs/formats/catalog.md`.

mod connection;
mod copied;
mod error;
mod load;
mod past;
mod roles;
mod schema;
mod tablespaces;
mod write;

pub(super) use connection::{Connection, IDLE_IN_TRANSACTION, Session, check_url, column};
pub use error::PostgresError;
pub(super) use schema::{LOCK_SCHEMA, next_epoch, prepare};

use super::copied::CopiedFile;
use super::error::CatalogError;
use super::history::History;
use super::rows;
use super::store::{CatalogStore, Durability, Stored, Transaction};
use damson_cluster::{SnapshotId, TableId, TablespaceId};

/// Takes the lock of every transaction that reads or changes the whole catalog: there is one at a time, and none of a master whose
/// epoch is not the stored one goes on. Its first column is the epoch.
const LOCK_EPOCH: &str = "SELECT value FROM settings WHERE key = 'epoch' FOR UPDATE";

/// One session with the database, opened anew when it is lost.
pub(super) struct PostgresStore {
    connection: Connection,
    epoch: u64,
    /// The newest snapshot that this master has applied. A database that does not have it has lost commits.
    applied: Option<SnapshotId>,
}

impl PostgresStore {
    /// Opens or makes the catalog. `leased`: the epoch that came with the lease; without one, takes the next.
    ///
    /// # Errors
    /// As [`Catalog::open`](super::Catalog::open); [`CatalogError::Fenced`] if another master came since the lease was taken.
    pub fn open(url: &str, segment_count: usize, leased: Option<u64>) -> Result<Self, CatalogError> {
        let mut connection = Connection::new(url)?;
        let epoch = connection.transaction(LOCK_SCHEMA, |session, _| {
            prepare(session)?;
            schema::open(session, segment_count)?;
            match leased {
                Some(epoch) => {
                    let stored = session.one("SELECT value FROM settings WHERE key = 'epoch'", &[])?;
                    refuse_fenced(epoch, stored.as_deref())
                }
                None => next_epoch(session),
            }
            .and_then(|epoch| schema::begin_history(session).map(|()| epoch))
        })?;
        Ok(PostgresStore { connection, epoch, applied: None })
    }

    /// Whether there is a catalog.
    ///
    /// # Errors
    /// [`CatalogError::Postgres`].
    pub fn exists(url: &str) -> Result<bool, CatalogError> {
        Connection::new(url)?.transaction("SELECT to_regclass('settings')::text", |session, settings| match settings {
            Some(_) => Ok(session.one(schema::CLUSTER_ID, &[])?.is_some()),
            None => Ok(false),
        })
    }
}

/// Gives the epoch if it is the stored one.
fn refuse_fenced(ours: u64, stored: Option<&str>) -> Result<u64, CatalogError> {
    let stored = rows::setting("epoch", stored)?;
    if stored == ours { Ok(ours) } else { Err(CatalogError::Fenced { ours, stored }) }
}

/// A server that came back, or another one in its place, without commits that did not wait for its disk. What this master has in memory
/// is made of them: nothing may be built on it, and no file removed.
fn refuse_rewound(session: &mut Session, applied: Option<SnapshotId>) -> Result<(), CatalogError> {
    let Some(ours) = applied.filter(|_| session.is_new) else { return Ok(()) };
    let stored = SnapshotId(load::newest(session)?);
    if stored >= ours { Ok(()) } else { Err(CatalogError::Rewound { ours, stored }) }
}

impl CatalogStore for PostgresStore {
    /// After a commit whose answer was lost, waits for the server to end that transaction one way or the other: it has the
    /// epoch's lock until then.
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError> {
        self.reading(|session| load::load(session, at))
    }

    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError> {
        let (ours, applied) = (self.epoch, self.applied);
        self.connection.transaction(LOCK_EPOCH, |session, epoch| {
            refuse_fenced(ours, epoch.as_deref())?;
            refuse_rewound(session, applied)?;
            if durability == Durability::Unsynced {
                session.batch("SET LOCAL synchronous_commit = off")?;
            }
            write::write(session, transactions)
        })?;
        self.applied = transactions.iter().filter_map(|transaction| transaction.snapshot).max().max(self.applied);
        Ok(())
    }

    /// A row's lock is in the server's log, which is synced as a whole when the transaction commits.
    fn sync(&mut self) -> Result<(), CatalogError> {
        self.reading(|_| Ok(()))
    }

    fn history(&mut self) -> Result<History, CatalogError> {
        self.reading(past::history)
    }

    fn now_us(&mut self) -> Result<i64, CatalogError> {
        self.reading(past::now_us)
    }

    fn snapshot_at(&mut self, time_us: i64) -> Result<Option<SnapshotId>, CatalogError> {
        self.reading(|session| past::snapshot_at(session, time_us))
    }

    fn copied_files(&mut self, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError> {
        self.reading(|session| copied::of_urls(session, table, urls))
    }

    fn copy_history(&mut self) -> Result<Vec<CopiedFile>, CatalogError> {
        self.reading(copied::history)
    }

    fn has_tables(&mut self, tablespace: TablespaceId) -> Result<bool, CatalogError> {
        self.reading(|session| tablespaces::has_tables(session, tablespace))
    }

    fn tablespace_of(&mut self, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError> {
        self.reading(|session| tablespaces::of_table(session, table))
    }
}

impl PostgresStore {
    /// With the epoch's lock, so that nothing changes between two statements.
    fn reading<T: Send>(
        &mut self,
        read: impl FnOnce(&mut Session) -> Result<T, CatalogError> + Send,
    ) -> Result<T, CatalogError> {
        let (ours, applied) = (self.epoch, self.applied);
        self.connection.transaction(LOCK_EPOCH, |session, epoch| {
            refuse_fenced(ours, epoch.as_deref())?;
            refuse_rewound(session, applied)?;
            read(session)
        })
    }
}

#[cfg(test)]
mod tests;
