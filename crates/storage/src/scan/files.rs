//! What scans read from.

use crate::cache::ColumnCache;
use crate::footers::Footers;
use object_store::ObjectStore;
use std::sync::Arc;

/// A content's files, their footers, and the node's cache of their columns. Made by [`crate::TableStore`].
#[derive(Debug)]
pub(crate) struct TableFiles {
    pub store: Arc<dyn ObjectStore>,
    pub footers: Footers,
    pub cache: Arc<ColumnCache>,
}
