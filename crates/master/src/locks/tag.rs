//! What a lock is of.

use damson_cluster::TableId;

/// A table, or a file that is being loaded into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LockTag {
    Table(TableId),
    /// The number is a hash of the file's URL: of two files that have one, the second load waits for the first, and no more.
    File(TableId, u64),
}

impl LockTag {
    /// The table itself, or that of the file.
    pub(crate) fn table(self) -> TableId {
        match self {
            LockTag::Table(table) | LockTag::File(table, _) => table,
        }
    }

    /// As `pg_locks` shows it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            LockTag::Table(_) => "relation",
            LockTag::File(..) => "copy file",
        }
    }
}

impl From<TableId> for LockTag {
    fn from(table: TableId) -> Self {
        LockTag::Table(table)
    }
}
