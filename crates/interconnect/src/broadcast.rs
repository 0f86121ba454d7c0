//! The writer's end of a broadcast: one stream to many receivers.

use crate::RouteError;
use crate::batch::{Encoder, conform, cut, for_the_wire};
use crate::counters::Moved;
use crate::sender::{SenderEnd, protocol_error};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// Sends the same batches on several routes; a batch is encoded once, and its memory shared, however many receivers are
/// peers. Made by [`Node::broadcast`](crate::Node::broadcast).
///
/// Dropping it without [`BroadcastSender::finish`] gives the receivers an error, never a short result.
pub struct BroadcastSender {
    /// Of receivers that still want rows.
    ends: Vec<SenderEnd>,
    /// What receivers that have stopped were sent.
    moved_before: Moved,
    schema: SchemaRef,
    encoder: Encoder,
    message_bytes: usize,
    /// Messages encoded by the node, for tests and benchmarks.
    encoded: Arc<AtomicU64>,
}

impl BroadcastSender {
    pub(crate) fn new(
        ends: Vec<SenderEnd>,
        schema: SchemaRef,
        encoder: Encoder,
        message_bytes: usize,
        encoded: Arc<AtomicU64>,
    ) -> Self {
        BroadcastSender { ends, moved_before: Moved::default(), schema, encoder, message_bytes, encoded }
    }

    /// Sends a batch on every route whose receiver wants it, in order; waits while one's credit is spent. Gives the
    /// number of receivers that it went to.
    ///
    /// # Errors
    /// A receiver or a connection has failed, or the query was closed with a reason. The batch does not have the
    /// routes' schema.
    pub async fn send(&mut self, batch: RecordBatch) -> Result<usize, RouteError> {
        let Some(first) = self.ends.first() else { return Ok(0) };
        let route = first.route;
        let batch = conform(batch, &self.schema).map_err(|message| protocol_error(route, message))?;
        if self.ends.iter().any(SenderEnd::is_remote) {
            for piece in for_the_wire(&batch, self.message_bytes) {
                let frames = self.encoder.encode(&piece).map_err(|e| protocol_error(route, e))?;
                self.encoded.fetch_add(1, Ordering::Relaxed);
                for end in self.ends.iter_mut().filter(|end| end.is_remote()) {
                    // One that has stopped is left out below.
                    end.send_frames(&frames).await?;
                }
            }
        }
        if self.ends.iter().any(|end| !end.is_remote()) {
            for piece in cut(&batch, self.message_bytes) {
                for end in self.ends.iter_mut().filter(|end| !end.is_remote()) {
                    end.send_batch(piece.clone()).await?;
                }
            }
        }
        self.ends.retain(|end| {
            let stays = !end.is_stopped();
            if !stays {
                self.moved_before += end.moved();
            }
            stays
        });
        let rows = batch.num_rows() as u64;
        self.ends.iter().for_each(|end| end.sent_rows(rows));
        Ok(self.ends.len())
    }

    /// Keeps what is under way to each peer within `bytes`, whatever credit the receivers give.
    pub fn set_window(&mut self, bytes: usize) {
        self.ends.iter_mut().for_each(|end| end.set_window(bytes));
    }

    /// What was sent so far, on all routes together.
    pub fn moved(&self) -> Moved {
        self.ends.iter().map(SenderEnd::moved).fold(self.moved_before, |mut sum, moved| {
            sum += moved;
            sum
        })
    }

    /// True once no receiver wants more rows.
    pub fn all_stopped(&self) -> bool {
        self.ends.iter().all(SenderEnd::is_stopped)
    }

    /// Ready once nothing need be sent any more: every receiver has stopped, or its route has failed.
    pub fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        // One that is open is enough to wait for.
        if self.ends.iter().any(|end| end.poll_closed(context).is_pending()) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Ends the streams, and waits until all of them have arrived at the receivers' nodes.
    ///
    /// # Errors
    /// A route has failed before, or on the last of the way.
    pub async fn finish(self) -> Result<(), RouteError> {
        try_join_all(self.ends.into_iter().map(SenderEnd::finish)).await.map(|_: Vec<()>| ())
    }

    /// Ends the routes with an error, which the receivers get as it is.
    pub async fn fail(self, error: RouteError) {
        self.ends.into_iter().for_each(|end| end.fail(error.clone()));
    }
}
