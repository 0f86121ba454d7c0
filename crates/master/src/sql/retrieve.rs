//! Parallel retrieve, which no text says.

use damson_cluster::SegmentSet;
use damson_motion::RetrievalId;
use sqlparser::ast;
use std::sync::Arc;
use tokio::sync::watch;

/// A query whose rows its client fetches from segments, from each its own.
#[derive(Clone, Debug)]
pub struct Retrieve {
    pub(crate) query: Box<ast::Statement>,
    pub(crate) id: RetrievalId,
    /// Those that the client was told of.
    pub(crate) segments: SegmentSet,
    /// Is told whether all of them wait for the client.
    pub(crate) is_idle: Arc<watch::Sender<bool>>,
}
