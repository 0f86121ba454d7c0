//! A session, and statements in turn.

use super::answer::{failure, notice};
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
                Message::ErrorResponse(body) => {
                    let failure = failure(&body);
                    // A connection that has ended says so when it is used next.
                    if let Err(error) = wire.settle().await {
                        tracing::debug!(%error, "the connection ended with the statement");
                    }
                    return Err(failure);
                }
                Message::CopyInResponse(_) => {
                    let why = "damson sql has no rows to send; psql has, by \\copy";
                    frontend::copy_fail(why, &mut wire.output).map_err(|error| unsendable(&error))?;
                }
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
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use bytes::{BufMut, BytesMut};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn tags_have_numbers() {
        assert_eq!(["INSERT 0 3", "DELETE 12", "CREATE TABLE"].map(rows_of), [3, 12, 0]);
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        bytes.put_u32(body.len() as u32 + 4);
        bytes.put_slice(body);
        bytes.to_vec()
    }

    /// One column `n` of type bigint.
    fn columns() -> Vec<u8> {
        message(b'T', b"\0\x01n\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0")
    }

    fn row(value: &str) -> Vec<u8> {
        let length = (value.len() as u32).to_be_bytes();
        message(b'D', &[b"\0\x01", &length[..], value.as_bytes()].concat())
    }

    fn end(tag: &str) -> Vec<u8> {
        [message(b'C', format!("{tag}\0").as_bytes()), message(b'Z', b"I")].concat()
    }

    async fn read(stream: &mut TcpStream) -> Vec<u8> {
        let length = stream.read_u32().await.unwrap() as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await.unwrap();
        body
    }

    /// A session of a server that lets everybody in, and answers a statement with each of `answers` in turn; then it goes.
    async fn session(answers: Vec<Vec<u8>>) -> PostgresClient {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgresql://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(read(&mut stream).await.starts_with(b"\0\x03\0\0user\0ann\0"));
            let key = message(b'K', b"\0\0\0\x07\0\0\0\x2a");
            let welcome = [message(b'R', b"\0\0\0\0"), key, message(b'Z', b"I")].concat();
            stream.write_all(&welcome).await.unwrap();
            for answer in answers {
                assert_eq!(stream.read_u8().await.unwrap(), b'Q');
                read(&mut stream).await;
                stream.write_all(&answer).await.unwrap();
            }
        });
        let address = &Addresses::parse(&url).unwrap().all[0];
        PostgresClient::open(address, "ann", "", &TlsArgs::default()).await.unwrap()
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
        let error = message(b'E', b"VERROR\0C22012\0Mdivision by zero\0\0");
        let failed = [columns(), row("1"), error, message(b'Z', b"I")].concat();
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
}
