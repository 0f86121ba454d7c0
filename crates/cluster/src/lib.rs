//! What the nodes of a cluster must agree on: ids, topology, table and file descriptions, the bucket map and the
//! placement hash. No I/O, no clock, no randomness; [`failpoint`] and [`fault`], for tests, alone look at the
//! environment.

mod bucket_map;
mod failpoint;
mod ids;
mod load;
pub mod placement;
pub mod sketch;
mod table;
mod topology;

pub use bucket_map::{BUCKETS, BucketMap, BucketMapError};
pub use failpoint::{FAILPOINT, FAULTS, failpoint, fault};
pub use ids::{ContentId, MapVersion, MotionId, QueryId, RouteKey, SessionId, SliceId, SnapshotId, TableId};
pub use load::{CopyFormat, CopyUnit, CsvOptions, ParquetOptions};
pub use table::{
    ColumnDef, ColumnStats, Compression, DeleteVector, Distribution, FILE_COLUMN, FileEntry, Modification, ROW_COLUMN,
    StatValue, TableDef,
};
pub use topology::{Endpoint, SegmentDef, Topology};
