//! A connection to a peer, whatever it runs over.

use crate::Transport;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// How many connections a node has, in both directions, or a part of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionCount {
    count: Arc<AtomicUsize>,
    /// What this is a part of.
    whole: Option<Arc<AtomicUsize>>,
}

impl ConnectionCount {
    pub(crate) fn get(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A count of its own, whose connections are among this one's, too.
    pub(super) fn part(&self) -> ConnectionCount {
        ConnectionCount { count: Arc::default(), whole: Some(Arc::clone(&self.count)) }
    }

    /// Counts one more, until what is given is dropped.
    pub(crate) fn enter(&self) -> Counted {
        let counted = Counted(self.clone());
        counted.counts().for_each(|count| _ = count.fetch_add(1, Ordering::Relaxed));
        counted
    }
}

/// A connection that is counted.
pub(crate) struct Counted(ConnectionCount);

impl Counted {
    fn counts(&self) -> impl Iterator<Item = &Arc<AtomicUsize>> {
        std::iter::once(&self.0.count).chain(&self.0.whole)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts().for_each(|count| _ = count.fetch_sub(1, Ordering::Relaxed));
    }
}

/// An open connection, counted until it is dropped.
pub(super) struct PeerStream {
    io: Box<dyn Io>,
    transport: Transport,
    _counted: Counted,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl PeerStream {
    pub(super) fn new(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        transport: Transport,
        count: &ConnectionCount,
    ) -> Self {
        PeerStream { io: Box::new(io), transport, _counted: count.enter() }
    }
}

impl Connected for PeerStream {
    /// Among each request's extensions.
    type ConnectInfo = Transport;

    fn connect_info(&self) -> Transport {
        self.transport
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }

    /// True, or HTTP/2 would copy each chunk behind its frame's head.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_counted_in_the_whole() {
        let whole = ConnectionCount::default();
        let (a, b) = (whole.part(), whole.part());
        let counted = [a.enter(), a.enter(), b.enter()];
        assert_eq!((a.get(), b.get(), whole.get()), (2, 1, 3));
        drop(counted);
        assert_eq!((a.get(), b.get(), whole.get()), (0, 0, 0));
    }
}
