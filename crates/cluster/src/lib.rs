//! What the nodes of a cluster must agree on: ids, topology, table and file descriptions, the bucket map and the
//! placement hash. No I/O, no clock, no randomness; [`failpoint`] and [`fault`], for tests, alone look at the
//! environment.

mod access;
mod backup;
mod bad_row;
mod bucket_map;
mod change;
mod copy_to;
mod departures;
mod failpoint;
mod handover;
mod ids;
mod layout;
mod load;
mod place;
pub mod placement;
mod scan_counts;
mod segment_set;
mod sequence;
mod shared_path;
pub mod sketch;
mod table;
mod topology;

pub use access::{SecretType, SourceAccess};
pub use backup::{BackupFile, Copied, RestoreFile};
pub use bad_row::{bad_row_batch, bad_row_schema};
pub use bucket_map::{BUCKETS, BucketMap, BucketMapError};
pub use change::{Modification, OnDuplicate, Once, RowChange, UniqueKey};
pub use copy_to::{COPY_MANIFEST, CopiedPart, CopyTarget};
pub use departures::{Departures, Fate};
pub use failpoint::{FAILPOINT, FAULTS, failpoint, fault};
pub use handover::{HandedOver, HandoverPart, Relayout, SharedFile, TakenFile, handover_schema};
pub use ids::{
    ContentId, MapVersion, MotionId, QueryId, RouteKey, SequenceId, SessionId, SliceId, SnapshotId, TableId,
    TablespaceId,
};
pub use layout::{SortColumn, TableLayout, has_bloom_filter};
pub use load::{
    BAD_ROW_BYTES_MAX, BadRow, Codec, CopyCounts, CopyFile, CopyFormat, CopyUnit, CsvOptions, Encoding, JsonOptions,
    Newline, OnBadRow, ParquetOptions, REJECT_PERCENT_FROM_ROWS, RejectLimit, TextOptions,
};
pub use place::{PlaceId, PlaceSpec};
pub use scan_counts::ScanCounts;
pub use segment_set::{SegmentSet, SegmentSetError};
pub use sequence::{Counting, Sequence, SequencePosition, ValueBlock, next_block};
pub use shared_path::{is_shared, share_path, stored_at};
pub use table::{
    CheckDef, ColumnDef, ColumnStats, Compression, DeleteVector, Distribution, FILE_COLUMN, FileEntry, Identity,
    KeyDef, ROW_COLUMN, StatValue, TableDef,
};
pub use topology::{Endpoint, SegmentDef, Topology};
