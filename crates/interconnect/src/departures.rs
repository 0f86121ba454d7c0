//! An outbox as a stream of bytes: the sending half of every driver.

use crate::outbox::Outbox;
use crate::wire::Integrity;
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What one route sends, in chunks that share the batches' memory.
pub(crate) struct Departures {
    outbox: Arc<Outbox>,
    integrity: Integrity,
    /// Of the frame that is under way.
    chunks: std::vec::IntoIter<Bytes>,
}

impl Departures {
    pub(crate) fn new(outbox: Arc<Outbox>, integrity: Integrity) -> Self {
        Departures { outbox, integrity, chunks: vec![].into_iter() }
    }

    /// The next chunk; None when the route is over.
    pub(crate) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(chunk) = self.chunks.next() {
                return Poll::Ready(Some(chunk));
            }
            let Some(frame) = ready!(self.outbox.poll_frame(context)) else { return Poll::Ready(None) };
            self.chunks = frame.chunks(self.integrity).into_iter();
        }
    }
}
