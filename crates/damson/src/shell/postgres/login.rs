//! How a connection begins: TLS, who the user is, and what the server tells of the session.

use super::answer::failure;
use super::wire::{Stream, Wire, lost, unreadable};
use crate::limits::{SQL_KEEPALIVE_EVERY, SQL_KEEPALIVE_IDLE};
use crate::shell::address::Address;
use crate::shell::failure::Failure;
use crate::shell::tls::{TlsArgs, Trust, distrust};
use bytes::BytesMut;
use damson_master::client_tls::end_point;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is spoken under TLS, by its name (ALPN).
const ALPN_POSTGRESQL: &[u8] = b"postgresql";

const DATABASE: &str = "damson";

/// What a request to cancel shows: the session's number, and what only its client knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Key {
    pub process: i32,
    pub secret: i32,
}

/// A connection, with TLS if that is asked for.
///
/// # Errors
/// No server, one without TLS, or one that is not to be trusted.
pub(super) async fn connect(address: &Address, tls: &TlsArgs) -> Result<Wire, Failure> {
    let url = &address.url;
    let trust = if address.is_encrypted(tls)? { Some(Trust::load(tls, ALPN_POSTGRESQL)?) } else { None };
    let (host, port) = address.host_and_port()?;
    let unreachable = |error: &dyn std::fmt::Display| Failure::Unreachable(format!("cannot connect to {url}: {error}"));
    let mut stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| unreachable(&error))?;
    prepare(&stream).map_err(|error| unreachable(&error))?;
    let Some(trust) = trust else { return Ok(Wire::new(Stream::Plain(stream))) };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(|error| unreachable(&error))?;
    match stream.read_u8().await.map_err(|error| unreachable(&error))? {
        b'S' => {}
        b'N' => return Err(Failure::Connection(format!("cannot connect to {url}: the server has no TLS for clients"))),
        _ => return Err(Failure::Connection(format!("cannot connect to {url}: the server does not speak PostgreSQL"))),
    }
    match trust.connect(&host, stream).await {
        Ok(stream) => Ok(Wire::new(Stream::Tls(Box::new(stream)))),
        Err(error) => Err(match distrust(&error) {
            Some(why) => Failure::Connection(format!("cannot connect to {url}: {why}")),
            None => unreachable(&error),
        }),
    }
}

/// Small messages go at once, and the system finds out when the server's machine is gone that cannot say so any more.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(SQL_KEEPALIVE_IDLE).with_interval(SQL_KEEPALIVE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Begins a session.
///
/// # Errors
/// Who is not let in.
pub(super) async fn log_in(wire: &mut Wire, user: &str, password: &str) -> Result<Key, Failure> {
    let settings =
        [("user", user), ("database", DATABASE), ("application_name", "damson sql"), ("client_encoding", "UTF8")];
    frontend::startup_message(settings, &mut wire.output).map_err(|error| unsendable(&error))?;
    authenticate(wire, password).await?;
    let mut key = Key::default();
    loop {
        match wire.message().await? {
            Message::BackendKeyData(body) => key = Key { process: body.process_id(), secret: body.secret_key() },
            Message::ReadyForQuery(_) => return Ok(key),
            Message::ErrorResponse(body) => return Err(failure(&body)),
            Message::ParameterStatus(_) | Message::NoticeResponse(_) => {}
            _ => return Err(unreadable(&"a message that does not belong there")),
        }
    }
}

async fn authenticate(wire: &mut Wire, password: &str) -> Result<(), Failure> {
    loop {
        match wire.message().await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationSasl(body) => prove(wire, &body, password).await?,
            Message::AuthenticationCleartextPassword if is_private(wire)? => {
                let sent = frontend::password_message(password.as_bytes(), &mut wire.output);
                sent.map_err(|error| unsendable(&error))?;
            }
            Message::AuthenticationCleartextPassword => {
                let message = "the server asks for the password itself, which does not go over a network without TLS";
                return Err(Failure::Connection(message.into()));
            }
            Message::ErrorResponse(body) => return Err(failure(&body)),
            Message::NoticeResponse(_) => {}
            _ => return Err(Failure::Connection("the server asks for a proof that the shell does not know".into())),
        }
    }
}

/// Whether nobody listens: TLS, or the same host.
fn is_private(wire: &Wire) -> Result<bool, Failure> {
    match wire.stream() {
        Stream::Tls(_) => Ok(true),
        Stream::Plain(stream) => Ok(stream.peer_addr().map_err(lost)?.ip().is_loopback()),
    }
}

/// SCRAM-SHA-256, bound to the server's certificate where both ends can.
async fn prove(wire: &mut Wire, asked: &AuthenticationSaslBody, password: &str) -> Result<(), Failure> {
    let offered: Vec<&str> = asked.mechanisms().collect().map_err(|error| unreadable(&error))?;
    let bound = match wire.stream() {
        Stream::Plain(_) => None,
        Stream::Tls(stream) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            certificate.and_then(|certificate| end_point(certificate))
        }
    };
    let (mechanism, binding) = match bound {
        Some(bound) if offered.contains(&SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(bound))
        }
        // The server is to hear that it could have been: else somebody in between has taken the offer away.
        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    if !offered.contains(&mechanism) {
        return Err(Failure::Connection("the server asks for a proof that the shell does not know".into()));
    }
    let mut scram = ScramSha256::new(password.as_bytes(), binding);
    frontend::sasl_initial_response(mechanism, scram.message(), &mut wire.output)
        .map_err(|error| unsendable(&error))?;
    let Message::AuthenticationSaslContinue(body) = proof(wire).await? else {
        return Err(unreadable(&"a message that does not belong into SCRAM"));
    };
    scram.update(body.data()).map_err(|error| unreadable(&error))?;
    frontend::sasl_response(scram.message(), &mut wire.output).map_err(|error| unsendable(&error))?;
    let Message::AuthenticationSaslFinal(body) = proof(wire).await? else {
        return Err(unreadable(&"a message that does not belong into SCRAM"));
    };
    let is_wrong = |_| Failure::Connection("the server does not know the password: it is not who it says".into());
    scram.finish(body.data()).map_err(is_wrong)
}

async fn proof(wire: &mut Wire) -> Result<Message, Failure> {
    match wire.message().await? {
        Message::ErrorResponse(body) => Err(failure(&body)),
        message => Ok(message),
    }
}

/// What cannot be put into a message.
pub(super) fn unsendable(error: &dyn std::fmt::Display) -> Failure {
    Failure::Connection(format!("this cannot be sent: {error}"))
}
