//! Stop 2 of a query's walk: one client's session, and `execute`, the visible pipeline.

mod alter;
mod ast;
mod bind;
mod column_names;
mod compact;
mod copy;
mod create_as;
mod explain;
mod insert;
mod merged_columns;
mod modify;
mod query;
mod scalar;
mod settings;
mod show;
mod write;

use crate::ddl::{self, CommandDone};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::master::Master;
use crate::sql::{self, CreateView, Statement};
use damson_cluster::SessionId;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use settings::Settings;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// One client's state: settings, search path, the statements that are running. Made by a protocol module for each
/// connection, shared by its calls.
pub struct Session {
    pub id: SessionId,
    user: String,
    master: Arc<Master>,
    settings: Mutex<Settings>,
    /// Cancelled with every statement that runs under it, then replaced.
    cancel: Mutex<CancellationToken>,
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
    pub(crate) fn new(id: SessionId, user: &str, master: Arc<Master>) -> Self {
        let settings = Mutex::new(Settings::new(&master.interconnect));
        Session { id, user: user.into(), master, settings, cancel: Mutex::default() }
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Parses and binds one statement; executes nothing.
    ///
    /// # Errors
    /// What the client wrote wrong, with its position.
    pub async fn prepare(&self, text: &str) -> SqlResult<Prepared> {
        let statement = sql::parse(text)?;
        let is_update = statement.is_update();
        let (schema, parameters) = match &statement {
            Statement::Query(query) => self.describe_query(query, text).await?,
            Statement::Explain(explain) => (explain::schema(explain), vec![]),
            Statement::Show(target) => (show::schema(target), vec![]),
            Statement::Insert(insert) => (Arc::new(Schema::empty()), self.describe_insert(insert).await?),
            Statement::Modify(modify) => (Arc::new(Schema::empty()), self.describe_modify(modify).await?),
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
        let cancel = self.cancel.lock().child_token();
        self.run(text, parameters, cancel).await
    }

    /// As [`Session::execute`], until `cancel`, or the session's own. What commits is not cancelled any more.
    ///
    /// # Errors
    /// As [`Session::execute`]; 57014 when it was cancelled in time.
    pub async fn execute_until(
        self: &Arc<Self>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let own = self.cancel.lock().child_token();
        let run = self.run(text, parameters, own.clone());
        tokio::pin!(run);
        tokio::select! {
            outcome = &mut run => return outcome,
            () = cancel.cancelled() => own.cancel(),
        }
        run.await
    }

    async fn run(
        self: &Arc<Self>,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        match sql::parse(text)? {
            Statement::Query(query) => self.query(&query, text, parameters, cancel).await,
            change => {
                // Until it has committed, or failed, its files are not orphans.
                let write = self.master.files.writes.begin();
                let outcome = self.change(change, text, parameters, cancel).await?;
                write.succeeded();
                Ok(outcome)
            }
        }
    }

    /// Every statement but a query.
    async fn change(
        self: &Arc<Self>,
        statement: Statement,
        text: &str,
        parameters: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        match statement {
            Statement::Insert(insert) => self.insert(&insert, parameters, cancel).await,
            Statement::Modify(modify) => self.modify(&modify, parameters, cancel).await,
            Statement::CreateTableAs(create) => self.create_table_as(&create, cancel).await,
            Statement::CreateView(create) => self.create_view(create).await,
            Statement::CopyFrom(copy) => self.copy_from(&copy, cancel).await,
            Statement::CopyTo(copy) => self.copy_to(&copy, cancel).await,
            Statement::AlterTable(alter) => self.alter_table(&alter, cancel).await,
            Statement::Explain(explain) => self.explain(&explain, text, cancel).await,
            Statement::Show(target) => self.show(&target),
            Statement::Set(set) => self.set(&set),
            Statement::Reset(name) => self.reset(name.as_deref()),
            Statement::Analyze(table) => self.analyze(table.as_ref()),
            Statement::Vacuum(table) => self.vacuum(table.as_ref(), cancel).await,
            Statement::Begin | Statement::Commit | Statement::Rollback => Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "transactions of several statements are not supported yet",
            )
            .with_hint("every statement is a transaction of its own")),
            definition => self.define(definition).await,
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

    fn search_schema(&self) -> String {
        self.settings.lock().search_schema()
    }

    /// DDL: a change of the catalog alone, off the async runtime because it waits for the disk.
    async fn define(self: &Arc<Self>, statement: Statement) -> SqlResult<Outcome> {
        let (session, schema) = (Arc::clone(self), self.search_schema());
        let work = move || ddl::execute(&session.master.catalog, &statement, &schema);
        let done = tokio::task::spawn_blocking(work).await.map_err(crate::error::internal)?;
        let not_ddl = || Err(crate::error::internal("a statement that is no definition"));
        Ok(done.unwrap_or_else(not_ddl)?.into())
    }

    /// A view's query is bound now, so that a wrong one is refused now and not at its first use.
    async fn create_view(self: &Arc<Self>, create: CreateView) -> SqlResult<Outcome> {
        let bound = self.bind(&create.query, "").await?;
        let named = column_names::plain(&Arc::new(bound.plan.schema().as_arrow().clone()));
        let columns: Vec<String> = named.fields().iter().map(|f| f.name().clone()).collect();
        let (session, schema) = (Arc::clone(self), self.search_schema());
        let work = move || ddl::create_view(&session.master.catalog, &create, &columns, &schema);
        let done = tokio::task::spawn_blocking(work).await.map_err(crate::error::internal)??;
        Ok(done.into())
    }
}

impl From<CommandDone> for Outcome {
    fn from(done: CommandDone) -> Self {
        Outcome::Command { tag: done.tag.into(), rows: 0, notices: done.notices }
    }
}
