//! Transaction blocks: what stands between BEGIN and COMMIT.

use super::bind::external;
use super::sequence_calls::refuse_read_only;
use super::settings::SavedSettings;
use super::{Outcome, Session};
use crate::catalog::{CatalogError, CatalogState};
use crate::ddl::find_writable;
use crate::error::{SqlError, SqlResult, SqlState, internal, task_ended};
use crate::sql::{Backup, Isolation, Restore, SetSetting, Statement, TransactionModes, TransactionStatement};
use crate::transaction::{Transaction, conflict};
use damson_pg::backend::TransactionState;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, StreamExt, future, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// An open block. One a session; its statements run one after the other.
pub(super) struct Block {
    pub(super) id: Uuid,
    modes: TransactionModes,
    /// None once it was given up, after an error without a savepoint to go back to. Its locks are free then, and the block waits for its
    /// end.
    transaction: Option<Transaction>,
    /// Of the transaction, or of what came since the savepoint that it went back to.
    failure: Failure,
    /// A statement has begun and not ended: its caller has gone away.
    is_cut_off: bool,
    /// The protocol opened it, around several statements that the client sent together; BEGIN makes it the client's.
    is_implicit: bool,
    /// The session's settings when it began: ROLLBACK brings them back.
    settings: SavedSettings,
    /// What SET LOCAL has changed, as it was: the end brings it back.
    local: LocalSettings,
    /// Ends the rows that are still sent when what they are read from goes.
    rows: CancellationToken,
    /// The settings at each savepoint, as the transaction has them.
    saved: Vec<(SavedSettings, LocalSettings)>,
}

/// What SET LOCAL has changed, as it was.
type LocalSettings = BTreeMap<&'static str, Option<String>>;

/// A session's block; without one, every statement is a transaction of its own.
pub(super) type Slot = Option<Box<Block>>;

/// Set by an error, never taken back; shared with the rows that a query is still sending.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<AtomicBool>);

impl Failure {
    pub(super) fn fails(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Session {
    /// One statement, in the session's block if there is one.
    pub(super) async fn run(
        self: &Arc<Self>,
        statement: SqlResult<Statement>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.check_ended()?;
        let mut slot = tokio::select! {
            slot = self.block.lock() => slot,
            () = cancel.cancelled() => return Err(SqlError::canceled()),
        };
        match (&mut *slot, statement) {
            (None, Ok(Statement::Transaction(statement))) => self.outside(&mut slot, statement),
            (None, Ok(statement)) => {
                // Statements of a session without a block do not wait for each other.
                drop(slot);
                self.alone(statement, text, parameters, cancel).boxed().await
            }
            (None, Err(error)) => Err(error),
            (Some(_), Ok(Statement::Transaction(statement))) => self.inside(&mut slot, statement).await,
            (Some(block), statement) => block.run(self, statement, text, parameters, cancel).boxed().await,
        }
    }

    /// What a statement would read that is only described, and what to tell when the description goes wrong.
    ///
    /// # Errors
    /// 25P02 in a block that has failed.
    pub(super) async fn reading(
        &self,
        statement: &SqlResult<Arc<Statement>>,
    ) -> SqlResult<(Arc<CatalogState>, Failure)> {
        self.activity.touch();
        let mut slot = self.block.lock().await;
        let Some(block) = &mut *slot else { return Ok((self.master.catalog.current(), Failure::default())) };
        if statement.as_deref().is_ok_and(|statement| matches!(statement, Statement::Transaction(_))) {
            return Ok((self.master.catalog.current(), Failure::default()));
        }
        let state = block.reads()?;
        if statement.is_err() {
            block.failure.fails();
        }
        Ok((state, block.failure.clone()))
    }

    /// What a statement would read now.
    ///
    /// # Errors
    /// As [`Session::reading`].
    pub(super) async fn snapshot(&self) -> SqlResult<Arc<CatalogState>> {
        match &mut *self.block.lock().await {
            None => Ok(self.master.catalog.current()),
            Some(block) => block.reads(),
        }
    }

    /// Opens a block; gives its id. Of the session's statements, every one belongs to it until it ends.
    ///
    /// # Errors
    /// 25001 if there is one; those of a session that was ended.
    pub(crate) async fn begin_block(&self) -> SqlResult<Uuid> {
        let mut slot = self.block.lock().await;
        self.check_ended()?;
        if slot.is_some() {
            let message = "the session has a transaction already";
            return Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, message));
        }
        let block = self.begin(TransactionModes::default());
        let id = block.id;
        *slot = Some(Box::new(block));
        Ok(id)
    }

    pub(crate) async fn has_block(&self) -> bool {
        self.block.lock().await.is_some()
    }

    /// Opens a block around statements that belong together, unless there is one.
    pub(crate) async fn begin_implicit_block(&self) {
        let mut slot = self.block.lock().await;
        if slot.is_none() {
            *slot = Some(Box::new(Block { is_implicit: true, ..self.begin(TransactionModes::default()) }));
        }
    }

    /// Opens the block of rows that a client copies, unless there is one. Files of an external table (`is_external`) belong to none.
    ///
    /// # Errors
    /// 25001 where they would.
    pub(crate) async fn begin_copy_block(&self, is_external: bool) -> SqlResult<()> {
        if !is_external {
            self.begin_implicit_block().await;
        } else if self.has_block().await {
            return Err(files_in_block("COPY"));
        }
        Ok(())
    }

    /// Commits or rolls back the block of [`Session::begin_implicit_block`], if it is still there and was not made the client's.
    ///
    /// # Errors
    /// As [`Session::end_block`].
    pub(crate) async fn end_implicit_block(&self, commits: bool) -> SqlResult<()> {
        let mut slot = self.block.lock().await;
        let is_implicit = slot.as_ref().is_some_and(|block| block.is_implicit);
        if is_implicit { self.end(&mut slot, commits).await } else { Ok(()) }
    }

    /// Of the open block; another one has another.
    pub(crate) async fn block_id(&self) -> Option<Uuid> {
        self.block.lock().await.as_ref().map(|block| block.id)
    }

    /// Fails the block, if there is one: something went wrong beside its statements.
    pub(crate) async fn fail_block(&self) {
        if let Some(block) = &*self.block.lock().await {
            block.failure.fails();
        }
    }

    pub(crate) async fn transaction_state(&self) -> TransactionState {
        match &*self.block.lock().await {
            None => TransactionState::Idle,
            Some(block) if block.is_open() => TransactionState::InBlock,
            Some(_) => TransactionState::Failed,
        }
    }

    /// Whether the session's block is that one.
    ///
    /// # Errors
    /// 25P01.
    pub(crate) async fn check_block(&self, id: Uuid) -> SqlResult<()> {
        check_id(&*self.block.lock().await, id)
    }

    /// Commits or rolls back that block.
    ///
    /// # Errors
    /// 25P01; 25P02 where it was to be committed, and had failed; those of the commit. It has ended then.
    pub(crate) async fn end_block(&self, id: Uuid, commits: bool) -> SqlResult<()> {
        let mut slot = self.block.lock().await;
        check_id(&slot, id)?;
        self.end(&mut slot, commits).await
    }

    async fn end(&self, slot: &mut Slot, commits: bool) -> SqlResult<()> {
        let statement = match commits {
            true => TransactionStatement::Commit { chain: false },
            false => TransactionStatement::Rollback { chain: false },
        };
        match self.inside(slot, statement).await? {
            Outcome::Command { tag, .. } if commits && tag != "COMMIT" => {
                let error = SqlError::new(SqlState::IN_FAILED_TRANSACTION, "the transaction was rolled back");
                Err(error.with_detail("One of its statements had failed."))
            }
            _ => Ok(()),
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
        // What is a transaction below looks again, at the state that it reads.
        let state = self.master.catalog.current();
        self.authorize(&statement, &state)?;
        match &statement {
            Statement::Query(query) => {
                let read_only = self.default_read_only();
                return self.query_or_setval(query, text, parameters, state, read_only, cancel).boxed().await;
            }
            Statement::Retrieve(retrieve) => {
                if self.default_read_only() {
                    refuse_read_only(&retrieve.query)?;
                }
                return self.retrieve(retrieve, text, parameters, state, cancel).boxed().await;
            }
            Statement::Vacuum(table) => return self.vacuum(table.as_ref(), cancel).boxed().await,
            Statement::ExpandTable { table, if_exists } => {
                return self.expand_table(table, *if_exists, cancel).boxed().await;
            }
            Statement::Backup(Backup { place, as_of }) => {
                return self.backup(place, as_of.as_ref(), cancel).boxed().await;
            }
            Statement::Restore(Restore { place, backup }) => {
                return self.restore(place, backup.as_deref(), cancel).boxed().await;
            }
            statement if statement.is_outside_transactions() => {
                return self
                    .keep_past(statement)
                    .boxed()
                    .await
                    .unwrap_or_else(|| Err(internal("it is no change of the past")));
            }
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
        // What appears while it is made is there already: then it looks again.
        let again = statement.is_content_with_existing().then(|| (statement.clone(), parameters.clone()));
        let done = self.alone_once(statement, text, parameters, cancel.clone()).boxed().await;
        match (done, again) {
            (Err(error), Some((statement, parameters)))
                if [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_SCHEMA, SqlState::DUPLICATE_OBJECT]
                    .contains(&error.state) =>
            {
                self.alone_once(statement, text, parameters, cancel).boxed().await
            }
            (done, _) => done,
        }
    }

    async fn alone_once(
        self: &Arc<Self>,
        statement: Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        // What is the default shows only here: one statement reads one snapshot.
        let isolation = match statement {
            Statement::Show(_) => self.settings.lock().default_isolation(),
            _ => Isolation::ReadCommitted,
        };
        let mut transaction = Transaction::new(&self.master, self.id, isolation, self.default_read_only());
        let outcome = self.statement(statement, text, parameters, &mut transaction, cancel.clone()).boxed().await?;
        if cancel.is_cancelled() && !transaction.is_unchanged() {
            self.discard(&transaction.new_files()).await;
            return Err(SqlError::canceled());
        }
        self.commit(transaction, SqlError::from).await?;
        Ok(outcome)
    }

    /// Commits; if the catalog refuses, as `told` tells, the files are removed. Once it has begun, it goes on whoever waits for it.
    pub(super) async fn commit(
        &self,
        transaction: Transaction,
        told: impl Fn(CatalogError) -> SqlError,
    ) -> SqlResult<()> {
        let durability = self.settings.lock().durability();
        if transaction.is_unchanged() {
            return transaction.commit(durability).map_err(told);
        }
        let files = transaction.new_files();
        match tokio::task::spawn_blocking(move || transaction.commit(durability)).await.map_err(task_ended)? {
            Ok(()) => Ok(()),
            // Whether the catalog lists the files is known only when it can be read again.
            Err(error @ CatalogError::InDoubt(_)) => Err(told(error)),
            Err(error) => {
                self.discard(&files).await;
                Err(told(error))
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
            TransactionStatement::Begin { modes, tag } => {
                *slot = Some(Box::new(self.begin(modes)));
                Ok(Outcome::command(tag))
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

    fn begin(&self, modes: TransactionModes) -> Block {
        let isolation = modes.isolation.unwrap_or_else(|| self.settings.lock().default_isolation());
        let read_only = modes.read_only.unwrap_or_else(|| self.default_read_only());
        self.master.blocks.watch(self);
        Block {
            id: Uuid::new_v4(),
            modes: TransactionModes { isolation: Some(isolation), read_only: Some(read_only) },
            transaction: Some(Transaction::new(&self.master, self.id, isolation, read_only)),
            failure: Failure::default(),
            is_cut_off: false,
            is_implicit: false,
            settings: self.settings.lock().save(),
            local: BTreeMap::new(),
            rows: CancellationToken::new(),
            saved: vec![],
        }
    }

    pub(super) fn default_read_only(&self) -> bool {
        self.settings.lock().default_read_only()
    }

    /// What ends or divides the open block.
    async fn inside(&self, slot: &mut Slot, statement: TransactionStatement) -> SqlResult<Outcome> {
        let no_block = || internal("there is no block");
        let block = slot.as_mut().ok_or_else(no_block)?;
        let (is_commit, chain) = match statement {
            TransactionStatement::Commit { chain } => (true, chain),
            TransactionStatement::Rollback { chain } => (false, chain),
            within => return block.divide(self, within).await,
        };
        let commits = is_commit && block.open().is_ok();
        let Block { transaction, settings, local, modes, rows, is_implicit, .. } = *slot.take().ok_or_else(no_block)?;
        // Before anything is waited for: whoever sent this may go away.
        match commits {
            true => self.settings.lock().restore_some(&local),
            false => self.settings.lock().restore(&settings),
        }
        match transaction {
            Some(transaction) if commits => {
                let committed = self.commit(transaction, conflict).await;
                if committed.is_err() {
                    self.settings.lock().restore(&settings);
                }
                committed?;
            }
            Some(transaction) => {
                rows.cancel();
                self.roll_back(transaction).await;
            }
            None => {}
        }
        if chain {
            *slot = Some(Box::new(self.begin(modes)));
        }
        let tag = if commits { "COMMIT" } else { "ROLLBACK" };
        let notices = if is_implicit { vec!["there is no transaction in progress".into()] } else { vec![] };
        Ok(Outcome::Command { tag: tag.into(), rows: 0, notices })
    }
}

fn check_id(slot: &Slot, id: Uuid) -> SqlResult<()> {
    match slot {
        Some(block) if block.id == id => Ok(()),
        _ => {
            let error = SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, "the transaction is not known");
            Err(error.with_hint("It has ended, or is another session's."))
        }
    }
}

impl Block {
    /// Whether statements can run in it.
    fn is_open(&self) -> bool {
        !self.is_cut_off && !self.failure.has_failed() && self.transaction.is_some()
    }

    /// What its next statement reads.
    fn reads(&mut self) -> SqlResult<Arc<CatalogState>> {
        let transaction = self.open()?;
        let began = transaction.begin_statement();
        let state = transaction.state();
        if let Err(error) = began {
            self.failure.fails();
            return Err(error);
        }
        Ok(state)
    }

    /// The transaction, unless the block has failed.
    fn open(&mut self) -> SqlResult<&mut Transaction> {
        if self.is_cut_off || self.failure.has_failed() {
            return Err(failed());
        }
        self.transaction.as_mut().ok_or_else(failed)
    }

    async fn run(
        &mut self,
        session: &Arc<Session>,
        statement: SqlResult<Statement>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.open()?;
        // Until it has ended: its caller may go away in the middle.
        self.is_cut_off = true;
        let outcome = match statement {
            Ok(statement) => self.execute(session, statement, text, parameters, cancel).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.failure.fails();
            // With nothing to go back to, others need not wait for its end.
            if let Some(transaction) = self.transaction.take_if(|transaction| !transaction.has_savepoint()) {
                self.rows.cancel();
                session.roll_back(transaction).await;
            }
        }
        self.is_cut_off = false;
        outcome.map(|outcome| self.watched(outcome))
    }

    async fn execute(
        &mut self,
        session: &Arc<Session>,
        statement: Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        match &statement {
            statement if statement.is_outside_transactions() => {
                let message = format!("{} cannot run inside a transaction block", statement.name());
                return Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, message));
            }
            Statement::Set(set) => self.note_set(session, set)?,
            Statement::Reset(Some(name)) => _ = self.local.remove(name.as_str()),
            Statement::Reset(None) => self.local.clear(),
            _ => {}
        }
        let transaction = self.transaction.as_mut().ok_or_else(failed)?;
        let added_to = match &statement {
            Statement::Insert(insert) => Some(&insert.table),
            Statement::Ingest(ingest) => Some(&ingest.table),
            _ => None,
        };
        if let Some(table) = added_to {
            transaction.begin_statement()?;
            if find_writable(&transaction.state(), table, &session.search_schema())?.is_some() {
                return Err(files_in_block("INSERT"));
            }
        }
        session.statement(statement, text, parameters, transaction, cancel).boxed().await
    }

    /// An error among a query's rows fails the block, too; and they end when what they are read from is taken back.
    fn watched(&self, outcome: Outcome) -> Outcome {
        let Outcome::Rows { schema, stream } = outcome else { return outcome };
        let (failure, ended) = (self.failure.clone(), self.rows.clone());
        let watched = stream.inspect(move |batch| {
            if batch.is_err() {
                failure.fails();
            }
        });
        let told = {
            let ended = ended.clone();
            stream::once(async move { ended.is_cancelled().then(|| Err(external(rolled_back()))) })
                .filter_map(future::ready)
        };
        let rows = watched.take_until(ended.cancelled_owned()).chain(told);
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), rows);
        Outcome::Rows { schema, stream: Box::pin(stream) }
    }

    fn note_set(&mut self, session: &Session, set: &SetSetting) -> SqlResult<()> {
        let (name, before) = session.settings.lock().own(&set.name)?;
        if set.local {
            self.local.entry(name).or_insert(before);
        } else {
            self.local.remove(name);
        }
        Ok(())
    }

    async fn divide(&mut self, session: &Session, statement: TransactionStatement) -> SqlResult<Outcome> {
        let goes_back = matches!(statement, TransactionStatement::RollbackTo(_));
        if let Err(error) = self.open()
            && (!goes_back || self.transaction.is_none())
        {
            return Err(error);
        }
        let transaction = self.transaction.as_mut().ok_or_else(failed)?;
        let done = match statement {
            TransactionStatement::Begin { modes, tag } if self.is_implicit => {
                self.is_implicit = false;
                set_modes(transaction, modes).map(|()| tag)
            }
            TransactionStatement::Begin { tag, .. } => {
                let notices = vec!["there is already a transaction in progress".into()];
                return Ok(Outcome::Command { tag: tag.into(), rows: 0, notices });
            }
            TransactionStatement::Savepoint(name) => {
                transaction.savepoint(&name.text);
                self.saved.push((session.settings.lock().save(), self.local.clone()));
                Ok("SAVEPOINT")
            }
            TransactionStatement::Release(name) => {
                transaction.release(&name.text).map(|left| self.saved.truncate(left)).map(|()| "RELEASE")
            }
            TransactionStatement::RollbackTo(name) => match transaction.back_to(&name.text) {
                Ok((left, files)) => {
                    self.saved.truncate(left);
                    if let Some((settings, local)) = self.saved.last() {
                        session.settings.lock().restore(settings);
                        self.local.clone_from(local);
                    }
                    self.is_cut_off = false;
                    // Rows that are read from what goes now end, and fail it no more.
                    std::mem::take(&mut self.rows).cancel();
                    self.failure = Failure::default();
                    session.discard(&files).await;
                    Ok("ROLLBACK")
                }
                Err(error) => Err(error),
            },
            TransactionStatement::Set(modes) => set_modes(transaction, modes).map(|()| "SET"),
            TransactionStatement::Commit { .. } | TransactionStatement::Rollback { .. } => {
                Err(internal("the block ends"))
            }
        };
        if done.is_err() {
            self.failure.fails();
        }
        done.map(Outcome::command)
    }
}

fn set_modes(transaction: &mut Transaction, modes: TransactionModes) -> SqlResult<()> {
    let late =
        |what: &str| Err(SqlError::new(SqlState::ACTIVE_TRANSACTION, format!("{what} must be set before any query")));
    if let Some(isolation) = modes.isolation.filter(|isolation| *isolation != transaction.isolation) {
        if transaction.has_read() {
            return late("transaction isolation level");
        }
        transaction.isolation = isolation;
    }
    match modes.read_only {
        Some(false) if transaction.read_only && transaction.has_read() => {
            return late("transaction read-write mode");
        }
        Some(read_only) => transaction.read_only = read_only,
        None => {}
    }
    Ok(())
}

/// 25001: what a block takes back, files do not.
fn files_in_block(kind: &str) -> SqlError {
    let message = format!("{kind} into a writable external table cannot run inside a transaction block");
    let error = SqlError::new(SqlState::ACTIVE_TRANSACTION, message);
    error.with_hint("Its files could not be rolled back: send it outside BEGIN and COMMIT, and by itself.")
}

fn failed() -> SqlError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    SqlError::new(SqlState::IN_FAILED_TRANSACTION, message).with_hint("Send ROLLBACK, or ROLLBACK TO a savepoint.")
}

fn rolled_back() -> SqlError {
    let message = "the rows end here: their transaction was rolled back";
    SqlError::new(SqlState::IN_FAILED_TRANSACTION, message)
}
