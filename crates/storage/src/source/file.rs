//! Reads of a file at any place, off the query runtime.

use super::url::SourceName;
use super::web;
use crate::StorageError;
use crate::blocking;
use crate::limits::{FOOTER_GUESS_BYTES, SOURCE_PART_BYTES, SOURCE_PARTS_AT_ONCE, SOURCE_WHOLE_BYTES_MAX};
use crate::local_files;
use crate::object_clients::{client, lacks_credentials, told};
use crate::retry::{RetryPolicy, status_of};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use damson_cluster::{CopyFile, SourceAccess};
use datafusion::common::runtime::SpawnedTask;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A file as it was when it was listed; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: CopyFile,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Local(File),
    Remote {
        store: Arc<dyn ObjectStore>,
        location: ObjectPath,
    },
    /// `whole`: all of it, of a server that gives no parts.
    Web {
        store: Arc<dyn ObjectStore>,
        location: ObjectPath,
        whole: OnceCell<Bytes>,
    },
}

impl SourceFile {
    /// # Errors
    /// 55000 for a file that is not as it was when it was listed, 58P01 for one that is gone; of a bucket only when it is read. 42501 for
    /// one that statements may not reach.
    pub(crate) async fn open(file: &CopyFile, access: &SourceAccess) -> Result<SourceFile, StorageError> {
        let place = match SourceName::parse(&file.url)? {
            SourceName::Local(path) => {
                let (target, listed) = (path.clone(), file.clone());
                Place::Local(blocking::try_run("open", path.as_ref(), move || open_local(&target, &listed)).await?)
            }
            SourceName::Web { server, path } => {
                let location = web::location(&server, &path)?;
                Place::Web { store: web::client(&server)?, location, whole: OnceCell::new() }
            }
            SourceName::Remote { bucket, key } => {
                let location = ObjectPath::parse(&key).map_err(|error| StorageError::File {
                    path: file.url.clone(),
                    message: error.to_string(),
                    sqlstate: "22023",
                })?;
                Place::Remote { store: client(&bucket, access)?, location }
            }
        };
        Ok(SourceFile { inner: Arc::new(Inner { file: file.clone(), place }) })
    }

    pub(crate) fn file(&self) -> &CopyFile {
        &self.inner.file
    }

    /// Begins to read up to `bytes` bytes at `offset`, in the background; fewer come back only at the file's end.
    pub(crate) fn begin_read(&self, offset: u64, bytes: usize) -> SpawnedTask<Result<Bytes, StorageError>> {
        let inner = Arc::clone(&self.inner);
        let end = inner.file.bytes.min(offset.saturating_add(bytes as u64)).max(offset);
        match &self.inner.place {
            Place::Local(_) => SpawnedTask::spawn_blocking(move || inner.read_local(offset..end)),
            Place::Remote { .. } | Place::Web { .. } => {
                SpawnedTask::spawn(async move { inner.read_remote(offset..end).await })
            }
        }
    }

    /// The bytes of `range`, all of which the file has.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let wanted = range.end - range.start;
        let bytes = usize::try_from(wanted).map_err(|_| self.inner.changed())?;
        let block = await_read(self.begin_read(range.start, bytes)).await?;
        if (block.len() as u64) < wanted { Err(self.inner.changed()) } else { Ok(block) }
    }
}

/// Waits for a read that [`SourceFile::begin_read`] began.
pub(crate) async fn await_read(task: SpawnedTask<Result<Bytes, StorageError>>) -> Result<Bytes, StorageError> {
    match task.join_unwind().await {
        Ok(result) => result,
        Err(shut_down) => Err(StorageError::io("read", "a file")(io::Error::other(shut_down))),
    }
}

fn open_local(path: &str, listed: &CopyFile) -> Result<File, StorageError> {
    local_files::check(path.as_ref())?;
    let file = File::open(path).map_err(StorageError::io("open", path))?;
    local_files::check_open(&file, path.as_ref())?;
    let metadata = file.metadata().map_err(StorageError::io("open", path))?;
    if metadata.is_dir() {
        return Err(StorageError::io("open", path)(io::ErrorKind::IsADirectory.into()));
    }
    let modified = metadata.modified().map_err(StorageError::io("open", path))?;
    let modified_us = DateTime::<Utc>::from(modified).timestamp_micros();
    if metadata.len() != listed.bytes || listed.modified_us.is_some_and(|listed| listed != modified_us) {
        return Err(changed(&listed.url));
    }
    Ok(file)
}

fn changed(url: &str) -> StorageError {
    let message = "it has changed since it was listed".into();
    StorageError::File { path: url.into(), message, sqlstate: "55000" }
}

impl Inner {
    fn changed(&self) -> StorageError {
        changed(&self.file.url)
    }

    /// Blocks.
    fn read_local(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let Place::Local(file) = &self.place else { unreachable!("asked of a local file") };
        let mut block = vec![0; (range.end - range.start) as usize];
        let mut filled = 0;
        while filled < block.len() {
            match file.read_at(&mut block[filled..], range.start + filled as u64) {
                // What was listed is not there.
                Ok(0) => return Err(self.changed()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StorageError::io("read", &self.file.url)(error)),
            }
        }
        Ok(block.into())
    }

    /// In parts, several at once; each is asked for again while its place only fails.
    async fn read_remote(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let starts = (range.start..range.end).step_by(SOURCE_PART_BYTES as usize);
        let part = |start| self.read_part(start..range.end.min(start + SOURCE_PART_BYTES));
        let mut parts: Vec<Bytes> = stream::iter(starts.map(part)).buffered(SOURCE_PARTS_AT_ONCE).try_collect().await?;
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let mut block = BytesMut::with_capacity((range.end - range.start) as usize);
        parts.iter().for_each(|part| block.extend_from_slice(part));
        Ok(block.freeze())
    }

    async fn read_part(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let (store, location) = match &self.place {
            Place::Local(_) => unreachable!("asked of a remote file"),
            Place::Remote { store, location } => (store, location),
            Place::Web { store, location, whole } => match whole.get() {
                Some(whole) => return Ok(slice_of(whole, range)),
                None => (store, location),
            },
        };
        let wanted = range.end - range.start;
        let ask = || async {
            let options = GetOptions {
                if_match: self.strong_etag(),
                range: Some(GetRange::Bounded(range.clone())),
                ..GetOptions::default()
            };
            let answer = store.get_opts(location, options).await?;
            let meta = answer.meta.clone();
            Ok((meta, answer.bytes().await?))
        };
        match RetryPolicy::BUCKET.retry(&self.file.url, ask).await {
            Ok((meta, block)) if self.is_as_listed(&meta) && block.len() as u64 == wanted => Ok(block),
            Ok(_) | Err(object_store::Error::Precondition { .. } | object_store::Error::NotModified { .. }) => {
                Err(self.changed())
            }
            Err(object_store::Error::NotSupported { .. }) => Ok(slice_of(self.read_whole().await?, range)),
            Err(error) => Err(refused("read", &self.file.url, error)),
        }
    }

    /// All of a web server's file: not every server gives parts.
    ///
    /// # Errors
    /// 0A000 for one that is longer than [`SOURCE_WHOLE_BYTES_MAX`].
    async fn read_whole(&self) -> Result<&Bytes, StorageError> {
        let url = &self.file.url;
        let no_parts = |message: String| StorageError::File { path: url.clone(), message, sqlstate: "0A000" };
        let Place::Web { store, location, whole } = &self.place else {
            return Err(no_parts("its place gives no parts of files".into()));
        };
        if self.file.bytes > SOURCE_WHOLE_BYTES_MAX {
            let message = format!(
                "its server gives no parts of files (range requests), and it has more than {SOURCE_WHOLE_BYTES_MAX} bytes"
            );
            return Err(no_parts(message));
        }
        let ask = || async {
            let answer = store.get_opts(location, GetOptions::default()).await?;
            let meta = answer.meta.clone();
            Ok((meta, answer.bytes().await?))
        };
        let read = || async {
            match RetryPolicy::BUCKET.retry(url, ask).await {
                Ok((meta, block)) if self.is_as_listed(&meta) && block.len() as u64 == self.file.bytes => Ok(block),
                Ok(_) => Err(self.changed()),
                Err(error) => Err(refused("read", url, error)),
            }
        };
        whole.get_or_try_init(read).await
    }

    /// What a server compares by itself: a weak one it never finds equal.
    fn strong_etag(&self) -> Option<String> {
        self.file.etag.clone().filter(|etag| !etag.starts_with("W/"))
    }

    /// Not every web server looks at a condition.
    fn is_as_listed(&self, meta: &ObjectMeta) -> bool {
        let is_same = match self.place {
            Place::Web { .. } => web::identity(meta) == (self.file.etag.clone(), self.file.modified_us),
            Place::Local(_) | Place::Remote { .. } => true,
        };
        is_same && meta.size == self.file.bytes
    }
}

fn slice_of(whole: &Bytes, range: Range<u64>) -> Bytes {
    whole.slice(range.start as usize..range.end as usize)
}

/// What a place answered, as an error of its file.
pub(crate) fn refused(operation: &'static str, url: &str, error: object_store::Error) -> StorageError {
    use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
    let sqlstate = match &error {
        NotFound { .. } => "58P01",
        PermissionDenied { .. } | Unauthenticated { .. } => "42501",
        // A bucket that is not there.
        other if status_of(other) == Some(404) => "58P01",
        // Listing has no error of its own for what may not be seen.
        other if matches!(status_of(other), Some(401 | 403)) || is_redirect(other) || lacks_credentials(other) => {
            "42501"
        }
        _ => "58030",
    };
    let message = match &error {
        NotFound { .. } => "there is no such file".into(),
        other if is_redirect(other) => "its server names another address, which may not be reached".into(),
        _ => format!("could not {operation} it: {}", told(&error)),
    };
    StorageError::File { path: url.into(), message, sqlstate }
}

/// Of a web server; a bucket's never is followed.
fn is_redirect(error: &object_store::Error) -> bool {
    status_of(error).is_some_and(|status| (300..400).contains(&status))
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for SourceFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { self.read(range).await.map_err(external) }.boxed()
    }

    /// Ranges that are near each other are read as one, the others at the same time.
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let file = self.clone();
        async move {
            let read = |range: Range<u64>| {
                let file = file.clone();
                async move { file.read(range).await }
            };
            let gap = object_store::OBJECT_STORE_COALESCE_DEFAULT;
            object_store::coalesce_ranges(&ranges, read, gap).await.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.inner.file.bytes;
            let reader = ParquetMetaDataReader::new()
                .with_prefetch_hint(Some(FOOTER_GUESS_BYTES))
                .with_page_index_policy(PageIndexPolicy::Skip);
            Ok(Arc::new(reader.load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}
