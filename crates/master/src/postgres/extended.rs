//! The extended protocol: statements that are prepared, bound to values, and run in portions.

use super::columns::{describe, is_same};
use super::connection::{Connection, Failed, PROTOCOL_VIOLATION};
use super::limits::{KEPT_BYTES_MAX, PORTALS_MAX, STATEMENTS_MAX};
use super::parameters::{Parameter, decode, type_of_oid};
use super::run::{Done, Event, Execution, Job};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::session::Prepared;
use crate::sql::{self, ClientCopy, PortalStatement};
use damson_pg::backend::{TransactionState, bytes_of_messages};
use damson_pg::frontend::{Formats, Target};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

const UNKNOWN_STATEMENT: SqlState = SqlState::INVALID_STATEMENT_NAME;
pub(super) const UNKNOWN_CURSOR: SqlState = SqlState("34000");
const DUPLICATE_STATEMENT: SqlState = SqlState("42P05");
pub(super) const DUPLICATE_CURSOR: SqlState = SqlState("42P03");

/// A statement that a client has prepared.
pub(super) struct Statement {
    text: String,
    /// Columns of its rows; None for what gives none.
    columns: Option<SchemaRef>,
    parameters: Vec<Parameter>,
    kind: Kind,
}

enum Kind {
    /// No statement at all.
    Empty,
    /// Never part of a transaction that was not begun by BEGIN: it begins or ends one, or can be in none.
    Alone,
    Ordinary,
    /// COPY to or from the client.
    Copy(ClientCopy),
    /// About what the connection keeps.
    Portal(PortalStatement),
}

/// A statement bound to values.
pub(super) struct Portal {
    statement: Arc<Statement>,
    formats: Formats,
    state: PortalState,
}

enum PortalState {
    Bound(Vec<ScalarValue>),
    /// Rows that were made and not asked for: messages, where the next begins, and how many are left.
    Running {
        execution: Execution,
        messages: Vec<u8>,
        next: usize,
        left: usize,
    },
    Done,
}

/// How far a portal was run, and how many rows that were.
pub(super) enum Ran {
    Suspended(usize),
    Ended(usize, Done),
}

impl Portal {
    /// A cursor's, which is not run yet; `values` are those of its query's parameters.
    ///
    /// # Errors
    /// 42P11 for what is no query; 42P02 for parameters that DECLARE was not bound to.
    pub(super) fn cursor(statement: Statement, values: Vec<ScalarValue>) -> SqlResult<Self> {
        const INVALID_CURSOR_DEFINITION: SqlState = SqlState("42P11");
        if !matches!(statement.kind, Kind::Ordinary) || statement.columns.is_none() {
            return Err(SqlError::new(INVALID_CURSOR_DEFINITION, "a cursor needs a query"));
        }
        if statement.parameters.len() > values.len() {
            const UNDEFINED_PARAMETER: SqlState = SqlState("42P02");
            return Err(SqlError::new(UNDEFINED_PARAMETER, format!("there is no parameter ${}", values.len() + 1)));
        }
        let state = PortalState::Bound(values);
        Ok(Portal { statement: Arc::new(statement), formats: Formats::default(), state })
    }

    pub(super) fn columns(&self) -> Option<&SchemaRef> {
        self.statement.columns.as_ref()
    }

    /// Of what the client has sent for it.
    fn bytes(&self) -> usize {
        match &self.state {
            PortalState::Bound(values) => values.iter().map(ScalarValue::size).sum(),
            PortalState::Running { .. } | PortalState::Done => 0,
        }
    }

    /// # Errors
    /// 0A000 if it gives rows in others already.
    pub(super) fn set_formats(&mut self, formats: &Formats) -> SqlResult<()> {
        match self.state {
            PortalState::Bound(_) => self.formats = formats.clone(),
            PortalState::Running { .. } if self.formats != *formats => {
                let message = "a cursor gives all of its rows in the formats of the first";
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            PortalState::Running { .. } | PortalState::Done => {}
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn parse(&mut self, name: &str, text: &str, types: &[u32]) -> Result<(), Failed> {
        if name.is_empty() {
            self.statements.remove(name);
        } else if self.statements.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(DUPLICATE_STATEMENT, message).into());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            let message = format!("a connection can have at most {STATEMENTS_MAX} prepared statements");
            return Err(SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).into());
        }
        self.check_room(name.len() + text.len())?;
        let statement = self.prepare(text, types).await?;
        self.statements.insert(name.to_owned(), Arc::new(statement));
        self.wire.out.parse_complete();
        Ok(())
    }

    pub(super) async fn prepare(&mut self, text: &str, types: &[u32]) -> Result<Statement, Failed> {
        if sql::split(text).is_empty() {
            return Ok(Statement { text: String::new(), columns: None, parameters: vec![], kind: Kind::Empty });
        }
        if let Some(copy) = sql::client_copy(text) {
            return Ok(Statement { text: String::new(), columns: None, parameters: vec![], kind: Kind::Copy(copy?) });
        }
        if let Some(statement) = sql::portal_statement(text) {
            let statement = statement?;
            let columns = match &statement {
                PortalStatement::Fetch { name, is_move: false, .. } => {
                    let portal = self.portals.get(name).ok_or_else(|| unknown_portal(name))?;
                    portal.columns().cloned()
                }
                _ => None,
            };
            // A cursor's query has those of DECLARE.
            let parameters = match &statement {
                PortalStatement::Declare { query, .. } => self.described(query, types).await?.1,
                _ => vec![],
            };
            return Ok(Statement { text: String::new(), columns, parameters, kind: Kind::Portal(statement) });
        }
        let kind = match self.session.parse(text).as_deref() {
            Ok(sql::Statement::Transaction(_) | sql::Statement::LockTable(_)) => Kind::Alone,
            Ok(statement) if statement.is_outside_transactions() => Kind::Alone,
            // An error is told below.
            _ => Kind::Ordinary,
        };
        let (prepared, parameters) = self.described(text, types).await?;
        Ok(Statement {
            text: text.to_owned(),
            columns: (!prepared.is_update).then_some(prepared.schema),
            parameters,
            kind,
        })
    }

    /// What a statement's columns and parameters are, of which the client says `types`.
    async fn described(&mut self, text: &str, types: &[u32]) -> Result<(Prepared, Vec<Parameter>), Failed> {
        let given: Vec<Option<DataType>> = types.iter().map(|oid| type_of_oid(*oid)).collect();
        let (session, asked) = (self.session.clone(), text.to_owned());
        let prepared = async move { session.prepare_typed(&asked, &given).await };
        let mut prepared = self.on_cpu(prepared.boxed()).await?;
        let inferred = std::mem::take(&mut prepared.parameters);
        let parameters = inferred.into_iter().enumerate().map(|(at, inferred)| {
            let given = types.get(at).and_then(|oid| Some((*oid, type_of_oid(*oid)?)));
            match given {
                Some((oid, data_type)) => Parameter { oid, data_type },
                None => Parameter::inferred(inferred),
            }
        });
        let parameters = parameters.collect();
        Ok((prepared, parameters))
    }

    pub(super) fn bind(
        &mut self,
        portal: &str,
        name: &str,
        formats: &Formats,
        values: &[Option<&[u8]>],
        results: Formats,
    ) -> Result<(), Failed> {
        let statement = Arc::clone(self.statement(name)?);
        let violation =
            |message: String| -> Result<(), Failed> { Err(SqlError::new(PROTOCOL_VIOLATION, message).into()) };
        let (given, wanted) = (values.len(), statement.parameters.len());
        if !formats.fits(given) {
            return violation(format!("bind message has {} parameter formats but {given} parameters", formats.len()));
        }
        if given != wanted {
            return violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {wanted}"
            ));
        }
        let columns = statement.columns.as_ref().map_or(0, |columns| columns.fields().len());
        if !results.fits(columns) {
            return violation(format!(
                "bind message has {} result formats but query has {columns} columns",
                results.len()
            ));
        }
        if portal.is_empty() {
            self.portals.remove(portal);
        } else if self.portals.contains_key(portal) {
            return Err(SqlError::new(DUPLICATE_CURSOR, format!("cursor \"{portal}\" already exists")).into());
        }
        let decoded = statement.parameters.iter().zip(values).enumerate();
        let decoded = decoded.map(|(at, (parameter, value))| decode(Some(at + 1), parameter, formats.of(at), *value));
        let decoded = decoded.collect::<SqlResult<Vec<_>>>()?;
        let bound = Portal { statement, formats: results, state: PortalState::Bound(decoded) };
        self.insert_portal(portal.to_owned(), bound)?;
        self.wire.out.bind_complete();
        Ok(())
    }

    pub(super) fn insert_portal(&mut self, name: String, portal: Portal) -> SqlResult<()> {
        if self.portals.len() >= PORTALS_MAX {
            let message = format!("a connection can have at most {PORTALS_MAX} portals");
            return Err(SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message));
        }
        self.check_room(name.len() + portal.bytes())?;
        self.portals.insert(name, portal);
        Ok(())
    }

    /// Whether the client may have so many bytes more kept for it.
    fn check_room(&self, more: usize) -> SqlResult<()> {
        let statements = self.statements.iter().map(|(name, statement)| name.len() + statement.text.len());
        let portals = self.portals.iter().map(|(name, portal)| name.len() + portal.bytes());
        if statements.chain(portals).sum::<usize>() + more <= KEPT_BYTES_MAX {
            return Ok(());
        }
        let mib = KEPT_BYTES_MAX >> 20;
        let message = format!("a connection can have at most {mib} MiB of prepared statements and bound values");
        Err(SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message))
    }

    fn statement(&self, name: &str) -> SqlResult<&Arc<Statement>> {
        self.statements.get(name).ok_or_else(|| unknown_statement(name))
    }

    pub(super) fn describe(&mut self, target: Target<'_>) -> Result<(), Failed> {
        let (statement, formats) = match target {
            Target::Statement(name) => {
                let statement = Arc::clone(self.statement(name)?);
                let types: Vec<u32> = statement.parameters.iter().map(|parameter| parameter.oid).collect();
                self.wire.out.parameter_description(&types);
                (statement, Formats::default())
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| unknown_portal(name))?;
                (Arc::clone(&portal.statement), portal.formats.clone())
            }
        };
        match &statement.columns {
            Some(columns) => describe(columns, &formats, &mut self.wire.out),
            None => self.wire.out.no_data(),
        }
        Ok(())
    }

    /// What does not exist is closed.
    pub(super) fn close(&mut self, target: Target<'_>) -> Result<(), Failed> {
        match target {
            Target::Statement(name) => _ = self.statements.remove(name),
            Target::Portal(name) => _ = self.portals.remove(name),
        }
        self.wire.out.close_complete();
        Ok(())
    }

    /// Up to `rows_max` rows, or all for 0.
    pub(super) async fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Failed> {
        // An error ends it.
        let mut portal = self.portals.remove(name).ok_or_else(|| unknown_portal(name))?;
        let statement = Arc::clone(&portal.statement);
        match (&statement.kind, &mut portal.state) {
            (Kind::Empty, _) => self.wire.out.empty_query(),
            (_, PortalState::Done) => {
                let message = "portal has been run to its end";
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message).into());
            }
            (Kind::Copy(copy), _) => {
                let done = self.copy(copy.clone()).await?;
                self.complete(&done);
                portal.state = PortalState::Done;
            }
            (Kind::Portal(about), state) => {
                let values = match state {
                    PortalState::Bound(values) => std::mem::take(values),
                    PortalState::Running { .. } | PortalState::Done => vec![],
                };
                let types: Vec<u32> = statement.parameters.iter().map(|parameter| parameter.oid).collect();
                let formats = portal.formats.clone();
                let done = self.portal_statement(about.clone(), (&types, values), &formats, false).await?;
                self.complete(&done);
                portal.state = PortalState::Done;
            }
            (Kind::Alone | Kind::Ordinary, _) => {
                let rows_max = (rows_max > 0).then_some(rows_max as usize);
                let block = self.session.block_id().await;
                match self.run_portal(&mut portal, rows_max, true).await? {
                    Ran::Suspended(_) => self.wire.out.portal_suspended(),
                    Ran::Ended(_, done) => self.complete(&done),
                }
                self.drop_portals_of(block).await;
            }
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Up to so many rows, or all; `sends` or passes over them.
    pub(super) async fn run_portal(
        &mut self,
        portal: &mut Portal,
        rows_max: Option<usize>,
        sends: bool,
    ) -> Result<Ran, Failed> {
        let is_resumed = matches!(portal.state, PortalState::Running { .. });
        if is_resumed && self.session.transaction_state().await == TransactionState::Failed {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::new(SqlState::IN_FAILED_TRANSACTION, message).into());
        }
        let Portal { statement, formats, state } = portal;
        if let PortalState::Bound(parameters) = state {
            let job = Job {
                text: statement.text.clone(),
                parameters: std::mem::take(parameters),
                formats: formats.clone(),
                told: statement.columns.clone(),
            };
            // Other statements may follow before Sync: they are one transaction.
            if matches!(statement.kind, Kind::Ordinary) && !self.wire.syncs_next() {
                self.session.begin_implicit_block().await;
            }
            let execution = self.start(job);
            *state = PortalState::Running { execution, messages: vec![], next: 0, left: 0 };
        }
        let PortalState::Running { execution, messages, next, left } = state else {
            return Ok(Ran::Ended(0, Done { tag: "SELECT 0".to_owned(), notices: vec![] }));
        };
        self.resume(execution);
        let (mut wanted, mut given) = (rows_max.unwrap_or(usize::MAX), 0);
        loop {
            let taken = wanted.min(*left);
            if taken > 0 {
                let end = *next + bytes_of_messages(&messages[*next..], taken);
                if sends {
                    self.wire.out.append(&messages[*next..end]);
                    self.wire.send().await?;
                }
                (*next, *left) = (end, *left - taken);
                (wanted, given) = (wanted - taken, given + taken);
            }
            if wanted == 0 {
                return Ok(Ran::Suspended(given));
            }
            match self.next(execution).await? {
                Event::Columns(schema) => check(statement.columns.as_deref(), &schema)?,
                Event::Rows { messages: more, count } => (*messages, *next, *left) = (more, 0, count),
                Event::Done(done) => {
                    *state = PortalState::Done;
                    return Ok(Ran::Ended(given, done));
                }
            }
        }
    }
}

/// Whether the rows are those that the client was told of.
fn check(told: Option<&Schema>, given: &Schema) -> SqlResult<()> {
    if told.is_some_and(|told| is_same(told, given)) {
        return Ok(());
    }
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type")
        .with_hint("Prepare the statement again."))
}

fn unknown_portal(name: &str) -> SqlError {
    SqlError::new(UNKNOWN_CURSOR, format!("portal \"{name}\" does not exist"))
}

pub(super) fn unknown_statement(name: &str) -> SqlError {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    SqlError::new(UNKNOWN_STATEMENT, message)
}
