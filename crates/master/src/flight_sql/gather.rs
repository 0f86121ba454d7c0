//! Large writes, several at a time.

use super::limits::{GATHERED_BYTES_MAX, GATHERED_FROM_BYTES};
use bytes::{Buf, BytesMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that writes frames of results together: HTTP/2 gives each of them, of 16 KiB as clients ask for, to the stream alone and flushes it,
/// and the system's work for that is more than copying it. A small write, as are most answers, goes at once.
///
/// # Memory
/// [`GATHERED_BYTES_MAX`], while something waits.
pub(super) struct Gathered<S> {
    stream: S,
    waiting: BytesMut,
    /// Whether something was added since the last flush.
    has_grown: bool,
}

impl<S> Gathered<S> {
    pub(super) fn new(stream: S) -> Self {
        Gathered { stream, waiting: BytesMut::new(), has_grown: false }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes all that waits.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waiting.has_remaining() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.waiting.advance(written),
            }
        }
        // Thousands of connections may be idle.
        self.waiting = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.waiting.len() + bytes > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(context))?;
        }
        if self.waiting.is_empty() && !(GATHERED_FROM_BYTES..=GATHERED_BYTES_MAX).contains(&bytes) {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        if self.waiting.capacity() == 0 {
            self.waiting.reserve(GATHERED_BYTES_MAX);
        }
        slices.iter().for_each(|slice| self.waiting.extend_from_slice(slice));
        self.has_grown = true;
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// What waits goes with the next flush that nothing was added before: the writer, which is woken for it, and those who give it more have their
    /// turn before.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_grown) {
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Counts writes, and takes a part of some of them.
    struct Counting {
        written: Vec<u8>,
        writes: usize,
        takes: usize,
    }

    impl AsyncWrite for Counting {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes += 1;
            if self.writes.is_multiple_of(3) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = bytes.len().min(self.takes);
            self.written.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gathered(takes: usize) -> Gathered<Counting> {
        Gathered::new(Counting { written: vec![], writes: 0, takes })
    }

    #[tokio::test]
    async fn large_writes_go_together_and_small_ones_at_once() {
        let mut stream = gathered(usize::MAX);
        stream.write_all(b"small").await.unwrap();
        assert_eq!(stream.stream.writes, 1);
        let frame = vec![7; 16 << 10];
        for _ in 0..4 {
            stream.write_all(&frame).await.unwrap();
            // As HTTP/2 does after each frame.
            stream.flush().await.unwrap();
        }
        stream.write_all(b"end").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.stream.writes, 1);
        // Nothing was added: it goes.
        stream.flush().await.unwrap();
        assert_eq!(stream.stream.writes, 2);
        assert_eq!(stream.stream.written.len(), 5 + 4 * frame.len() + 3);
        assert_eq!(stream.waiting.capacity(), 0);
        stream.write_all(&frame).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(stream.stream.written.ends_with(&frame));
    }

    /// Without that nobody would flush again.
    #[tokio::test]
    async fn who_flushes_is_woken_to_flush_again() {
        let (near, mut far) = duplex(1 << 20);
        let mut stream = Gathered::new(near);
        let writer = tokio::spawn(async move {
            stream.write_all(&vec![7; 64 << 10]).await.unwrap();
            // A task that flushes whenever it is woken, and is woken by nothing else.
            poll_fn(|context| -> Poll<()> {
                assert!(Pin::new(&mut stream).poll_flush(context).is_ready());
                Poll::Pending
            })
            .await;
        });
        let mut read = vec![0; 64 << 10];
        tokio::time::timeout(std::time::Duration::from_secs(30), far.read_exact(&mut read)).await.unwrap().unwrap();
        assert!(read.iter().all(|byte| *byte == 7));
        writer.abort();
    }

    #[tokio::test]
    async fn nothing_is_lost_nor_changes_its_place() {
        let mut random = StdRng::seed_from_u64(7);
        for round in 0..200 {
            let takes = if random.random() { usize::MAX } else { random.random_range(1_000..20_000) };
            let (mut stream, mut wanted) = (gathered(takes), vec![]);
            for number in 0..random.random_range(1..20) {
                let length = match random.random_range(0..3) {
                    0 => random.random_range(0..100),
                    1 => random.random_range(4_000..20_000),
                    _ => random.random_range(100_000..300_000),
                };
                let bytes = vec![number; length];
                stream.write_all(&bytes).await.unwrap();
                wanted.extend(bytes);
                if random.random() {
                    stream.flush().await.unwrap();
                }
                assert!(stream.waiting.len() <= GATHERED_BYTES_MAX);
            }
            stream.shutdown().await.unwrap();
            assert!(stream.stream.written == wanted, "round {round}");
        }
    }
}
