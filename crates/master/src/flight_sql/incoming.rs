//! Connections of clients, with and without TLS.

use super::limits::{ACCEPT_AGAIN, TLS_HANDSHAKE};
use super::peer::ClientAddress;
use crate::client_tls::{ClientTls, Protocol, TLS_RECORD};
use crate::openings::{Openings, Opens};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// What HTTP/2 is spoken over. It goes on to say where the client is.
pub(super) struct ClientSocket {
    stream: Stream,
    address: ClientAddress,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The listener, and those that have not begun with HTTP/2 yet: of too many the oldest goes.
struct Incoming {
    listener: TcpListener,
    tls: Option<Arc<ClientTls>>,
    openings: Arc<Openings>,
    opening: JoinSet<Option<ClientSocket>>,
}

/// Connections over which HTTP/2 is to come next. With a certificate, who begins with TLS gets it, and rules say of the others whether they
/// are let in. Never ends; connections that are not ready when it is dropped are closed.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ClientTls>>,
) -> BoxStream<'static, Result<ClientSocket, Infallible>> {
    let incoming = Incoming { listener, tls, openings: Arc::default(), opening: JoinSet::new() };
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
                    let Some(tls) = &self.tls else {
                        let address = ClientAddress { address, is_encrypted: false };
                        return ClientSocket { stream: Stream::Plain(stream), address };
                    };
                    let (tls, opens) = (Arc::clone(tls), self.openings.enter());
                    self.opening.spawn(async move { opened(stream, address, &tls, &opens).await });
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

/// None: it has gone, took too long, or others need its place.
async fn opened(stream: TcpStream, address: SocketAddr, tls: &ClientTls, opens: &Opens) -> Option<ClientSocket> {
    let begun = tokio::select! {
        begun = tokio::time::timeout(TLS_HANDSHAKE, begin(stream, tls)) => begun,
        () = opens.evicted() => return None,
    };
    match begun.unwrap_or_else(|late| Err(late.into())) {
        Ok(stream) => {
            let is_encrypted = matches!(stream, Stream::Tls(_));
            Some(ClientSocket { stream, address: ClientAddress { address, is_encrypted } })
        }
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
            Ok(Stream::Tls(Box::new(stream)))
        }
        _ => Ok(Stream::Plain(stream)),
    }
}

impl Connected for ClientSocket {
    type ConnectInfo = ClientAddress;

    fn connect_info(&self) -> ClientAddress {
        self.address
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0";

    /// What a server with a certificate for `localhost` accepts; where it is, and who trusts it.
    async fn server() -> (BoxStream<'static, Result<ClientSocket, Infallible>>, SocketAddr, TempDir, TlsConnector) {
        let directory = tempfile::tempdir().unwrap();
        let trusted = certificates::write(directory.path());
        let tls = Arc::new(certificates::load(directory.path()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (incoming(listener, Some(tls)), address, directory, certificates::client(&trusted, &[b"h2"]))
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
        assert_eq!(socket.connect_info(), ClientAddress { address: plain.local_addr().unwrap(), is_encrypted: false });
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
        assert!(socket.connect_info().is_encrypted);
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
        assert_eq!(socket.connect_info().address, plain.local_addr().unwrap());
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
}
