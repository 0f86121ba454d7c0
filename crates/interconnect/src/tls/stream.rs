//! A TCP connection between nodes under TLS.

use super::{ALPN_FLIGHT, HandshakeError, NodeTls};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A connection whose errors say a [`HandshakeError`] where that is the reason. A client of TLS 1.3 is told of its refusal
/// only after its own part of the handshake, in what it reads first: hence not only connecting can fail so.
pub struct TlsStream<S>(tokio_rustls::TlsStream<S>);

impl NodeTls {
    /// The handshake of who connects; the protocol is Flight's.
    ///
    /// # Errors
    /// A peer that is no node of this cluster, or the connection's own.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let connector = TlsConnector::from(self.client_config(ALPN_FLIGHT));
        match connector.connect(self.server_name(), stream).await {
            Ok(stream) => Ok(TlsStream(stream.into())),
            Err(error) => Err(HandshakeError::explain(error)),
        }
    }

    /// The handshake of who was connected to; the protocol is Flight's.
    ///
    /// # Errors
    /// A peer that is no node of this cluster, or the connection's own.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        match TlsAcceptor::from(self.server_config(ALPN_FLIGHT)).accept(stream).await {
            Ok(stream) => Ok(TlsStream(stream.into())),
            Err(error) => Err(HandshakeError::explain(error)),
        }
    }
}

impl<S> TlsStream<S> {
    /// The connection underneath, for its addresses and options.
    pub fn get_ref(&self) -> &S {
        self.0.get_ref().0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into).map_err(HandshakeError::explain)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes).map_err(HandshakeError::explain)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context).map_err(HandshakeError::explain)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context).map_err(HandshakeError::explain)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices).map_err(HandshakeError::explain)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
