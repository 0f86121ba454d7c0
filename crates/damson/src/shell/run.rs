//! Runs one statement: rows to the output, progress on the terminal, Ctrl-C to the server.

use super::connection::{Connection, Planned, Reply, Rows};
use super::copy_progress;
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::Output;
use super::waiting::{News, Waiting};
use damson_master::flight_sql::protocol::CommandReport;
use std::time::Duration;
use tokio::time::Instant;

/// How long a cancelled command may take to say whether it was done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Of SQL: it was cancelled, and has done nothing.
const QUERY_CANCELED: &str = "57014";
const UNANSWERED: &str = "the server did not answer after the cancel: the statement may have been done, or not";
const DONE: &str = "the statement was done before it could be canceled; not all of its rows are shown";

/// Runs a statement to its end; a command's report, if it was one.
///
/// # Errors
/// The server's, the terminal's, or the user's Ctrl-C, after which nothing of the statement runs. A statement that was done before the
/// Ctrl-C reached it has no error.
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
    let mut answer_until = None;
    let done = execute(connection, &planned, output, interrupt, &mut waiting, &mut answer_until).await;
    waiting.clear();
    if let (Err(Failure::Interrupted | Failure::Output(_)), None) = (&done, answer_until) {
        connection.cancel(&planned).await;
    }
    done
}

/// `answer_until` is set once the statement was cancelled.
async fn execute(
    connection: &mut Connection,
    planned: &Planned,
    output: &mut dyn Output,
    interrupt: &mut Interrupt,
    waiting: &mut Waiting,
    answer_until: &mut Option<Instant>,
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
            let until = *answer_until.insert(Instant::now() + ANSWER_TIMEOUT);
            answer(fetch, until).await?
        }
        never = waiting.show_forever() => match never {},
    };
    let mut rows = match reply {
        Reply::Command(report) => return Ok(Some(report)),
        Reply::Rows(rows) => rows,
    };
    let mut has_begun = false;
    loop {
        let next = match *answer_until {
            Some(until) => answer(rows.next(), until).await,
            None => next(&mut rows, interrupt, waiting).await,
        };
        let is_pressed = matches!(next, Err(Failure::Interrupted)) && answer_until.is_none();
        if is_pressed && planned.is_answered() {
            canceller.cancel(planned).await;
            let until = *answer_until.insert(Instant::now() + ANSWER_TIMEOUT);
            return Err(outcome(rows, until, interrupt).await);
        }
        let Some(batch) = next? else { break };
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

/// What a statement says that was cancelled. It may have been done already, and only that tells.
///
/// # Errors
/// Ctrl-C if it was not done; its own; that it says nothing.
async fn answer<T>(said: impl Future<Output = Result<T, Failure>>, until: Instant) -> Result<T, Failure> {
    let said = tokio::select! {
        // First: there may be no end of rows.
        biased;
        () = tokio::time::sleep_until(until) => return Err(Failure::Connection(UNANSWERED.into())),
        said = said => said,
    };
    said.map_err(|failure| match failure {
        failure if failure.sqlstate() == Some(QUERY_CANCELED) => Failure::Interrupted,
        Failure::Unreachable(_) => Failure::Connection(UNANSWERED.into()),
        other => other,
    })
}

/// What became of a statement that was cancelled amid its rows, whose rest nobody wants. Another Ctrl-C ends the waiting.
async fn outcome(mut rows: Rows, until: Instant, interrupt: &mut Interrupt) -> Failure {
    interrupt.forget();
    loop {
        let next = tokio::select! {
            biased;
            () = interrupt.pressed() => return Failure::Connection(UNANSWERED.into()),
            next = answer(rows.next(), until) => next,
        };
        match next {
            Ok(Some(_)) => {}
            Ok(None) if rows.is_read_only() => return Failure::Interrupted,
            Ok(None) => return Failure::Connection(DONE.into()),
            Err(failure) => return failure,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::postgres::fake;
    use crate::shell::titled::Collected;
    use crate::shell::tls::TlsArgs;
    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;
    use nix::sys::signal::{Signal, raise};
    use std::io::{self, ErrorKind};
    use tokio::io::AsyncWriteExt;

    type Done = Result<Option<CommandReport>, Failure>;

    /// Ctrl-C while the server has not answered; it answers after the cancel, and goes. What is shown, too.
    async fn interrupted(answer: Vec<u8>) -> (Done, Collected) {
        let _alone = fake::SIGNALS.lock().await;
        let mut interrupt = Interrupt::install().unwrap();
        let (listener, url) = fake::listen().await;
        let server = tokio::spawn(async move {
            let mut stream = fake::let_in(&listener, 7).await;
            fake::heard(&mut stream, b'Q').await;
            raise(Signal::SIGINT).unwrap();
            assert_eq!(fake::cancelled(&listener).await, 7);
            stream.write_all(&answer).await.unwrap();
            listener
        });
        let mut connection = Connection::open(&url, "ann", &TlsArgs::default()).await.unwrap();
        let mut shown = Collected::default();
        let done = run(&mut connection, "anything", &mut shown, &mut interrupt).await;
        let second = server.await.unwrap().into_std().unwrap().accept();
        assert_eq!(second.unwrap_err().kind(), ErrorKind::WouldBlock, "it is cancelled once");
        (done, shown)
    }

    fn rows() -> Vec<u8> {
        [fake::columns(), fake::row("1"), fake::row("2")].concat()
    }

    fn cancelled() -> Vec<u8> {
        fake::error("ERROR", QUERY_CANCELED, "canceling statement due to user request")
    }

    #[tokio::test]
    async fn what_was_done_before_ctrl_c_is_told() {
        let (done, _) = interrupted(fake::end("INSERT 0 1")).await;
        assert_eq!(done.unwrap().unwrap().tag, "INSERT 0 1");
        let (done, shown) = interrupted([rows(), fake::end("INSERT 0 2")].concat()).await;
        assert!(done.unwrap().is_none());
        assert_eq!(shown.rows, [[Some("1".to_owned())], [Some("2".to_owned())]]);
    }

    #[tokio::test]
    async fn what_was_cancelled_is_told() {
        for answer in [cancelled(), [rows(), cancelled()].concat()] {
            let (done, _) = interrupted(answer).await;
            assert!(matches!(done, Err(Failure::Interrupted)), "{done:?}");
        }
    }

    #[tokio::test]
    async fn other_errors_after_ctrl_c_are_told() {
        let in_doubt = fake::error("ERROR", "08007", "nobody knows whether it was committed");
        for answer in [in_doubt.clone(), [rows(), in_doubt].concat()] {
            let (done, _) = interrupted(answer).await;
            assert_eq!(done.unwrap_err().sqlstate(), Some("08007"));
        }
        for answer in [vec![], rows()] {
            let (done, _) = interrupted(answer).await;
            assert_eq!(done.unwrap_err().to_string(), UNANSWERED);
        }
    }

    /// Presses Ctrl-C at the first row.
    struct Pressing;

    impl Output for Pressing {
        fn begin(&mut self, _: &Schema) -> io::Result<()> {
            Ok(())
        }

        fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
            assert_eq!(batch.num_rows(), 1, "what comes after Ctrl-C is not shown");
            raise(Signal::SIGINT).map_err(io::Error::from)
        }

        fn end(&mut self) -> io::Result<()> {
            panic!("it does not end well")
        }

        fn is_shown_at_once(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn what_became_of_a_statement_amid_its_rows_is_told() {
        let _alone = fake::SIGNALS.lock().await;
        let mut interrupt = Interrupt::install().unwrap();
        for (answer, told) in [
            (cancelled(), Failure::Interrupted.to_string()),
            ([rows_left(), fake::end("SELECT 3")].concat(), Failure::Interrupted.to_string()),
            ([rows_left(), fake::end("INSERT 0 3")].concat(), DONE.to_owned()),
            (rows_left(), UNANSWERED.to_owned()),
        ] {
            let (listener, url) = fake::listen().await;
            let server = tokio::spawn(async move {
                let mut stream = fake::let_in(&listener, 7).await;
                fake::heard(&mut stream, b'Q').await;
                stream.write_all(&[fake::columns(), fake::row("1")].concat()).await.unwrap();
                fake::cancelled(&listener).await;
                stream.write_all(&answer).await.unwrap();
            });
            let mut connection = Connection::open(&url, "ann", &TlsArgs::default()).await.unwrap();
            let done = run(&mut connection, "anything", &mut Pressing, &mut interrupt).await;
            assert_eq!(done.unwrap_err().to_string(), told);
            server.await.unwrap();
        }
    }

    fn rows_left() -> Vec<u8> {
        [fake::row("2"), fake::row("3")].concat()
    }
}
