//! Parquet footers of table files, verified against the catalog's checksums before the first read and kept in memory.

use crate::bucket_ranges::BucketRanges;
use crate::cache::FileId;
use crate::limits::{
    FOOTER_GUESS_BYTES, FOOTERS_MAX, PLACE_REQUEST_BYTES, VERIFY_BLOCK_BYTES, VERIFY_REQUESTS_AT_ONCE,
};
use crate::places::Place;
use crate::{StorageError, blocking};
use bytes::Bytes;
use damson_cluster::{FileEntry, TableId};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::MetadataFetch;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt, stream};
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStoreExt};
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
            // Of a bucket: not the object that was written.
            object_store::Error::Precondition { source, .. } => self.corrupt(source.to_string()),
            // Without the body of a bucket's answer.
            other => crate::error::store_error("read", &self.path, other),
        }
    }

    /// What the Parquet library says of this file, or the store through it.
    pub(crate) fn parquet_error(&self, what: &str, error: ParquetError) -> StorageError {
        match error {
            ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
                Ok(error) => self.store_error(*error),
                Err(other) => self.corrupt(format!("{what}{other}")),
            },
            other => self.corrupt(format!("{what}{other}")),
        }
    }
}

/// A verified file's footer, without page indexes, and its schema.
#[derive(Debug)]
pub(crate) struct Footer {
    pub id: FileId,
    pub location: Path,
    pub metadata: ArrowReaderMetadata,
    /// Which buckets its row groups have, if it says so.
    pub buckets: Option<BucketRanges>,
}

/// How much of a file is compared with the catalog before its rows are read. Of a bucket it is the length, unless it is always all: buckets
/// compare checksums of their own, and would have to send a whole file for a column of it.
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
    place: Place,
    verification: Verification,
    /// Of every place.
    loaded: Arc<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    clock: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    used: AtomicU64,
    footer: OnceCell<Arc<Footer>>,
}

impl Footers {
    pub(crate) fn new(place: Place, verification: Verification) -> Self {
        Footers { place, verification, loaded: Arc::default() }
    }

    /// Of files at another place, in the same memory: a path is of one place.
    pub(crate) fn at(&self, place: Place) -> Self {
        Footers { place, verification: self.verification, loaded: Arc::clone(&self.loaded) }
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
            Verification::Once if self.place.is_remote() => self.compare_length(file).await,
            Verification::Length => self.compare_length(file).await,
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
        self.loaded.slots.lock().get(&file.path)?.footer.get().cloned()
    }

    /// The file is gone; what the caches knew it by, if its footer is here.
    pub(crate) fn forget(&self, path: &str) -> Option<FileId> {
        let slot = self.loaded.slots.lock().remove(path)?;
        slot.footer.get().map(|footer| footer.id)
    }

    fn slot(&self, path: &str) -> Arc<Slot> {
        let now = self.loaded.clock.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.loaded.slots.lock();
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

    /// The footer of a file of the right length. Of a bucket both are asked for at once.
    async fn compare_length(&self, file: &FileIdentity) -> Result<Arc<Footer>, StorageError> {
        let location = location_of(file)?;
        let size = self.place.size(&location).map_err(|error| file.store_error(error));
        let compared = async { check_length(file, size.await?) };
        if self.place.is_remote() {
            let (compared, footer) = tokio::join!(compared, self.footer(file, location.clone()));
            return compared.and(footer);
        }
        compared.await?;
        self.footer(file, location).await
    }

    /// As [`Footers::get`], from the place itself, whatever was read before; nothing is remembered.
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
        let fetch = Fetch { place: &self.place, location: &location, file_bytes: file.bytes };
        let metadata = ParquetMetaDataReader::new()
            .with_prefetch_hint(self.place.is_remote().then_some(FOOTER_GUESS_BYTES))
            .with_page_index_policy(PageIndexPolicy::Skip)
            .load_and_finish(fetch, file.bytes)
            .await
            .and_then(|metadata| ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()))
            .map_err(|error| file.parquet_error("", error))?;
        let buckets = BucketRanges::of(metadata.metadata()).map_err(|detail| file.corrupt(detail))?;
        Ok(Arc::new(Footer { id: FileId::new(), location, metadata, buckets }))
    }

    async fn checksum(&self, location: &Path, file: &FileIdentity) -> Result<u64, StorageError> {
        let directory = match &self.place {
            Place::Directory(directory) => directory,
            Place::Bucket(_) => return self.stored_checksum(location, file).await,
        };
        let object = directory.store.get(location).await.map_err(|error| file.store_error(error))?;
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

    /// Of what a bucket has, past the cache.
    async fn stored_checksum(&self, location: &Path, file: &FileIdentity) -> Result<u64, StorageError> {
        let size = self.place.size(location).await.map_err(|error| file.store_error(error))?;
        check_length(file, size)?;
        let block = |start: u64| self.place.read_stored(location, size, start..size.min(start + PLACE_REQUEST_BYTES));
        let starts = (0..size).step_by(PLACE_REQUEST_BYTES as usize);
        let mut blocks = stream::iter(starts.map(block)).buffered(VERIFY_REQUESTS_AT_ONCE);
        let mut hasher = Xxh3::new();
        while let Some(block) = blocks.next().await {
            hasher.update(&block.map_err(|error| file.store_error(error))?);
        }
        Ok(hasher.digest())
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
    pub place: &'a Place,
    pub location: &'a Path,
    pub file_bytes: u64,
}

impl MetadataFetch for Fetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let read = self.place.read_range(self.location, self.file_bytes, range);
        read.map(|result| result.map_err(|error| ParquetError::External(Box::new(error)))).boxed()
    }
}
