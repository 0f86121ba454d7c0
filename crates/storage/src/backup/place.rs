//! A place of backups.

use super::bucket::Bucket;
use super::source::{Owner, Source};
use super::url::PlaceUrl;
use crate::directory_sync::sync_directory;
use crate::durable::{DurableFile, Finished, create_directories};
use crate::error::store_error;
use crate::limits::{BACKUP_MANIFEST_BYTES_MAX, BACKUP_TEMPORARY_LIFE};
use crate::local_files;
use crate::retry::{RetryPolicy, cut};
use crate::{StorageError, blocking};
use bytes::Bytes;
use chrono::Utc;
use damson_cluster::SourceAccess;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Says whose backups a place has, and that it is one.
const MARKER: &str = "damson-backup.json";
/// Of the marker, and of the names of what lies beside it.
const FORMAT: u32 = 1;
/// Manifests: `backups/{id}.json`.
const BACKUPS: &str = "backups";
const MANIFEST: &str = ".json";
/// Of a directory's files that are being written.
const TEMPORARY: &str = ".tmp";

/// A directory or a prefix of a bucket, where the backups of one cluster are. Made by a segment for each call of the master's; a clone
/// is the same place.
#[derive(Clone, Debug)]
pub struct BackupPlace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    url: String,
    kind: Kind,
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    retry: RetryPolicy,
}

/// How files get there.
#[derive(Debug)]
enum Kind {
    /// Under temporary names, then, durable, under their own.
    Directory(PathBuf),
    Bucket(Bucket),
}

/// What the marker says.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    cluster_id: String,
    /// Given when the place was first used: tells two directories of one name on two hosts from one that both see.
    place_id: String,
}

impl fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.url)
    }
}

impl BackupPlace {
    /// A place by its URL. Of a bucket, nothing is asked yet.
    ///
    /// # Errors
    /// 22023 for what is no URL of a place, 58P01 for a directory that is not there, 42501 for one that statements may not reach.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        let url = PlaceUrl::parse(url)?;
        let name = url.to_string();
        match url {
            PlaceUrl::Directory(path) => Self::directory(name, path).await,
            PlaceUrl::Bucket(url) => {
                let store = url.open(&SourceAccess::default())?;
                Ok(Self::of_store(name, store, url.path, RetryPolicy::BUCKET))
            }
        }
    }

    /// As [`BackupPlace::open`]; makes a directory that is not there.
    ///
    /// # Errors
    /// As [`BackupPlace::open`], and those of making it.
    pub async fn create(url: &str) -> Result<Self, StorageError> {
        if let PlaceUrl::Directory(path) = PlaceUrl::parse(url)? {
            let made = path.clone();
            local_files::check_off_runtime(&path).await?;
            blocking::run("create", &path, move || {
                create_directories(&made)?;
                // Whoever made it may not have come so far.
                match made.parent().map_or(Ok(()), sync_directory) {
                    // Who may not read it has made nothing there.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                    synced => synced,
                }
            })
            .await?;
        }
        Self::open(url).await
    }

    async fn directory(name: String, path: PathBuf) -> Result<Self, StorageError> {
        local_files::check_off_runtime(&path).await?;
        let there = path.clone();
        let opened = blocking::run("open", &path, move || {
            let open = || LocalFileSystem::new_with_prefix(&there).map_err(io::Error::other);
            there.is_dir().then(open).transpose()
        });
        let Some(store) = opened.await? else {
            let message = "there is no such directory on this host".into();
            return Err(StorageError::Place { place: name, message, sqlstate: "58P01" });
        };
        let (kind, retry) = (Kind::Directory(path), RetryPolicy::DISK);
        let inner = Inner { url: name, kind, store: Arc::new(store), prefix: ObjectPath::default(), retry };
        Ok(BackupPlace { inner: Arc::new(inner) })
    }

    pub(super) fn of_store(url: String, store: Arc<dyn ObjectStore>, prefix: ObjectPath, retry: RetryPolicy) -> Self {
        let kind = Kind::Bucket(Bucket { store: Arc::clone(&store), retry });
        BackupPlace { inner: Arc::new(Inner { url, kind, store, prefix, retry }) }
    }

    /// Makes the place the cluster's, if it is nobody's. Gives what its marker says, for [`BackupPlace::check_marker`].
    ///
    /// # Errors
    /// 22023 if it is another cluster's, 0A000 if a newer build has written it; those of reading and writing.
    pub async fn claim(&self, cluster_id: &str) -> Result<String, StorageError> {
        if self.read_marker().await?.is_none() {
            let place_id = Uuid::new_v4().to_string();
            let marker = Marker { format: FORMAT, cluster_id: cluster_id.into(), place_id };
            let text = serde_json::to_vec(&marker).expect("text and numbers can be written");
            match self.write_new(MARKER, text.into()).await {
                // Somebody else was first: what is there counts.
                Err(error) if error.sqlstate() == "58P02" => {}
                written => written?,
            }
        }
        let text = self.read_marker().await?.ok_or_else(|| self.refuse("what was written is not there", "58030"))?;
        let marker = self.parse_marker(&text)?;
        if marker.cluster_id != cluster_id {
            let message = format!("it has the backups of another cluster, {}: choose another place", marker.cluster_id);
            return Err(self.refuse(&message, "22023"));
        }
        self.make_durable(&[MARKER.to_owned()]).await?;
        Ok(text)
    }

    /// Whether this node sees the place that another one has claimed.
    ///
    /// # Errors
    /// 22023 if it sees another one of the same name.
    pub async fn check_marker(&self, marker: &str) -> Result<(), StorageError> {
        match self.read_marker().await? {
            Some(found) if found == marker => Ok(()),
            _ => Err(self.refuse("it is not the same place on every host: all nodes must see the directory", "22023")),
        }
    }

    async fn read_marker(&self) -> Result<Option<String>, StorageError> {
        match self.read(MARKER).await {
            Ok(bytes) => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(Owner::Place(self.full_name(MARKER)).damaged(error.to_string())),
            },
            Err(error) if error.sqlstate() == "58P01" => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse_marker(&self, text: &str) -> Result<Marker, StorageError> {
        let damaged = |error: serde_json::Error| Owner::Place(self.full_name(MARKER)).damaged(error.to_string());
        let marker: Marker = serde_json::from_str(text).map_err(damaged)?;
        if marker.format != FORMAT {
            let message = format!("it is of format {}, and this build writes and reads {FORMAT}", marker.format);
            return Err(self.refuse(&message, "0A000"));
        }
        Ok(marker)
    }

    fn refuse(&self, message: &str, sqlstate: &'static str) -> StorageError {
        StorageError::Place { place: self.inner.url.clone(), message: message.into(), sqlstate }
    }

    /// Names of the backups whose manifests are there, in the order of the alphabet.
    ///
    /// # Errors
    /// 22023 for a place without backups' marker; those of reading.
    pub async fn backups(&self) -> Result<Vec<String>, StorageError> {
        let marker = self.read_marker().await?.ok_or_else(|| self.refuse("it has no backups", "58P01"))?;
        self.parse_marker(&marker)?;
        let Inner { store, retry, .. } = &*self.inner;
        let location = self.location(BACKUPS)?;
        let listed = retry.retry(location.as_ref(), || store.list_with_delimiter(Some(&location))).await;
        let listed = listed.map_err(|error| store_error("list", &self.full_name(BACKUPS), error))?;
        let depth = location.parts().count() + 1;
        let id = |meta: &ObjectMeta| {
            // Parts of manifests are deeper, if a bucket lists them at all.
            if meta.location.parts().count() != depth {
                return None;
            }
            let name = meta.location.filename()?.strip_suffix(MANIFEST)?;
            (!name.starts_with('.')).then(|| name.to_owned())
        };
        let mut ids: Vec<String> = listed.objects.iter().filter_map(id).collect();
        ids.sort();
        Ok(ids)
    }

    /// What is below `directory`: bytes by name. Files of a directory that dead processes have left are removed.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn list(&self, directory: &str) -> Result<HashMap<String, u64>, StorageError> {
        let Inner { store, retry, prefix, .. } = &*self.inner;
        let location = self.location(directory)?;
        let ask = || store.list(Some(&location)).try_collect::<Vec<ObjectMeta>>();
        let listed = retry.retry(location.as_ref(), ask).await;
        let listed = listed.map_err(|error| store_error("list", &self.full_name(directory), error))?;
        let mut files = HashMap::with_capacity(listed.len());
        for meta in listed {
            let Some(parts) = meta.location.prefix_match(prefix) else { continue };
            let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            if is_temporary(&meta.location) {
                self.remove_if_dead(&meta).await;
            } else {
                files.insert(name, meta.size);
            }
        }
        Ok(files)
    }

    /// A file that was being written when its process died.
    async fn remove_if_dead(&self, meta: &ObjectMeta) {
        let is_old = (Utc::now() - meta.last_modified).to_std().is_ok_and(|age| age > BACKUP_TEMPORARY_LIFE);
        if is_old && let Kind::Directory(_) = self.inner.kind {
            match self.inner.store.delete(&meta.location).await {
                Ok(()) => tracing::info!(path = %meta.location, "removed what a backup that did not end has left"),
                Err(error) => tracing::warn!(path = %meta.location, %error, "could not remove a temporary file"),
            }
        }
    }

    /// A file of the place, whole.
    ///
    /// # Memory
    /// The file: at most [`BACKUP_MANIFEST_BYTES_MAX`].
    ///
    /// # Errors
    /// 58P01 if it is not there; those of reading.
    pub async fn read(&self, name: &str) -> Result<Bytes, StorageError> {
        let Inner { store, retry, .. } = &*self.inner;
        let (location, owner) = (self.location(name)?, Owner::Place(self.full_name(name)));
        let ask = || async {
            let found = store.get(&location).await?;
            let size = found.meta.size;
            if size > BACKUP_MANIFEST_BYTES_MAX {
                return Ok(Err(size));
            }
            let bytes = found.bytes().await?;
            if bytes.len() as u64 == size { Ok(Ok(bytes)) } else { Err(cut(bytes.len() as u64, size)) }
        };
        let read = retry.retry(location.as_ref(), ask).await.map_err(|error| owner.failed("read", error))?;
        read.map_err(|size| owner.damaged(format!("it has {size} bytes")))
    }

    /// A new file of the place, durable when it returns. One that is there with these bytes is as good.
    ///
    /// # Errors
    /// 58P02 if there is another one of that name; 54001 if it is longer than what [`BackupPlace::read`] takes; those of writing.
    pub async fn write_new(&self, name: &str, bytes: Bytes) -> Result<(), StorageError> {
        if bytes.len() as u64 > BACKUP_MANIFEST_BYTES_MAX {
            let message = format!("it would have {} bytes, of {BACKUP_MANIFEST_BYTES_MAX} that are read", bytes.len());
            return Err(StorageError::File { path: self.full_name(name), message, sqlstate: "54001" });
        }
        match &self.inner.kind {
            Kind::Bucket(bucket) => bucket.create(&self.location(name)?, &self.full_name(name), bytes).await,
            Kind::Directory(directory) => {
                let target = directory.join(name);
                let mut file = DurableFile::create(temporary(&target)).await?;
                file.write_block(bytes.clone()).await?;
                match file.finish_as_new(target).await {
                    Ok(finished) => finished.keep(),
                    Err(error) if error.sqlstate() == "58P02" && self.read(name).await? == bytes => {}
                    Err(error) => return Err(error),
                }
                self.make_durable(&[name.to_owned()]).await
            }
        }
    }

    /// Makes a file of the place a copy of `source`, durable when it returns, in place of what is there.
    ///
    /// # Cancellation
    /// Leaves what was there, or the copy: once it has its name it stays. What a bucket has of an unfinished upload, its own rules remove.
    ///
    /// # Errors
    /// The source's, and those of writing: the file is as it was.
    pub(super) async fn send(&self, name: &str, source: &Source) -> Result<(), StorageError> {
        match &self.inner.kind {
            Kind::Bucket(bucket) => bucket.send(&self.location(name)?, &self.full_name(name), source).await,
            Kind::Directory(directory) => {
                let target = directory.join(name);
                let file = DurableFile::create(temporary(&target)).await?;
                write(file, source).await?.finish_for_good(target).await.map(Finished::keep)
            }
        }
    }

    /// Makes the names of files that are there durable, and those of their directories, whoever has made them: another process may
    /// have died, or be, between a name and its sync.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn make_durable(&self, names: &[String]) -> Result<(), StorageError> {
        let Kind::Directory(root) = &self.inner.kind else { return Ok(()) };
        let mut directories = BTreeSet::new();
        for name in names {
            let mut directory = root.join(name);
            // Those above one that is known are known.
            while directory.pop() && directory.starts_with(root) && directories.insert(directory.clone()) {}
        }
        blocking::run("sync", root, move || directories.iter().try_for_each(|directory| sync_directory(directory)))
            .await
    }

    /// A file of the place, which must have this length and checksum.
    pub(super) fn source(&self, name: &str, bytes: u64, checksum: u64) -> Result<Source, StorageError> {
        let Inner { store, retry, .. } = &*self.inner;
        let (store, location) = (Arc::clone(store), self.location(name)?);
        Ok(Source { store, location, bytes, checksum, retry: *retry, owner: Owner::Place(self.full_name(name)) })
    }

    fn location(&self, name: &str) -> Result<ObjectPath, StorageError> {
        let prefix = &self.inner.prefix;
        let text = if prefix.as_ref().is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        ObjectPath::parse(text).map_err(|error| self.refuse(&error.to_string(), "22023"))
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.inner.url)
    }
}

/// Copies a file to the disk, which is to be finished.
///
/// # Errors
/// The source's, and those of writing: nothing is left then.
pub(super) async fn write(mut file: DurableFile, source: &Source) -> Result<DurableFile, StorageError> {
    let mut blocks = source.open().await?;
    while let Some(block) = blocks.next().await? {
        file.write_block(block).await?;
    }
    Ok(file)
}

/// A name beside `target` that nobody else takes.
fn temporary(target: &Path) -> PathBuf {
    target.with_file_name(format!(".{}{TEMPORARY}", Uuid::new_v4()))
}

fn is_temporary(location: &ObjectPath) -> bool {
    location.filename().is_some_and(|name| name.starts_with('.') && name.ends_with(TEMPORARY))
}
