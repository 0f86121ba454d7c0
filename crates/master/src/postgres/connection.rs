//! One client: its session, and its messages in turn.

use super::authentication::authenticate;
use super::backends::{Backend, Backends};
use super::encryption::ClientStream;
use super::extended::{Portal, Statement};
use super::limits::{FAREWELL, KEEPALIVE_EVERY, KEEPALIVE_IDLE};
use super::opening::{Opened, Refused, open};
use super::run::{Event, Execution, Job};
use super::wire::{Wire, WireError};
use crate::auth::{Authenticator, Peer};
use crate::catalog::RoleId;
use crate::client_tls::ClientTls;
use crate::error::{SqlError, SqlResult, SqlState, task_ended};
use crate::flight_sql::protocol::warning_sqlstate;
use crate::limits::OPENING;
use crate::master::Master;
use crate::openings::Opens;
use crate::session::{Outcome, Session, is_utc};
use crate::shared::Shared;
use damson_pg::backend::{Messages, Report, Severity, TransactionState};
use damson_pg::frontend::{Malformed, Request};
use futures::FutureExt;
use futures::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(super) const PROTOCOL_VIOLATION: SqlState = SqlState::PROTOCOL_VIOLATION;

/// Settings that clients are told when they connect, and whenever they change, by the names that they know.
const REPORTED: [(&str, &str); 8] = [
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("DateStyle", "datestyle"),
    ("IntervalStyle", "intervalstyle"),
    ("TimeZone", "timezone"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("standard_conforming_strings", "standard_conforming_strings"),
];

/// Names of the one encoding that there is, and of the one that asks for none.
const ENCODINGS: [&str; 4] = ["utf8", "utf-8", "unicode", "sql_ascii"];

/// Why a statement has not ended well.
pub(super) enum Failed {
    /// The client is told, and goes on.
    Statement(SqlError),
    /// The connection ends.
    Wire(WireError),
}

impl From<SqlError> for Failed {
    fn from(error: SqlError) -> Self {
        Failed::Statement(error)
    }
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Self {
        Failed::Wire(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Wire(error.into())
    }
}

/// A client that was let in.
pub(super) struct Connection<S> {
    pub wire: Wire<S>,
    pub session: Shared<Session>,
    pub statements: HashMap<String, Arc<Statement>>,
    pub portals: HashMap<String, Portal>,
    master: Shared<Master>,
    backend: Backend,
    /// What the client knows of [`REPORTED`], and of its role.
    told: HashMap<&'static str, String>,
    /// After an error in the extended protocol, up to Sync.
    is_skipping: bool,
}

/// Serves a client until it goes, or `shutdown`.
pub(super) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    opens: Opens,
    master: Shared<Master>,
    tls: Option<Arc<ClientTls>>,
    backends: Arc<Backends>,
    shutdown: CancellationToken,
) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "a client's socket has not the options that it should");
    }
    let mut wire = Wire::new(ClientStream::Plain(stream));
    let opening = let_in(&mut wire, peer, &master.auth, tls.as_deref(), &backends);
    let opened = tokio::select! {
        opened = tokio::time::timeout(OPENING, opening) => opened,
        () = opens.evicted() => return,
        () = shutdown.cancelled() => return,
    };
    drop(opens);
    let begun = match opened {
        Ok(Ok((client, role))) => begin(client, role, peer, &master, &backends).await.map_err(Refused::Told),
        Ok(Err(refused)) => Err(refused),
        Err(_late) => Err(Refused::Silently),
    };
    let (session, backend) = match begun {
        Ok(begun) => begun,
        Err(refused) => {
            if let Refused::Told(error) = refused {
                farewell(&mut wire, &error).await;
            }
            return wire.close().await;
        }
    };
    let mut connection = Connection {
        wire,
        session,
        statements: HashMap::new(),
        portals: HashMap::new(),
        master,
        backend,
        told: HashMap::new(),
        is_skipping: false,
    };
    connection.welcome();
    let session = connection.session.clone();
    let ended = tokio::select! {
        ended = connection.answer() => ended,
        never = end_with_server(&shutdown, &session) => match never {},
        () = long_ended(&session) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, session_id = connection.session.id.0, "a client of the PostgreSQL protocol went");
    }
    connection.clean_up().await;
    // The session's place is free before the client has gone.
    drop(session);
    connection.into_wire().close().await;
}

/// Small messages go at once, and the system finds out when a client's machine is gone that cannot say so any more.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Who it is, and the role that it has shown to be.
async fn let_in<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<ClientStream<S>>,
    peer: IpAddr,
    auth: &Authenticator,
    tls: Option<&ClientTls>,
    backends: &Backends,
) -> Result<(Opened, RoleId), Refused> {
    let opened = open(wire, tls, backends).await?;
    let peer = Peer { address: Some(peer), is_encrypted: wire.is_encrypted() };
    let end_point = wire.end_point();
    let role = authenticate(wire, auth, &opened, peer, end_point.as_deref()).await?;
    Ok((opened, role))
}

/// Ends a little later than the session: a client that reads nothing is not waited for any longer.
async fn long_ended(session: &Shared<Session>) {
    session.until_ended().await;
    tokio::time::sleep(FAREWELL).await;
}

/// The server's end is that of its sessions: what runs is cancelled, and clients are told why. Goes on until the connection has ended.
async fn end_with_server(shutdown: &CancellationToken, session: &Shared<Session>) -> Infallible {
    shutdown.cancelled().await;
    session.terminate();
    future::pending().await
}

/// The session, with the settings of the opening.
async fn begin(
    client: Opened,
    role: RoleId,
    peer: IpAddr,
    master: &Shared<Master>,
    backends: &Arc<Backends>,
) -> SqlResult<(Shared<Session>, Backend)> {
    let session: Shared<Session> = master.client_session(&client.user, role, Some(peer))?.into();
    let backend = backends.enter(session.id)?;
    for (name, value) in &client.into_settings()? {
        let name = name.to_ascii_lowercase();
        if name == "client_encoding" {
            if ENCODINGS.contains(&value.trim_matches(['\'', '"']).to_ascii_lowercase().as_str()) {
                continue;
            }
            let message = format!("invalid value for parameter \"client_encoding\": \"{value}\"");
            let error = SqlError::new(SqlState::INVALID_PARAMETER, message);
            return Err(error.with_hint("The encoding is always UTF8."));
        }
        if name == "timezone" && !is_utc(value) {
            // Drivers send that of their machine without being asked; the client is told which one holds.
            continue;
        }
        let quoted = format!("SET \"{}\" TO '{}'", name.replace('"', "\"\""), value.replace('\'', "''"));
        let (session, work) = (session.clone(), quoted);
        on_cpu(&master.cpu, async move { session.execute(&work, vec![]).await }.boxed()).await?;
    }
    Ok((session, backend))
}

/// The last that a client is told.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, error: &SqlError) {
    tell(&mut wire.out, Severity::Fatal, error, 0);
    if let Err(error) = wire.flush().await {
        tracing::debug!(%error, "a client went before it was told why");
    }
}

/// An ErrorResponse; `offset` is that of the statement in the text that the client sent, in characters.
pub(super) fn tell(out: &mut Messages, severity: Severity, error: &SqlError, offset: usize) {
    out.report(&Report {
        severity,
        sqlstate: error.state.0,
        message: &error.message,
        detail: error.detail.as_deref(),
        hint: error.hint.as_deref(),
        position: error.position.map(|position| position + offset),
    });
}

/// As what a client is told.
pub(super) fn sql_error(malformed: &Malformed) -> SqlError {
    SqlError::new(SqlState(malformed.sqlstate()), malformed.to_string())
}

/// Whether it is the server's turn after a message of that kind. Outside a COPY nothing follows what a client sends of one: the rows that were
/// under way when it failed. Flush asks for what is there.
fn is_asking(kind: u8) -> bool {
    !matches!(kind, b'd' | b'c' | b'f' | b'H')
}

/// Runs planning or a command off the threads that serve sockets. Dropping the future aborts it.
async fn on_cpu<T: Send + 'static>(cpu: &Handle, work: BoxFuture<'static, SqlResult<T>>) -> SqlResult<T> {
    AbortOnDropHandle::new(cpu.spawn(work)).await.map_err(task_ended)?
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// What a client is told of itself and the server.
    fn welcome(&mut self) {
        self.wire.out.parameter_status("integer_datetimes", "on");
        self.tell_settings();
        self.wire.out.backend_key(self.backend.process, self.backend.secret);
    }

    /// ParameterStatus of the settings that have changed.
    fn tell_settings(&mut self) {
        let settings = REPORTED.iter().filter_map(|(name, setting)| Some((*name, self.session.setting(setting)?)));
        let (session_user, is_superuser) = self.session.roles_shown();
        let is_superuser = if is_superuser { "on" } else { "off" }.to_owned();
        let roles = [("session_authorization", session_user), ("is_superuser", is_superuser)];
        for (name, value) in settings.chain(roles) {
            if self.told.get(name) != Some(&value) {
                self.wire.out.parameter_status(name, &value);
                self.told.insert(name, value);
            }
        }
    }

    /// Answers messages until the client goes.
    async fn answer(&mut self) -> Result<(), WireError> {
        self.ready().await?;
        loop {
            let message = tokio::select! {
                biased;
                error = self.session.until_ended() => {
                    farewell(&mut self.wire, &error).await;
                    return Ok(());
                }
                message = self.wire.message() => message,
            };
            let (kind, body) = match message {
                Ok(message) => message,
                Err(error) => return self.end(error).await,
            };
            if self.is_skipping && !matches!(kind, b'S' | b'X') {
                continue;
            }
            if is_asking(kind) {
                self.session.hears_client();
            }
            let request = match Request::parse(kind, &body) {
                Ok(request) => request,
                Err(malformed) if malformed.is_harmless() => {
                    self.fail(&sql_error(&malformed), 0).await;
                    // Of the two protocols, one answers each message and the other each Sync.
                    if kind == b'Q' {
                        self.ready().await?;
                    } else {
                        self.is_skipping = true;
                    }
                    continue;
                }
                Err(malformed) => {
                    farewell(&mut self.wire, &sql_error(&malformed)).await;
                    return Ok(());
                }
            };
            if let Request::Terminate = request {
                return Ok(());
            }
            match self.handle(request).await {
                Ok(()) => self.wire.send().await?,
                Err(Failed::Wire(error)) => return self.end(error).await,
                Err(Failed::Statement(error)) => {
                    self.fail(&error, 0).await;
                    self.is_skipping = true;
                }
            }
        }
    }

    /// Who has not gone is told why there are no more messages.
    async fn end(&mut self, error: WireError) -> Result<(), WireError> {
        match error {
            WireError::Closed => Ok(()),
            WireError::Io(_) => Err(error),
            WireError::Length | WireError::TooLong { .. } | WireError::Kind(_) => {
                farewell(&mut self.wire, &SqlError::new(PROTOCOL_VIOLATION, error.to_string())).await;
                Ok(())
            }
        }
    }

    /// An error of the extended protocol's messages comes back; simple queries tell theirs themselves.
    async fn handle(&mut self, request: Request<'_>) -> Result<(), Failed> {
        match request {
            Request::Query(script) => self.simple(script).await,
            Request::Parse { statement, text, types } => self.parse(statement, text, &types).await,
            Request::Bind { portal, statement, formats, values, results } => {
                self.bind(portal, statement, &formats, &values, results)
            }
            Request::Describe(target) => self.describe(target),
            Request::Close(target) => self.close(target),
            Request::Execute { portal, rows_max } => self.execute(portal, rows_max).await,
            Request::Sync => {
                let failed = std::mem::take(&mut self.is_skipping);
                self.sync(!failed).await?;
                Ok(self.ready().await?)
            }
            Request::Flush => Ok(self.wire.flush().await?),
            // What a client sends of a COPY that has failed already.
            Request::CopyData(_) | Request::CopyDone | Request::CopyFail(_) | Request::Terminate => Ok(()),
            Request::Password(_) => {
                Err(SqlError::new(PROTOCOL_VIOLATION, "a password was sent, and not asked for").into())
            }
        }
    }

    /// The client may send its next statement.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        self.backend.runs(None);
        if self.session.is_ended() {
            // The farewell comes instead.
            return Ok(());
        }
        let state = self.session.transaction_state().await;
        if state == TransactionState::Idle {
            // Portals live as long as their transaction.
            self.portals.clear();
        }
        self.tell_settings();
        self.wire.out.ready(state);
        self.wire.flush().await?;
        self.session.awaits_client();
        Ok(())
    }

    /// Tells an error, which fails the block if there is one.
    pub(super) async fn fail(&mut self, error: &SqlError, offset: usize) {
        // A cancel request has had its effect.
        self.backend.runs(None);
        if self.session.is_ended() {
            // That is why, and the client is told so.
            return;
        }
        tell(&mut self.wire.out, Severity::Error, error, offset);
        self.session.fail_block().await;
    }

    /// NOTICE and WARNING messages.
    pub(super) fn notices(&mut self, notices: &[String]) {
        for notice in notices {
            let (severity, sqlstate) = match warning_sqlstate(notice) {
                Some(sqlstate) => (Severity::Warning, sqlstate),
                None => (Severity::Notice, "00000"),
            };
            let report = Report { severity, sqlstate, message: notice, detail: None, hint: None, position: None };
            self.wire.out.report(&report);
        }
    }

    /// Starts a statement, which cancel requests end from now on.
    pub(super) fn start(&self, job: Job) -> Execution {
        let cancel = self.cancellable();
        Execution::start(&self.session, &self.master.cpu, job, cancel)
    }

    /// Starts a command, which has to end at the cancellation that it is given.
    pub(super) fn start_command(
        &self,
        command: impl FnOnce(CancellationToken) -> BoxFuture<'static, SqlResult<Outcome>>,
    ) -> Execution {
        let cancel = self.cancellable();
        Execution::command(self.session.id, &self.master.cpu, command(cancel.clone()), cancel)
    }

    /// A statement goes on that was left for others: cancel requests end it again.
    pub(super) fn resume(&self, execution: &Execution) {
        self.backend.runs(Some(execution.cancellation()));
    }

    /// What the next cancel request cancels.
    pub(super) fn cancellable(&self) -> CancellationToken {
        let cancel = self.session.cancellation();
        self.backend.runs(Some(cancel.clone()));
        cancel
    }

    /// What happens next in a statement, unless the client goes meanwhile.
    pub(super) async fn next(&mut self, execution: &mut Execution) -> Result<Event, Failed> {
        tokio::select! {
            biased;
            event = execution.next() => Ok(event?),
            gone = self.wire.gone() => Err(gone.into()),
        }
    }

    /// Runs work of the session where it plans, until a cancel request.
    pub(super) async fn on_cpu<T: Send + 'static>(
        &mut self,
        work: BoxFuture<'static, SqlResult<T>>,
    ) -> Result<T, Failed> {
        let (cpu, cancel) = (self.master.cpu.clone(), self.cancellable());
        tokio::select! {
            done = on_cpu(&cpu, work) => Ok(done?),
            () = cancel.cancelled() => Err(SqlError::canceled().into()),
            gone = self.wire.gone() => Err(gone.into()),
        }
    }

    fn into_wire(self) -> Wire<S> {
        self.wire
    }

    /// Ends what the client has left.
    async fn clean_up(&mut self) {
        self.backend.runs(None);
        self.portals.clear();
        // Who ended the session has ended its transaction.
        if self.session.is_ended() || self.session.transaction_state().await == TransactionState::Idle {
            return;
        }
        let (session, cpu) = (self.session.clone(), self.master.cpu.clone());
        let roll_back = async move { session.execute("ROLLBACK", vec![]).await };
        if let Err(error) = on_cpu(&cpu, roll_back.boxed()).await {
            tracing::warn!(%error, "could not roll back what a client has left");
        }
    }
}
