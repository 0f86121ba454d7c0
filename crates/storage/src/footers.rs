//! Parquet footers of table files, verified against the catalog's checksums before the first read and kept in memory.

use crate::cache::FileId;
use crate::limits::{FOOTERS_MAX, VERIFY_BLOCK_BYTES};
use crate::{StorageError, blocking};
use bytes::Bytes;
use damson_cluster::{FileEntry, TableId};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::MetadataFetch;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::Xxh3;

/// What the catalog says of a file; a scan attaches it to each file that it reads.
#[derive(Clone, Debug)]
pub(crate) struct FileIdentity {
    pub table: TableId,
    pub path: String,
    pub bytes: u64,
    pub checksum: u64,
}

impl From<&FileEntry> for FileIdentity {
    fn from(file: &FileEntry) -> Self {
        FileIdentity { table: file.table, path: file.path.clone(), bytes: file.bytes, checksum: file.checksum }
    }
}

impl FileIdentity {
    pub(crate) fn corrupt(&self, detail: impl Into<String>) -> StorageError {
        StorageError::Corrupt { table: self.table, path: self.path.clone(), detail: detail.into() }
    }

    /// What the store says of this file, in the catalog's words.
    pub(crate) fn store_error(&self, error: object_store::Error) -> StorageError {
        match error {
            object_store::Error::NotFound { .. } => {
                StorageError::Missing { table: self.table, path: self.path.clone() }
            }
            other => {
                StorageError::Io { operation: "read", path: self.path.clone(), source: std::io::Error::other(other) }
            }
        }
    }
}

/// A verified file's footer, without page indexes, and its schema.
#[derive(Debug)]
pub(crate) struct Footer {
    pub id: FileId,
    pub location: Path,
    pub metadata: ArrowReaderMetadata,
}

/// How much of a file is compared with the catalog before its rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Its length.
    Length,
    /// Its length, and its checksum when the process first reads it.
    #[default]
    Once,
    /// Its length and its checksum whenever it is read. Columns in the cache were verified before they came there.
    Always,
}

/// Footers by path.
///
/// # Memory
/// At most [`FOOTERS_MAX`] footers; past that the longest unused half is forgotten, and verified again when next read. What
/// the column cache has of a forgotten file is not found any more.
#[derive(Debug)]
pub(crate) struct Footers {
    store: Arc<dyn ObjectStore>,
    verification: Verification,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    clock: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    used: AtomicU64,
    footer: OnceCell<Arc<Footer>>,
}

impl Footers {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, verification: Verification) -> Self {
        Footers { store, verification, slots: Mutex::default(), clock: AtomicU64::new(0) }
    }

    /// The file's footer. The first call for a path compares as much as the [`Verification`] says, which may be the whole file; calls at
    /// the same time wait for that one.
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Corrupt`], [`StorageError::Io`]; nothing is remembered of a failure.
    pub(crate) async fn get(&self, file: &FileIdentity) -> Result<Arc<Footer>, StorageError> {
        let slot = self.slot(&file.path);
        let is_known = slot.footer.initialized();
        let load = async || match self.verification {
            Verification::Length => {
                let location = location_of(file)?;
                let meta = self.store.head(&location).await.map_err(|error| file.store_error(error))?;
                check_length(file, meta.size)?;
                self.footer(file, location).await
            }
            Verification::Once | Verification::Always => self.verify(file).await,
        };
        let footer = slot.footer.get_or_try_init(load).await?;
        if is_known && self.verification == Verification::Always {
            self.check(&footer.location, file).await?;
        }
        Ok(Arc::clone(footer))
    }

    /// The file's footer, if it is here.
    pub(crate) fn loaded(&self, file: &FileIdentity) -> Option<Arc<Footer>> {
        self.slots.lock().get(&file.path)?.footer.get().cloned()
    }

    pub(crate) fn forget(&self, path: &str) {
        self.slots.lock().remove(path);
    }

    fn slot(&self, path: &str) -> Arc<Slot> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(path) {
            slot.used.store(now, Ordering::Relaxed);
            return Arc::clone(slot);
        }
        if slots.len() >= FOOTERS_MAX {
            let mut ages: Vec<u64> = slots.values().map(|slot| slot.used.load(Ordering::Relaxed)).collect();
            let (_, &mut median, _) = ages.select_nth_unstable(FOOTERS_MAX / 2);
            slots.retain(|_, slot| slot.used.load(Ordering::Relaxed) > median);
        }
        let slot = Arc::new(Slot { used: AtomicU64::new(now), footer: OnceCell::new() });
        slots.insert(path.to_owned(), Arc::clone(&slot));
        slot
    }

    /// As [`Footers::get`], from the disk, whatever was read before; nothing is remembered.
    pub(crate) async fn verify(&self, file: &FileIdentity) -> Result<Arc<Footer>, StorageError> {
        let location = location_of(file)?;
        self.check(&location, file).await?;
        self.footer(file, location).await
    }

    /// Length and checksum.
    async fn check(&self, location: &Path, file: &FileIdentity) -> Result<(), StorageError> {
        let checksum = self.checksum(location, file).await?;
        if checksum == file.checksum {
            return Ok(());
        }
        Err(file.corrupt(format!("its checksum is {checksum:016x}, not {:016x}", file.checksum)))
    }

    async fn footer(&self, file: &FileIdentity, location: Path) -> Result<Arc<Footer>, StorageError> {
        let fetch = Fetch { store: self.store.as_ref(), location: &location };
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Skip)
            .load_and_finish(fetch, file.bytes)
            .await
            .and_then(|metadata| ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()))
            .map_err(|error| file.corrupt(error.to_string()))?;
        Ok(Arc::new(Footer { id: FileId::new(), location, metadata }))
    }

    async fn checksum(&self, location: &Path, file: &FileIdentity) -> Result<u64, StorageError> {
        let object = self.store.get(location).await.map_err(|error| file.store_error(error))?;
        check_length(file, object.meta.size)?;
        match object.payload {
            GetResultPayload::File(mut handle, path) => {
                blocking::run("read", &path, move || {
                    let mut hasher = Xxh3::new();
                    let mut block = vec![0; VERIFY_BLOCK_BYTES];
                    loop {
                        match handle.read(&mut block)? {
                            0 => return Ok(hasher.digest()),
                            n => hasher.update(&block[..n]),
                        }
                    }
                })
                .await
            }
            GetResultPayload::Stream(mut blocks) => {
                let mut hasher = Xxh3::new();
                while let Some(block) = blocks.next().await {
                    hasher.update(&block.map_err(|error| file.store_error(error))?);
                }
                Ok(hasher.digest())
            }
        }
    }
}

fn location_of(file: &FileIdentity) -> Result<Path, StorageError> {
    Path::parse(&file.path).map_err(|error| file.corrupt(error.to_string()))
}

fn check_length(file: &FileIdentity, bytes: u64) -> Result<(), StorageError> {
    if bytes == file.bytes { Ok(()) } else { Err(file.corrupt(format!("it has {bytes} bytes, not {}", file.bytes))) }
}

/// A file's bytes for the reader of its metadata.
pub(crate) struct Fetch<'a> {
    pub store: &'a dyn ObjectStore,
    pub location: &'a Path,
}

impl MetadataFetch for Fetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let read = self.store.get_range(self.location, range);
        read.map(|result| result.map_err(|error| ParquetError::External(Box::new(error)))).boxed()
    }
}
