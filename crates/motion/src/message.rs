//! Control messages between the master and the segments.

use bytes::Bytes;
use damson_cluster::{
    BackupFile, BucketMap, ContentId, CopyCounts, CopyUnit, FileEntry, PlaceSpec, QueryId, RestoreFile, ScanCounts,
    SliceId, SnapshotId, SourceAccess, TableDef, TableId, Topology,
};
use damson_interconnect::{Driver, NodeStats, QueryRoutes, QuerySecret, RouteStats};
use datafusion::error::{DataFusionError, Result};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Names of the control calls.
pub mod control {
    /// Master → segment: run slices ([`super::ExecuteRequest`]); the answer streams [`super::SliceEvent`]s. Dropping
    /// the answer cancels the slices.
    pub const EXECUTE: &str = "execute";
    /// Master → segment: delete files; body: JSON [`super::RemoveFiles`]; answers how many.
    pub const REMOVE_FILES: &str = "remove_files";
    /// Master → segment: body: JSON [`super::ListFiles`]; answers one JSON list of `(path, bytes)`, every data file of its that is there.
    pub const LIST_FILES: &str = "list_files";
    /// Master → segment: compare files with the catalog; body: JSON [`super::CheckFiles`]; answers one JSON list of `(path, problem)`.
    pub const CHECK_FILES: &str = "check_files";
    /// Master → segment: make a place of backups the cluster's; body: JSON [`super::ClaimPlace`]; answers what its marker says.
    pub const CLAIM_PLACE: &str = "claim_place";
    /// Master → segment: copy files to a place; body: JSON [`super::BackupFiles`]; answers JSON [`damson_cluster::Copied`], what was done
    /// since the last answer. Dropping the answer ends it.
    pub const BACKUP_FILES: &str = "backup_files";
    /// Master → segment: copy files from a place; body: JSON [`super::RestoreFiles`]; answers as `BACKUP_FILES`.
    pub const RESTORE_FILES: &str = "restore_files";
    /// Master → segment: make a file of a place that is not there; body: JSON [`super::WriteBackup`]; answers its bytes.
    pub const WRITE_BACKUP: &str = "write_backup";
    /// Master → segment: body: JSON [`super::ReadBackup`]; answers the file.
    pub const READ_BACKUP: &str = "read_backup";
    /// Master → segment: body: JSON of a place's URL; answers one JSON list of its backups' names.
    pub const LIST_BACKUPS: &str = "list_backups";
    /// Master → segment: answers one JSON list of [`super::RunningSlice`].
    pub const RUNNING_SLICES: &str = "running_slices";
    /// Master → any content of a node: answers one JSON [`super::NodeReport`], of the whole node.
    pub const INTERCONNECT_STATS: &str = "interconnect_stats";
    /// Segment → master, before it serves: answers the cluster's [`crate::InterconnectSettings`] as JSON.
    pub const INTERCONNECT: &str = "interconnect";
    /// Any node → master: JSON [`crate::TakeValues`]; answers one JSON list of lists of `ValueBlock`s.
    pub const TAKE_VALUES: &str = "take_values";
    /// Segment → master: JSON registration, repeated as a heartbeat; answers a JSON [`super::Registered`].
    pub const REGISTER: &str = "register";
    /// Segment → master: who is it that logs in here, to retrieve rows? Body and answer are those of the master's Flight SQL.
    pub const RETRIEVE_LOG_IN: &str = "retrieve_log_in";
    /// Segment → master: a client is here with a ticket. Body and answers are those of the master's Flight SQL; dropping the answers cancels the query.
    pub const RETRIEVE: &str = "retrieve";
}

/// Codes of errors that cross between nodes and are not SQLSTATEs of the user's making.
pub mod codes {
    pub const INTERNAL: &str = "XX000";
    /// A segment's content is served by another process.
    pub const OBJECT_IN_USE: &str = "55006";
    pub const CANCELLED: &str = "57014";
    pub const CONNECTION_FAILURE: &str = "08006";
    pub const BUILD_MISMATCH: &str = "build_mismatch";
}

/// A segment's files that are to go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemoveFiles {
    /// Where they are; None: in its data directory.
    pub at: Option<PlaceSpec>,
    pub paths: Vec<String>,
}

/// Which of a segment's files are asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListFiles {
    /// Where they are; None: in its data directory.
    pub at: Option<PlaceSpec>,
}

/// Files of one table on one segment, as the catalog has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckFiles {
    /// Where they are; None: in its data directory.
    pub at: Option<PlaceSpec>,
    pub table: TableDef,
    /// That the table is laid out by.
    pub map: BucketMap,
    pub files: Vec<FileEntry>,
}

/// A place of backups, by its URL, and whose it is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimPlace {
    pub place: String,
    pub cluster_id: String,
}

/// A segment's share of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupFiles {
    pub place: String,
    /// What every node must see there.
    pub marker: String,
    /// Where the files are; None: in its data directory.
    pub at: Option<PlaceSpec>,
    pub files: Vec<BackupFile>,
}

/// What a segment gets of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestoreFiles {
    pub place: String,
    /// Where the files are to be; None: in its data directory.
    pub at: Option<PlaceSpec>,
    pub files: Vec<RestoreFile>,
}

/// A part of a backup's description, and its name in the place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WriteBackup {
    pub place: String,
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadBackup {
    pub place: String,
    pub name: String,
}

/// One slice, encoded by [`crate::encode_slice`].
#[derive(Clone, Debug)]
pub struct SlicePlan {
    pub slice: SliceId,
    pub plan: Bytes,
}

/// Everything that one segment must do for one query.
#[derive(Clone, Debug)]
pub struct ExecuteRequest {
    pub head: ExecuteHead,
    pub slices: Vec<SlicePlan>,
}

/// The part of an [`ExecuteRequest`] that is not plans.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecuteHead {
    pub query: QueryId,
    pub content: ContentId,
    pub topology: Topology,
    /// The bucket maps that the slices name.
    pub maps: Vec<BucketMap>,
    /// This segment's files of each scanned table, without column statistics.
    pub files: Vec<ScannedFiles>,
    /// The places of tables that the slices read or write, beside the segments' own disks; with credentials.
    pub places: Vec<PlaceSpec>,
    /// This segment's share of each COPY leaf.
    pub copy_units: HashMap<u32, Vec<CopyUnit>>,
    /// How COPY's places are reached. Here, because plans are shown.
    pub access: SourceAccess,
    /// Routes of the query on its most loaded node: what the sizes of messages and credits follow from.
    pub routes: QueryRoutes,
    /// The query's; its routes' tickets are made from it.
    pub secret: QuerySecret,
    /// Whether the master wants every operator's metrics.
    pub analyze: bool,
}

/// One segment's files of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScannedFiles {
    pub table: TableId,
    /// The snapshot that they are of, if it is not the statement's own.
    pub as_of: Option<SnapshotId>,
    pub files: Vec<FileEntry>,
}

impl ExecuteHead {
    /// This segment's files of a table, which may have none.
    pub fn files_of(&self, table: TableId, as_of: Option<SnapshotId>) -> &[FileEntry] {
        let of_table = |scanned: &&ScannedFiles| scanned.table == table && scanned.as_of == as_of;
        self.files.iter().find(of_table).map_or(&[], |scanned| &scanned.files)
    }
}

#[derive(Clone, PartialEq, Message)]
struct ExecuteProto {
    #[prost(bytes = "vec", tag = "1")]
    head: Vec<u8>,
    #[prost(uint32, repeated, tag = "2")]
    slices: Vec<u32>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    plans: Vec<Bytes>,
}

impl ExecuteRequest {
    /// # Errors
    /// None in practice: every field can be written as JSON.
    pub fn encode(&self) -> Result<Bytes> {
        let head = serde_json::to_vec(&self.head).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let slices = self.slices.iter().map(|s| s.slice.0).collect();
        let plans = self.slices.iter().map(|s| s.plan.clone()).collect();
        Ok(ExecuteProto { head, slices, plans }.encode_to_vec().into())
    }

    /// # Errors
    /// Bytes that are not a request of this build.
    pub fn decode(bytes: Bytes) -> Result<Self> {
        let proto = ExecuteProto::decode(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let head = serde_json::from_slice(&proto.head).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let slices = proto.slices.into_iter().zip(proto.plans);
        Ok(ExecuteRequest { head, slices: slices.map(|(s, plan)| SlicePlan { slice: SliceId(s), plan }).collect() })
    }
}

/// What a segment tells the master while it runs a query's slices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SliceEvent {
    /// The slice ended well. `operators` is in the order of a depth-first walk of the slice as it ran;
    /// empty unless it asked for metrics. `copied`: of a slice that has read or written COPY's files, how much.
    Done { slice: SliceId, operators: Vec<OperatorMetrics>, copied: Option<CopyCounts> },
    /// The slice failed; the others of this query on this segment are cancelled.
    Failed { slice: SliceId, code: String, message: String },
    /// The slice goes on: whether it waits for a client who retrieves its rows, for a while already.
    Waits { for_client: bool },
}

/// What one operator did on one QE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorMetrics {
    /// The operator as DataFusion names it.
    pub name: String,
    pub rows: u64,
    /// CPU time of the operator itself.
    pub compute_ns: u64,
    pub memory_bytes_peak: u64,
    pub spilled_bytes: u64,
    /// Of a motion's ends only.
    pub motion: Option<MotionMetrics>,
    /// Of a table's scan only.
    pub scan: Option<ScanCounts>,
}

/// What one end of a motion sent or received on all of its routes together, by the routes' own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MotionMetrics {
    pub batches: u64,
    /// Encoded, to and from other processes; in memory within one.
    pub bytes: u64,
    /// The operator's time without credit (sending) or without data (receiving).
    pub waited_ns: u64,
}

/// What a node says of its interconnect: rows of `gp_interconnect_nodes` and `gp_interconnect_stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    pub stats: NodeStats,
    pub routes: Vec<RouteStats>,
}

impl NodeReport {
    pub fn of(node: &damson_interconnect::Node) -> Self {
        NodeReport { stats: node.stats(), routes: node.route_stats() }
    }
}

/// A row of `gp_running_slices`; of a slice that reads or writes COPY's files one of `gp_stat_progress_copy`, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningSlice {
    pub query: QueryId,
    pub slice: SliceId,
    pub content: ContentId,
    /// Since the slice started.
    pub elapsed_ms: u64,
    /// Of a slice that reads or writes COPY's files.
    pub copied: Option<CopyCounts>,
}

/// A segment's registration with the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    pub content: ContentId,
    pub endpoint: String,
    pub build: String,
    pub data_dir: String,
    pub pid: u32,
    /// What its interconnect runs with; another driver than the master's is refused.
    pub driver: Driver,
    /// Where clients retrieve rows from it; None: nowhere.
    pub retrieve: Option<RetrieveAddress>,
}

/// Where clients are let in at a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrieveAddress {
    /// `host:port`.
    pub address: String,
    /// Whether it has a certificate to show.
    pub has_tls: bool,
}

/// The master's answer to a [`Register`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    pub cluster_id: String,
    /// Whether the cluster has the segment; otherwise it waits until it is added.
    pub is_member: bool,
}
