//! What BACKUP and RESTORE copy: files, as the master tells segments.

use crate::{ContentId, TableId};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// A file of a table on a segment, data or delete vector, which a backup is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    pub table: TableId,
    /// Relative to the segment's data directory.
    pub path: String,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
}

/// A file of a backup, which a segment is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreFile {
    /// The segment that it was copied from.
    pub content: ContentId,
    /// Where it was there: [`BackupFile::path`].
    pub path: String,
    /// Where it will be, relative to the segment's data directory.
    pub target: String,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
}

/// Files that are where they are to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    pub files: u64,
    pub bytes: u64,
    /// Those among them that were not there before.
    pub new_files: u64,
    pub new_bytes: u64,
}

impl Copied {
    /// One file that was copied.
    pub fn new_file(bytes: u64) -> Self {
        Copied { files: 1, bytes, new_files: 1, new_bytes: bytes }
    }

    /// One file that was there already.
    pub fn old_file(bytes: u64) -> Self {
        Copied { files: 1, bytes, ..Copied::default() }
    }
}

impl AddAssign for Copied {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.new_files += other.new_files;
        self.new_bytes += other.new_bytes;
    }
}
