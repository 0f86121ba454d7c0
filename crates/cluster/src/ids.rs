//! A newtype for every id, so that no two can be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// One statement's execution; unique for the life of a cluster, given out by the master.
    QueryId, u64, "q"
);
id!(
    /// A motion of one query, counted from 1; the slice that sends on it has the same number.
    MotionId, u32, "m"
);
id!(
    /// A slice of one query; 0 is the root, which runs on the master.
    SliceId, u32, "slice"
);
id!(
    /// One client connection.
    SessionId, u64, "con"
);
id!(
    /// A table, for ever: never used again after DROP.
    TableId, u64, "t"
);
id!(
    /// A sequence's values, for ever: a sequence that is restarted gets another. Given out together with tables' ids.
    SequenceId, u64, "seq"
);
id!(
    /// A tablespace, for ever. Given out together with tables' ids.
    TablespaceId, u64, "ts"
);
id!(
    /// A state of the whole database; every commit makes the next one.
    SnapshotId, u64, "s"
);
id!(
    /// A bucket map's version; a table names the one that it is laid out by.
    MapVersion, u32, "map"
);

/// A data node: 0..n-1 for segments, -1 for the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId(pub i32);

impl ContentId {
    pub const MASTER: ContentId = ContentId(-1);

    pub fn is_master(self) -> bool {
        self == Self::MASTER
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_master() { f.write_str("master") } else { write!(f, "seg{}", self.0) }
    }
}

/// One sender to one receiver of one motion of one query. Its text, `q17 m2 seg1->seg3`, is in every log and error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteKey {
    pub query: QueryId,
    pub motion: MotionId,
    pub sender: ContentId,
    pub receiver: ContentId,
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}->{}", self.query, self.motion, self.sender, self.receiver)
    }
}
