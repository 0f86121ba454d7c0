//! Messages over a connection. What was begun goes on with the next call, if a call is dropped before its end.

use super::answer::{failure, is_fatal};
use super::login::unsendable;
use crate::limits::SQL_MESSAGE_BYTES_MAX;
use crate::shell::failure::Failure;
use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{ErrorResponseBody, Header, Message};
use postgres_protocol::message::frontend;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Room that is made to read into.
const READ_BYTES: usize = 64 << 10;
/// How long is looked for what a server said before it took nothing more: it is there already.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// One connection's bytes and messages.
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    /// What is to be sent before the next message is waited for.
    pub output: BytesMut,
    /// Something was asked for whose end has not come.
    pub is_busy: bool,
}

/// With and without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Wire { stream, input: BytesMut::new(), output: BytesMut::new(), is_busy: false }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends what is to be sent, and gives the next message.
    ///
    /// # Errors
    /// A connection that ended, or something else than messages.
    pub(super) async fn message(&mut self) -> Result<Message, Failure> {
        if let Err(failure) = self.flush().await {
            // It may have said why, before it went.
            let said = tokio::time::timeout(LAST_WORDS_TIMEOUT, self.last_words()).await;
            return said.ok().and_then(Result::ok).ok_or(failure);
        }
        self.received().await
    }

    /// The error that a connection ends with which takes nothing more.
    async fn last_words(&mut self) -> Result<Message, Failure> {
        loop {
            if let error @ Message::ErrorResponse(_) = self.received().await? {
                return Ok(error);
            }
        }
    }

    async fn received(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await.map_err(lost)? == 0 {
                return Err(Failure::Unreachable("the server closed the connection".into()));
            }
        }
    }

    /// A message that has come already.
    ///
    /// # Errors
    /// Something else than a message.
    pub(super) fn buffered(&mut self) -> Result<Option<Message>, Failure> {
        let header = Header::parse(&self.input).map_err(|error| unreadable(&error))?;
        if header.is_some_and(|header| header.len() as usize > SQL_MESSAGE_BYTES_MAX) {
            return Err(Failure::Connection(format!(
                "the server sent a message of over {SQL_MESSAGE_BYTES_MAX} bytes"
            )));
        }
        Message::parse(&mut self.input).map_err(|error| unreadable(&error))
    }

    /// Sends what is to be sent.
    ///
    /// # Errors
    /// A connection that ended.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        while self.output.has_remaining() {
            if self.stream.write_buf(&mut self.output).await.map_err(lost)? == 0 {
                return Err(lost(io::ErrorKind::WriteZero.into()));
            }
        }
        self.stream.flush().await.map_err(lost)
    }

    /// Waits for the end of what was asked for, whose answers nobody wants any more.
    ///
    /// # Errors
    /// A connection that ended, with the server's words if it has said why.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        while self.is_busy {
            match self.message().await? {
                Message::ReadyForQuery(_) => self.is_busy = false,
                Message::CopyInResponse(_) => self.send_no_rows()?,
                Message::ErrorResponse(body) if is_fatal(&body) => return Err(failure(&body)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The error that ended what was asked for; waits until the server takes what is next, unless it has said its last.
    pub(super) async fn ended_by(&mut self, error: &ErrorResponseBody) -> Failure {
        if !is_fatal(error)
            && let Err(error) = self.settle().await
        {
            // It says so when it is used next.
            tracing::debug!(%error, "the connection ended with the statement");
        }
        failure(error)
    }

    /// Says to a server that waits for rows that there are none; with the next message that is waited for.
    ///
    /// # Errors
    /// A message that cannot be made.
    pub(super) fn send_no_rows(&mut self) -> Result<(), Failure> {
        let why = "damson sql has no rows to send; psql has, by \\copy";
        frontend::copy_fail(why, &mut self.output).map_err(|error| unsendable(&error))
    }

    /// Waits until the server has closed the connection.
    ///
    /// # Errors
    /// A connection that broke.
    pub(super) async fn until_closed(&mut self) -> Result<(), Failure> {
        self.flush().await?;
        while self.stream.read_buf(&mut self.input).await.map_err(lost)? > 0 {
            self.input.clear();
        }
        Ok(())
    }
}

pub(super) fn lost(error: io::Error) -> Failure {
    Failure::Unreachable(format!("no connection to the server: {error}"))
}

/// What is no message of the protocol.
pub(super) fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::Connection(format!("the server's answer cannot be read: {error}"))
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
