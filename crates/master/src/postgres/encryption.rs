//! A client's connection, with and without TLS.

use super::limits::TLS_HANDSHAKE;
use super::wire::{Wire, WireError};
use crate::client_tls::{ClientTls, EndPoint, Protocol, has_chosen_postgresql};
use bytes::{Buf, BytesMut};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// Made of what was accepted; the opening makes it TLS.
pub(super) enum ClientStream<S> {
    Plain(S),
    Tls {
        stream: Box<TlsStream<Unread<S>>>,
        end_point: EndPoint,
    },
    /// In the handshake, and after one that failed.
    Gone,
}

/// What was read ahead comes first.
pub(super) struct Unread<S> {
    bytes: BytesMut,
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<ClientStream<S>> {
    /// TLS from now on: the handshake is of what has come and comes next. Whether the client has asked for the protocol by its name.
    ///
    /// # Errors
    /// A client that goes, wants something else, or takes too long.
    pub(super) async fn encrypt(&mut self, tls: &ClientTls) -> Result<bool, WireError> {
        let bytes = self.take_input();
        let ClientStream::Plain(stream) = mem::replace(self.stream(), ClientStream::Gone) else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        let handshake = tls.accept(Protocol::Postgresql, Unread { bytes, stream });
        let handshake = tokio::time::timeout(TLS_HANDSHAKE, handshake).await;
        let shaken = handshake.unwrap_or_else(|late| Err(late.into()));
        let (stream, end_point) =
            shaken.inspect_err(|error| tracing::info!(%error, "could not accept a client's TLS connection"))?;
        let is_named = has_chosen_postgresql(&stream);
        *self.stream() = ClientStream::Tls { stream: Box::new(stream), end_point };
        Ok(is_named)
    }

    pub(super) fn is_encrypted(&mut self) -> bool {
        matches!(self.stream(), ClientStream::Tls { .. })
    }

    /// What an exchange of passwords can be bound to.
    pub(super) fn end_point(&mut self) -> EndPoint {
        match self.stream() {
            ClientStream::Tls { end_point, .. } => end_point.clone(),
            ClientStream::Plain(_) | ClientStream::Gone => None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let count = self.bytes.len().min(into.remaining());
        into.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            ClientStream::Plain(stream) => Pin::new(stream).poll_read(context, into),
            ClientStream::Tls { stream, .. } => Pin::new(stream).poll_read(context, into),
            ClientStream::Gone => gone(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            ClientStream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            ClientStream::Tls { stream, .. } => Pin::new(stream).poll_write(context, bytes),
            ClientStream::Gone => gone(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            ClientStream::Plain(stream) => Pin::new(stream).poll_flush(context),
            ClientStream::Tls { stream, .. } => Pin::new(stream).poll_flush(context),
            ClientStream::Gone => gone(),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            ClientStream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            ClientStream::Tls { stream, .. } => Pin::new(stream).poll_shutdown(context),
            ClientStream::Gone => gone(),
        }
    }
}
