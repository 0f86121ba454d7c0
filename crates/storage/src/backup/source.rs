//! A file that is copied: read in blocks, and known to be the right one only at its end.

use crate::StorageError;
use crate::error::store_error;
use crate::limits::BACKUP_BLOCK_BYTES;
use crate::retry::{RetryPolicy, cut};
use bytes::Bytes;
use damson_cluster::TableId;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A file of a table, or of a place of backups, and what it must be.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub store: Arc<dyn ObjectStore>,
    pub location: ObjectPath,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
    pub retry: RetryPolicy,
    pub owner: Owner,
}

/// Whose file it is, for errors.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    Table {
        table: TableId,
        path: String,
    },
    /// By its full name.
    Place(String),
}

impl Owner {
    /// A file that is not what was written.
    pub(super) fn damaged(&self, detail: String) -> StorageError {
        match self {
            Owner::Table { table, path } => StorageError::Corrupt { table: *table, path: path.clone(), detail },
            Owner::Place(name) => StorageError::File {
                path: name.clone(),
                message: format!("it is damaged: {detail}"),
                sqlstate: "XX001",
            },
        }
    }

    /// A file that could not be read, or is not there.
    pub(super) fn failed(&self, operation: &'static str, error: Error) -> StorageError {
        match (self, error) {
            (Owner::Table { table, path }, Error::NotFound { .. }) => {
                StorageError::Missing { table: *table, path: path.clone() }
            }
            (Owner::Place(name), Error::NotFound { .. }) => {
                StorageError::File { path: name.clone(), message: "it is missing".into(), sqlstate: "58P01" }
            }
            (Owner::Table { path: name, .. } | Owner::Place(name), error) => store_error(operation, name, error),
        }
    }
}

impl Source {
    /// Begins to read it.
    ///
    /// # Errors
    /// A file that is not there, or of another length.
    pub(super) async fn open(&self) -> Result<Blocks<'_>, StorageError> {
        let ask = || self.store.head(&self.location);
        let asked = self.retry.retry(self.location.as_ref(), ask).await;
        let size = asked.map_err(|error| self.owner.failed("read", error))?.size;
        if size != self.bytes {
            return Err(self.owner.damaged(format!("it has {size} bytes, not {}", self.bytes)));
        }
        Ok(Blocks { source: self, at: 0, hasher: Xxh3::new() })
    }

    /// Reads it to its end, for nothing but to see whether it is right.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn verify(&self) -> Result<(), StorageError> {
        let mut blocks = self.open().await?;
        while blocks.next().await?.is_some() {}
        Ok(())
    }
}

/// The blocks of a file.
///
/// # Memory
/// One block of [`BACKUP_BLOCK_BYTES`].
pub(super) struct Blocks<'a> {
    source: &'a Source,
    at: u64,
    hasher: Xxh3,
}

impl Blocks<'_> {
    /// The next block, each but the last of [`BACKUP_BLOCK_BYTES`]. None, at the end, says that they were the right ones: what was
    /// made of them before must not be taken for a copy.
    ///
    /// # Errors
    /// What could not be read, and, instead of the last block, another checksum.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Source { store, location, bytes, checksum, retry, owner } = self.source;
        if self.at == *bytes {
            return Ok(None);
        }
        let range = self.at..(self.at + BACKUP_BLOCK_BYTES as u64).min(*bytes);
        let wanted = range.end - range.start;
        let (start, end) = (range.start, range.end);
        let read = retry.retry(location.as_ref(), || async move {
            let block = store.get_range(location, start..end).await?;
            if block.len() as u64 == wanted { Ok(block) } else { Err(cut(block.len() as u64, wanted)) }
        });
        let block = read.await.map_err(|error| owner.failed("read", error))?;
        self.hasher.update(&block);
        self.at = range.end;
        if self.at == *bytes {
            let found = self.hasher.digest();
            if found != *checksum {
                return Err(owner.damaged(format!("its checksum is {found:016x}, not {checksum:016x}")));
            }
        }
        Ok(Some(block))
    }
}
