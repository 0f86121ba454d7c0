//! A session, and statements in turn.

use super::answer::notice;
use super::login::{Key, connect, log_in, unsendable};
use super::rows::Rows;
use super::wire::{Wire, unreadable};
use crate::limits::CONNECT;
use crate::shell::address::Address;
use crate::shell::connection::Reply;
use crate::shell::failure::Failure;
use crate::shell::tls::TlsArgs;
use damson_master::flight_sql::protocol::CommandReport;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a request to cancel may keep the user: a connection of its own, with TLS.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a farewell may.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// A session with a server; a clone is the same session.
#[derive(Clone)]
pub(in crate::shell) struct PostgresClient {
    address: Address,
    tls: TlsArgs,
    key: Key,
    /// Held while a statement gives rows.
    wire: Arc<Mutex<Wire>>,
}

impl PostgresClient {
    /// Connects and logs in.
    ///
    /// # Errors
    /// No server that can be reached or trusted, and who is not let in.
    pub(in crate::shell) async fn open(
        address: &Address,
        user: &str,
        password: &str,
        tls: &TlsArgs,
    ) -> Result<Self, Failure> {
        let opening = async {
            let mut wire = connect(address, tls).await?;
            let key = log_in(&mut wire, user, password).await?;
            Ok::<_, Failure>((wire, key))
        };
        let late = |_| Failure::Unreachable(format!("cannot connect to {}: it takes too long", address.url));
        let (wire, key) = tokio::time::timeout(CONNECT, opening).await.map_err(late)??;
        Ok(PostgresClient { address: address.clone(), tls: tls.clone(), key, wire: Arc::new(Mutex::new(wire)) })
    }

    /// The session's number, which system tables call `pid`.
    pub(in crate::shell) fn session(&self) -> u64 {
        u64::from(self.key.process.cast_unsigned())
    }

    /// Waits for the end of what was cancelled before.
    ///
    /// # Errors
    /// A connection that has ended.
    pub(in crate::shell) async fn settle(&self) -> Result<(), Failure> {
        self.wire.lock().await.settle().await
    }

    /// Executes one statement.
    ///
    /// # Errors
    /// Its own; that of a query's rows comes with them.
    pub(in crate::shell) async fn execute(&self, statement: &str) -> Result<Reply, Failure> {
        let mut wire = Arc::clone(&self.wire).lock_owned().await;
        wire.settle().await?;
        frontend::query(statement, &mut wire.output).map_err(|error| unsendable(&error))?;
        wire.is_busy = true;
        let mut report = CommandReport { tag: String::new(), rows: 0, notices: vec![] };
        loop {
            match wire.message().await? {
                Message::RowDescription(columns) => {
                    return Ok(Reply::Rows(Rows::new(wire, &columns)?.into()));
                }
                Message::CommandComplete(body) => {
                    body.tag().map_err(|error| unreadable(&error))?.clone_into(&mut report.tag);
                    report.rows = rows_of(&report.tag);
                }
                Message::NoticeResponse(body) => report.notices.push(notice(&body)?.1),
                Message::ErrorResponse(body) => return Err(wire.ended_by(&body).await),
                Message::CopyInResponse(_) => wire.send_no_rows()?,
                Message::CopyOutResponse(_) => {
                    drop(wire);
                    self.cancel().await;
                    let message = "damson sql does not take what COPY … TO STDOUT sends; psql does, and \\copy";
                    return Err(Failure::Connection(message.into()));
                }
                Message::ReadyForQuery(_) => {
                    wire.is_busy = false;
                    return Ok(Reply::Command(report));
                }
                Message::EmptyQueryResponse | Message::ParameterStatus(_) | Message::NotificationResponse(_) => {}
                _ => return Err(unreadable(&"a message that answers no statement")),
            }
        }
    }

    /// Asks the server to end what runs, and waits until it has heard: a request that came late would end the next statement.
    pub(in crate::shell) async fn cancel(&self) {
        let request = async {
            let mut wire = connect(&self.address, &self.tls).await?;
            frontend::cancel_request(self.key.process, self.key.secret, &mut wire.output);
            wire.until_closed().await
        };
        match tokio::time::timeout(CANCEL_TIMEOUT, request).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the server did not take a request to cancel"),
            Err(_) => tracing::debug!("the server did not take a request to cancel in time"),
        }
    }

    /// Ends the session.
    pub(in crate::shell) async fn close(&self) {
        let farewell = async {
            let mut wire = self.wire.lock().await;
            frontend::terminate(&mut wire.output);
            wire.until_closed().await
        };
        match tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the server did not take a farewell"),
            Err(_) => tracing::debug!("the server did not take a farewell in time"),
        }
    }
}

/// The last word of a tag that has a number: `INSERT 0 3`.
fn rows_of(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::address::Addresses;
    use crate::shell::postgres::fake::{self, columns, end, error, message, row};
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn tags_have_numbers() {
        assert_eq!(["INSERT 0 3", "DELETE 12", "CREATE TABLE"].map(rows_of), [3, 12, 0]);
    }

    /// A session of a server that answers a message of each kind in turn; then it goes.
    async fn session_of(answers: Vec<(u8, Vec<u8>)>) -> PostgresClient {
        let (listener, url) = fake::listen().await;
        tokio::spawn(async move {
            let mut stream = fake::let_in(&listener, 7).await;
            for (kind, answer) in answers {
                fake::heard(&mut stream, kind).await;
                stream.write_all(&answer).await.unwrap();
            }
        });
        let address = &Addresses::parse(&url).unwrap().all[0];
        PostgresClient::open(address, "ann", "", &TlsArgs::default()).await.unwrap()
    }

    /// As [`session_of`], of statements.
    async fn session(answers: Vec<Vec<u8>>) -> PostgresClient {
        session_of(answers.into_iter().map(|answer| (b'Q', answer)).collect()).await
    }

    async fn values(reply: Reply) -> Vec<i64> {
        let Reply::Rows(mut rows) = reply else { panic!("it is a command") };
        let mut values = vec![];
        while let Some(batch) = rows.next().await.unwrap() {
            values.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        }
        values
    }

    #[tokio::test]
    async fn rows_that_nobody_reads_are_not_the_next_statements() {
        let many: Vec<u8> = (0..20_000).flat_map(|n: i64| row(&n.to_string())).collect();
        let first = [columns(), many, end("SELECT 20000")].concat();
        let failed = [columns(), row("1"), error("ERROR", "22012", "division by zero")].concat();
        let client = session(vec![first.clone(), first, failed, end("CREATE TABLE")]).await;
        assert_eq!(client.session(), 7);
        assert_eq!(values(client.execute("all").await.unwrap()).await, (0..20_000).collect::<Vec<_>>());
        drop(client.execute("all, and nobody reads them").await.unwrap());
        let Reply::Rows(mut rows) = client.execute("an error after a row").await.unwrap() else { panic!("rows") };
        let failure = loop {
            match rows.next().await {
                Ok(batch) => assert!(batch.is_some(), "it ends with an error"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.sqlstate(), Some("22012"));
        drop(rows);
        let Reply::Command(report) = client.execute("a command").await.unwrap() else { panic!("no rows") };
        assert_eq!(report.tag, "CREATE TABLE");
        assert!(client.execute("nobody is there").await.err().unwrap().is_lost_server());
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        for (answer, told) in
            [(b"D\xff\xff\xff\xff".to_vec(), "cannot be read"), (b"D\x7f\xff\xff\xff".to_vec(), "a message of over")]
        {
            let client = session(vec![answer]).await;
            let failure = client.execute("anything").await.err().unwrap().to_string();
            assert!(failure.contains(told), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_server_that_waits_for_rows_is_told_that_there_are_none() {
        let copy_in = message(b'G', b"\0\0\0");
        let failed = error("ERROR", "57014", "COPY from stdin failed");
        let client = session_of(vec![(b'Q', copy_in), (b'f', failed), (b'Q', end("CREATE TABLE"))]).await;
        // Dropped before its answer.
        assert!(client.execute("COPY t FROM STDIN").now_or_never().is_none());
        client.settle().await.unwrap();
        let Reply::Command(report) = client.execute("a command").await.unwrap() else { panic!("no rows") };
        assert_eq!(report.tag, "CREATE TABLE");
    }

    #[tokio::test]
    async fn why_the_session_ends_is_told() {
        for sqlstate in ["57P01", "57P05", "25P03"] {
            let last = error("FATAL", sqlstate, "terminating connection");
            let client = session(vec![last.clone()]).await;
            let failure = client.execute("anything").await.err().unwrap();
            assert!(failure.sqlstate() == Some(sqlstate) && failure.is_ended_session(), "{failure}");
            assert!(client.settle().await.unwrap_err().is_lost_server());

            let client = session(vec![last]).await;
            assert!(client.execute("anything, and nobody waits").now_or_never().is_none());
            assert_eq!(client.settle().await.unwrap_err().sqlstate(), Some(sqlstate));
        }
        // Of another error the session does not end.
        let failed = error("ERROR", "57014", "canceling statement due to user request");
        let client = session(vec![failed, end("CREATE TABLE")]).await;
        assert!(client.execute("anything, and nobody waits").now_or_never().is_none());
        client.settle().await.unwrap();
        assert!(matches!(client.execute("a command").await.unwrap(), Reply::Command(_)));
    }
}
