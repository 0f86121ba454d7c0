//! Copies of one segment's table files.

use super::place::BackupPlace;
use super::source::{Owner, Source};
use super::url::PlaceUrl;
use crate::limits::{BACKUP_FILES_AT_ONCE, BACKUP_FILES_OF_PROCESS_MAX};
use crate::{StorageError, TableStore, blocking};
use damson_cluster::{BackupFile, ContentId, Copied, RestoreFile};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use object_store::path::Path as ObjectPath;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
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
    /// Whether a place is elsewhere than this content's tables: it would go with them, and what is not the catalog's is removed there.
    ///
    /// # Errors
    /// 22023 for a directory in the data directory, however it is named.
    pub async fn refuse_place_inside(&self, url: &str) -> Result<(), StorageError> {
        let place = PlaceUrl::parse(url)?;
        let PlaceUrl::Directory(path) = &place else { return Ok(()) };
        let named = path.clone();
        if !self.has_below(&blocking::run("open", path, move || canonical(&named)).await?) {
            return Ok(());
        }
        let message = format!("it is in the data directory of {}: choose another place", self.content());
        Err(StorageError::Place { place: place.to_string(), message, sqlstate: "22023" })
    }

    /// Copies files to a place, as far as they are not there; one that is there with its length was copied before. Gives what is done,
    /// again and again. When the stream has ended, and not before, all are there durably, those that were there already too.
    ///
    /// # Memory
    /// A block for each of [`BACKUP_FILES_AT_ONCE`] files, and its parts under way to a bucket.
    ///
    /// # Cancellation
    /// Dropping the stream ends it; a block that is being written is written in the background, to a file that is then removed.
    /// A file that has its name stays: another backup may rely on it.
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
            let names: Vec<String> = files.iter().map(|file| name_of(store.content(), &file.path)).collect();
            let to = place.clone();
            let copy = move |file| back_up(store.clone(), to.clone(), Arc::clone(&there), file);
            let copies = stream::iter(files).map(copy).buffer_unordered(BACKUP_FILES_AT_ONCE);
            // Those that were there already among them.
            let last = async move { place.make_durable(&names).await.map(|()| Copied::default()) };
            Ok::<_, StorageError>(copies.chain(stream::once(last)))
        };
        together(copies.try_flatten_stream().boxed())
    }

    /// Copies files from a place to where this store's are, under new names. Gives what is done, again and again. When the stream has
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
        let (store, location, retry) = self.files().place.object(&location);
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

/// As [`Path::canonicalize`], of what may yet have to be made.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    for there in path.ancestors() {
        match there.canonicalize() {
            Ok(real) => return Ok(path.strip_prefix(there).map_or(real.clone(), |rest| real.join(rest))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path.to_path_buf())
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
    let mut target = store.files().place.begin(&file.target)?;
    let mut blocks = source.open().await?;
    while let Some(block) = blocks.next().await? {
        target.write_block(block).await?;
    }
    target.finish().await?.keep();
    Ok(Copied::new_file(file.bytes))
}
