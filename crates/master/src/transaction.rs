//! One transaction: what its statements read, what they have changed, what they have locked.

use crate::catalog::{
    CatalogError, CatalogState, Commit, CopiedFile, Durability, FileKey, Mark, OwnCopied, TableEntry, Workspace,
};
use crate::ddl::find_table;
use crate::dispatch::Write;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::locks::{LockMode, LockTag, TransactionLocks};
use crate::master::Master;
use crate::sql::{Isolation, RelationName};
use damson_cluster::{SessionId, TableDef, TableId};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

/// Made for each statement outside a transaction block, and for each block. Dropping it rolls it back: its locks go, and its files
/// are orphans.
pub(crate) struct Transaction {
    workspace: Workspace,
    locks: TransactionLocks,
    /// From the first statement that may write files.
    write: Option<Write>,
    /// Whether a statement failed, or was taken back: a segment that was killed meanwhile may have left what it wrote.
    has_given_up: bool,
    pub(crate) isolation: Isolation,
    pub(crate) read_only: bool,
    /// Whether a statement has read: REPEATABLE READ stays with what that one saw.
    has_read: bool,
    /// Innermost last.
    savepoints: Vec<(String, Mark)>,
    /// Of a block that keeps its snapshot: see [`Blocks::keep_snapshot`](crate::blocks::Blocks::keep_snapshot).
    snapshot: Option<Arc<()>>,
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockWait<'a> {
    /// None: until it is granted.
    pub timeout: Option<Duration>,
    pub cancel: &'a CancellationToken,
    /// Not at all.
    pub nowait: bool,
}

impl Transaction {
    pub(crate) fn new(master: &Master, session: SessionId, isolation: Isolation, read_only: bool) -> Self {
        Transaction {
            workspace: Workspace::new(&master.catalog),
            locks: master.locks.transaction(session),
            write: None,
            has_given_up: false,
            isolation,
            read_only,
            has_read: false,
            savepoints: vec![],
            snapshot: None,
        }
    }

    /// What the statement in hand reads.
    pub(crate) fn state(&self) -> Arc<CatalogState> {
        self.workspace.state()
    }

    /// Before every statement: READ COMMITTED sees what others have committed.
    ///
    /// # Errors
    /// 40001 if the transaction's changes cannot be made of that any more.
    pub(crate) fn begin_statement(&mut self) -> SqlResult<()> {
        if self.isolation == Isolation::ReadCommitted || !self.has_read {
            self.workspace.refresh().map_err(conflict)?;
        }
        Ok(())
    }

    /// After a statement that has read or written.
    pub(crate) fn end_statement(&mut self, master: &Master) {
        self.has_read = true;
        if self.isolation == Isolation::RepeatableRead {
            self.snapshot.get_or_insert_with(|| master.blocks.keep_snapshot());
        }
    }

    pub(crate) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Before a statement that may change something.
    ///
    /// # Errors
    /// 25006.
    pub(crate) fn begin_change(&mut self, master: &Master, what: &str) -> SqlResult<()> {
        if self.read_only {
            let message = format!("cannot execute {what} in a read-only transaction");
            return Err(SqlError::new(SqlState::READ_ONLY_TRANSACTION, message));
        }
        // Until it has committed, or failed, its files are not orphans.
        self.write.get_or_insert_with(|| master.files.writes.begin());
        Ok(())
    }

    /// Locks a table to the transaction's end. What the statement reads afterwards is what those before have left.
    ///
    /// # Errors
    /// 42P01, 42809; 40P01, 55P03, 57014; 40001.
    pub(crate) async fn lock(
        &mut self,
        name: &RelationName,
        search_schema: &str,
        mode: LockMode,
        wait: LockWait<'_>,
    ) -> SqlResult<Arc<TableEntry>> {
        loop {
            let entry = find_table(&self.state(), name, search_schema)?;
            let id = entry.def.id;
            if wait.nowait {
                self.locks.try_lock(id, &name.name, mode)?;
            } else {
                self.locks.lock(id, &name.name, mode, wait.timeout, wait.cancel).await?;
            }
            self.begin_statement()?;
            // While it waited, the name may have become another table's.
            let entry = find_table(&self.state(), name, search_schema)?;
            if entry.def.id == id {
                return Ok(entry);
            }
        }
    }

    /// As [`Transaction::lock`], of a table that was read before: what is read stays.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub(crate) async fn lock_read(&self, table: &TableDef, mode: LockMode, wait: LockWait<'_>) -> SqlResult<()> {
        self.locks.lock(table.id, &table.name, mode, wait.timeout, wait.cancel).await.map(|_| ())
    }

    /// Locks a file for its load into a table, to the transaction's end.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub(crate) async fn lock_file(&self, table: &TableDef, url: &str, wait: LockWait<'_>) -> SqlResult<()> {
        let tag = LockTag::File(table.id, xxh3_64(url.as_bytes()));
        self.locks.lock(tag, url, LockMode::Exclusive, wait.timeout, wait.cancel).await.map(|_| ())
    }

    /// Whether somebody has, or awaits, a lock that excludes this one.
    pub(crate) fn would_wait(&self, table: &TableDef, mode: LockMode) -> bool {
        self.locks.would_wait(table.id, mode)
    }

    /// Adds what a statement wrote that has read `read`. What is not added is the caller's to remove.
    ///
    /// # Errors
    /// 40001: others have changed what the statement has read.
    ///
    /// # Panics
    /// If the transaction has read anything since: rows that were deleted in between would be there again.
    pub(crate) fn add(&mut self, read: &Arc<CatalogState>, commit: Commit) -> SqlResult<()> {
        assert!(Arc::ptr_eq(read, &self.state()), "a statement's changes are made of what it read");
        self.workspace.add(commit)?;
        Ok(self.workspace.check()?)
    }

    /// What it has recorded itself of the files that were loaded into a table.
    pub(crate) fn own_copied(&self, table: TableId) -> OwnCopied {
        self.workspace.own_copied(table)
    }

    /// Records files whose rows it has [added](Transaction::add) as loaded. With `force` those that were loaded before may be among them.
    ///
    /// # Errors
    /// 40001: another transaction has loaded one of them meanwhile.
    pub(crate) fn record_copied(&mut self, files: Vec<CopiedFile>, force: bool) -> SqlResult<()> {
        Ok(self.workspace.add_copied(files, force)?)
    }

    /// Changes definitions.
    pub(crate) fn workspace(&mut self) -> &mut Workspace {
        &mut self.workspace
    }

    /// The files that it has written.
    pub(crate) fn new_files(&self) -> Vec<FileKey> {
        self.workspace.new_files()
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        self.workspace.is_unchanged()
    }

    /// Makes its changes visible, as durable as is asked for, and gives its locks back; on the disk's thread.
    ///
    /// # Errors
    /// The catalog's.
    pub(crate) fn commit(self, durability: Durability) -> Result<(), CatalogError> {
        let Transaction { workspace, locks, write, has_given_up, .. } = self;
        let committed = workspace.commit(durability);
        // Others go on with what was committed.
        drop(locks);
        committed?;
        if let Some(write) = write.filter(|_| !has_given_up) {
            write.succeeded();
        }
        Ok(())
    }

    /// Whether there is a savepoint to go back to.
    pub(crate) fn has_savepoint(&self) -> bool {
        !self.savepoints.is_empty()
    }

    pub(crate) fn savepoint(&mut self, name: &str) {
        let mark = self.workspace.mark();
        self.savepoints.push((name.to_owned(), mark));
    }

    /// Forgets a savepoint, and those since; gives how many are left.
    ///
    /// # Errors
    /// 3B001.
    pub(crate) fn release(&mut self, name: &str) -> SqlResult<usize> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at);
        Ok(at)
    }

    /// Gives up what was changed since a savepoint, which stays. Gives how many there are then, and the files that were written for
    /// what is given up.
    ///
    /// # Errors
    /// 3B001; 40001, see [`Workspace::back_to`].
    pub(crate) fn back_to(&mut self, name: &str) -> SqlResult<(usize, Vec<FileKey>)> {
        let at = self.find_savepoint(name)?;
        self.has_given_up = true;
        let files = self.workspace.back_to(self.savepoints[at].1).map_err(conflict)?;
        self.savepoints.truncate(at + 1);
        Ok((at + 1, files))
    }

    fn find_savepoint(&self, name: &str) -> SqlResult<usize> {
        let found = self.savepoints.iter().rposition(|(savepoint, _)| savepoint == name);
        found
            .ok_or_else(|| SqlError::new(SqlState::UNDEFINED_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
    }
}

/// What others have committed meanwhile is in the way of what the transaction has done: the client is to begin anew, whatever it is.
pub(crate) fn conflict(error: CatalogError) -> SqlError {
    let error = SqlError::from(error);
    let is_in_the_way = [
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_SCHEMA,
        SqlState::UNDEFINED_SCHEMA,
        SqlState::DEPENDENT_OBJECTS,
        SqlState::INVALID_OBJECT_DEFINITION,
    ];
    if !is_in_the_way.contains(&error.state) {
        return error;
    }
    let message = format!("could not serialize access due to concurrent changes: {}", error.message);
    let conflict = SqlError::new(SqlState::SERIALIZATION_FAILURE, message).with_hint("Run the transaction again.");
    match error.detail {
        Some(detail) => conflict.with_detail(detail),
        None => conflict,
    }
}
