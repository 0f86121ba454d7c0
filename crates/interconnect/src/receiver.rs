//! The reader's end of a route.

use crate::RouteError;
use crate::batch::{Decoder, conform};
use crate::counters::{Moved, RouteState};
use crate::inbox::{Inbox, Item};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use damson_cluster::RouteKey;
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A route's batches, in the order in which they were sent. Made by [`Node::receiver`](crate::Node::receiver).
///
/// Ends only after the sender's explicit end-of-stream; whatever else ends the route is an error, once, and then the end.
/// Dropping it tells the sender to stop.
pub struct RouteReceiver {
    route: RouteKey,
    schema: SchemaRef,
    source: Source,
    decoder: Decoder,
}

/// Where a reader notes what it wrote to disk of a route's batches: in the route's counters.
#[derive(Clone)]
pub struct RouteSpills(Option<Arc<Inbox>>);

impl RouteSpills {
    pub fn add(&self, bytes: u64) {
        self.0.iter().for_each(|inbox| inbox.received.add_spilled(bytes));
    }
}

enum Source {
    Inbox(Arc<Inbox>),
    /// Refused at once.
    Failed(Option<RouteError>),
    /// The reader has had its error.
    Over(Arc<Inbox>),
}

impl RouteReceiver {
    pub(crate) fn new(route: RouteKey, inbox: Result<Arc<Inbox>, RouteError>, schema: SchemaRef) -> Self {
        let source = match inbox {
            Ok(inbox) => Source::Inbox(inbox),
            Err(error) => Source::Failed(Some(error)),
        };
        RouteReceiver { route, schema, source, decoder: Decoder::default() }
    }

    pub fn route(&self) -> RouteKey {
        self.route
    }

    /// What was taken so far.
    pub fn moved(&self) -> Moved {
        match &self.source {
            Source::Inbox(inbox) | Source::Over(inbox) => inbox.received.moved(),
            Source::Failed(_) => Moved::default(),
        }
    }

    /// For a reader that writes batches to disk, so that the sender can go on.
    pub fn spills(&self) -> RouteSpills {
        match &self.source {
            Source::Inbox(inbox) | Source::Over(inbox) => RouteSpills(Some(Arc::clone(inbox))),
            Source::Failed(_) => RouteSpills(None),
        }
    }

    /// A batch, unless the item is only a part of what one needs.
    fn batch_of(&mut self, item: Item) -> Result<Option<RecordBatch>, RouteError> {
        let batch = match item {
            Item::Batch(batch) => Some(batch),
            Item::Frame(frame) => self.decoder.decode(&frame).map_err(|e| self.protocol_error(e))?,
        };
        let conformed = batch.map(|batch| conform(batch, &self.schema)).transpose();
        conformed.map_err(|e| self.protocol_error(e))
    }

    fn end(&self, state: RouteState) {
        if let Source::Inbox(inbox) = &self.source {
            inbox.received.end(state);
        }
    }

    fn protocol_error(&self, message: impl ToString) -> RouteError {
        RouteError::Protocol { route: self.route, message: message.to_string() }
    }
}

impl Stream for RouteReceiver {
    type Item = Result<RecordBatch, RouteError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let taken = match &mut this.source {
                Source::Inbox(inbox) => ready!(inbox.poll_take(context)),
                Source::Failed(error) => return Poll::Ready(error.take().map(Err)),
                Source::Over(_) => return Poll::Ready(None),
            };
            let batch = match taken {
                None => {
                    this.end(RouteState::Ended);
                    return Poll::Ready(None);
                }
                Some(item) => item.and_then(|item| this.batch_of(item)),
            };
            match batch {
                Ok(None) => {}
                Ok(Some(batch)) => {
                    if let Source::Inbox(inbox) = &this.source {
                        inbox.received.add_batch();
                        inbox.received.add_rows(batch.num_rows() as u64);
                    }
                    return Poll::Ready(Some(Ok(batch)));
                }
                Err(error) => {
                    this.end(RouteState::Failed);
                    if let Source::Inbox(inbox) = &this.source {
                        inbox.fail(error.clone());
                        this.source = Source::Over(Arc::clone(inbox));
                    }
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Drop for RouteReceiver {
    fn drop(&mut self) {
        self.end(RouteState::Stopped);
        if let Source::Inbox(inbox) = &self.source {
            inbox.stop();
        }
    }
}
