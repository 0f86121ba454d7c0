//! A session's statements between their planning and their end: handles that clients hold.

use super::limits::{STATEMENT_IDLE, STATEMENTS_MAX};
use super::retrieve::StreamOf;
use super::status::{too_many, unknown_statement};
use crate::error::SqlResult;
use crate::session::Prepared;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A statement that was planned for a client.
pub(super) struct Statement {
    pub text: String,
    pub prepared: Prepared,
    /// The handle of the transaction that it was made for.
    pub transaction: Option<Bytes>,
    /// Rows that the client bound last: of a query one at most.
    parameters: Mutex<Vec<Vec<ScalarValue>>>,
}

impl Statement {
    pub(super) fn new(text: String, prepared: Prepared) -> Self {
        Statement { text, prepared, transaction: None, parameters: Mutex::default() }
    }

    pub(super) fn within(self, transaction: Option<Bytes>) -> Self {
        Statement { transaction, ..self }
    }

    pub(super) fn bind(&self, rows: Vec<Vec<ScalarValue>>) {
        *self.parameters.lock() = rows;
    }

    pub(super) fn bound_rows(&self) -> Vec<Vec<ScalarValue>> {
        self.parameters.lock().clone()
    }

    /// The first row; of a statement that nothing is bound to, no values.
    pub(super) fn bound(&self) -> Vec<ScalarValue> {
        self.parameters.lock().first().cloned().unwrap_or_default()
    }
}

/// How long a handle is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Until it is fetched.
    Once,
    /// Until the client closes it.
    Prepared,
}

struct Entry {
    statement: Arc<Statement>,
    /// Which stream of it the handle is; it lives once then.
    stream: Option<StreamOf>,
    life: Life,
    used: Instant,
}

impl Entry {
    fn is_idle(&self, now: Instant) -> bool {
        let is_awaited = self.stream.as_ref().is_some_and(StreamOf::is_awaited);
        now.duration_since(self.used) >= STATEMENT_IDLE && !is_awaited
    }
}

/// The statements of one session: those that wait, and those that run.
#[derive(Default)]
pub(super) struct Statements {
    waiting: Mutex<HashMap<Uuid, Entry>>,
    running: Mutex<HashMap<Uuid, CancellationToken>>,
}

impl Statements {
    /// A new handle, as of `now`.
    ///
    /// # Errors
    /// 53400 if the session has too many.
    pub(super) fn insert(&self, statement: Statement, life: Life, now: Instant) -> SqlResult<Uuid> {
        let mut waiting = self.waiting.lock();
        make_room(&mut waiting, 1, now)?;
        let handle = Uuid::new_v4();
        let statement = Arc::new(statement);
        waiting.insert(handle, Entry { statement, stream: None, life, used: now });
        Ok(handle)
    }

    /// A handle for each of a statement's streams, as of `now`.
    ///
    /// # Errors
    /// 53400 if the session has too many.
    pub(super) fn insert_streams(
        &self,
        statement: &Arc<Statement>,
        streams: Vec<StreamOf>,
        now: Instant,
    ) -> SqlResult<Vec<Uuid>> {
        let mut waiting = self.waiting.lock();
        make_room(&mut waiting, streams.len(), now)?;
        let insert = |stream| {
            let (handle, statement) = (Uuid::new_v4(), Arc::clone(statement));
            waiting.insert(handle, Entry { statement, stream: Some(stream), life: Life::Once, used: now });
            handle
        };
        Ok(streams.into_iter().map(insert).collect())
    }

    /// Whether a handle is a stream's that nobody has fetched.
    pub(super) fn has_stream(&self, handle: Uuid) -> bool {
        self.waiting.lock().get(&handle).is_some_and(|entry| entry.stream.is_some())
    }

    /// What a handle is a stream of, once; None if it is a statement's, or nobody's.
    pub(super) fn fetch_stream(&self, handle: Uuid, now: Instant) -> Option<(Arc<Statement>, StreamOf)> {
        let mut waiting = self.waiting.lock();
        waiting.get(&handle).filter(|entry| entry.stream.is_some())?;
        let entry = waiting.remove(&handle).filter(|entry| !entry.is_idle(now))?;
        Some((entry.statement, entry.stream?))
    }

    /// The statement of a handle; one that lives once is gone then.
    ///
    /// # Errors
    /// 26000 if there is none.
    pub(super) fn fetch(&self, handle: Uuid, life: Life, now: Instant) -> SqlResult<Arc<Statement>> {
        let mut waiting = self.waiting.lock();
        let is_meant = |entry: &&mut Entry| entry.life == life && entry.stream.is_none();
        let entry = waiting.get_mut(&handle).filter(is_meant).ok_or_else(unknown_statement)?;
        entry.used = now;
        let statement = Arc::clone(&entry.statement);
        if life == Life::Once {
            waiting.remove(&handle);
        }
        Ok(statement)
    }

    /// The statement of a handle, which stays as good as it was.
    ///
    /// # Errors
    /// 26000 if there is none.
    pub(super) fn look(&self, handle: Uuid) -> SqlResult<Arc<Statement>> {
        self.waiting.lock().get(&handle).map(|entry| Arc::clone(&entry.statement)).ok_or_else(unknown_statement)
    }

    /// Forgets a handle; true if it was there.
    pub(super) fn close(&self, handle: Uuid) -> bool {
        self.waiting.lock().remove(&handle).is_some()
    }

    /// Notes that a handle's statement runs, until the guard goes. `cancel` ends it.
    pub(super) fn run(self: &Arc<Self>, handle: Uuid, cancel: CancellationToken) -> RunGuard {
        self.running.lock().insert(handle, cancel.clone());
        RunGuard { statements: Arc::clone(self), handle, cancel }
    }

    /// Cancels what runs under a handle; true if something did.
    pub(super) fn cancel(&self, handle: Uuid) -> bool {
        match self.running.lock().get(&handle) {
            Some(token) => {
                token.cancel();
                true
            }
            None => false,
        }
    }

    pub(super) fn cancel_all(&self) {
        self.running.lock().values().for_each(CancellationToken::cancel);
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.lock().is_empty()
    }
}

/// Forgets what was not used for long, if that is needed.
fn make_room(waiting: &mut HashMap<Uuid, Entry>, wanted: usize, now: Instant) -> SqlResult<()> {
    waiting.retain(|_, entry| entry.life == Life::Prepared || !entry.is_idle(now));
    if waiting.len() + wanted > STATEMENTS_MAX {
        waiting.retain(|_, entry| !entry.is_idle(now));
    }
    if waiting.len() + wanted > STATEMENTS_MAX {
        let message = format!("the session has {STATEMENTS_MAX} open statements");
        return Err(too_many(message).with_hint("close prepared statements that are not used any more"));
    }
    Ok(())
}

/// A statement that runs.
pub(super) struct RunGuard {
    statements: Arc<Statements>,
    handle: Uuid,
    pub(super) cancel: CancellationToken,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.statements.running.lock().remove(&self.handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight_sql::retrieve::Retrieval;
    use arrow::datatypes::Schema;
    use futures::FutureExt;
    use std::time::Duration;

    fn statement() -> Statement {
        let prepared = Prepared { schema: Arc::new(Schema::empty()), parameters: vec![], is_update: true };
        Statement::new("SELECT 1".into(), prepared)
    }

    #[test]
    fn a_ticket_is_good_once_and_a_prepared_statement_until_closed() {
        let (statements, now) = (Statements::default(), Instant::now());
        let once = statements.insert(statement(), Life::Once, now).unwrap();
        assert!(statements.fetch(once, Life::Prepared, now).is_err(), "a ticket is not a prepared statement");
        assert!(statements.fetch(once, Life::Once, now).is_ok());
        assert!(statements.fetch(once, Life::Once, now).is_err());
        let prepared = statements.insert(statement(), Life::Prepared, now).unwrap();
        assert!(statements.fetch(prepared, Life::Prepared, now).is_ok());
        assert!(statements.fetch(prepared, Life::Prepared, now).is_ok());
        assert!(statements.close(prepared));
        assert!(!statements.close(prepared));
        assert!(statements.fetch(prepared, Life::Prepared, now).is_err());
    }

    #[test]
    fn tickets_expire() {
        let (statements, now) = (Statements::default(), Instant::now());
        let old = statements.insert(statement(), Life::Once, now).unwrap();
        let prepared = statements.insert(statement(), Life::Prepared, now).unwrap();
        let later = now + STATEMENT_IDLE;
        statements.insert(statement(), Life::Once, later).unwrap();
        assert!(statements.fetch(old, Life::Once, later).is_err());
        assert!(statements.fetch(prepared, Life::Prepared, later).is_ok());
    }

    #[test]
    fn a_session_has_so_many_statements() {
        let (statements, now) = (Statements::default(), Instant::now());
        for _ in 0..STATEMENTS_MAX {
            statements.insert(statement(), Life::Prepared, now).unwrap();
        }
        let soon = now + STATEMENT_IDLE - Duration::from_secs(1);
        assert_eq!(statements.insert(statement(), Life::Prepared, soon).unwrap_err().state.0, "53400");
        assert!(statements.insert(statement(), Life::Prepared, now + STATEMENT_IDLE).is_ok(), "idle ones make room");
    }

    #[test]
    fn a_stream_is_fetched_once_and_in_time() {
        let (statements, now) = (Statements::default(), Instant::now());
        let schema = Arc::new(Schema::empty());
        let retrieval = Retrieval::of(futures::future::pending().boxed(), schema, CancellationToken::new());
        let (statement, retrieval) = (Arc::new(statement()), Arc::new(retrieval));
        let streams = |count| vec![StreamOf::Shared(Arc::clone(&retrieval)); count];
        let handles = statements.insert_streams(&statement, streams(4), now).unwrap();
        assert!(statements.fetch(handles[0], Life::Once, now).is_err(), "it is a stream's, not the statement's");
        assert!(statements.fetch_stream(handles[0], now).is_some());
        assert!(statements.fetch_stream(handles[0], now).is_none());
        assert!(statements.close(handles[1]) && statements.fetch_stream(handles[1], now).is_none());
        assert!(statements.fetch_stream(handles[2], now + STATEMENT_IDLE).is_none());
        let error = statements.insert_streams(&statement, streams(STATEMENTS_MAX), now).unwrap_err();
        assert_eq!(error.state.0, "53400");
        assert!(statements.fetch_stream(handles[3], now).is_some());
        assert!(statements.insert_streams(&statement, streams(STATEMENTS_MAX), now).is_ok());
    }

    #[test]
    fn what_runs_can_be_cancelled() {
        let statements = Arc::new(Statements::default());
        let handle = Uuid::new_v4();
        assert!(!statements.cancel(handle));
        let guard = statements.run(handle, CancellationToken::new());
        assert!(statements.is_running() && !guard.cancel.is_cancelled());
        assert!(statements.cancel(handle));
        assert!(guard.cancel.is_cancelled());
        drop(guard);
        assert!(!statements.is_running() && !statements.cancel(handle));
    }
}
