//! The narrow interface to the database that keeps the catalog.

use super::access::AccessDef;
use super::copied::CopiedFile;
use super::error::CatalogError;
use super::files::FileKey;
use super::history::History;
use super::object_ids::ObjectName;
use super::roles::{RoleDef, RoleId};
use super::secrets::SecretDef;
use super::sequences::SequenceDef;
use super::state::ViewDef;
use super::tablespaces::TablespaceDef;
use damson_cluster::{
    BucketMap, DeleteVector, FileEntry, SequenceId, SequencePosition, SnapshotId, TableDef, TableId, TablespaceId,
};
use std::collections::HashMap;
use std::time::Duration;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: it outlives the master's end, but the loss of power only once a later commit, or [`CatalogStore::sync`], was waited for.
    Unsynced,
    /// It is on the disk.
    Synced,
}

/// Keeps the catalog durably. One owner at a time; an epoch fences the one before.
pub(super) trait CatalogStore: Send {
    /// Everything that is not forgotten; or what there was as of a snapshot that is kept, without what was dropped before.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`] if another master opened the store since: what it holds is not ours any more, so that it does not
    /// say whether our last transaction was applied. [`CatalogError::Store`], [`CatalogError::Damaged`].
    fn load(&mut self, at: Option<SnapshotId>) -> Result<Stored, CatalogError>;

    /// Applies all of `transactions` or nothing, in their order. What was applied before is at least as durable.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`] if another master opened the store since; [`CatalogError::Store`], after which the
    /// caller must [`load`](CatalogStore::load) to learn which of the two happened.
    fn apply(&mut self, transactions: &[Transaction], durability: Durability) -> Result<(), CatalogError>;

    /// Makes all that was applied durable.
    ///
    /// # Errors
    /// As [`CatalogStore::apply`].
    fn sync(&mut self) -> Result<(), CatalogError>;

    /// What can be read of the past.
    ///
    /// # Errors
    /// As [`CatalogStore::load`].
    fn history(&mut self) -> Result<History, CatalogError>;

    /// The store's clock, by which snapshots have their times: microseconds since 1970 UTC.
    ///
    /// # Errors
    /// [`CatalogError::Store`].
    fn now_us(&mut self) -> Result<i64, CatalogError>;

    /// The newest snapshot of that time or before; snapshots' times grow with their ids, whatever the clock did.
    ///
    /// # Errors
    /// As [`CatalogStore::load`].
    fn snapshot_at(&mut self, time_us: i64) -> Result<Option<SnapshotId>, CatalogError>;

    /// Of the files of `urls` those that were loaded into the table.
    ///
    /// # Errors
    /// As [`CatalogStore::load`].
    fn copied_files(&mut self, table: TableId, urls: &[String]) -> Result<Vec<CopiedFile>, CatalogError>;

    /// All files that were loaded, in the order of snapshots, tables and URLs.
    ///
    /// # Errors
    /// As [`CatalogStore::load`].
    fn copy_history(&mut self) -> Result<Vec<CopiedFile>, CatalogError>;

    /// Whether tables are in a tablespace, or files of dropped ones that are not forgotten.
    ///
    /// # Errors
    /// As [`CatalogStore::load`].
    fn has_tables(&mut self, tablespace: TablespaceId) -> Result<bool, CatalogError>;

    /// Where a table's files are, one that is dropped included while it has files that are not forgotten; None where there is no such table.
    ///
    /// # Errors
    /// As [`CatalogStore::load`].
    fn tablespace_of(&mut self, table: TableId) -> Result<Option<Option<TablespaceId>>, CatalogError>;
}

/// What a store holds.
#[derive(Debug)]
pub(super) struct Stored {
    pub cluster_id: String,
    pub segment_count: usize,
    pub epoch: u64,
    pub snapshot: SnapshotId,
    pub next_table_id: TableId,
    pub maps: Vec<BucketMap>,
    pub schemas: Vec<String>,
    /// Of schemas and views; as they are now, also for a snapshot of the past.
    pub object_ids: Vec<(ObjectName, u64)>,
    /// Live tables.
    pub tables: Vec<StoredTable>,
    pub views: Vec<ViewDef>,
    pub sequences: Vec<SequenceDef>,
    /// As they are now, also for a snapshot of the past.
    pub secrets: Vec<SecretDef>,
    /// As they are now; for a snapshot of the past, without those that were made later.
    pub tablespaces: Vec<TablespaceDef>,
    /// As they are now, also for a snapshot of the past.
    pub roles: Vec<RoleDef>,
    /// As it is now, also for a snapshot of the past.
    pub access: Vec<AccessDef>,
    /// Of sequences that were used.
    pub positions: HashMap<SequenceId, SequencePosition>,
    /// In the order in which they were committed; without delete vectors.
    pub files: Vec<StoredFile>,
    pub deletes: Vec<StoredDeletes>,
    pub history: History,
}

#[derive(Debug)]
pub(super) struct StoredTable {
    pub def: TableDef,
    /// See [`TableEntry::defined`](super::TableEntry).
    pub defined: SnapshotId,
}

#[derive(Debug)]
pub(super) struct StoredFile {
    pub entry: FileEntry,
    pub dropped: Option<SnapshotId>,
}

#[derive(Debug)]
pub(super) struct StoredDeletes {
    pub file: FileKey,
    pub vector: DeleteVector,
    /// Replaced, or gone with its file.
    pub dropped: Option<SnapshotId>,
}

/// One durable step of the catalog.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The snapshot that it makes; None where nothing that a statement reads changes.
    pub snapshot: Option<SnapshotId>,
    pub changes: Vec<Change>,
}

#[derive(Debug)]
pub(super) enum Change {
    CreateSchema(String),
    DropSchema(String),
    /// A new table or a table's new definition. `redefined`: rows written for the old one do not fit.
    PutTable {
        def: TableDef,
        redefined: bool,
    },
    /// The table only: its files are dropped by changes of their own.
    DropTable(TableId),
    PutView(ViewDef),
    DropView {
        schema: String,
        name: String,
    },
    /// The id of a new schema or view, which it keeps until it is dropped.
    PutObjectId {
        object: ObjectName,
        id: u64,
    },
    /// A new sequence or a sequence's new definition.
    PutSequence(SequenceDef),
    DropSequence {
        schema: String,
        name: String,
    },
    /// The last value that may be given out before it is written again; of a sequence that may not be committed yet.
    PutPosition {
        id: SequenceId,
        position: SequencePosition,
    },
    /// A new secret; `or_replace`: it may be there.
    PutSecret {
        def: SecretDef,
        or_replace: bool,
    },
    DropSecret(String),
    /// A new one.
    PutTablespace(TablespaceDef),
    DropTablespace(TablespaceId),
    /// A new role or a role's new definition.
    PutRole(RoleDef),
    DropRole(RoleId),
    /// Who may do what with an object. It goes with the object.
    PutAccess(AccessDef),
    AddFile(FileEntry),
    /// The file, and its delete vector.
    DropFile {
        table: TableId,
        key: FileKey,
    },
    /// A live file's delete vector, in place of the one that it may have.
    PutDeletes {
        table: TableId,
        file: FileKey,
        vector: DeleteVector,
    },
    /// Forgets a dropped file or delete vector, and its table if it was dropped and this was its last.
    ForgetFile(FileKey),
    /// A file that was loaded into a table; `force`: in place of the same one, which may be there.
    PutCopied {
        file: CopiedFile,
        force: bool,
    },
    /// All files that were loaded into a table.
    ForgetCopied(TableId),
    NextTableId(TableId),
    /// The newest bucket map.
    PutMap(BucketMap),
    /// Snapshots before this one are not kept any more, but for restore points.
    ForgetHistory(SnapshotId),
    PutRetention(Duration),
    PutRestorePoint {
        name: String,
        snapshot: SnapshotId,
    },
    DropRestorePoint(String),
}
