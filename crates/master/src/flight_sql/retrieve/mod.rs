//! Parallel retrieve: a query's rows in several streams. Those of the master share its batches ([`shared`]). Those of the segments are each segment's
//! own ([`at_segments`]): a client comes to a segment's [`door`] with a ticket, which asks the master's [`gate`] whether it is good, and then gives the
//! rows of the slice that runs there ([`rows`]).

mod at_segments;
mod door;
mod gate;
mod messages;
mod passes;
mod rows;
mod shared;

pub(super) use at_segments::AtSegments;
pub use door::{RetrieveServer, serve_retrieve};
pub(super) use gate::Gate;
pub(super) use passes::Passes;
pub(super) use shared::Retrieval;

use damson_cluster::ContentId;
use std::sync::Arc;

/// One of a query's streams.
#[derive(Clone)]
pub(super) enum StreamOf {
    Shared(Arc<Retrieval>),
    Segment(Arc<AtSegments>, ContentId),
}

impl StreamOf {
    /// Whether its query runs, and waits for it to be read.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, StreamOf::Segment(query, _) if query.is_running())
    }
}
