//! Copies of one segment's table files.

use super::place::{BackupPlace, write};
use super::retry::RetryPolicy;
use super::source::{Owner, Source};
use crate::durable::DurableFile;
use crate::limits::{BACKUP_FILES_AT_ONCE, BACKUP_FILES_OF_PROCESS_MAX};
use crate::{StorageError, TableStore};
use damson_cluster::{BackupFile, ContentId, Copied, RestoreFile};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use object_store::path::Path as ObjectPath;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Files: `files/{content}/{path in its data directory}`.
const FILES: &str = "files";

/// Answers of files that are ready together go together.
const ANSWERS_AT_ONCE: usize = 256;

/// Of the process, for whatever contents.
static COPIES: Semaphore = Semaphore::const_new(BACKUP_FILES_OF_PROCESS_MAX);

async fn permit() -> SemaphorePermit<'static> {
    COPIES.acquire().await.expect("it is never closed")
}

impl TableStore {
    /// Copies files to a place, as far as they are not there; one that is there with its length was copied before. Gives what is done,
    /// again and again. When the stream has ended, all are there, durably.
    ///
    /// # Memory
    /// A block for each of [`BACKUP_FILES_AT_ONCE`] files, and its parts under way to a bucket.
    ///
    /// # Cancellation
    /// Dropping the stream ends it; a block that is being written is written in the background, to a file that is then removed.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] and [`StorageError::Missing`] for files that are not what the catalog says: a backup of them is none.
    /// Those of writing.
    pub fn back_up(
        &self,
        place: &BackupPlace,
        files: Vec<BackupFile>,
    ) -> BoxStream<'static, Result<Copied, StorageError>> {
        let (store, place) = (self.clone(), place.clone());
        let copies = async move {
            let there = Arc::new(place.list(&format!("{FILES}/{}", store.content().0)).await?);
            let copy = move |file| back_up(store.clone(), place.clone(), Arc::clone(&there), file);
            Ok::<_, StorageError>(stream::iter(files).map(copy).buffer_unordered(BACKUP_FILES_AT_ONCE))
        };
        together(copies.try_flatten_stream().boxed())
    }

    /// Copies files from a place into the data directory, under new names. Gives what is done, again and again. When the stream has
    /// ended, all are there, durably.
    ///
    /// # Memory
    /// As [`TableStore::back_up`].
    ///
    /// # Cancellation
    /// Dropping the stream ends it. Files that were given as done stay: they are the caller's to remove.
    ///
    /// # Errors
    /// XX001 and 58P01 for files of the place that are damaged, or missing; [`StorageError::Io`].
    pub fn restore(
        &self,
        place: &BackupPlace,
        files: Vec<RestoreFile>,
    ) -> BoxStream<'static, Result<Copied, StorageError>> {
        let (store, place) = (self.clone(), place.clone());
        let copy = move |file| restore(store.clone(), place.clone(), file);
        together(stream::iter(files).map(copy).buffer_unordered(BACKUP_FILES_AT_ONCE).boxed())
    }

    fn source(&self, file: &BackupFile) -> Result<Source, StorageError> {
        let owner = Owner::Table { table: file.table, path: file.path.clone() };
        let location = ObjectPath::parse(&file.path).map_err(|error| owner.damaged(error.to_string()))?;
        let (store, retry) = (Arc::clone(&self.files().store), RetryPolicy::DISK);
        Ok(Source { store, location, bytes: file.bytes, checksum: file.checksum, retry, owner })
    }
}

/// Adds up what is ready.
fn together(
    copies: BoxStream<'static, Result<Copied, StorageError>>,
) -> BoxStream<'static, Result<Copied, StorageError>> {
    let add = |ready: Vec<Result<Copied, StorageError>>| {
        ready.into_iter().try_fold(Copied::default(), |mut sum, copied| {
            sum += copied?;
            Ok(sum)
        })
    };
    copies.ready_chunks(ANSWERS_AT_ONCE).map(add).boxed()
}

fn name_of(content: ContentId, path: &str) -> String {
    format!("{FILES}/{}/{path}", content.0)
}

async fn back_up(
    store: TableStore,
    place: BackupPlace,
    there: Arc<HashMap<String, u64>>,
    file: BackupFile,
) -> Result<Copied, StorageError> {
    let name = name_of(store.content(), &file.path);
    if there.get(&name) == Some(&file.bytes) {
        return Ok(Copied::old_file(file.bytes));
    }
    let _permit = permit().await;
    place.send(&name, &store.source(&file)?).await?;
    Ok(Copied::new_file(file.bytes))
}

async fn restore(store: TableStore, place: BackupPlace, file: RestoreFile) -> Result<Copied, StorageError> {
    let _permit = permit().await;
    let source = place.source(&name_of(file.content, &file.path), file.bytes, file.checksum)?;
    // Under its own name at once, as a statement's files: nobody knows it before the commit.
    let target = DurableFile::create(store.data_dir().join(&file.target)).await?;
    write(target, &source, None).await?.keep();
    Ok(Copied::new_file(file.bytes))
}
