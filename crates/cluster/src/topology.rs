//! Who is in the cluster and where each listens.

use crate::ContentId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a node process is reached by its peers: `host:port`. Two contents with equal endpoints share a process, and
/// their motions pass batches by pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Endpoint(pub String);

impl Endpoint {
    /// The endpoint of a process that serves no peer: `damson demo`.
    pub fn in_process() -> Self {
        Endpoint("in-process".into())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One row of `gp_segment_configuration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentDef {
    pub dbid: u32,
    pub content: ContentId,
    pub endpoint: Endpoint,
    pub data_dir: String,
    pub up: bool,
}

/// The master and its segments, as a query sees them: fixed for the query's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    pub master: Endpoint,
    /// Index = content id.
    pub segments: Vec<Endpoint>,
}

impl Topology {
    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    pub fn contents(&self) -> impl Iterator<Item = ContentId> {
        (0..self.segments.len() as i32).map(ContentId)
    }

    /// # Panics
    /// If `content` is not in the cluster: a plan never names one that is not.
    pub fn endpoint(&self, content: ContentId) -> &Endpoint {
        if content.is_master() { &self.master } else { &self.segments[content.0 as usize] }
    }
}
