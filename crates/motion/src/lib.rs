//! What a plan is made of beyond DataFusion's operators: the motions between slices, the leaves and sinks that a segment
//! resolves to its own files, and the codec and messages that carry slices from the master to the segments.

mod codec;
mod context;
mod copy_to;
mod error_log;
mod file_scan;
mod flush_timer;
mod forget_constants;
mod hash_filter;
mod interconnect_settings;
mod kind;
mod leaf;
pub mod limits;
mod memory;
mod message;
mod metrics;
mod motion_exec;
mod next_values;
mod paced;
mod plain_text;
mod recv;
mod replan;
mod retrievals;
mod retrieve;
mod route_metrics;
mod route_rows;
mod router;
mod segment_id;
mod send;
mod sender;
mod sink;
mod sources;
mod spill_files;
mod split_update;
mod spool;
mod waiting;

pub use codec::{SliceCodec, decode_slice, encode_slice};
pub use context::QeContext;
pub use copy_to::{CopyPlace, EndCopy, WriteCopyManifest, copy_calls};
pub use error_log::error_log_calls;
pub use file_scan::{FileScanExec, FileScanSpec};
pub use forget_constants::ForgetConstantsExec;
pub use hash_filter::{HashFilterExec, Kept};
pub use interconnect_settings::InterconnectSettings;
pub use kind::{Gang, MotionDef, MotionKind};
pub use leaf::{CopyReadExec, CopyReadSpec, Leave, Leaving, ScanSpec, TableScanExec, row_id_fields};
pub use message::{
    BackupFiles, CheckFiles, ClaimPlace, ExecuteHead, ExecuteRequest, ListFiles, MotionMetrics, NodeReport,
    OperatorMetrics, ReadBackup, Register, Registered, RemoveFiles, RestoreFiles, RetrieveAddress, RunningSlice,
    ScannedFiles, SliceEvent, SlicePlan, WriteBackup, codes, control,
};
pub use metrics::collect as collect_metrics;
pub use motion_exec::MotionExec;
pub use next_values::{NextValue, NextValuesExec, TakeValues};
pub use paced::PacedExec;
pub use plain_text::PlainTextExec;
pub use recv::{MotionRecvExec, stop_unread};
pub use replan::replan;
pub use retrievals::{Gone, Offered, RetrievalId, Retrievals, Retrieved, Taken, WaitsForClient};
pub use retrieve::RetrieveExec;
pub use route_rows::Splitter;
pub use segment_id::SegmentIdExec;
pub use send::MotionSendExec;
pub use sink::{
    CopyWriteExec, CopyWriteSpec, ModifyKind, Returning, TableModifyExec, TableModifySpec, TableWriteExec,
    TableWriteSpec, sink_schema,
};
pub use sources::{InferSchema, InferredSchema, ListSources, SplitSources, source_calls};
pub use spill_files::{SpillError, SpillFiles};
pub use split_update::{SplitUpdateExec, SplitUpdateSpec};
pub use spool::SpoolExec;
