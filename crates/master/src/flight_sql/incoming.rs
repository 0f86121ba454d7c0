//! Connections of clients, with and without TLS.

use super::gather::Gathered;
use super::limits::{ACCEPT_AGAIN, TLS_HANDSHAKE};
use super::peer::{ClientAddress, Connection};
use crate::client_tls::{ClientTls, Protocol, TLS_RECORD};
use crate::limits::OPENING;
use crate::openings::{Openings, Opens};
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// What HTTP/2 is spoken over. It goes on to say where the client is, and ends if no call shows in time who it is.
pub(super) struct ClientSocket {
    stream: Stream,
    connection: Connection,
    /// When it has to go, and why. None: its client is known.
    over: Option<BoxFuture<'static, io::ErrorKind>>,
}

enum Stream {
    Plain(Gathered<TcpStream>),
    Tls(Box<Gathered<TlsStream<TcpStream>>>),
}

/// The listener, and those that have not begun with HTTP/2 yet.
struct Incoming {
    listener: TcpListener,
    tls: Option<Arc<ClientTls>>,
    openings: Arc<Openings>,
    opening_max: Duration,
    opening: JoinSet<Option<ClientSocket>>,
}

/// Connections over which HTTP/2 is to come next. With a certificate, who begins with TLS gets it, and rules say of the others whether they
/// are let in. Clients that no call has shown are strangers: of too many the oldest goes, and each after a while. Never ends; connections that are
/// not ready when it is dropped are closed.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ClientTls>>,
) -> BoxStream<'static, Result<ClientSocket, Infallible>> {
    incoming_within(listener, tls, OPENING)
}

fn incoming_within(
    listener: TcpListener,
    tls: Option<Arc<ClientTls>>,
    opening_max: Duration,
) -> BoxStream<'static, Result<ClientSocket, Infallible>> {
    let incoming = Incoming { listener, tls, openings: Arc::default(), opening_max, opening: JoinSet::new() };
    stream::unfold(incoming, |mut incoming| async move { Some((Ok(incoming.next().await), incoming)) }).boxed()
}

impl Incoming {
    async fn next(&mut self) -> ClientSocket {
        loop {
            let accepted = tokio::select! {
                Some(opened) = self.opening.join_next() => {
                    if let Some(socket) = ready(opened) {
                        return socket;
                    }
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a client's socket has not the options that it should");
                    }
                    let over = over(self.openings.enter(), Instant::now() + self.opening_max).boxed();
                    let Some(tls) = &self.tls else {
                        return ClientSocket::new(Stream::Plain(Gathered::new(stream)), address, over);
                    };
                    let tls = Arc::clone(tls);
                    self.opening.spawn(async move { opened(stream, address, &tls, over).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a client of Flight SQL");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

fn ready(opened: Result<Option<ClientSocket>, JoinError>) -> Option<ClientSocket> {
    opened.unwrap_or_else(|error| {
        tracing::error!(%error, "a connection of Flight SQL died");
        None
    })
}

/// Waits until a connection has to go whose client is not known by then.
async fn over(opens: Opens, until: Instant) -> io::ErrorKind {
    tokio::select! {
        () = opens.evicted() => io::ErrorKind::ConnectionAborted,
        () = tokio::time::sleep_until(until) => io::ErrorKind::TimedOut,
    }
}

/// None: it has gone, took too long, or others need its place.
async fn opened(
    stream: TcpStream,
    address: SocketAddr,
    tls: &ClientTls,
    mut over: BoxFuture<'static, io::ErrorKind>,
) -> Option<ClientSocket> {
    let begun = tokio::select! {
        begun = tokio::time::timeout(TLS_HANDSHAKE, begin(stream, tls)) => begun,
        _ = &mut over => return None,
    };
    match begun.unwrap_or_else(|late| Err(late.into())) {
        Ok(stream) => Some(ClientSocket::new(stream, address, over)),
        Err(error) => {
            tracing::info!(%error, "could not accept a client's connection");
            None
        }
    }
}

/// By the first byte, which is not taken.
async fn begin(stream: TcpStream, tls: &ClientTls) -> io::Result<Stream> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first[0] == TLS_RECORD => {
            let (stream, _end_point) = tls.accept(Protocol::FlightSql, stream).await?;
            Ok(Stream::Tls(Box::new(Gathered::new(stream))))
        }
        _ => Ok(Stream::Plain(Gathered::new(stream))),
    }
}

impl ClientSocket {
    fn new(stream: Stream, address: SocketAddr, over: BoxFuture<'static, io::ErrorKind>) -> Self {
        let is_encrypted = matches!(stream, Stream::Tls(_));
        let connection = Connection::new(ClientAddress { address, is_encrypted });
        ClientSocket { stream, connection, over: Some(over) }
    }

    /// Wakes whoever reads or writes when a stranger's time is over.
    ///
    /// # Errors
    /// It is over, or others need its place.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(over) = &mut self.over else { return Ok(()) };
        if self.connection.is_known() {
            self.over = None;
            return Ok(());
        }
        let Poll::Ready(why) = over.poll_unpin(context) else { return Ok(()) };
        tracing::debug!(%why, "a client's connection was closed: no call has shown who it is");
        // Who asks again hears it again.
        *over = future::ready(why).boxed();
        Err(why.into())
    }
}

impl Connected for ClientSocket {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_tls::certificates;
    use crate::flight_sql::peer::{ConnectionHandle, connection_of};
    use crate::limits::OPENINGS_MAX;
    use arrow_flight::Empty;
    use arrow_flight::flight_service_client::FlightServiceClient;
    use parking_lot::Mutex;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;
    use tokio_util::task::AbortOnDropHandle;
    use tonic::body::Body;
    use tonic::codegen::{Service, http};
    use tonic::server::NamedService;
    use tonic::transport::{Endpoint, Server};
    use tonic::{Code, Status};

    const PREFACE: &[u8] = b"PRI * HTTP/2.0";

    /// What a stranger may take here, and what a busy machine may.
    const SOON: Duration = Duration::from_millis(400);
    const WITHIN: Duration = Duration::from_secs(30);

    type Accepted = BoxStream<'static, Result<ClientSocket, Infallible>>;

    /// What a server with a certificate for `localhost` accepts; where it is, and who trusts it.
    async fn server() -> (Accepted, SocketAddr, TempDir, TlsConnector) {
        server_within(OPENING).await
    }

    async fn server_within(opening_max: Duration) -> (Accepted, SocketAddr, TempDir, TlsConnector) {
        let directory = tempfile::tempdir().unwrap();
        let trusted = certificates::write(directory.path());
        let tls = Arc::new(certificates::load(directory.path()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (
            incoming_within(listener, Some(tls), opening_max),
            address,
            directory,
            certificates::client(&trusted, &[b"h2"]),
        )
    }

    async fn read_preface(socket: &mut ClientSocket) {
        let mut read = vec![0; PREFACE.len()];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(read, PREFACE);
    }

    #[tokio::test]
    async fn who_begins_with_tls_gets_it_and_others_do_not() {
        let (mut accepted, address, _directory, connector) = server().await;
        let plain = async {
            let mut plain = TcpStream::connect(address).await.unwrap();
            plain.write_all(PREFACE).await.unwrap();
            plain
        };
        let (socket, plain) = tokio::join!(accepted.next(), plain);
        let Ok(mut socket) = socket.unwrap();
        assert_eq!(
            socket.connection.address(),
            ClientAddress { address: plain.local_addr().unwrap(), is_encrypted: false }
        );
        read_preface(&mut socket).await;

        let encrypted = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut stream = connector.connect(certificates::localhost(), stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            stream.write_all(PREFACE).await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (socket, _encrypted) = tokio::join!(accepted.next(), encrypted);
        let Ok(mut socket) = socket.unwrap();
        assert!(socket.connection.address().is_encrypted);
        read_preface(&mut socket).await;
    }

    /// They keep nobody else from coming in.
    #[tokio::test]
    async fn who_says_nothing_or_nonsense_is_not_waited_for() {
        let (mut accepted, address, _directory, _) = server().await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut nonsense = TcpStream::connect(address).await.unwrap();
        nonsense.write_all(b"\x16\x03\x01nonsense that is no hello").await.unwrap();
        drop(TcpStream::connect(address).await.unwrap());
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(PREFACE).await.unwrap();
        let Ok(socket) = accepted.next().await.unwrap();
        assert_eq!(socket.connection.address().address, plain.local_addr().unwrap());
    }

    /// Of another port of the same server.
    #[tokio::test]
    async fn another_protocol_is_refused_in_the_handshake() {
        let (mut accepted, address, directory, _) = server().await;
        let text = std::fs::read(directory.path().join("certificate")).unwrap();
        let trusted = CertificateDer::from_pem_slice(&text).unwrap();
        let connector = certificates::client(&trusted, &[b"postgresql"]);
        let refused = async {
            let stream = TcpStream::connect(address).await.unwrap();
            connector.connect(certificates::localhost(), stream).await.unwrap_err()
        };
        let error = tokio::select! {
            _ = accepted.next() => panic!("it is let in"),
            error = refused => error,
        };
        assert!(format!("{error:?}").contains("NoApplicationProtocol"), "{error:?}");
    }

    /// Answers no call. Those who call are let in if they are put down.
    #[derive(Clone)]
    struct Door(Option<Arc<Mutex<Vec<ConnectionHandle>>>>);

    impl NamedService for Door {
        const NAME: &'static str = "arrow.flight.protocol.FlightService";
    }

    impl Service<http::Request<Body>> for Door {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            if let Some(callers) = &self.0 {
                let connection = connection_of(request.extensions()).unwrap();
                connection.becomes_known();
                callers.lock().push(connection.handle());
            }
            future::ready(Ok(Status::unauthenticated("nobody").into_http()))
        }
    }

    /// Not before a stranger's time.
    async fn is_closed(mut stream: impl AsyncRead + Unpin, begun: Instant, who: &str) {
        let mut read = [0; 1 << 10];
        let end = async { while matches!(stream.read(&mut read).await, Ok(1..)) {} };
        tokio::time::timeout(WITHIN, end).await.unwrap_or_else(|_| panic!("it is kept: {who}"));
        assert!(begun.elapsed() >= SOON, "{who}: {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn who_begins_and_makes_no_call_is_closed() {
        let (accepted, address, _directory, connector) = server_within(SOON).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap();
        let _servers = [accepted, incoming_within(listener, None, SOON)].map(|accepted| {
            AbortOnDropHandle::new(tokio::spawn(
                Server::builder().add_service(Door(None)).serve_with_incoming(accepted),
            ))
        });
        // Its preface, and settings that are empty.
        let http2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), b"\0\0\0\x04\0\0\0\0\0"].concat();
        let http2 = http2.as_slice();
        for (server, said, who) in [
            (plain, &b""[..], "silent, to a server without TLS"),
            (plain, http2, "HTTP/2, to a server without TLS"),
            (address, b"P", "its first byte"),
            (address, http2, "HTTP/2"),
        ] {
            let begun = Instant::now();
            let mut stream = TcpStream::connect(server).await.unwrap();
            stream.write_all(said).await.unwrap();
            is_closed(stream, begun, who).await;
        }
        for said in [&b""[..], http2] {
            let begun = Instant::now();
            let stream = TcpStream::connect(address).await.unwrap();
            let mut stream = connector.connect(certificates::localhost(), stream).await.unwrap();
            stream.write_all(said).await.unwrap();
            stream.flush().await.unwrap();
            is_closed(stream, begun, "TLS").await;
        }
    }

    #[tokio::test]
    async fn who_is_known_may_be_silent() {
        let (mut accepted, address, _directory, _) = server_within(SOON).await;
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(&PREFACE[..1]).await.unwrap();
        let Ok(mut socket) = accepted.next().await.unwrap();
        socket.connect_info().becomes_known();
        tokio::time::sleep(2 * SOON).await;
        plain.write_all(&PREFACE[1..]).await.unwrap();
        read_preface(&mut socket).await;
        assert!(socket.over.is_none(), "its place is another's");
    }

    #[tokio::test]
    async fn a_connection_is_known_by_a_call_and_kept_up_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let callers = Arc::default();
        let server = Server::builder().add_service(Door(Some(Arc::clone(&callers))));
        let server = server.serve_with_incoming(incoming_within(listener, None, SOON));
        let _server = AbortOnDropHandle::new(tokio::spawn(server));
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut client = FlightServiceClient::new(channel);
        for _ in 0..2 {
            assert_eq!(client.list_actions(Empty {}).await.unwrap_err().code(), Code::Unauthenticated);
            tokio::time::sleep(2 * SOON).await;
        }
        let callers = callers.lock().clone();
        assert!(callers.len() == 2 && callers.iter().all(ConnectionHandle::is_open), "each is there after its call");
        drop(client);
        let closed = async {
            while callers.iter().any(ConnectionHandle::is_open) {
                tokio::time::sleep(SOON / 10).await;
            }
        };
        tokio::time::timeout(WITHIN, closed).await.expect("its end is seen");
    }

    #[tokio::test]
    async fn who_is_too_many_goes_at_once() {
        let openings = Arc::new(Openings::default());
        let late = Instant::now() + 2 * WITHIN;
        let first = over(openings.enter(), late);
        let _others: Vec<Opens> = (0..OPENINGS_MAX).map(|_| openings.enter()).collect();
        let why = tokio::time::timeout(WITHIN, first).await.unwrap();
        assert_eq!(why, io::ErrorKind::ConnectionAborted);
    }
}
