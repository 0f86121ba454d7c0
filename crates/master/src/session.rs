//! Stop 2 of a query's walk: one client's session, and `execute`, the visible pipeline.

mod access;
mod activity;
mod admit;
mod alter;
mod as_of;
mod ast;
mod backup;
mod bind;
mod block;
mod change;
mod client_names;
mod client_scopes;
mod column_names;
mod compact;
mod constraints;
mod copy;
mod copy_history;
mod create_as;
mod ending;
mod expand;
mod explain;
mod fetch;
mod files;
mod history;
mod identity;
mod ingest;
mod insert;
mod keywords;
mod lock;
mod lookup;
mod merge;
mod merged_columns;
mod modify;
mod on_conflict;
mod parallel;
mod parsed;
mod privileges;
mod query;
mod read_error_log;
mod relation_names;
mod restore;
mod retrieve;
mod returning;
mod roles;
mod row_values;
mod scalar;
mod sequence_calls;
mod set_returning;
mod settings;
mod setval;
mod show;
mod signal_backend;
mod sleep;
mod texts;
mod timeout;
mod truncate_error_log;
mod write;

pub(crate) use activity::{ActivityRow, Answering};
pub(crate) use compact::is_busy;
pub use expand::Expanded;
pub use settings::duration_of_text;
pub(crate) use settings::is_utc;
use timeout::Deadline;

use crate::catalog::{CatalogState, RoleId};
use crate::ddl::{self, CommandDone};
use crate::error::{SqlResult, internal};
use crate::master::Master;
use crate::sessions::Place;
use crate::sql::{self, CopySource, CreateView, Statement};
use crate::transaction::Transaction;
use as_of::refuse_past_in_view;
use backup::until;
use block::Slot;
use damson_cluster::SessionId;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use ending::Ending;
use futures::FutureExt;
use parking_lot::Mutex;
use sequence_calls::{refuse_in_view, refuse_read_only};
use settings::Settings;
use setval::Setval;
use signal_backend::SignalBackend;
use sleep::Sleep;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use texts::Texts;
use tokio_util::sync::CancellationToken;
use truncate_error_log::TruncateErrorLog;

/// One client's state: settings, search path, the statements that are running. Made by a protocol module for each
/// connection, shared by its calls.
pub struct Session {
    pub id: SessionId,
    user: String,
    /// The role that logged in.
    login: RoleId,
    master: Arc<Master>,
    settings: Mutex<Settings>,
    /// Cancelled with every statement that runs under it, then replaced.
    cancel: Mutex<CancellationToken>,
    block: tokio::sync::Mutex<Slot>,
    activity: Arc<activity::Activity>,
    client: Option<IpAddr>,
    /// Cancelled when it was ended, though its client has not gone.
    ended: CancellationToken,
    /// Set before that.
    ending: OnceLock<Ending>,
    /// A client's, among all of them.
    place: Option<Place>,
    /// Whether its client knows no views of text.
    takes_plain_text: AtomicBool,
    own: Weak<Session>,
    /// Statements by their text.
    parsed: Mutex<Texts<Arc<Statement>>>,
    lookups: Mutex<Texts<lookup::Known>>,
    /// Queries that ran by a plan that was kept.
    lookups_run: AtomicU64,
}

/// A statement that was parsed and bound, not executed.
pub struct Prepared {
    /// Columns of the result; empty for a command.
    pub schema: SchemaRef,
    /// Types of `$1`, `$2`, …; `DataType::Null` where the text does not determine one.
    pub parameters: Vec<DataType>,
    /// True for INSERT, DDL, COPY, SET: what gives a count or nothing.
    pub is_update: bool,
}

/// What a statement gave.
pub enum Outcome {
    /// A query's rows. Dropping the stream cancels the query everywhere.
    Rows { schema: SchemaRef, stream: SendableRecordBatchStream },
    /// A command's tag, as PostgreSQL prints it (`INSERT 0 3`, `CREATE TABLE`, `COPY 60175`), the rows it changed, and
    /// notices such as the default distribution key's.
    Command { tag: String, rows: u64, notices: Vec<String> },
}

impl Outcome {
    fn command(tag: impl Into<String>) -> Self {
        Outcome::Command { tag: tag.into(), rows: 0, notices: vec![] }
    }

    fn changed(tag: impl Into<String>, rows: u64) -> Self {
        Outcome::Command { tag: tag.into(), rows, notices: vec![] }
    }
}

impl Session {
    /// With the place of a client's, and its address.
    pub(crate) fn new(
        id: SessionId,
        user: &str,
        login: RoleId,
        master: Arc<Master>,
        place: Option<Place>,
        client: Option<IpAddr>,
    ) -> Arc<Self> {
        let session = Arc::new_cyclic(|own| Session {
            id,
            user: user.into(),
            login,
            settings: Mutex::new(Settings::new(&master.interconnect, &master.session_limits)),
            master,
            cancel: Mutex::default(),
            block: tokio::sync::Mutex::default(),
            activity: Arc::default(),
            client,
            ended: CancellationToken::new(),
            ending: OnceLock::new(),
            place,
            takes_plain_text: AtomicBool::new(false),
            own: Weak::clone(own),
            parsed: Mutex::default(),
            lookups: Mutex::default(),
            lookups_run: AtomicU64::new(0),
        });
        if let Some(place) = &session.place {
            place.is_of(Arc::downgrade(&session));
        }
        session
    }

    /// From now on, queries' text comes without views where segments can do that; who asks for it takes both.
    pub(crate) fn take_plain_text(&self) {
        self.takes_plain_text.store(true, Ordering::Relaxed);
    }

    /// Parses and binds one statement; executes nothing.
    ///
    /// # Errors
    /// What the client wrote wrong, with its position.
    pub async fn prepare(&self, text: &str) -> SqlResult<Prepared> {
        let statement = self.parse(text);
        let (state, failure) = self.reading(&statement).await?;
        let prepared = match statement {
            Ok(statement) => self.describe(&statement, text, state).boxed().await,
            Err(error) => Err(error),
        };
        if prepared.is_err() {
            failure.fails();
        }
        prepared
    }

    /// As [`Session::prepare`], with the types that the client gives its parameters, as far as it does; every parameter has a type then.
    /// What neither the client nor the statement determines is text.
    ///
    /// # Errors
    /// As [`Session::prepare`].
    pub(crate) async fn prepare_typed(&self, text: &str, given: &[Option<DataType>]) -> SqlResult<Prepared> {
        let statement = self.parse(text);
        let (state, failure) = self.reading(&statement).await?;
        let described = async {
            let statement = statement?;
            let mut prepared = self.describe(&statement, text, Arc::clone(&state)).boxed().await?;
            let was_open = prepared.parameters.contains(&DataType::Null);
            for (at, data_type) in prepared.parameters.iter_mut().enumerate() {
                if *data_type == DataType::Null {
                    *data_type = given.get(at).cloned().flatten().unwrap_or(DataType::Utf8View);
                }
            }
            // Only now is it known what columns with open parameters are.
            if let (Statement::Query(query), true) = (&*statement, was_open)
                && let Some(schema) = self.describe_bound(query, text, &prepared.parameters, state).boxed().await?
            {
                prepared.schema = schema;
            }
            Ok(prepared)
        };
        let prepared: SqlResult<Prepared> = described.boxed().await;
        if prepared.is_err() {
            failure.fails();
        }
        prepared
    }

    async fn describe(&self, statement: &Statement, text: &str, state: Arc<CatalogState>) -> SqlResult<Prepared> {
        self.authorize(statement, &state)?;
        let is_update = statement.is_update();
        let (schema, parameters) = match statement {
            Statement::Query(query) => self.describe_query(query, text, state).await?,
            Statement::Explain(explain) => (explain::schema(explain), vec![]),
            Statement::Show(target) => (show::schema(target), vec![]),
            Statement::Backup(_) | Statement::Restore(_) => (backup::done_schema(), vec![]),
            Statement::ShowBackups(_) => (backup::list_schema(), vec![]),
            Statement::CopyFrom(copy) if copy.is_validation() => (copy::validation_schema(), vec![]),
            Statement::Insert(insert) => self.describe_change(&self.bind_insert(insert, state).await?)?,
            Statement::Modify(modify) => self.describe_change(&self.bind_modify(modify, state).await?)?,
            Statement::Merge(merge) => self.describe_change(&self.bind_merge(merge, state).await?)?,
            _ => (Arc::new(Schema::empty()), vec![]),
        };
        Ok(Prepared { schema, parameters, is_update })
    }

    /// Runs one statement (with `parameters` for `$1`…). A query's errors after its first batch come from the stream,
    /// as `DataFusionError::External(SqlError)`.
    ///
    /// # Errors
    /// As [`Session::prepare`], and whatever execution meets before the first batch.
    pub async fn execute(self: &Arc<Self>, text: &str, parameters: Vec<ScalarValue>) -> SqlResult<Outcome> {
        self.execute_until(text, parameters, CancellationToken::new()).await
    }

    /// As [`Session::execute`], until `cancel`, the session's own, or its `statement_timeout`. What commits is not cancelled any more.
    ///
    /// # Errors
    /// As [`Session::execute`]; 57014 when it was cancelled in time.
    pub async fn execute_until(
        self: &Arc<Self>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.run_until(self.parse(text).map(Arc::unwrap_or_clone), text, parameters, cancel).await
    }

    /// As [`Session::execute_until`], of a statement that was [parsed](Session::parse). `text`: the statement's, or what stands for it in
    /// `pg_stat_activity`.
    ///
    /// # Errors
    /// Its own, if it is none; else as [`Session::execute_until`].
    pub(crate) async fn run_until(
        self: &Arc<Self>,
        statement: SqlResult<Statement>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let own = self.cancel.lock().child_token();
        let busy = self.activity.begin(text);
        let deadline = Deadline::after(self.statement_timeout());
        let is_done_first = statement.as_ref().is_ok_and(Statement::is_done_before_its_rows);
        let mut run = self.run(statement, text, parameters, own.clone()).boxed();
        let outcome = tokio::select! {
            outcome = &mut run => outcome?,
            () = cancel.cancelled() => {
                own.cancel();
                run.await?
            }
            () = deadline.passed() => {
                own.cancel();
                Deadline::told(run.await)?
            }
        };
        // What has been committed is told, however long the client takes for it.
        let outcome = if is_done_first { outcome } else { deadline.over(outcome, own, self.own()) };
        Ok(outcome.during(busy))
    }

    /// One statement of a transaction, which the caller commits. Here and below each kind of statement has a future of its own in a box: all of them
    /// in one would be large, and be proven to be `Send` again at each level, which took the compiler minutes.
    async fn statement(
        self: &Arc<Self>,
        statement: Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        transaction.begin_statement()?;
        let state = transaction.state();
        // What only prepares the transaction leaves its snapshot to the first statement that reads.
        let reads = !matches!(
            statement,
            Statement::Show(_)
                | Statement::ShowBackups(_)
                | Statement::Set(_)
                | Statement::Reset(_)
                | Statement::LockTable(_)
        );
        let (steps, role) = (transaction.workspace().step_count(), self.acting_role(&state));
        let outcome = self.execute_in(statement, text, parameters, state, transaction, cancel).boxed().await;
        if outcome.is_ok() {
            // What a statement makes is its role's.
            transaction.workspace().own_new(steps, role)?;
        }
        if reads {
            transaction.end_statement(&self.master);
        }
        outcome
    }

    async fn execute_in(
        self: &Arc<Self>,
        statement: Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        state: Arc<CatalogState>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        self.authorize(&statement, &state)?;
        match statement {
            Statement::Query(query) => {
                self.query_or_setval(&query, text, parameters, state, transaction.read_only, cancel).boxed().await
            }
            Statement::Retrieve(retrieve) => {
                if transaction.read_only {
                    refuse_read_only(&retrieve.query)?;
                }
                self.retrieve(&retrieve, text, parameters, state, cancel).boxed().await
            }
            Statement::CopyTo(copy) => {
                if let (true, CopySource::Query(query)) = (transaction.read_only, &copy.source) {
                    refuse_read_only(query)?;
                }
                self.copy_to(&copy, state, cancel).boxed().await
            }
            Statement::CopyFrom(copy) if copy.is_validation() => self.validate_copy(&copy, state, cancel).boxed().await,
            Statement::Show(target) => self.show(&target, transaction),
            Statement::ShowBackups(place) => self.show_backups(&place, cancel).boxed().await,
            Statement::Set(set) => self.set(&set, &state),
            Statement::Reset(name) => self.reset(name.as_deref()),
            Statement::Analyze(table) => self.analyze(table.as_ref(), &state),
            Statement::LockTable(lock) => self.lock_tables(&lock, transaction, &cancel).boxed().await,
            Statement::Explain(explain) => {
                if explain.analyze && !matches!(*explain.statement, Statement::Query(_)) {
                    transaction.begin_change(&self.master, "EXPLAIN ANALYZE of a change")?;
                }
                if let (true, true, Statement::Query(query)) =
                    (explain.analyze, transaction.read_only, &*explain.statement)
                {
                    refuse_read_only(query)?;
                }
                self.explain(&explain, text, transaction, cancel).boxed().await
            }
            change => {
                transaction.begin_change(&self.master, change.name())?;
                self.change(change, parameters, transaction, cancel).boxed().await
            }
        }
    }

    /// A query, which may be one that sets a sequence, forgets an error log, or sleeps.
    async fn query_or_setval(
        self: &Arc<Self>,
        query: &sqlparser::ast::Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        state: Arc<CatalogState>,
        read_only: bool,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        if read_only {
            refuse_read_only(query)?;
        }
        if let Some(signal) = SignalBackend::of(query)? {
            return self.signal_backend(&signal, &state);
        }
        if let Some(truncate) = TruncateErrorLog::of(query)? {
            return self.truncate_error_log(&truncate, &state, read_only, &cancel).boxed().await;
        }
        if let Some(sleep) = Sleep::of(query) {
            return self.sleep(&sleep, parameters, state, cancel).boxed().await;
        }
        match Setval::of(query)? {
            Some(setval) => self.setval(&setval, parameters, state, cancel).boxed().await,
            None => self.query(query, text, parameters, state, cancel).boxed().await,
        }
    }

    /// What changes rows or definitions.
    async fn change(
        self: &Arc<Self>,
        statement: Statement,
        parameters: Vec<ScalarValue>,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        match statement {
            Statement::Insert(insert) => self.insert(&insert, parameters, transaction, cancel).boxed().await,
            Statement::Ingest(ingest) => self.ingest(&ingest, transaction, cancel).boxed().await,
            Statement::Modify(modify) => self.modify(&modify, parameters, transaction, cancel).boxed().await,
            Statement::Merge(merge) => self.merge(&merge, parameters, transaction, cancel).boxed().await,
            Statement::CreateTableAs(create) => self.create_table_as(&create, transaction, cancel).boxed().await,
            Statement::CreateView(create) => {
                self.lock_viewed(&create, transaction, &cancel).await?;
                self.create_view(&create, transaction).boxed().await
            }
            Statement::CopyFrom(copy) => self.copy_from(&copy, transaction, cancel).boxed().await,
            Statement::CreateSecret(create) => self.create_secret(&create, transaction).boxed().await,
            roles @ (Statement::CreateRole(_)
            | Statement::AlterRole(_)
            | Statement::RenameRole { .. }
            | Statement::DropRole { .. }
            | Statement::Membership(_)
            | Statement::Privileges(_)
            | Statement::OwnerTo { .. }) => self.change_roles(&roles, transaction).boxed().await,
            Statement::AlterTable(alter) => self.alter_table(&alter, transaction, cancel).boxed().await,
            definition => {
                self.lock_defined(&definition, transaction, &cancel).await?;
                self.define(&definition, transaction, &cancel).boxed().await
            }
        }
    }

    /// Splits a script at its `;` (outside quotes, comments and dollar quotes); empty statements are left out.
    pub fn split(script: &str) -> Vec<String> {
        sql::split(script).into_iter().map(|part| part.text).collect()
    }

    /// Cancels what this session is running, on every segment; a no-op when idle.
    pub fn cancel(&self) {
        std::mem::take(&mut *self.cancel.lock()).cancel();
    }

    pub(crate) fn search_schema(&self) -> String {
        self.settings.lock().search_schema()
    }

    /// DDL: a change of the catalog alone.
    async fn define(
        &self,
        statement: &Statement,
        transaction: &mut Transaction,
        cancel: &CancellationToken,
    ) -> SqlResult<Outcome> {
        let schema = self.search_schema();
        let ids = ddl::ids_needed(&transaction.state(), statement, &schema);
        self.give_ids(transaction, ids).await?;
        let tablespace = match statement {
            Statement::CreateTable(create) => self.in_tablespace(&transaction.state(), create.tablespace.as_ref())?,
            _ => None,
        };
        if let Statement::DropTablespace { .. } = statement {
            // Files of tables that were dropped just now would be in its way. A bucket that is away takes its time.
            until(cancel, async { Ok(self.master.files.collect_dropped().await) }).await?;
        }
        let done = ddl::execute(transaction.workspace(), statement, &schema, tablespace);
        let done = done.unwrap_or_else(|| Err(internal(format!("{} is no definition", statement.name()))))?;
        self.try_checks(statement, &transaction.state()).await?;
        Ok(done.into())
    }

    /// A view's query is bound now, so that a wrong one is refused now and not at its first use.
    async fn create_view(&self, create: &CreateView, transaction: &mut Transaction) -> SqlResult<Outcome> {
        refuse_in_view(&create.query)?;
        refuse_past_in_view(&create.query)?;
        let bound = self.bind(transaction.state(), &create.query, "").await?;
        let named = column_names::plain(&Arc::new(bound.plan.schema().as_arrow().clone()));
        let columns: Vec<String> = named.fields().iter().map(|f| f.name().clone()).collect();
        self.give_ids(transaction, 1).await?;
        Ok(ddl::create_view(transaction.workspace(), create, &columns, &self.search_schema())?.into())
    }

    /// For what watches it while it is there.
    pub(crate) fn own(&self) -> Weak<Session> {
        Weak::clone(&self.own)
    }
}

impl From<CommandDone> for Outcome {
    fn from(done: CommandDone) -> Self {
        Outcome::Command { tag: done.tag.into(), rows: 0, notices: done.notices }
    }
}
