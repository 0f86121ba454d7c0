//! Waiting for places, and having them.

use super::queue::{Asked, Queue, Ticket};
use crate::limits::UNUSED_MAX;
use damson_cluster::SessionId;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt, ready};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;

/// The places of a master's statements. One a master.
pub(crate) struct Admission {
    /// None: there are as many as are wanted.
    inner: Option<Arc<Mutex<Inner>>>,
}

struct Inner {
    queue: Queue,
    next: u64,
    /// To be told when they are admitted.
    waiters: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Inner {
    fn wake(&mut self, admitted: impl IntoIterator<Item = Ticket>) {
        for ticket in admitted {
            // Who does not listen any more leaves by itself.
            let _ = self.waiters.remove(&ticket).map(|waiter| waiter.send(()));
        }
    }
}

/// A statement's place, or its place among those that wait; given back when it is dropped. None: it needs none.
pub(crate) struct Admitted(Option<Arc<Place>>);

struct Place {
    ticket: Ticket,
    inner: Arc<Mutex<Inner>>,
}

impl Admission {
    pub(crate) fn new(places: Option<NonZeroUsize>) -> Self {
        let inner = |places| Inner { queue: Queue::new(places), next: 0, waiters: HashMap::new() };
        Admission { inner: places.map(|places| Arc::new(Mutex::new(inner(places)))) }
    }

    /// Asks for a place; `serial` is the session, if its client sends one statement after the other. It is there once what is given beside it is
    /// told, if something is.
    pub(crate) fn ask(&self, serial: Option<SessionId>) -> (Admitted, Option<oneshot::Receiver<()>>) {
        let Some(shared) = &self.inner else { return (Admitted::without_place(), None) };
        let mut inner = shared.lock();
        inner.next += 1;
        let ticket = Ticket(inner.next);
        let told = match inner.queue.ask(ticket, serial) {
            Asked::Admitted => None,
            Asked::Waits => {
                let (sender, told) = oneshot::channel();
                inner.waiters.insert(ticket, sender);
                Some(told)
            }
        };
        (Admitted(Some(Arc::new(Place { ticket, inner: Arc::clone(shared) }))), told)
    }

    /// Gives places that clients do not use to those that wait; to be called again and again.
    pub(crate) fn tick(&self, now: Instant) {
        if let Some(inner) = &self.inner {
            let mut inner = inner.lock();
            let admitted = inner.queue.tick(now, UNUSED_MAX);
            inner.wake(admitted);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        inner.waiters.remove(&self.ticket);
        let admitted = inner.queue.leave(self.ticket);
        inner.wake(admitted);
    }
}

impl Admitted {
    pub(crate) fn without_place() -> Self {
        Admitted(None)
    }

    /// A query's rows, which give the place back when they have ended. While nobody takes them it may be another's.
    pub(crate) fn over(self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        match self.0 {
            None => rows,
            Some(place) => {
                let mut place = PlaceUse::new(place);
                place.waits_for_client();
                Box::pin(RowsInPlace { rows, place: Some(place) })
            }
        }
    }

    /// What tells when the statement waits for rows that its client sends.
    pub(crate) fn place_use(&self) -> Option<PlaceUse> {
        self.0.as_ref().map(|place| PlaceUse::new(Arc::clone(place)))
    }
}

/// Says whether a statement works, or waits for its client. Keeps the place.
pub(crate) struct PlaceUse {
    place: Arc<Place>,
    is_used: bool,
}

impl PlaceUse {
    fn new(place: Arc<Place>) -> Self {
        PlaceUse { place, is_used: true }
    }

    pub(crate) fn works(&mut self) {
        if !self.is_used {
            self.is_used = true;
            self.place.inner.lock().queue.is_used(self.place.ticket);
        }
    }

    pub(crate) fn waits_for_client(&mut self) {
        if self.is_used {
            self.is_used = false;
            let mut inner = self.place.inner.lock();
            let admitted = inner.queue.is_unused(self.place.ticket, Instant::now());
            inner.wake(admitted);
        }
    }
}

struct RowsInPlace {
    rows: SendableRecordBatchStream,
    place: Option<PlaceUse>,
}

impl Stream for RowsInPlace {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(place) = &mut self.place {
            place.works();
        }
        let next = ready!(self.rows.poll_next_unpin(context));
        match &mut self.place {
            Some(place) if matches!(next, Some(Ok(_))) => place.waits_for_client(),
            // Nothing runs any more.
            _ => self.place = None,
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for RowsInPlace {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::{FutureExt, stream};

    fn admission() -> Admission {
        Admission::new(NonZeroUsize::new(1))
    }

    fn rows(batches: usize) -> SendableRecordBatchStream {
        let schema = Arc::new(Schema::empty());
        let batch = RecordBatch::new_empty(Arc::clone(&schema));
        let batches = stream::iter((0..batches).map(move |_| Ok(batch.clone())));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    #[tokio::test]
    async fn whoever_drops_it_gives_it_back() {
        let admission = admission();
        let (first, waits) = admission.ask(None);
        assert!(waits.is_none());
        let (given_up, waits) = admission.ask(None);
        assert!(waits.is_some());
        let (third, mut waits) = admission.ask(None);
        drop(given_up);
        assert!(waits.as_mut().unwrap().now_or_never().is_none());
        // A task that panics drops what it has.
        let died = tokio::spawn(async move {
            let _first = first;
            panic!("of this test");
        });
        died.await.unwrap_err();
        waits.unwrap().await.unwrap();
        drop(third);
        assert!(admission.ask(None).1.is_none());
    }

    #[tokio::test]
    async fn rows_keep_it_to_their_end_or_their_drop() {
        let admission = admission();
        for reads_all in [true, false] {
            let (admitted, waits) = admission.ask(None);
            assert!(waits.is_none());
            let mut rows = admitted.over(rows(2));
            let (other, waits) = admission.ask(None);
            let waits = waits.expect("the rows have the place");
            rows.next().await.unwrap().unwrap();
            if reads_all {
                rows.next().await.unwrap().unwrap();
                assert!(rows.next().await.is_none());
            } else {
                drop(rows);
            }
            waits.await.unwrap();
            drop(other);
        }
    }

    #[tokio::test]
    async fn rows_that_nobody_takes_lose_it_and_go_on() {
        let admission = admission();
        let mut rows = admission.ask(None).0.over(rows(2));
        rows.next().await.unwrap().unwrap();
        let (_other, waits) = admission.ask(None);
        let mut waits = waits.expect("the rows have the place");
        admission.tick(Instant::now());
        assert!((&mut waits).now_or_never().is_none());
        admission.tick(Instant::now() + UNUSED_MAX);
        waits.await.unwrap();
        rows.next().await.unwrap().unwrap();
        assert!(rows.next().await.is_none());
        let (_third, waits) = admission.ask(None);
        assert!(waits.is_some(), "the other still has the place");
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let admission = Admission::new(None);
        let all: Vec<_> = (0..1_000).map(|session| admission.ask(Some(SessionId(session)))).collect();
        assert!(all.iter().all(|(admitted, waits)| admitted.0.is_none() && waits.is_none()));
    }
}
