//! A place that is a directory of this host.

use crate::StorageError;
use crate::directory_sync::sync_directory;
use crate::durable::create_directories;
use crate::error::store_error;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One content's files in a directory of its own.
#[derive(Debug)]
pub(crate) struct Directory {
    pub root: PathBuf,
    pub store: Arc<dyn ObjectStore>,
}

impl Directory {
    /// Opens a directory with tables below `base` in it, which are created durably where they are missing. Blocks.
    ///
    /// # Errors
    /// A directory that cannot be made or read.
    pub(crate) fn open(root: &Path, base: &str) -> Result<Self, StorageError> {
        let base = root.join(base);
        create_directories(&base).map_err(StorageError::io("create", &base))?;
        sync_directory(root).map_err(StorageError::io("sync", root))?;
        let root = root.canonicalize().map_err(StorageError::io("open", root))?;
        let store = LocalFileSystem::new_with_prefix(&root);
        let store = store.map_err(|error| StorageError::io("open", &root)(io::Error::other(error)))?;
        Ok(Directory { root, store: Arc::new(store) })
    }

    pub(super) async fn list(&self, directory: &str) -> Result<Vec<(String, u64)>, StorageError> {
        let files = self.store.list(Some(&ObjectPath::from(directory)));
        let files = files.map_ok(|meta| (meta.location.to_string(), meta.size)).try_collect().await;
        files.map_err(|error| store_error("list", &self.root.display().to_string(), error))
    }
}
