//! Transaction blocks: what stands between BEGIN and COMMIT.

use super::settings::SavedSettings;
use super::write::canceled;
use super::{Outcome, Session};
use crate::catalog::{CatalogError, CatalogState};
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::sql::{Isolation, SetSetting, Statement, TransactionModes, TransactionStatement};
use crate::transaction::Transaction;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// An open block. One a session; its statements run one after the other.
pub(super) struct Block {
    transaction: Transaction,
    /// Set by an error, and shared with the rows that a query is still sending.
    failed: Arc<AtomicBool>,
    /// The session's settings when it began: ROLLBACK brings them back.
    settings: SavedSettings,
    /// What SET LOCAL has changed, as it was: the end brings it back.
    local: BTreeMap<&'static str, Option<String>>,
    /// When its last statement ended.
    idle_since: Instant,
}

/// A session's block, or why there is none any more.
#[derive(Default)]
pub(super) enum Slot {
    /// Every statement is a transaction of its own.
    #[default]
    Empty,
    Open(Box<Block>),
    /// It was idle for too long, and was rolled back; the client does not know yet.
    TimedOut,
}

impl Session {
    /// One statement, in the session's block if there is one.
    pub(super) async fn run(
        self: &Arc<Self>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let mut slot = tokio::select! {
            slot = self.block.lock() => slot,
            () = cancel.cancelled() => return Err(canceled()),
        };
        let statement = crate::sql::parse(text);
        match (&mut *slot, statement) {
            (Slot::TimedOut, _) => {
                *slot = Slot::Empty;
                Err(timed_out())
            }
            (Slot::Empty, Ok(Statement::Transaction(statement))) => self.outside(&mut slot, statement),
            (Slot::Empty, Ok(statement)) => {
                // Statements of a session without a block do not wait for each other.
                drop(slot);
                self.alone(statement, text, parameters, cancel).await
            }
            (Slot::Empty, Err(error)) => Err(error),
            (Slot::Open(_), Ok(Statement::Transaction(statement))) => self.inside(&mut slot, statement).await,
            (Slot::Open(block), statement) => block.run(self, statement, text, parameters, cancel).await,
        }
    }

    /// What a statement would read that is only described.
    ///
    /// # Errors
    /// 25P02 in a block that has failed.
    pub(super) async fn reading(&self, statement: &SqlResult<Statement>) -> SqlResult<Arc<CatalogState>> {
        let mut slot = self.block.lock().await;
        let Slot::Open(block) = &mut *slot else { return Ok(self.master.catalog.current()) };
        match statement {
            Ok(Statement::Transaction(_)) => return Ok(block.transaction.state()),
            _ if block.has_failed() => return Err(failed()),
            Err(_) => block.fail(),
            Ok(_) => {}
        }
        block.transaction.begin_statement()?;
        Ok(block.transaction.state())
    }

    /// A description that went wrong fails the block, as the statement itself would.
    pub(super) async fn fail_block(&self) {
        if let Slot::Open(block) = &*self.block.lock().await {
            block.fail();
        }
    }

    /// Rolls the block back if it has been idle for longer than the session's settings allow.
    pub(crate) fn end_idle_block(&self) {
        let Some(timeout) = self.settings.lock().idle_in_transaction_timeout() else { return };
        // Whoever holds it is not idle.
        let Ok(mut slot) = self.block.try_lock() else { return };
        if let Slot::Open(block) = &*slot
            && block.idle_since.elapsed() >= timeout
        {
            tracing::info!(session_id = self.id.0, "rolled back a transaction that was idle for too long");
            self.settings.lock().restore(&block.settings);
            *slot = Slot::TimedOut;
        }
    }

    /// A transaction of one statement.
    async fn alone(
        self: &Arc<Self>,
        statement: Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        match &statement {
            Statement::Query(query) => {
                return self.query(query, text, parameters, self.master.catalog.current(), cancel).await;
            }
            Statement::Vacuum(table) => return self.vacuum(table.as_ref(), cancel).await,
            Statement::LockTable(_) => {
                let message = "LOCK TABLE can only be used in transaction blocks";
                return Err(SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, message).with_hint("Send BEGIN before it."));
            }
            Statement::Set(SetSetting { local: true, .. }) => {
                let notices = vec!["SET LOCAL can only be used in transaction blocks".into()];
                return Ok(Outcome::Command { tag: "SET".into(), rows: 0, notices });
            }
            _ => {}
        }
        let mut transaction =
            Transaction::new(&self.master, self.id, Isolation::ReadCommitted, self.default_read_only());
        let outcome = self.statement(statement, text, parameters, &mut transaction, cancel.clone()).await?;
        if cancel.is_cancelled() && !transaction.is_unchanged() {
            self.discard(&transaction.new_files()).await;
            return Err(canceled());
        }
        self.commit(transaction).await?;
        Ok(outcome)
    }

    /// Commits; if the catalog refuses, the files are removed. Once it has begun, it goes on whoever waits for it.
    pub(super) async fn commit(&self, transaction: Transaction) -> SqlResult<()> {
        if transaction.is_unchanged() {
            return Ok(transaction.commit()?);
        }
        let files = transaction.new_files();
        match tokio::task::spawn_blocking(move || transaction.commit()).await.map_err(internal)? {
            Ok(()) => Ok(()),
            // Whether the catalog lists the files is known only when it can be read again.
            Err(error @ CatalogError::InDoubt(_)) => Err(error.into()),
            Err(error) => {
                self.discard(&files).await;
                Err(error.into())
            }
        }
    }

    /// Gives a transaction up, and removes what it wrote.
    async fn roll_back(&self, transaction: Transaction) {
        let files = transaction.new_files();
        drop(transaction);
        self.discard(&files).await;
    }

    fn outside(&self, slot: &mut Slot, statement: TransactionStatement) -> SqlResult<Outcome> {
        let needs_block = |what: &str| {
            let message = format!("{what} can only be used in transaction blocks");
            Err(SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, message).with_hint("Send BEGIN before it."))
        };
        let nothing = |tag: &str| {
            let notices = vec!["there is no transaction in progress".into()];
            Ok(Outcome::Command { tag: tag.into(), rows: 0, notices })
        };
        match statement {
            TransactionStatement::Begin(modes) => {
                *slot = Slot::Open(Box::new(self.block(modes)));
                Ok(Outcome::command("BEGIN"))
            }
            TransactionStatement::Commit { chain: false } => nothing("COMMIT"),
            TransactionStatement::Rollback { chain: false } => nothing("ROLLBACK"),
            TransactionStatement::Commit { .. } => needs_block("COMMIT AND CHAIN"),
            TransactionStatement::Rollback { .. } => needs_block("ROLLBACK AND CHAIN"),
            TransactionStatement::Savepoint(_) => needs_block("SAVEPOINT"),
            TransactionStatement::Release(_) => needs_block("RELEASE SAVEPOINT"),
            TransactionStatement::RollbackTo(_) => needs_block("ROLLBACK TO SAVEPOINT"),
            TransactionStatement::Set(_) => {
                let notices = vec!["SET TRANSACTION can only be used in transaction blocks".into()];
                Ok(Outcome::Command { tag: "SET".into(), rows: 0, notices })
            }
        }
    }

    fn block(&self, modes: TransactionModes) -> Block {
        let isolation = modes.isolation.unwrap_or_else(|| self.settings.lock().default_isolation());
        let read_only = modes.read_only.unwrap_or_else(|| self.default_read_only());
        self.master.blocks.watch(self);
        Block {
            transaction: Transaction::new(&self.master, self.id, isolation, read_only),
            failed: Arc::default(),
            settings: self.settings.lock().save(),
            local: BTreeMap::new(),
            idle_since: Instant::now(),
        }
    }

    fn default_read_only(&self) -> bool {
        self.settings.lock().default_read_only()
    }

    /// What ends or divides the open block.
    async fn inside(&self, slot: &mut Slot, statement: TransactionStatement) -> SqlResult<Outcome> {
        let Slot::Open(block) = slot else { return Err(internal("there is no block")) };
        block.idle_since = Instant::now();
        let (commits, chain) = match statement {
            TransactionStatement::Commit { chain } => (!block.has_failed(), chain),
            TransactionStatement::Rollback { chain } => (false, chain),
            within => return block.divide(self, within).await,
        };
        let modes = TransactionModes {
            isolation: Some(block.transaction.isolation),
            read_only: Some(block.transaction.read_only),
        };
        let Slot::Open(block) = std::mem::take(slot) else { return Err(internal("there is no block")) };
        let Block { transaction, settings, local, .. } = *block;
        let committed = if commits {
            self.commit(transaction).await
        } else {
            self.roll_back(transaction).await;
            Ok(())
        };
        match commits && committed.is_ok() {
            true => self.settings.lock().restore_some(&local),
            false => self.settings.lock().restore(&settings),
        }
        committed?;
        if chain {
            *slot = Slot::Open(Box::new(self.block(modes)));
        }
        Ok(Outcome::command(if commits { "COMMIT" } else { "ROLLBACK" }))
    }
}

impl Block {
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    async fn run(
        &mut self,
        session: &Arc<Session>,
        statement: SqlResult<Statement>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        if self.has_failed() {
            return Err(failed());
        }
        // Until it has ended well: its caller may go away in the middle.
        self.fail();
        let statement = statement?;
        match &statement {
            Statement::Vacuum(_) => {
                let message = "VACUUM cannot run inside a transaction block";
                return Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, message));
            }
            Statement::Set(set) => self.note_local(session, set)?,
            _ => {}
        }
        let outcome = session.statement(statement, text, parameters, &mut self.transaction, cancel).await;
        self.transaction.end_statement();
        self.idle_since = Instant::now();
        let outcome = outcome?;
        self.failed.store(false, Ordering::Release);
        Ok(self.watched(outcome))
    }

    /// An error among a query's rows fails the block, too.
    fn watched(&self, outcome: Outcome) -> Outcome {
        let Outcome::Rows { schema, stream } = outcome else { return outcome };
        let failed = Arc::clone(&self.failed);
        let stream = stream.inspect(move |batch| {
            if batch.is_err() {
                failed.store(true, Ordering::Release);
            }
        });
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream);
        Outcome::Rows { schema, stream: Box::pin(stream) }
    }

    fn note_local(&mut self, session: &Session, set: &SetSetting) -> SqlResult<()> {
        let (name, before) = session.settings.lock().own(&set.name)?;
        if set.local {
            self.local.entry(name).or_insert(before);
        } else {
            self.local.remove(name);
        }
        Ok(())
    }

    async fn divide(&mut self, session: &Session, statement: TransactionStatement) -> SqlResult<Outcome> {
        if self.has_failed() && !matches!(statement, TransactionStatement::RollbackTo(_)) {
            return Err(failed());
        }
        let done = match statement {
            TransactionStatement::Begin(_) => {
                let notices = vec!["there is already a transaction in progress".into()];
                return Ok(Outcome::Command { tag: "BEGIN".into(), rows: 0, notices });
            }
            TransactionStatement::Savepoint(name) => {
                self.transaction.savepoint(&name.text);
                Ok("SAVEPOINT")
            }
            TransactionStatement::Release(name) => self.transaction.release(&name.text).map(|()| "RELEASE"),
            TransactionStatement::RollbackTo(name) => match self.transaction.back_to(&name.text) {
                Ok(files) => {
                    session.discard(&files).await;
                    // Rows of before do not fail it any more.
                    self.failed = Arc::default();
                    Ok("ROLLBACK")
                }
                Err(error) => Err(error),
            },
            TransactionStatement::Set(modes) => self.set(modes).map(|()| "SET"),
            TransactionStatement::Commit { .. } | TransactionStatement::Rollback { .. } => {
                Err(internal("the block ends"))
            }
        };
        if done.is_err() {
            self.fail();
        }
        done.map(Outcome::command)
    }

    fn set(&mut self, modes: TransactionModes) -> SqlResult<()> {
        let late = |what: &str| {
            Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, format!("{what} must be set before any query")))
        };
        if let Some(isolation) = modes.isolation.filter(|isolation| *isolation != self.transaction.isolation) {
            if self.transaction.has_read() {
                return late("transaction isolation level");
            }
            self.transaction.isolation = isolation;
        }
        match modes.read_only {
            Some(false) if self.transaction.read_only && self.transaction.has_read() => {
                return late("transaction read-write mode");
            }
            Some(read_only) => self.transaction.read_only = read_only,
            None => {}
        }
        Ok(())
    }
}

fn failed() -> SqlError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    SqlError::new(SqlState::IN_FAILED_TRANSACTION, message).with_hint("Send ROLLBACK, or ROLLBACK TO a savepoint.")
}

fn timed_out() -> SqlError {
    let message = "the transaction was rolled back: it was idle for longer than idle_in_transaction_session_timeout";
    SqlError::new(SqlState::IDLE_IN_TRANSACTION_TIMEOUT, message).with_hint("Begin it again.")
}
