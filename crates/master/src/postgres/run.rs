//! A statement that runs, off the threads that serve sockets, and its rows as messages.

use super::cells::Rows;
use super::columns::{as_told, cast_integers};
use super::limits::{ROWS_AHEAD, ROWS_BYTES};
use crate::error::{SqlError, SqlResult, internal, of_datafusion, task_ended};
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use damson_cluster::SessionId;
use damson_pg::backend::{Messages, TransactionState};
use damson_pg::frontend::Formats;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};

/// What a statement is asked for.
pub(super) struct Job {
    pub text: String,
    pub parameters: Vec<ScalarValue>,
    pub formats: Formats,
    /// The columns that the client was told of before.
    pub told: Option<SchemaRef>,
}

/// What happens in a statement, in this order: columns and rows only of those that have some, and Done at the end.
pub(super) enum Event {
    Columns(SchemaRef),
    /// DataRow messages, and how many.
    Rows {
        messages: Vec<u8>,
        count: usize,
    },
    Done(Done),
}

/// How a statement ended.
pub(super) struct Done {
    pub tag: String,
    pub notices: Vec<String>,
}

/// A statement that runs. Dropping it ends it.
pub(super) struct Execution {
    events: mpsc::Receiver<SqlResult<Event>>,
    work: AbortOnDropHandle<()>,
    cancel: CancellationToken,
}

impl Execution {
    /// Runs until `cancel`; what commits is not cancelled any more.
    pub(super) fn start(session: &Shared<Session>, cpu: &Handle, job: Job, cancel: CancellationToken) -> Self {
        let (sender, events) = mpsc::channel(ROWS_AHEAD);
        let span = info_span!("postgres", session_id = session.id.0);
        let (session, ends) = (session.clone(), cancel.clone());
        let work = async move {
            let done = work(session, job, ends, &sender).await;
            // Nobody listens any more: the statement has ended all the same.
            let _ = sender.send(done.map(Event::Done)).await;
        };
        let work = AbortOnDropHandle::new(cpu.spawn(work.instrument(span).boxed()));
        Execution { events, work, cancel }
    }

    /// Runs a command, which has to end at `cancel` by itself.
    pub(super) fn command(
        session: SessionId,
        cpu: &Handle,
        command: BoxFuture<'static, SqlResult<Outcome>>,
        cancel: CancellationToken,
    ) -> Self {
        let (sender, events) = mpsc::channel(1);
        let span = info_span!("postgres", session_id = session.0);
        let work = async move {
            let done = command.await.and_then(|outcome| match outcome {
                Outcome::Command { tag, notices, .. } => Ok(Event::Done(Done { tag, notices })),
                Outcome::Rows { .. } => Err(internal("a command gave rows")),
            });
            // As above.
            let _ = sender.send(done).await;
        };
        let work = AbortOnDropHandle::new(cpu.spawn(work.instrument(span)));
        Execution { events, work, cancel }
    }

    /// What ends it.
    pub(super) fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// What happens next. Can be dropped and called again; not after Done or an error.
    ///
    /// # Errors
    /// The statement's, which ends with it.
    pub(super) async fn next(&mut self) -> SqlResult<Event> {
        match self.events.recv().await {
            Some(event) => event,
            None => Err((&mut self.work).await.err().map_or_else(|| internal("a statement has no end"), task_ended)),
        }
    }
}

async fn work(
    session: Shared<Session>,
    job: Job,
    cancel: CancellationToken,
    sender: &mpsc::Sender<SqlResult<Event>>,
) -> SqlResult<Done> {
    let Job { text, parameters, formats, told } = job;
    let statement = session.parse(&text);
    let kind = statement.as_ref().map_or("", |statement| statement.name());
    let is_done_first = statement.as_ref().is_ok_and(|statement| statement.is_done_before_its_rows());
    let statement = statement.map(Arc::unwrap_or_clone);
    let (schema, mut stream) = match session.run_until(statement, &text, parameters, cancel.clone()).boxed().await? {
        Outcome::Command { tag, notices, .. } => return Ok(Done { tag, notices }),
        Outcome::Rows { schema, stream } => (schema, stream),
    };
    // What has been committed is told: a cancel request comes too late.
    let is_committed = is_done_first && session.transaction_state().await == TransactionState::Idle;
    let cancel = if is_committed { CancellationToken::new() } else { cancel };
    let changed = told.and_then(|told| as_told(&told, &schema));
    send(sender, Event::Columns(changed.clone().unwrap_or(schema))).await?;
    let (mut messages, mut waiting, mut total) = (Messages::default(), 0, 0u64);
    loop {
        let batch = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(SqlError::canceled()),
            batch = stream.next() => batch,
        };
        let Some(batch) = batch else { break };
        let mut batch = batch.map_err(of_datafusion)?;
        if let Some(schema) = &changed {
            batch = cast_integers(&batch, schema)?;
        }
        let rows = Rows::new(&batch)?;
        let mut row = 0;
        loop {
            // The writer borrows what is no thing to keep while others run.
            let rest = {
                let writer = rows.writer(&formats)?;
                while row < writer.rows() && messages.len() < ROWS_BYTES {
                    writer.write(row, &mut messages)?;
                    (row, waiting, total) = (row + 1, waiting + 1, total + 1);
                }
                writer.rows() - row
            };
            if messages.len() >= ROWS_BYTES {
                let messages = std::mem::take(&mut messages).into_bytes();
                send(sender, Event::Rows { messages, count: std::mem::take(&mut waiting) }).await?;
                if cancel.is_cancelled() {
                    return Err(SqlError::canceled());
                }
            }
            if rest == 0 {
                break;
            }
        }
        if !messages.is_empty() {
            let messages = std::mem::take(&mut messages).into_bytes();
            send(sender, Event::Rows { messages, count: std::mem::take(&mut waiting) }).await?;
        }
    }
    Ok(Done { tag: tag(kind, total), notices: vec![] })
}

async fn send(sender: &mpsc::Sender<SqlResult<Event>>, event: Event) -> SqlResult<()> {
    // Nobody listens any more.
    sender.send(Ok(event)).await.map_err(|_| SqlError::canceled())
}

/// The tag of a statement that gave rows.
fn tag(kind: &str, rows: u64) -> String {
    match kind {
        "INSERT" => format!("INSERT 0 {rows}"),
        "SELECT" | "UPDATE" | "DELETE" | "MERGE" => format!("{kind} {rows}"),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_postgresql() {
        assert_eq!(tag("SELECT", 3), "SELECT 3");
        assert_eq!(tag("INSERT", 3), "INSERT 0 3");
        assert_eq!(tag("SHOW", 1), "SHOW");
    }
}
