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
    use super::rows_of;

    #[test]
    fn tags_have_numbers() {
        assert_eq!(["INSERT 0 3", "DELETE 12", "CREATE TABLE"].map(rows_of), [3, 12, 0]);
    }
}
