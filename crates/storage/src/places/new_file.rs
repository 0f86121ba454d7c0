//! Files in the making.

use super::new_object::NewObject;
use crate::StorageError;
use crate::durable::{DurableFile, Finished};
use bytes::Bytes;

/// A new file of a place, made by [`Place::begin`](super::Place::begin). Dropped before it is finished and kept, nothing of it stays.
///
/// # Memory
/// Of a directory, the block that is written; of a bucket, [`PLACE_PARTS_AT_ONCE`](crate::limits::PLACE_PARTS_AT_ONCE) parts and one more.
#[derive(Debug)]
pub(crate) enum NewFile {
    File(DurableFile),
    Object(Box<NewObject>),
}

impl NewFile {
    /// Begins to write `block`, once those before are written, or on their way.
    ///
    /// # Errors
    /// [`StorageError::Io`]; nothing more can be written then.
    pub(crate) async fn write_block(&mut self, block: Bytes) -> Result<(), StorageError> {
        match self {
            NewFile::File(file) => file.write_block(block).await,
            NewFile::Object(object) => object.write_block(block).await,
        }
    }

    /// Returns once the file is on stable storage; it is removed unless what comes back is kept.
    ///
    /// # Errors
    /// [`StorageError::Io`]; the file is removed.
    pub(crate) async fn finish(self) -> Result<Finished, StorageError> {
        match self {
            NewFile::File(file) => file.finish(None).await,
            NewFile::Object(object) => object.finish().await,
        }
    }
}
