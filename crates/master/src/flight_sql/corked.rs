//! A plain TCP socket of HTTP/2, over which results leave in large packets.

use super::limits::CORK_BYTES;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Lets the kernel put frames together. HTTP/2's writer flushes after each frame, which clients bound by 16 KiB, though more of them are
/// ready: without this, each is a packet of its own, with its way through the kernel, and wakes the client's reader. A frame that another may
/// follow is held back until it is flushed twice, which the writer does at once when it has no more. What would be forgotten nevertheless
/// leaves after 200 ms.
pub(super) struct Corked {
    stream: TcpStream,
    cork: Cork,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cork {
    Out,
    /// A long frame was written, and not flushed yet.
    Fresh,
    /// What is held back leaves with the next flush.
    Stale,
}

impl Corked {
    pub(super) fn new(stream: TcpStream) -> Self {
        Corked { stream, cork: Cork::Out }
    }

    /// Before so many bytes are written.
    fn writes(&mut self, bytes: usize) -> io::Result<()> {
        if bytes < CORK_BYTES {
            if self.cork == Cork::Fresh {
                self.cork = Cork::Stale;
            }
            return Ok(());
        }
        if self.cork == Cork::Out {
            SockRef::from(&self.stream).set_tcp_cork(true)?;
        }
        self.cork = Cork::Fresh;
        Ok(())
    }

    fn uncork(&mut self) -> io::Result<()> {
        if self.cork != Cork::Out {
            SockRef::from(&self.stream).set_tcp_cork(false)?;
            self.cork = Cork::Out;
        }
        Ok(())
    }
}

impl AsyncRead for Corked {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes(bytes.len())?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cork == Cork::Fresh {
            self.cork = Cork::Stale;
            // Whoever flushes once only is asked again.
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        self.uncork()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.uncork()?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes(slices.iter().map(|slice| slice.len()).sum())?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Corked, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Corked::new(listener.accept().await.unwrap().0), client)
    }

    fn is_corked(socket: &Corked) -> bool {
        let is_corked = SockRef::from(&socket.stream).tcp_cork().unwrap();
        assert_eq!(is_corked, socket.cork != Cork::Out);
        is_corked
    }

    #[tokio::test]
    async fn frames_that_follow_each_other_are_held_back_and_the_last_is_not() {
        let (mut socket, mut client) = pair().await;
        let frame = vec![7; CORK_BYTES];
        for _ in 0..3 {
            socket.write_all(&frame).await.unwrap();
            socket.flush().await.unwrap();
            assert!(is_corked(&socket), "more may follow");
        }
        socket.flush().await.unwrap();
        assert!(!is_corked(&socket), "no more follows");
        // Trailers, and what is left of a message.
        socket.write_all(&frame).await.unwrap();
        socket.flush().await.unwrap();
        socket.write_all(b"small").await.unwrap();
        assert!(is_corked(&socket));
        socket.flush().await.unwrap();
        assert!(!is_corked(&socket));
        let mut read = vec![0; 4 * CORK_BYTES + 5];
        client.read_exact(&mut read).await.unwrap();
        assert!(read.ends_with(b"small") && read[..4 * CORK_BYTES].iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn small_writes_are_never_held_back() {
        let (mut socket, mut client) = pair().await;
        socket.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).await.unwrap();
        assert!(!is_corked(&socket));
        let mut read = [0; 2];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ab");
    }

    #[tokio::test]
    async fn a_socket_that_is_shut_down_has_sent_everything() {
        let (mut socket, mut client) = pair().await;
        socket.write_all(&vec![7; CORK_BYTES + 1]).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut read = vec![];
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), CORK_BYTES + 1);
    }
}
