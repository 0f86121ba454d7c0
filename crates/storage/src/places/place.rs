//! The one interface of tables to their files.

use super::bucket::Bucket;
use super::directory::Directory;
use super::new_file::NewFile;
use super::new_object::NewObject;
use crate::StorageError;
use crate::durable::DurableFile;
use crate::error::store_error;
use crate::retry::RetryPolicy;
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, Result};
use std::ops::Range;
use std::sync::Arc;

/// Where one content's files of some tables are. Made by [`crate::TableStore`]; a clone is the same place. Files are named as in
/// [`FileEntry::path`](damson_cluster::FileEntry::path), whatever they are called there; they are made once, whole, and never change.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Directory(Arc<Directory>),
    Bucket(Arc<Bucket>),
}

impl Place {
    /// Whether an answer takes so long that others should be asked for meanwhile.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Place::Bucket(_))
    }

    /// Ranges of a file that has `file_bytes` bytes. Of a bucket, those that are near each other are asked for as one, and several at once.
    ///
    /// # Errors
    /// What the store says; of a bucket its last answer, when the time is over.
    pub(crate) async fn read(
        &self,
        location: &ObjectPath,
        file_bytes: u64,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        match self {
            Place::Directory(directory) => directory.store.get_ranges(location, ranges).await,
            Place::Bucket(bucket) => Arc::clone(bucket).read(location, file_bytes, ranges).await,
        }
    }

    /// As [`Place::read`], of one range.
    pub(crate) async fn read_range(&self, location: &ObjectPath, file_bytes: u64, range: Range<u64>) -> Result<Bytes> {
        match self {
            Place::Directory(directory) => directory.store.get_range(location, range).await,
            Place::Bucket(bucket) => {
                let read = Arc::clone(bucket).read(location, file_bytes, std::slice::from_ref(&range)).await?;
                Ok(read.into_iter().next().unwrap_or_default())
            }
        }
    }

    /// As [`Place::read_range`], of what is stored: what the cache has does not count.
    ///
    /// # Errors
    /// As [`Place::read`].
    pub(crate) async fn read_stored(&self, location: &ObjectPath, file_bytes: u64, range: Range<u64>) -> Result<Bytes> {
        match self {
            Place::Directory(_) => self.read_range(location, file_bytes, range).await,
            Place::Bucket(bucket) => Arc::clone(bucket).read_stored(location, file_bytes, range).await,
        }
    }

    /// A file that should have `file_bytes` bytes, whole. Whoever asks compares them.
    ///
    /// # Errors
    /// As [`Place::read`].
    pub(crate) async fn read_whole(&self, location: &ObjectPath, file_bytes: u64) -> Result<Bytes> {
        match self {
            Place::Directory(directory) => directory.store.get(location).await?.bytes().await,
            Place::Bucket(_) => self.read_range(location, file_bytes, 0..file_bytes).await,
        }
    }

    /// # Errors
    /// As [`Place::read`].
    pub(crate) async fn size(&self, location: &ObjectPath) -> Result<u64> {
        match self {
            Place::Directory(directory) => Ok(directory.store.head(location).await?.size),
            Place::Bucket(bucket) => bucket.size(location).await,
        }
    }

    /// A new file, which must not be there. It is made with its first block that is no longer small, or at its end.
    ///
    /// # Errors
    /// A path that is no name.
    pub(crate) fn begin(&self, path: &str) -> Result<NewFile, StorageError> {
        Ok(match self {
            Place::Directory(directory) => NewFile::File(DurableFile::begin(directory.root.join(path))),
            Place::Bucket(bucket) => NewFile::Object(Box::new(NewObject::begin(bucket, path)?)),
        })
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let removed = match (ObjectPath::parse(path), self) {
            (Err(error), _) => Err(error.into()),
            (Ok(location), Place::Directory(directory)) => directory.store.delete(&location).await,
            (Ok(location), Place::Bucket(bucket)) => bucket.remove(&location).await,
        };
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error("remove", path, error)),
        }
    }

    /// Every file below `directory`: path and bytes.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) async fn list(&self, directory: &str) -> Result<Vec<(String, u64)>, StorageError> {
        match self {
            Place::Directory(place) => place.list(directory).await,
            Place::Bucket(bucket) => bucket.list(directory).await,
        }
    }

    /// The object of a file, for whoever copies it: its store, its name there, and how often to ask.
    pub(crate) fn object(&self, location: &ObjectPath) -> (Arc<dyn ObjectStore>, ObjectPath, RetryPolicy) {
        match self {
            Place::Directory(directory) => (Arc::clone(&directory.store), location.clone(), RetryPolicy::DISK),
            Place::Bucket(bucket) => (Arc::clone(&bucket.client.store), bucket.key(location), bucket.retry),
        }
    }
}
