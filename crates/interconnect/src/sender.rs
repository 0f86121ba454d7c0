//! The writer's end of a route.

use crate::RouteError;
use crate::batch::{Encoder, batch_bytes, conform, cut, for_the_wire};
use crate::counters::{Moved, RouteCounters};
use crate::inbox::Inbox;
use crate::limits::FRAME_BYTES_MAX;
use crate::outbox::Outbox;
use crate::route::{Admission, ToReceiver};
use crate::wire::Frame;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use damson_cluster::RouteKey;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Accepted,
    /// The receiver wants no more; nothing needs to be sent or finished.
    Stopped,
}

/// Sends a route's batches. Made by [`Node::sender`](crate::Node::sender).
///
/// Dropping it without [`RouteSender::finish`] gives the receiver an error, never a short result.
pub struct RouteSender {
    pub(crate) end: SenderEnd,
    schema: SchemaRef,
    /// For a route to a peer.
    encoder: Option<Box<Encoder>>,
    message_bytes: usize,
}

/// A route's sending end, whoever encodes for it.
pub(crate) struct SenderEnd {
    pub(crate) route: RouteKey,
    link: Link,
    is_ended: bool,
}

pub(crate) enum Link {
    /// To a content of this process.
    Local(Arc<Inbox>),
    Remote(Arc<Outbox>),
    /// The receiver's content has ended its part of the query.
    Stopped,
    Failed(RouteError),
}

impl RouteSender {
    pub(crate) fn new(end: SenderEnd, schema: SchemaRef, encoder: Option<Encoder>, message_bytes: usize) -> Self {
        RouteSender { end, schema, encoder: encoder.map(Box::new), message_bytes }
    }

    pub fn route(&self) -> RouteKey {
        self.end.route
    }

    /// Sends a batch, in order; waits while the route's credit is spent.
    ///
    /// # Errors
    /// The receiver or the connection has failed, or the query was closed with a reason. The batch does not have the
    /// route's schema.
    pub async fn send(&mut self, batch: RecordBatch) -> Result<Sent, RouteError> {
        let route = self.end.route;
        let batch = conform(batch, &self.schema).map_err(|message| protocol_error(route, message))?;
        let rows = batch.num_rows() as u64;
        if let Some(encoder) = &mut self.encoder {
            for piece in for_the_wire(&batch, self.message_bytes) {
                let frames = encoder.encode(&piece).map_err(|e| protocol_error(route, e))?;
                if self.end.send_frames(&frames).await? == Sent::Stopped {
                    return Ok(Sent::Stopped);
                }
            }
        } else {
            // A message fits the receiver's reserve.
            for piece in cut(&batch, self.message_bytes) {
                if self.end.send_batch(piece).await? == Sent::Stopped {
                    return Ok(Sent::Stopped);
                }
            }
        }
        self.end.sent_rows(rows);
        Ok(Sent::Accepted)
    }

    /// Ends the stream, and waits until all of it has arrived at the receiver's node: not for its reader. The end is on its way
    /// once this has been polled; it is delivered even when the query is closed here, or this is dropped.
    ///
    /// # Errors
    /// The route has failed before, or on the last of the way.
    pub async fn finish(self) -> Result<(), RouteError> {
        self.end.finish().await
    }

    /// Ends the route with an error, which the receiver gets as it is.
    pub async fn fail(self, error: RouteError) {
        self.end.fail(error);
    }

    /// Keeps what is under way to a peer within `bytes`, whatever credit the receiver gives; one message can always be.
    pub fn set_window(&mut self, bytes: usize) {
        self.end.set_window(bytes);
    }

    /// True once the receiver wants no more rows.
    pub fn is_stopped(&self) -> bool {
        self.end.is_stopped()
    }

    /// Ready once nothing need be sent any more: the receiver has stopped, or the route has failed.
    pub fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        self.end.poll_closed(context)
    }

    /// What was accepted so far.
    pub fn moved(&self) -> Moved {
        self.end.moved()
    }

    /// Bytes of the batches accepted so far: encoded ones to a peer, in memory within the process.
    pub fn bytes_sent(&self) -> u64 {
        self.moved().bytes
    }

    pub fn rows_sent(&self) -> u64 {
        self.moved().rows
    }
}

impl SenderEnd {
    pub(crate) fn new(route: RouteKey, link: Link) -> Self {
        SenderEnd { route, link, is_ended: false }
    }

    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.link, Link::Remote(_))
    }

    /// A batch by pointer, to a content of this process; a remote route takes frames.
    pub(crate) async fn send_batch(&mut self, batch: RecordBatch) -> Result<Sent, RouteError> {
        match &self.link {
            Link::Local(inbox) => {
                let bytes = batch_bytes(&batch);
                match inbox.sent.blocked(|context| inbox.poll_admit(context, bytes)).await {
                    Admission::Send => inbox.push(batch, bytes),
                    Admission::Stopped => return Ok(Sent::Stopped),
                    Admission::Failed(error) => return Err(error),
                    Admission::Wait => unreachable!("waiting is pending"),
                }
                inbox.sent.add_batch();
                inbox.sent.add_bytes(bytes);
                Ok(Sent::Accepted)
            }
            Link::Remote(_) => unreachable!("a remote route takes frames"),
            Link::Stopped => Ok(Sent::Stopped),
            Link::Failed(error) => Err(error.clone()),
        }
    }

    /// The messages of one batch, to a peer.
    pub(crate) async fn send_frames(&mut self, frames: &[Frame]) -> Result<Sent, RouteError> {
        let Link::Remote(outbox) = &self.link else { unreachable!("a local route takes batches") };
        if let Some(frame) = frames.iter().find(|frame| frame.bytes() > FRAME_BYTES_MAX) {
            let message = format!("a message of {} bytes is longer than {FRAME_BYTES_MAX}", frame.bytes());
            return Err(protocol_error(self.route, message));
        }
        let bytes = frames.iter().map(|frame| frame.bytes()).sum();
        match outbox.sent.blocked(|context| outbox.poll_admit(context, bytes)).await {
            Admission::Send => outbox.push(frames.iter().cloned(), bytes),
            Admission::Stopped => return Ok(Sent::Stopped),
            Admission::Failed(error) => return Err(error),
            Admission::Wait => unreachable!("waiting is pending"),
        }
        outbox.sent.add_batch();
        outbox.sent.add_bytes(bytes);
        Ok(Sent::Accepted)
    }

    pub(crate) fn set_window(&mut self, bytes: usize) {
        if let Link::Remote(outbox) = &self.link {
            outbox.set_window(bytes as u64);
        }
    }

    pub(crate) fn sent_rows(&self, rows: u64) {
        self.counters().into_iter().for_each(|counters| counters.add_rows(rows));
    }

    pub(crate) fn moved(&self) -> Moved {
        self.counters().map(RouteCounters::moved).unwrap_or_default()
    }

    /// None for a route that was over when it was opened.
    fn counters(&self) -> Option<&RouteCounters> {
        match &self.link {
            Link::Local(inbox) => Some(&inbox.sent),
            Link::Remote(outbox) => Some(&outbox.sent),
            Link::Stopped | Link::Failed(_) => None,
        }
    }

    /// # Errors
    /// The route has failed before, or on the last of the way: without this, a receiver that was never reached would wait
    /// for ever, and nobody would know.
    pub(crate) async fn finish(mut self) -> Result<(), RouteError> {
        self.end(ToReceiver::End)?;
        match &self.link {
            Link::Remote(outbox) => poll_fn(|context| outbox.poll_delivered(context)).await,
            Link::Local(_) | Link::Stopped | Link::Failed(_) => Ok(()),
        }
    }

    pub(crate) fn fail(mut self, error: RouteError) {
        // One that has failed already has told the receiver.
        let _ = self.end(ToReceiver::Fail(error));
    }

    fn end(&mut self, last_word: ToReceiver) -> Result<(), RouteError> {
        self.is_ended = true;
        match &self.link {
            Link::Local(inbox) => inbox.end(last_word),
            Link::Remote(outbox) => outbox.end(last_word),
            Link::Stopped => Ok(()),
            Link::Failed(error) => Err(error.clone()),
        }
    }

    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.link {
            Link::Local(inbox) => inbox.poll_closed(context),
            Link::Remote(outbox) => outbox.poll_closed(context),
            Link::Stopped | Link::Failed(_) => Poll::Ready(()),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        match &self.link {
            Link::Local(inbox) => inbox.is_stopped(),
            Link::Remote(outbox) => outbox.is_stopped(),
            Link::Stopped => true,
            Link::Failed(_) => false,
        }
    }
}

pub(crate) fn protocol_error(route: RouteKey, message: impl ToString) -> RouteError {
    RouteError::Protocol { route, message: message.to_string() }
}

impl Drop for SenderEnd {
    fn drop(&mut self) {
        if !self.is_ended {
            let reason = "its sender went away without end-of-stream".into();
            let _ = self.end(ToReceiver::Fail(RouteError::PeerLost { route: self.route, reason }));
        }
    }
}
