//! What a motion does and between whom.

use damson_cluster::{ContentId, MapVersion, MotionId, SegmentSet};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Who runs a slice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gang {
    /// The master.
    Entry,
    /// One segment: a slice whose rows are in one place, or that direct dispatch sends to their owner.
    Single(ContentId),
    /// Every segment that the plan needs: the owners of its maps, and who has files of its tables.
    Segments(SegmentSet),
}

impl Gang {
    /// Ascending.
    pub fn contents(&self) -> Vec<ContentId> {
        match self {
            Gang::Entry => vec![ContentId::MASTER],
            Gang::Single(content) => vec![*content],
            Gang::Segments(segments) => segments.iter().collect(),
        }
    }

    pub fn contains(&self, content: ContentId) -> bool {
        match self {
            Gang::Entry => content.is_master(),
            Gang::Single(only) => *only == content,
            Gang::Segments(segments) => segments.contains(content),
        }
    }

    /// Number of QEs.
    pub fn size(&self) -> usize {
        match self {
            Gang::Entry | Gang::Single(_) => 1,
            Gang::Segments(segments) => segments.len(),
        }
    }
}

/// Which receiver gets a row.
#[derive(Clone, Debug)]
pub enum MotionKind {
    /// The one receiver. With an ordering, its sorted inputs are merged: `Merge Key`.
    Gather { merge: Option<LexOrdering> },
    /// The owner of the row's bucket, by the placement hash of the expressions: `Hash Key`.
    Redistribute { keys: Vec<Arc<dyn PhysicalExpr>>, map: MapVersion },
    /// The segment that the row names, by its content id (Int32): rows of a table back to where they are, or on to where they
    /// will be.
    Explicit { segment: Arc<dyn PhysicalExpr> },
    /// Receivers that own buckets of the map in turn, batch by batch: into randomly distributed tables.
    RoundRobin { map: MapVersion },
    /// Every receiver.
    Broadcast,
}

impl fmt::Display for MotionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MotionKind::Gather { .. } => "Gather Motion",
            MotionKind::Redistribute { .. } | MotionKind::RoundRobin { .. } => "Redistribute Motion",
            MotionKind::Explicit { .. } => "Explicit Redistribute Motion",
            MotionKind::Broadcast => "Broadcast Motion",
        })
    }
}

impl MotionKind {
    /// Expressions of the input's columns that decide where a row goes.
    pub fn routing(&self) -> &[Arc<dyn PhysicalExpr>] {
        match self {
            MotionKind::Redistribute { keys, .. } => keys,
            MotionKind::Explicit { segment } => std::slice::from_ref(segment),
            MotionKind::Gather { .. } | MotionKind::RoundRobin { .. } | MotionKind::Broadcast => &[],
        }
    }
}

/// A motion of a plan: its number (that of the slice which sends on it), what it does, and the gangs at its ends.
#[derive(Clone, Debug)]
pub struct MotionDef {
    pub id: MotionId,
    pub kind: MotionKind,
    pub senders: Gang,
    pub receivers: Gang,
}
