//! A connection's bytes as messages.

use super::limits::{
    AHEAD_BYTES_MAX, AUTHENTICATION_BYTES_MAX, FAREWELL, MESSAGE_BYTES_MAX, OPENING_BYTES_MAX, READ_BYTES,
    READ_BYTES_MAX, SEND_BYTES, SHORT_MESSAGE_BYTES_MAX,
};
use bytes::BytesMut;
use damson_pg::backend::Messages;
use damson_pg::frontend::{Malformed, Request, Size};
use std::future;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why there is no next message.
#[derive(Debug, Error)]
pub(super) enum WireError {
    #[error("the client has gone")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Where the next message begins is not known any more.
    #[error("invalid message length")]
    Length,
    #[error("a message of {bytes} bytes is longer than {max}")]
    TooLong { bytes: usize, max: usize },
    /// No message begins so.
    #[error(transparent)]
    Kind(#[from] Malformed),
}

/// Reads messages and gathers answers.
pub(super) struct Wire<S> {
    stream: S,
    input: BytesMut,
    /// Answers that are not sent yet.
    pub out: Messages,
}

/// What a sender of messages counts in a length: itself.
const LENGTH_BYTES: usize = 4;

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Wire { stream, input: BytesMut::new(), out: Messages::default() }
    }

    /// The first byte of what the client sends next, which stays.
    ///
    /// # Errors
    /// A client that goes.
    pub(super) async fn first_byte(&mut self) -> Result<u8, WireError> {
        while self.input.is_empty() {
            self.read(READ_BYTES).await?;
        }
        Ok(self.input[0])
    }

    /// The packet that opens a connection, without its length.
    ///
    /// # Errors
    /// A client that goes, or sends a length that no opening has.
    pub(super) async fn opening(&mut self) -> Result<BytesMut, WireError> {
        self.body(0, OPENING_BYTES_MAX).await
    }

    /// A message's kind and body. Can be dropped and called again: nothing is lost.
    ///
    /// # Errors
    /// A client that goes, or sends a kind or a length that no message has.
    pub(super) async fn message(&mut self) -> Result<(u8, BytesMut), WireError> {
        let max = match Request::size_of(self.first_byte().await?)? {
            Size::Short => SHORT_MESSAGE_BYTES_MAX,
            Size::Long => MESSAGE_BYTES_MAX,
        };
        self.message_up_to(max).await
    }

    /// As [`Wire::message`], of a client that nobody knows yet: no long one.
    ///
    /// # Errors
    /// As [`Wire::message`].
    pub(super) async fn authentication(&mut self) -> Result<(u8, BytesMut), WireError> {
        self.message_up_to(AUTHENTICATION_BYTES_MAX).await
    }

    async fn message_up_to(&mut self, max: usize) -> Result<(u8, BytesMut), WireError> {
        let kind = self.first_byte().await?;
        Ok((kind, self.body(1, max).await?))
    }

    /// What follows `before` bytes and a length.
    async fn body(&mut self, before: usize, max: usize) -> Result<BytesMut, WireError> {
        let head = before + LENGTH_BYTES;
        while self.input.len() < head {
            self.read(READ_BYTES).await?;
        }
        let length = self.input[before..].first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        let bytes = length.checked_sub(LENGTH_BYTES).ok_or(WireError::Length)?;
        if bytes > max {
            return Err(WireError::TooLong { bytes, max });
        }
        while self.input.len() < head + bytes {
            // Memory comes with the bytes, as much again at most, not with a length that anybody can send.
            let missing = head + bytes - self.input.len();
            self.read(missing.min(self.input.len()).clamp(READ_BYTES, READ_BYTES_MAX)).await?;
        }
        let mut message = self.input.split_to(head + bytes);
        if message.len() > READ_BYTES_MAX {
            // Its room goes with it: that of an idle client is small, whatever it has sent before.
            self.input = BytesMut::from(self.input.as_ref());
        }
        Ok(message.split_off(head))
    }

    async fn read(&mut self, room: usize) -> Result<(), WireError> {
        self.input.reserve(room);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Ends when the client has gone: reads ahead, within limits.
    pub(super) async fn gone(&mut self) -> WireError {
        while self.input.len() < AHEAD_BYTES_MAX {
            if let Err(error) = self.read(READ_BYTES).await {
                return error;
            }
        }
        future::pending().await
    }

    /// Whether the client waits for an answer now, as far as is known: its next message is Sync.
    pub(super) fn syncs_next(&self) -> bool {
        self.input.first() == Some(&b'S')
    }

    /// Sends what was gathered, if it is much.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        if self.out.len() >= SEND_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(self.out.bytes()).await?;
        if self.out.len() > 2 * SEND_BYTES {
            // A large row's memory is not kept for small ones.
            self.out = Messages::default();
        } else {
            self.out.clear();
        }
        self.stream.flush().await
    }

    /// Sends single bytes, which are no messages.
    pub(super) async fn send_byte(&mut self, byte: u8) -> io::Result<()> {
        self.stream.write_all(&[byte]).await?;
        self.stream.flush().await
    }

    /// Whether the client has sent more than was asked for.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// What was read and is no message yet: of something else than messages.
    pub(super) fn take_input(&mut self) -> BytesMut {
        self.input.split()
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Says that nothing more comes, and waits a little until the client has gone: what it sends to a socket that is closed would have its
    /// system drop what it was told last.
    pub(super) async fn close(mut self) {
        let gone = async {
            self.stream.shutdown().await?;
            loop {
                self.input.clear();
                self.input.reserve(READ_BYTES);
                if self.stream.read_buf(&mut self.input).await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        match tokio::time::timeout(FAREWELL, gone).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a client went before its connection was closed"),
            Err(late) => tracing::debug!(%late, "a client does not go when its connection is closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn messages_are_cut_from_the_bytes() {
        let (mut client, server) = duplex(1 << 10);
        let mut wire = Wire::new(server);
        client.write_all(b"\0\0\0\x08\x04\xd2\x16\x2fQ\0\0\0\x06a\0S\0\0\0\x04X\0\0").await.unwrap();
        assert_eq!(&wire.opening().await.unwrap()[..], b"\x04\xd2\x16\x2f");
        let (kind, body) = wire.message().await.unwrap();
        assert_eq!((kind, &body[..]), (b'Q', b"a\0".as_slice()));
        assert!(wire.syncs_next());
        assert_eq!(wire.message().await.unwrap().0, b'S');
        drop(client);
        assert!(matches!(wire.message().await, Err(WireError::Closed)));
    }

    #[tokio::test]
    async fn the_room_of_a_long_message_is_not_kept() {
        let (mut client, server) = duplex(1 << 16);
        let mut wire = Wire::new(server);
        let text = vec![b'x'; 3 * READ_BYTES_MAX];
        let length = (text.len() as u32 + 4).to_be_bytes();
        let sent = [b"Q".as_slice(), &length, &text, b"S\0\0\0\x04"].concat();
        let (sent, read) = tokio::join!(client.write_all(&sent), wire.message());
        sent.unwrap();
        assert_eq!(read.unwrap().1.len(), text.len());
        assert!(wire.input.capacity() <= READ_BYTES_MAX, "{}", wire.input.capacity());
        assert_eq!(wire.message().await.unwrap().0, b'S');
    }

    #[tokio::test]
    async fn lengths_are_checked_before_memory_is_taken() {
        for (sent, want) in [
            (b"Q\0\0\0\x03", "invalid message length"),
            (b"Q\xff\xff\xff\xff", "a message of 4294967291 bytes is longer than 67108864"),
            (b"S\0\0\xff\xff", "a message of 65531 bytes is longer than 10000"),
            // As it is where the first packet comes again.
            (b"\0\0\0\x08\x04", "invalid frontend message type 0"),
        ] {
            let (mut client, server) = duplex(1 << 10);
            let mut wire = Wire::new(server);
            client.write_all(sent).await.unwrap();
            assert_eq!(wire.message().await.unwrap_err().to_string(), want);
            assert!(wire.input.capacity() <= READ_BYTES, "{}", wire.input.capacity());
        }
    }
}
