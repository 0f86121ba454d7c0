//! One segment's table files.

use crate::StorageError;
use crate::cache::ColumnCache;
use crate::deletes::DeleteVectors;
use crate::directory_sync::sync_directory;
use crate::durable::create_directories;
use crate::footers::{Footers, Verification};
use crate::scan::{self, TableFiles};
use crate::write::{self, ModifySpec, WriteSpec};
use damson_cluster::{ContentId, FileEntry};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a data directory's table files are: `base/t{table}/{uuid}.parquet`.
const BASE: &str = "base";

/// The table files of one content on this node. Made once by the node; a clone shares everything.
#[derive(Clone, Debug)]
pub struct TableStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: ContentId,
    data_dir: PathBuf,
    files: Arc<TableFiles>,
}

impl TableStore {
    /// Opens a data directory, and creates it durably where it is missing. Nothing is cached but footers. Blocks.
    pub fn open(content: ContentId, data_dir: &Path) -> Result<TableStore, StorageError> {
        TableStore::open_with_cache(content, data_dir, Arc::new(ColumnCache::new(0)), Verification::default())
    }

    /// As [`TableStore::open`]; scans keep the columns that they decode in `cache`, which the node's contents share.
    pub fn open_with_cache(
        content: ContentId,
        data_dir: &Path,
        cache: Arc<ColumnCache>,
        verification: Verification,
    ) -> Result<TableStore, StorageError> {
        let base = data_dir.join(BASE);
        create_directories(&base).map_err(StorageError::io("create", &base))?;
        sync_directory(data_dir).map_err(StorageError::io("sync", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(StorageError::io("open", data_dir))?;
        let store = LocalFileSystem::new_with_prefix(&data_dir).map_err(|e| store_error("open", &data_dir, e))?;
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        let (footers, deletes) =
            (Footers::new(Arc::clone(&store), verification), DeleteVectors::new(Arc::clone(&store)));
        let files = Arc::new(TableFiles { footers, deletes, store, cache });
        Ok(TableStore { inner: Arc::new(Inner { content, data_dir, files }) })
    }

    pub fn content(&self) -> ContentId {
        self.inner.content
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    pub(crate) fn files(&self) -> &TableFiles {
        &self.inner.files
    }

    /// A leaf that reads the columns at `projection` (positions in `table_schema`, any order) of `files`, in exactly
    /// `partitions` partitions, each batch of exactly the projected schema. Columns that a file lacks, because they
    /// were added after it was written, are NULL. Without files it is the same plan and yields nothing.
    ///
    /// Filters and dynamic filters that are pushed into it prune row groups, and nothing else: they stay where they came
    /// from. It takes over limits and projections that select columns. Batches have [`crate::limits::CHUNK_ROWS`] rows
    /// whatever the session's batch size, fewer at a row group's end. It declares no ordering, and its statistics (rows
    /// and bytes) as inexact.
    ///
    /// A column of a row group that was read to its end may stay in the node's [`ColumnCache`], decoded, and is then
    /// neither read nor decoded again. Files never change and their names are never used again, so nothing in it is
    /// ever stale.
    ///
    /// # Memory
    /// A partition: the encoded bytes of two row groups' projected columns, and one batch. Footers stay in the store;
    /// the cache bounds itself, with the columns that are on their way into it.
    ///
    /// # Cancellation
    /// Dropping the stream ends it; reads in progress finish in the background.
    ///
    /// # Errors
    /// Its stream fails with [`StorageError::Missing`] or [`StorageError::Corrupt`] before a file's first row: length
    /// and checksum are verified once per process. They arrive wrapped: use [`StorageError::find`].
    pub fn scan(
        &self,
        table_schema: &SchemaRef,
        projection: &[usize],
        files: &[FileEntry],
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        scan::scan(Arc::clone(&self.inner.files), table_schema, projection, files, false, partitions)
    }

    /// As [`TableStore::scan`], in one partition, with two more columns after the projection: `file` (Int32, position in
    /// `files`) and `row` (Int64, number in the file), which [`TableStore::modify`] takes.
    ///
    /// # Errors
    /// As [`TableStore::scan`].
    pub fn scan_with_row_ids(
        &self,
        table_schema: &SchemaRef,
        projection: &[usize],
        files: &[FileEntry],
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        scan::scan(Arc::clone(&self.inner.files), table_schema, projection, files, true, 1)
    }

    /// A sink that writes `input`'s rows, which have the table's columns in its order, into new files. One partition, one
    /// batch of one row: `rows` (UInt64) and `files` (Binary, JSON of `Vec<FileEntry>`, `created` 0). When that row
    /// arrives, every file and its directory are on stable storage. Rows that the statement returns come in batches before it, see
    /// [`WriteSpec::returning`].
    ///
    /// # Memory
    /// One row group while it is encoded and one while it is written, at most about
    /// [`crate::limits::ROW_GROUP_BYTES_MAX`] each; 8 bytes for each row and key; the rows that are returned. Reserved from the query's
    /// memory pool.
    ///
    /// # Cancellation
    /// Dropping the stream before its row removes every file that it made.
    ///
    /// # Errors
    /// As on cancellation, then [`StorageError::NotNull`], [`StorageError::Check`], [`StorageError::Duplicate`], [`StorageError::Io`]
    /// (53100 on a full disk), or the input's.
    pub fn write(
        &self,
        spec: WriteSpec,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        write::plan(self.inner.content, &self.inner.data_dir, Arc::clone(&self.inner.files), spec, input)
    }

    /// A sink that deletes the rows that `input` names, and writes the rows that take their place. One partition, one batch of
    /// one row: `rows` (UInt64, those that were changed) and `files` (Binary, JSON of a
    /// [`Modification`](damson_cluster::Modification)). Columns of `input`: `file` and `row` as from
    /// [`TableStore::scan_with_row_ids`] over the same files, then what [`ModifySpec::writes`] says.
    ///
    /// A row that comes twice is deleted once, and its first new row counts.
    ///
    /// # Memory
    /// A bitmap of the deleted rows of each file that has any, and what [`TableStore::write`] takes; from the query's pool.
    ///
    /// # Cancellation
    /// Dropping the stream before its row removes every file that it made.
    ///
    /// # Errors
    /// As [`TableStore::write`].
    pub fn modify(
        &self,
        spec: ModifySpec,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        write::modify(self.inner.content, &self.inner.data_dir, Arc::clone(&self.inner.files), spec, input)
    }

    /// Deletes files: dropped tables, a failed statement's orphans. Missing ones are fine. Tries all before it reports the
    /// first failure. What the cache has of them is never found again, and ages out.
    pub async fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        let mut result = Ok(());
        for path in paths {
            self.inner.files.footers.forget(path);
            self.inner.files.deletes.forget(path);
            let location = ObjectPath::parse(path).map_err(|e| store_error("remove", Path::new(path), e.into()));
            let removed = match location {
                Ok(location) => match self.inner.files.store.delete(&location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(store_error("remove", Path::new(path), error)),
                },
                Err(error) => Err(error),
            };
            if result.is_ok() {
                result = removed;
            }
        }
        result
    }

    /// Every data file on disk and its bytes: paths as in [`FileEntry::path`]. Files that are being written are among
    /// them, so what the catalog does not know is an orphan only once no statement that can have made it runs.
    pub async fn list(&self) -> Result<Vec<(String, u64)>, StorageError> {
        let files = self.inner.files.store.list(Some(&ObjectPath::from(BASE)));
        let files = files.map_ok(|meta| (meta.location.to_string(), meta.size)).try_collect().await;
        files.map_err(|error| store_error("list", &self.inner.data_dir, error))
    }
}

fn store_error(operation: &'static str, path: &Path, error: object_store::Error) -> StorageError {
    StorageError::io(operation, path)(io::Error::other(error))
}
