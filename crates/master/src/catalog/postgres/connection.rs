//! A session with the server, and what is asked of it.

use super::super::error::CatalogError;
use super::super::location::CatalogLocation;
use super::error::PostgresError;
use postgres::config::{Host, SslMode, TargetSessionAttrs};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, SimpleQueryMessage, Statement};
use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long a server may take to accept a connection, and then to let us in; of each host that the URL names.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this much silence the server's host is asked whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(2);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long the server's host may leave what was sent without an acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// After this much silence within a transaction the server ends it: our host is gone, and nobody else can have the lock before.
pub(in super::super) const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(3);

/// How long a statement waits for another's lock: long enough for what a lost session left behind to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = assert!(IDLE_IN_TRANSACTION.as_millis() < LOCK_TIMEOUT.as_millis());

/// At most one session with a server, opened when it is needed: no call is made on one on which a call has failed.
pub(in super::super) struct Connection {
    config: Config,
    /// The URL without its password, for messages.
    server: Arc<str>,
    session: Option<Session>,
}

impl Connection {
    /// Connects at the first transaction.
    ///
    /// # Errors
    /// As [`check_url`].
    pub fn new(url: &str) -> Result<Self, CatalogError> {
        let mut config = check_url(url)?;
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("damson");
        }
        let server = CatalogLocation::Postgres { url: url.to_owned() }.to_string();
        Ok(Connection { config, server: server.into(), session: None })
    }

    /// Runs a transaction that begins with the statement `lock`, and commits it unless `work` fails. `work` is given the first column
    /// of what `lock` answered. A session that was lost while nothing was asked of it is replaced. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::Postgres`] and those of `work`. Nothing was changed unless it was the COMMIT that failed.
    pub fn transaction<T: Send>(
        &mut self,
        lock: &str,
        work: impl FnOnce(&mut Session, Option<String>) -> Result<T, CatalogError> + Send,
    ) -> Result<T, CatalogError> {
        aside(|| {
            let (mut session, locked) = self.begin(lock)?;
            // The session is dropped where this fails, and the server rolls back.
            let result = work(&mut session, locked)?;
            session.batch("COMMIT")?;
            self.session = Some(session);
            Ok(result)
        })
    }

    fn begin(&mut self, lock: &str) -> Result<(Session, Option<String>), CatalogError> {
        let begin = format!("BEGIN; {lock}");
        if let Some(mut session) = self.session.take() {
            match session.first(&begin) {
                Ok(locked) => {
                    session.is_new = false;
                    return Ok((session, locked));
                }
                Err(error) if error.is_lost() => tracing::info!(%error, "connection to the catalog lost"),
                Err(error) => return Err(error.into()),
            }
        }
        let mut session = self.connect()?;
        let locked = session.first(&begin)?;
        Ok((session, locked))
    }

    /// The library's own time limit ends when the server accepts.
    fn connect(&self) -> Result<Session, PostgresError> {
        let config = self.config.clone();
        let (done, connected) = mpsc::sync_channel(1);
        let connect = move || _ = done.send(config.connect(NoTls));
        let failed = |error| PostgresError::new(&self.server, error);
        thread::Builder::new().name("catalog-connect".into()).spawn(connect).map_err(PostgresError::Thread)?;
        let hosts = self.config.get_hosts().len().max(1) as u32;
        let client = match connected.recv_timeout(CONNECT_TIMEOUT * hosts * 2) {
            Ok(client) => client.map_err(failed)?,
            Err(_) => return Err(PostgresError::Silent { server: self.server.to_string() }),
        };
        let mut session =
            Session { client, server: Arc::clone(&self.server), statements: HashMap::new(), is_new: true };
        session.batch(&settings())?;
        Ok(session)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // The server has rolled back what there was, or will.
            let _ = aside(|| {
                drop(session);
                Ok(())
            });
        }
    }
}

/// Runs `work` on a thread of its own, and waits. The client has a tokio runtime of its own, and panics where it is made, used or
/// dropped on a thread that runs async code. Commits come on threads that may block, but the catalog is also asked, and dropped, in
/// async code.
fn aside<T: Send>(work: impl FnOnce() -> Result<T, CatalogError> + Send) -> Result<T, CatalogError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("catalog".into()).spawn_scoped(scope, work);
        thread.map_err(PostgresError::Thread)?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Of a session. A transaction is on the disk when COMMIT returns, and on that of a synchronous standby; `remote_apply`, which waits
/// for more, stays.
fn settings() -> String {
    let idle_ms = IDLE_IN_TRANSACTION.as_millis();
    let lock_ms = LOCK_TIMEOUT.as_millis();
    format!(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply';
         SET search_path = damson;
         SET default_transaction_isolation = 'read committed';
         SET idle_in_transaction_session_timeout = {idle_ms};
         SET lock_timeout = {lock_ms};
         SET statement_timeout = 0;
         SET tcp_keepalives_idle = {};
         SET tcp_keepalives_interval = {};
         SET tcp_keepalives_count = {KEEPALIVE_RETRIES};
         SET tcp_user_timeout = {};",
        KEEPALIVE_IDLE.as_secs(),
        KEEPALIVE_INTERVAL.as_secs(),
        UNACKNOWLEDGED.as_millis(),
    )
}

/// What is asked within a transaction.
pub(in super::super) struct Session {
    client: Client,
    server: Arc<str>,
    /// By their text: every statement is prepared once a session.
    statements: HashMap<&'static str, Statement>,
    /// It is in its first transaction: the server may have been another one before.
    pub is_new: bool,
}

impl Session {
    /// The first column of the first row that any of the statements in `sql` gives.
    fn first(&mut self, sql: &str) -> Result<Option<String>, PostgresError> {
        let answers = self.client.simple_query(sql).map_err(|error| self.failed(error))?;
        Ok(answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    /// Statements without parameters.
    pub fn batch(&mut self, sql: &str) -> Result<(), PostgresError> {
        self.client.batch_execute(sql).map_err(|error| self.failed(error))
    }

    /// Gives the number of rows that were changed.
    pub fn execute(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PostgresError> {
        let statement = self.statement(sql)?;
        self.client.execute(&statement, params).map_err(|error| self.failed(error))
    }

    pub fn row(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, PostgresError> {
        let statement = self.statement(sql)?;
        self.client.query_opt(&statement, params).map_err(|error| self.failed(error))
    }

    /// The one text of at most one row.
    pub fn one(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<String>, CatalogError> {
        self.row(sql, params)?.map(|row| column(&row, 0)).transpose()
    }

    /// Calls `take` with each row.
    pub fn each(
        &mut self,
        sql: &'static str,
        take: impl FnMut(&Row) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        self.each_of(sql, &[], take)
    }

    /// As [`Session::each`], with values for `$1` and so on.
    pub fn each_of(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
        mut take: impl FnMut(&Row) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let statement = self.statement(sql)?;
        let server = Arc::clone(&self.server);
        let failed = |error| PostgresError::new(&server, error);
        let mut rows = self.client.query_raw(&statement, parameters.iter().copied()).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            take(&row)?;
        }
        Ok(())
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement, PostgresError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).map_err(|error| self.failed(error))?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn failed(&self, error: postgres::Error) -> PostgresError {
        PostgresError::new(&self.server, error)
    }
}

/// A column of another type than the schema has: not our table.
pub(in super::super) fn column<'a, T: postgres::types::FromSql<'a>>(
    row: &'a Row,
    at: usize,
) -> Result<T, CatalogError> {
    row.try_get(at).map_err(|error| CatalogError::Damaged(error.to_string()))
}

/// What a URL says. Its hosts are not asked.
///
/// # Errors
/// [`CatalogError::Location`] if it is not one, or demands TLS.
pub(in super::super) fn check_url(url: &str) -> Result<Config, CatalogError> {
    let refused = |why: &str| {
        let location = CatalogLocation::Postgres { url: url.to_owned() };
        Err(CatalogError::Location(format!("{location} is no place for a catalog: {why}")))
    };
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let mode = parameters.split('&').find_map(|parameter| parameter.strip_prefix("sslmode="));
    if let Some(mode @ ("require" | "verify-ca" | "verify-full")) = mode {
        return refused(&format!(
            "sslmode={mode} demands TLS, which Damson does not speak with PostgreSQL yet. Use sslmode=disable over a network that \
             you trust, or a unix socket"
        ));
    }
    let config: Config = match url.parse() {
        Ok(config) => config,
        Err(error) => return refused(&super::error::told(&error)),
    };
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return refused("it names no host");
    }
    if config.get_ssl_mode() == SslMode::Require {
        return refused("it demands TLS");
    }
    // A relative directory of a socket would be another one for each process.
    if config.get_hosts().iter().any(|host| matches!(host, Host::Unix(path) if path.is_relative())) {
        return refused("the socket's directory is not absolute");
    }
    Ok(config)
}
