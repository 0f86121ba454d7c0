//! The rows of this process's slices that clients fetch here.

use crate::limits::{CLIENT_SLOW, RETRIEVED_BATCHES_MAX};
use arrow::array::RecordBatch;
use damson_cluster::ContentId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// One parallel retrieve of one query, as master and segments know it. No client is told it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetrievalId(pub u128);

impl fmt::Debug for RetrievalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "retrieval {:032x}", self.0)
    }
}

type Key = (RetrievalId, ContentId);

/// Where slices and clients of this process meet: whoever comes first waits. One a process.
#[derive(Default)]
pub struct Retrievals {
    places: Arc<Mutex<HashMap<Key, Place>>>,
}

enum Place {
    /// A slice that runs.
    Offered(mpsc::Receiver<Piece>),
    /// A client.
    Wanted(oneshot::Sender<mpsc::Receiver<Piece>>),
}

enum Piece {
    Batch(RecordBatch),
    /// There are no more.
    End,
}

/// The client has left.
#[derive(Debug)]
pub struct Gone;

/// Whether a slice waits for its client, for a while already: for who has started it.
#[derive(Default)]
pub struct WaitsForClient(pub watch::Sender<bool>);

/// A slice's end. Dropping it breaks the client's.
pub struct Offered {
    sender: mpsc::Sender<Piece>,
    waits: Arc<WaitsForClient>,
    _here: Here,
}

/// A client's end.
#[derive(Debug)]
pub struct Retrieved {
    receiver: mpsc::Receiver<Piece>,
    has_ended: bool,
}

/// What [`Retrieved::next`] has.
#[derive(Debug)]
pub enum Taken {
    Batch(RecordBatch),
    /// The client has all rows.
    End,
    /// The slice was ended before it had given all; the master knows why.
    Broken,
}

impl Retrievals {
    /// The slice's end of a retrieval on a content; None if it has one already.
    pub fn offer(&self, id: RetrievalId, content: ContentId, waits: Arc<WaitsForClient>) -> Option<Offered> {
        let (sender, receiver) = mpsc::channel(RETRIEVED_BATCHES_MAX);
        let key = (id, content);
        let mut places = self.places.lock();
        let wanted = match places.entry(key) {
            Entry::Vacant(_) => None,
            Entry::Occupied(place) => match place.remove() {
                Place::Wanted(client) => Some(client),
                there @ Place::Offered(_) => {
                    places.insert(key, there);
                    return None;
                }
            },
        };
        // A client that has left since leaves nobody to give them to.
        let receiver = match wanted {
            Some(client) => client.send(receiver).err(),
            None => Some(receiver),
        };
        if let Some(receiver) = receiver {
            places.insert(key, Place::Offered(receiver));
        }
        drop(places);
        Some(Offered { sender, waits, _here: Here { places: Arc::clone(&self.places), key } })
    }

    /// The client's end, once there is a slice's. None if another client has it, or waits for it.
    pub async fn take(&self, id: RetrievalId, content: ContentId) -> Option<Retrieved> {
        let key = (id, content);
        let coming = {
            let mut places = self.places.lock();
            match places.remove(&key) {
                Some(Place::Offered(receiver)) => return Some(Retrieved { receiver, has_ended: false }),
                Some(other @ Place::Wanted(_)) => {
                    places.insert(key, other);
                    return None;
                }
                None => {
                    let (sender, coming) = oneshot::channel();
                    places.insert(key, Place::Wanted(sender));
                    coming
                }
            }
        };
        let _here = Here { places: Arc::clone(&self.places), key };
        coming.await.ok().map(|receiver| Retrieved { receiver, has_ended: false })
    }
}

/// Takes what waits at a place away with who has put it there.
struct Here {
    places: Arc<Mutex<HashMap<Key, Place>>>,
    key: Key,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.places.lock().remove(&self.key);
    }
}

impl Offered {
    /// Gives the client a batch, once it has taken those before.
    ///
    /// # Errors
    /// It has left.
    pub async fn send(&mut self, batch: RecordBatch) -> Result<(), Gone> {
        self.patiently(self.sender.send(Piece::Batch(batch))).await.map_err(|_| Gone)
    }

    /// Says that there are no more, and waits until the client knows.
    ///
    /// # Errors
    /// It has left.
    pub async fn finish(self) -> Result<(), Gone> {
        self.patiently(self.sender.send(Piece::End)).await.map_err(|_| Gone)?;
        self.patiently(self.sender.closed()).await;
        Ok(())
    }

    /// What the client has to do. If it takes its time, that is told.
    async fn patiently<T>(&self, client: impl Future<Output = T>) -> T {
        let mut client = pin!(client);
        if let Ok(done) = tokio::time::timeout(CLIENT_SLOW, &mut client).await {
            return done;
        }
        self.waits.0.send_replace(true);
        let done = client.await;
        self.waits.0.send_replace(false);
        done
    }
}

impl Retrieved {
    /// The next batch. After the last the slice knows that the client has them all.
    pub async fn next(&mut self) -> Taken {
        if self.has_ended {
            return Taken::End;
        }
        match self.receiver.recv().await {
            Some(Piece::Batch(batch)) => Taken::Batch(batch),
            Some(Piece::End) => {
                self.has_ended = true;
                self.receiver.close();
                Taken::End
            }
            None => Taken::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use futures::FutureExt;

    const ID: RetrievalId = RetrievalId(7);
    const HERE: ContentId = ContentId(0);

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    fn offer(retrievals: &Retrievals) -> Option<Offered> {
        retrievals.offer(ID, HERE, Arc::default())
    }

    /// A slice that gives three batches, which are more than wait.
    async fn slice(mut offered: Offered) -> Result<(), Gone> {
        for _ in 0..3 {
            offered.send(batch()).await?;
        }
        offered.finish().await
    }

    async fn client(retrievals: &Retrievals) -> usize {
        let mut retrieved = retrievals.take(ID, HERE).await.expect("nobody else has them");
        let mut batches = 0;
        loop {
            match retrieved.next().await {
                Taken::Batch(_) => batches += 1,
                Taken::End => return batches,
                Taken::Broken => panic!("it was ended"),
            }
        }
    }

    #[tokio::test]
    async fn slice_and_client_meet_whoever_comes_first() {
        let retrievals = Retrievals::default();
        let offered = offer(&retrievals).unwrap();
        assert!(offer(&retrievals).is_none(), "a slice offers once");
        let _other = retrievals.offer(ID, ContentId(1), Arc::default()).unwrap();
        let (given, got) = tokio::join!(slice(offered), client(&retrievals));
        assert_eq!((given.is_ok(), got), (true, 3));

        let mut client = Box::pin(client(&retrievals));
        assert!(client.as_mut().now_or_never().is_none());
        assert!(retrievals.take(ID, HERE).await.is_none(), "another waits already");
        let (given, got) = tokio::join!(slice(offer(&retrievals).unwrap()), client);
        assert_eq!((given.is_ok(), got), (true, 3));
    }

    #[tokio::test]
    async fn who_leaves_is_not_waited_for() {
        let retrievals = Retrievals::default();
        // A slice that is dropped.
        let offered = offer(&retrievals).unwrap();
        let mut retrieved = retrievals.take(ID, HERE).await.unwrap();
        drop(offered);
        assert!(matches!(retrieved.next().await, Taken::Broken));
        // A client that is.
        let mut offered = offer(&retrievals).unwrap();
        drop(retrievals.take(ID, HERE).await);
        assert!(offered.send(batch()).await.is_err());
        drop(offered);
        // One that waited in vain.
        assert!(retrievals.take(ID, HERE).now_or_never().is_none());
        assert!(retrievals.places.lock().is_empty());
        let offered = offer(&retrievals).unwrap();
        assert!(slice(offered).now_or_never().is_none(), "nobody takes them");
        assert!(retrievals.places.lock().is_empty());
    }

    #[tokio::test]
    async fn a_slow_client_is_told_of() {
        let retrievals = Retrievals::default();
        let waits = Arc::new(WaitsForClient::default());
        let mut told = waits.0.subscribe();
        let offered = retrievals.offer(ID, HERE, waits).unwrap();
        let slow = async {
            told.wait_for(|waits| *waits).await.unwrap();
            assert_eq!(client(&retrievals).await, 3);
            told.wait_for(|waits| !*waits).await.unwrap();
        };
        let (given, ()) = tokio::join!(slice(offered), slow);
        assert!(given.is_ok());
    }
}
