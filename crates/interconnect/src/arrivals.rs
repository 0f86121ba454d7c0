//! A peer's bytes into an inbox: the receiving half of every driver.

use crate::RouteError;
use crate::inbox::Inbox;
use crate::route::ToReceiver;
use crate::wire::{Deframer, ReceivedFrame};
use bytes::Buf;
use std::sync::Arc;

/// What one route receives. The driver pushes whatever comes, whatever the reader does: only the credit holds a sender back.
///
/// Dropped before the stream's end, it fails the route.
pub(crate) struct Arrivals {
    inbox: Arc<Inbox>,
    deframer: Deframer,
    /// Why the stream ended, unless it was its end-of-stream.
    end: String,
}

impl Arrivals {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Arrivals { inbox, deframer: Deframer::default(), end: "the receiving node is stopping".into() }
    }

    /// Bytes of the stream, in order. False when no more are wanted: malformed ones have failed the route.
    pub(crate) fn push(&mut self, bytes: impl Buf) -> bool {
        let inbox = &self.inbox;
        match self.deframer.push(bytes, |frame| deliver(inbox, frame)) {
            Ok(()) => true,
            Err(error) => {
                inbox.fail(RouteError::Protocol { route: inbox.route, message: error.to_string() });
                false
            }
        }
    }

    /// The stream is over. A failure, unless the route was over before.
    pub(crate) fn end(mut self, reason: Option<String>) {
        self.end = match reason {
            Some(reason) => reason,
            None if self.deframer.is_at_boundary() => "the stream ended without end-of-stream".into(),
            None => "the stream ended within a message".into(),
        };
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        let reason = std::mem::take(&mut self.end);
        // Nothing happens if the route is over.
        self.inbox.receive(ToReceiver::Fail(RouteError::PeerLost { route: self.inbox.route, reason }), None);
    }
}

fn deliver(inbox: &Inbox, frame: ReceivedFrame) {
    match frame.meaning() {
        Ok(data @ ToReceiver::Data { .. }) => inbox.receive(data, Some(frame)),
        Ok(signal) => inbox.receive(signal, None),
        Err(message) => {
            inbox.fail(RouteError::Protocol { route: inbox.route, message });
            true
        }
    };
}
