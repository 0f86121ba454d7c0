//! Connections that have been accepted and are not ready yet.

use super::socket::PeerStream;
use crate::limits::HANDSHAKES_MAX;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use std::collections::VecDeque;
use std::io;
use tokio::sync::oneshot;

/// Handshakes that do not wait for each other, at most [`HANDSHAKES_MAX`]. A new one takes the place of the oldest: a peer is
/// done in milliseconds, so those that stay are of clients who say nothing, and must keep nobody out.
#[derive(Default)]
pub(super) struct Handshakes {
    under_way: FuturesUnordered<BoxFuture<'static, io::Result<PeerStream>>>,
    /// Of each one under way, oldest first; dropped, it ends.
    places: VecDeque<oneshot::Sender<()>>,
}

impl Handshakes {
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn push(&mut self, handshake: impl Future<Output = io::Result<PeerStream>> + Send + 'static) {
        self.places.retain(|place| !place.is_closed());
        if self.places.len() == HANDSHAKES_MAX {
            self.places.pop_front();
        }
        let (place, mut lost) = oneshot::channel();
        self.places.push_back(place);
        let handshake = async move {
            tokio::select! {
                done = handshake => done,
                _ = &mut lost => Err(io::Error::new(io::ErrorKind::TimedOut, "later connections needed its place")),
            }
        };
        self.under_way.push(Box::pin(handshake));
    }

    /// The next one that is over, or never if there are none.
    pub(super) async fn next(&mut self) -> io::Result<PeerStream> {
        match self.under_way.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }
}

/// The connections of `accepted`, for ever, each once its handshake is over.
pub(super) fn complete<H>(accepted: impl Stream<Item = H> + Send) -> impl Stream<Item = io::Result<PeerStream>>
where
    H: Future<Output = io::Result<PeerStream>> + Send + 'static,
{
    let state = (Box::pin(accepted), Handshakes::default());
    futures::stream::unfold(state, |(mut accepted, mut handshakes)| async move {
        loop {
            tokio::select! {
                done = handshakes.next() => return Some((done, (accepted, handshakes))),
                handshake = accepted.next() => match handshake {
                    Some(handshake) => handshakes.push(handshake),
                    None if handshakes.is_empty() => return None,
                    None => return Some((handshakes.next().await, (accepted, handshakes))),
                },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::socket::ConnectionCount;
    use super::*;
    use crate::Transport;
    use futures::FutureExt;
    use futures::future::{Either, pending};
    use futures::stream;
    use tokio::net::{TcpListener, TcpStream};

    /// Clients that say nothing, as many as there are places, and then a peer.
    #[tokio::test]
    async fn the_silent_keep_nobody_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let ready = async move { Ok(PeerStream::new(peer, Transport::FlightTcp, &ConnectionCount::default())) };
        let silent = (0..3 * HANDSHAKES_MAX).map(|_| pending::<io::Result<PeerStream>>().boxed());
        let accepted = stream::iter(silent.chain([ready.boxed()])).chain(stream::pending());
        let mut connections = Box::pin(complete(accepted));
        let mut refused = 0;
        while connections.next().await.unwrap().is_err() {
            refused += 1;
        }
        assert_eq!(refused, 2 * HANDSHAKES_MAX + 1, "the oldest, and no more of them than there are later ones");
        let more = futures::future::select(connections.next(), Box::pin(tokio::task::yield_now())).await;
        assert!(matches!(more, Either::Right(_)), "the others still have their places");
    }
}
