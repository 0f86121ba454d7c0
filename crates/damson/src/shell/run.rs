//! Runs one statement: rows to the output, progress on the terminal, Ctrl-C to the server.

use super::connection::{Connection, Planned, Reply, Rows};
use super::copy_progress;
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::Output;
use super::waiting::{News, Waiting};
use damson_master::flight_sql::protocol::CommandReport;
use std::time::Duration;

/// How long a cancelled command may take to say whether it was done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const UNANSWERED: &str = "the server did not answer after the cancel: the statement may have been done, or not";

/// Runs a statement to its end; a command's report, if it was one.
///
/// # Errors
/// The server's, the terminal's, or the user's Ctrl-C, after which nothing of the statement runs.
pub(crate) async fn run(
    connection: &mut Connection,
    statement: &str,
    output: &mut dyn Output,
    interrupt: &mut Interrupt,
) -> Result<Option<CommandReport>, Failure> {
    if !Waiting::is_seen() || !copy_progress::is_copy(statement) {
        return run_with(connection, statement, output, interrupt, Waiting::start()).await;
    }
    let (session, news) = (connection.clone(), News::default());
    let waiting = Waiting::with_news(news.clone());
    tokio::select! {
        ran = run_with(connection, statement, output, interrupt, waiting) => ran,
        never = copy_progress::ask_forever(&session, &news) => match never {},
    }
}

/// As [`run`], with the line that is shown meanwhile.
///
/// # Errors
/// As [`run`].
pub(super) async fn run_with(
    connection: &mut Connection,
    statement: &str,
    output: &mut dyn Output,
    interrupt: &mut Interrupt,
    mut waiting: Waiting,
) -> Result<Option<CommandReport>, Failure> {
    interrupt.forget();
    let planned = tokio::select! {
        planned = connection.plan(statement) => planned?,
        () = interrupt.pressed() => return Err(Failure::Interrupted),
        never = waiting.show_forever() => match never {},
    };
    let done = execute(connection, &planned, output, interrupt, &mut waiting).await;
    waiting.clear();
    if let Err(Failure::Interrupted | Failure::Output(_)) = &done {
        connection.cancel(&planned).await;
    }
    done
}

async fn execute(
    connection: &mut Connection,
    planned: &Planned,
    output: &mut dyn Output,
    interrupt: &mut Interrupt,
    waiting: &mut Waiting,
) -> Result<Option<CommandReport>, Failure> {
    let mut canceller = connection.clone();
    let fetch = connection.fetch(planned);
    tokio::pin!(fetch);
    let reply = tokio::select! {
        reply = &mut fetch => reply?,
        () = interrupt.pressed() => {
            if !planned.is_answered() {
                return Err(Failure::Interrupted);
            }
            canceller.cancel(planned).await;
            // It may have been committed already: only its answer tells.
            match tokio::time::timeout(ANSWER_TIMEOUT, fetch).await {
                // Of rows there may be more, and nobody wants them.
                Ok(Ok(Reply::Rows(_)) | Err(_)) => return Err(Failure::Interrupted),
                Ok(Ok(reply)) => reply,
                Err(_) => return Err(Failure::Connection(UNANSWERED.into())),
            }
        }
        never = waiting.show_forever() => match never {},
    };
    let mut rows = match reply {
        Reply::Command(report) => return Ok(Some(report)),
        Reply::Rows(rows) => rows,
    };
    let mut has_begun = false;
    while let Some(batch) = next(&mut rows, interrupt, waiting).await? {
        if !std::mem::replace(&mut has_begun, true) {
            begin(&rows, output, waiting)?;
        }
        waiting.count(batch.num_rows());
        if output.is_shown_at_once() {
            waiting.stop();
        }
        output.batch(&batch)?;
    }
    waiting.stop();
    // The header waits for the first batch: a query that fails prints nothing but its error.
    if !has_begun {
        begin(&rows, output, waiting)?;
    }
    output.end()?;
    Ok(None)
}

fn begin(rows: &Rows, output: &mut dyn Output, waiting: &mut Waiting) -> Result<(), Failure> {
    if output.is_shown_at_once() {
        waiting.stop();
    }
    output.begin(rows.schema()).map_err(Failure::from)
}

async fn next(
    rows: &mut Rows,
    interrupt: &mut Interrupt,
    waiting: &mut Waiting,
) -> Result<Option<arrow::array::RecordBatch>, Failure> {
    tokio::select! {
        biased;
        () = interrupt.pressed() => Err(Failure::Interrupted),
        batch = rows.next() => batch,
        never = waiting.show_forever() => match never {},
    }
}
