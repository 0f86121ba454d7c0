//! Connections that have been accepted and are not ready yet.

use super::socket::PeerStream;
use crate::limits::{HANDSHAKE_TIME, HANDSHAKES_MAX};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use std::collections::VecDeque;
use std::io;
use tokio::sync::oneshot;
use tokio::time::Instant;

type Handshake = BoxFuture<'static, io::Result<PeerStream>>;

/// Handshakes that do not wait for each other, at most [`HANDSHAKES_MAX`]. Where all places are taken, the oldest one gives way once
/// it has had [`HANDSHAKE_TIME`]: a peer is done by then, so those that stay are of clients who say nothing, and must keep nobody
/// out. More peers than there are places wait for each other in the listener's queue.
#[derive(Default)]
struct Handshakes {
    under_way: FuturesUnordered<Handshake>,
    /// Of each one under way, oldest first: since when; dropped, it ends.
    places: VecDeque<(Instant, oneshot::Sender<()>)>,
}

impl Handshakes {
    fn push(&mut self, handshake: impl Future<Output = io::Result<PeerStream>> + Send + 'static) {
        let (place, lost) = oneshot::channel();
        self.places.push_back((Instant::now(), place));
        self.under_way.push(Box::pin(async move {
            tokio::select! {
                biased;
                done = handshake => done,
                _ = lost => Err(io::Error::new(io::ErrorKind::TimedOut, "others waited for its place")),
            }
        }));
    }

    /// The next one that is over, or never if there are none.
    async fn next(under_way: &mut FuturesUnordered<Handshake>) -> io::Result<PeerStream> {
        match under_way.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// When another one may begin: now, or once the oldest has had its time.
    fn place_from(&mut self) -> Instant {
        self.places.retain(|(_, place)| !place.is_closed());
        match self.places.front() {
            Some((since, _)) if self.places.len() >= HANDSHAKES_MAX => *since + HANDSHAKE_TIME,
            _ => Instant::now(),
        }
    }

    fn make_place(&mut self) {
        if self.places.len() >= HANDSHAKES_MAX {
            tracing::warn!("a connection that said nothing was ended: others wait for its place");
            self.places.pop_front();
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
            let place_from = handshakes.place_from();
            let next = async {
                tokio::time::sleep_until(place_from).await;
                accepted.next().await
            };
            tokio::select! {
                // First, so that what is done makes place before somebody is sent away for it.
                biased;
                done = Handshakes::next(&mut handshakes.under_way) => return Some((done, (accepted, handshakes))),
                handshake = next => match handshake {
                    Some(handshake) => {
                        handshakes.make_place();
                        handshakes.push(handshake);
                    }
                    None if handshakes.under_way.is_empty() => return None,
                    None => {
                        let done = Handshakes::next(&mut handshakes.under_way).await;
                        return Some((done, (accepted, handshakes)));
                    }
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
    use futures::future::pending;
    use futures::stream;
    use tokio::net::{TcpListener, TcpStream};

    async fn peer() -> PeerStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        PeerStream::new(stream, Transport::FlightTcp, &ConnectionCount::default())
    }

    /// Clients that say nothing, more than there are places, and then a peer.
    #[tokio::test]
    async fn the_silent_keep_nobody_out() {
        let ready = async move { Ok(peer().await) };
        let silent = (0..2 * HANDSHAKES_MAX).map(|_| pending::<io::Result<PeerStream>>().boxed());
        let accepted = stream::iter(silent.chain([ready.boxed()])).chain(stream::pending());
        let mut connections = Box::pin(complete(accepted));
        let started = Instant::now();
        let mut refused = 0;
        while connections.next().await.unwrap().is_err() {
            refused += 1;
        }
        assert_eq!(refused, HANDSHAKES_MAX + 1, "the oldest, and no more of them than there are later ones");
        assert!(started.elapsed() < 20 * HANDSHAKE_TIME, "{:?}", started.elapsed());
    }

    /// As after a restart: every peer connects at once, and each needs some time.
    #[tokio::test]
    async fn many_peers_at_once_are_all_let_in() {
        let count = 4 * HANDSHAKES_MAX;
        let slow = (0..count).map(|_| async {
            tokio::time::sleep(HANDSHAKE_TIME / 10).await;
            Ok(peer().await)
        });
        let connections: Vec<_> = complete(stream::iter(slow)).collect().await;
        assert!(connections.len() == count && connections.iter().all(Result::is_ok));
    }
}
