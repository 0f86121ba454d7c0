//! What scans read from.

use crate::cache::ColumnCache;
use crate::deletes::DeleteVectors;
use crate::footers::Footers;
use crate::places::Place;
use std::sync::Arc;

/// A content's files at one place, their footers and delete vectors, and the node's cache of their columns and keys. Made by [`crate::TableStore`].
#[derive(Debug)]
pub(crate) struct TableFiles {
    pub place: Place,
    pub footers: Footers,
    pub deletes: DeleteVectors,
    pub cache: Arc<ColumnCache>,
}
