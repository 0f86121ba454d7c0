//! A session with a server, over the protocol that its address names.

use super::address::{Address, Addresses, Protocol};
use super::failure::Failure;
use super::flight::{self, FlightClient};
use super::postgres::{self, PostgresClient};
use super::script::first_word;
use super::tls::TlsArgs;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use damson_master::flight_sql::protocol::CommandReport;
use std::env::{self, VarError};
use std::mem;

/// Where the password is: neither in the arguments nor in the URL, which others see.
const PASSWORD_VARIABLE: &str = "DAMSON_PASSWORD";
/// SQLSTATE of who has not shown the right password.
const WRONG_PASSWORD: &str = "28P01";

/// A session with a server; a clone is the same session.
#[derive(Clone)]
pub(crate) struct Connection {
    url: String,
    user: String,
    tls: TlsArgs,
    client: Client,
}

#[derive(Clone)]
enum Client {
    Flight(Box<FlightClient>),
    Postgres(Box<PostgresClient>),
}

impl Connection {
    /// Connects and logs in, by the password of the environment if there is one. `url` is `flight://host:port` or `postgresql://host:port`, or
    /// has several of these with commas between: masters of which one is active. A user that it names comes before `user`.
    ///
    /// # Errors
    /// A URL that is none, no server that can be reached, or one that has not the certificate that it should.
    pub(crate) async fn open(url: &str, user: &str, tls: &TlsArgs) -> Result<Self, Failure> {
        let Addresses { url, user: named, all } = Addresses::parse(url)?;
        let user = named.unwrap_or_else(|| user.to_owned());
        let mut failures = vec![];
        for address in all {
            match Client::open(&address, &user, tls).await {
                Ok(client) => return Ok(Connection { url, user, tls: tls.clone(), client }),
                Err(Failure::Unreachable(failure)) => failures.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Unreachable(failures.join("; ")))
    }

    /// As [`Connection::open`], for commands that need what the shell does not: types of values.
    ///
    /// # Errors
    /// Those of [`Connection::open`]; an address of the PostgreSQL protocol.
    pub(crate) async fn open_flight(url: &str, user: &str, tls: &TlsArgs) -> Result<Self, Failure> {
        if Addresses::parse(url)?.all.iter().any(|address| address.protocol == Protocol::Postgres) {
            let message = format!("{url} is an address of the PostgreSQL protocol, and this command speaks Flight SQL");
            return Err(Failure::Connection(format!("{message}: --url flight://HOST:PORT")));
        }
        Connection::open(url, user, tls).await
    }

    /// A new session with the same server, when it forgot this one.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(crate) async fn reopen(&mut self) -> Result<(), Failure> {
        *self = self.another().await?;
        Ok(())
    }

    /// A session of its own with the same server.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(crate) async fn another(&self) -> Result<Self, Failure> {
        Connection::open(&self.url, &self.user, &self.tls).await
    }

    /// The session's number, which system tables call `pid`; None until it is known: over Flight SQL, until a statement was planned.
    pub(crate) fn session(&self) -> Option<u64> {
        match &self.client {
            Client::Flight(client) => client.session(),
            Client::Postgres(client) => Some(client.session()),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn tls(&self) -> &TlsArgs {
        &self.tls
    }

    /// Whether a server that cannot be reached any more has taken the session with it: another may be there, or the session was the
    /// connection's.
    pub(crate) fn goes_with_server(&self) -> bool {
        self.url.contains(',') || matches!(self.client, Client::Postgres(_))
    }

    /// Plans a statement. The PostgreSQL protocol does so when it is executed.
    ///
    /// # Errors
    /// What the user wrote wrong.
    pub(crate) async fn plan(&mut self, statement: &str) -> Result<Planned, Failure> {
        match &mut self.client {
            Client::Flight(client) => client.plan(statement).await.map(Planned::Flight),
            Client::Postgres(client) => {
                client.settle().await?;
                Ok(Planned::Postgres(statement.to_owned()))
            }
        }
    }

    /// Executes a planned statement.
    ///
    /// # Errors
    /// A command's own; a query's may come with its rows.
    pub(crate) async fn fetch(&mut self, planned: &Planned) -> Result<Reply, Failure> {
        match (&mut self.client, planned) {
            (Client::Flight(client), Planned::Flight(planned)) => client.fetch(planned).await,
            (Client::Postgres(client), Planned::Postgres(statement)) => client.execute(statement).await,
            _ => Err(Failure::Connection("the statement was planned in another session".into())),
        }
    }

    /// Whether the server knows the session still.
    ///
    /// # Errors
    /// What it says, or that it says nothing.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        let planned = self.plan("SELECT 1").await?;
        match &mut self.client {
            Client::Flight(_) => Ok(()),
            Client::Postgres(_) => self.fetch(&planned).await.map(|_| ()),
        }
    }

    /// Tells the server that a statement is not wanted any more. Nothing is lost when it does not hear: the result's
    /// stream is dropped too.
    pub(crate) async fn cancel(&mut self, planned: &Planned) {
        match (&mut self.client, planned) {
            (Client::Flight(client), Planned::Flight(planned)) => client.cancel(&planned.info).await,
            (Client::Postgres(client), _) => client.cancel().await,
            (Client::Flight(_), Planned::Postgres(_)) => {}
        }
    }

    /// Ends the session.
    pub(crate) async fn close(&mut self) {
        match &mut self.client {
            Client::Flight(client) => client.close().await,
            Client::Postgres(client) => client.close().await,
        }
    }
}

impl Client {
    async fn open(address: &Address, user: &str, tls: &TlsArgs) -> Result<Self, Failure> {
        let given = env::var(PASSWORD_VARIABLE);
        let is_given = given != Err(VarError::NotPresent);
        let password = given.unwrap_or_default();
        let opened = match address.protocol {
            Protocol::Flight => {
                FlightClient::open(address, user, &password, tls).await.map(|client| Client::Flight(Box::new(client)))
            }
            Protocol::Postgres => {
                let opened = PostgresClient::open(address, user, &password, tls).await;
                opened.map(|client| Client::Postgres(Box::new(client)))
            }
        };
        opened.map_err(|failure| if is_given { failure } else { without_password(failure) })
    }
}

/// Why who gave no password is not let in.
fn without_password(failure: Failure) -> Failure {
    match failure {
        Failure::Server(mut error) if error.sqlstate.as_deref() == Some(WRONG_PASSWORD) => {
            let told = mem::replace(&mut error.message, "no password supplied".to_owned());
            error.detail = Some(told);
            error.hint = Some(format!("Set the environment variable {PASSWORD_VARIABLE}."));
            Failure::Server(error)
        }
        failure => failure,
    }
}

/// A statement that can be executed once.
pub(crate) enum Planned {
    Flight(flight::Planned),
    /// Its text.
    Postgres(String),
}

impl Planned {
    /// Whether, once it is cancelled, an answer is to be waited for: only that tells whether it was done, and over the PostgreSQL protocol
    /// it comes before all others.
    pub(crate) fn is_answered(&self) -> bool {
        match self {
            Planned::Flight(planned) => planned.is_update,
            Planned::Postgres(_) => true,
        }
    }
}

/// What a statement gives.
pub(crate) enum Reply {
    Rows(Rows),
    Command(CommandReport),
}

/// A query's rows. Over Flight SQL dropping it cancels the query.
pub(crate) enum Rows {
    Flight(Box<flight::Rows>),
    Postgres(postgres::Rows),
}

impl From<flight::Rows> for Rows {
    fn from(rows: flight::Rows) -> Self {
        Rows::Flight(Box::new(rows))
    }
}

impl From<postgres::Rows> for Rows {
    fn from(rows: postgres::Rows) -> Self {
        Rows::Postgres(rows)
    }
}

impl Rows {
    pub(crate) fn schema(&self) -> &Schema {
        match self {
            Rows::Flight(rows) => rows.schema(),
            Rows::Postgres(rows) => rows.schema(),
        }
    }

    /// The next batch; None at the end.
    ///
    /// # Errors
    /// The query's.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        match self {
            Rows::Flight(rows) => rows.next().await,
            Rows::Postgres(rows) => rows.next().await,
        }
    }

    /// Once all have come: whether they are of a statement that only reads. Over Flight SQL all rows are.
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Rows::Flight(_) => true,
            Rows::Postgres(rows) => ["SELECT", "SHOW", "EXPLAIN", "FETCH"].contains(&first_word(rows.tag())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::ServerError;

    #[test]
    fn who_gave_no_password_is_told_where_it_is_looked_for() {
        let report = |sqlstate: &str| {
            let (message, sqlstate) = ("refused".to_owned(), Some(sqlstate.to_owned()));
            let error = ServerError { message, sqlstate, position: None, detail: None, hint: None };
            without_password(Failure::Server(Box::new(error))).report("")
        };
        let told = "ERROR:  no password supplied (SQLSTATE 28P01)\nDETAIL:  refused\nHINT:  Set the environment variable \
                    DAMSON_PASSWORD.\n";
        assert_eq!(report("28P01"), told);
        assert_eq!(report("28000"), "ERROR:  refused (SQLSTATE 28000)\n");
    }
}
