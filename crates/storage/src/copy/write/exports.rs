//! What COPY TOs have written on a segment, until the master says how they ended: it stays, or is taken back.

use crate::StorageError;
use crate::durable::create_directories_noting;
use crate::limits::{EXPORT_END_WAIT, EXPORTS_REMEMBERED_MAX};
use crate::retry::RetryPolicy;
use crate::sink::Keep;
use crate::{blocking, source};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The COPY TOs of one segment; a clone is the same. A statement that fails is taken back in two calls, so that directories go too:
/// first every segment removes its files ([`Exports::take_back`]), then the directories that it has made ([`Exports::end`]), inner ones first.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    /// By [`CopyTarget::stem`](damson_cluster::CopyTarget::stem), which grows with time.
    statements: Arc<Mutex<BTreeMap<String, Statement>>>,
}

#[derive(Debug, Default)]
struct Statement {
    /// Ends its writers.
    ended: CancellationToken,
    /// Its writers, and what they take back.
    at_work: TaskTracker,
    /// What is written, whole and reported.
    done: Vec<Arc<Export>>,
    /// Made for it, and not empty when its files were removed.
    directories: Vec<PathBuf>,
}

impl Exports {
    /// For one writer of a statement, or what is written after all writers.
    pub(super) fn begin(&self, stem: &str) -> Arc<Export> {
        let mut statements = self.statements.lock();
        let statement = statements.entry(stem.to_owned()).or_default();
        let export = Export {
            exports: self.clone(),
            stem: stem.to_owned(),
            ended: statement.ended.clone(),
            handle: Handle::current(),
            is_kept: AtomicBool::new(false),
            written: Mutex::default(),
            _at_work: statement.at_work.token(),
            at_work: statement.at_work.clone(),
        };
        forget_oldest(&mut statements);
        Arc::new(export)
    }

    /// Ends the statement's writers, and removes its files. Directories stay until [`Exports::end`].
    ///
    /// # Errors
    /// 58030 if that takes longer than [`EXPORT_END_WAIT`]; it goes on.
    pub async fn take_back(&self, stem: &str) -> Result<(), StorageError> {
        let (done, at_work) = {
            let mut statements = self.statements.lock();
            // One that is not known may yet come: it ends at once then.
            let statement = statements.entry(stem.to_owned()).or_default();
            statement.ended.cancel();
            let taken = (std::mem::take(&mut statement.done), statement.at_work.clone());
            forget_oldest(&mut statements);
            taken
        };
        blocking::run("remove", Path::new(stem), move || {
            drop(done);
            Ok(())
        })
        .await?;
        at_work.close();
        let late = || StorageError::io("remove", stem)(io::ErrorKind::TimedOut.into());
        timeout(EXPORT_END_WAIT, at_work.wait()).await.map_err(|_| late())
    }

    /// Forgets the statement. `is_kept`: its files stay; else the directories go that were made for it and are empty, and those that are not
    /// are counted: another segment may have its own in them yet. Of these the statement is not forgotten.
    ///
    /// # Errors
    /// Those of the disk's thread.
    pub async fn end(&self, stem: &str, is_kept: bool) -> Result<usize, StorageError> {
        let Some(mut statement) = self.statements.lock().remove(stem) else { return Ok(0) };
        if is_kept {
            statement.done.iter().for_each(|export| export.stay());
            return Ok(0);
        }
        let directories = std::mem::take(&mut statement.directories);
        let call = move || {
            statement.done.clear();
            statement.directories = remove_directories(directories);
            Ok(statement)
        };
        let statement = blocking::run("remove", Path::new(stem), call).await?;
        let left = statement.directories.len();
        if left > 0 {
            self.statements.lock().insert(stem.to_owned(), statement);
        }
        Ok(left)
    }
}

/// A statement whose end nobody tells any more.
fn forget_oldest(statements: &mut BTreeMap<String, Statement>) {
    while statements.len() > EXPORTS_REMEMBERED_MAX
        && let Some((stem, oldest)) = statements.pop_first()
    {
        tracing::warn!(%stem, "nobody has said how a COPY TO ended: its files stay");
        oldest.done.iter().for_each(|export| export.stay());
    }
}

/// The files of one writer of a statement. They go with its last holder, unless they are to stay.
#[derive(Debug)]
pub(super) struct Export {
    exports: Exports,
    stem: String,
    pub ended: CancellationToken,
    handle: Handle,
    is_kept: AtomicBool,
    written: Mutex<Written>,
    at_work: TaskTracker,
    _at_work: TaskTrackerToken,
}

#[derive(Debug, Default)]
struct Written {
    files: Vec<PathBuf>,
    objects: Vec<Object>,
    /// Those that were not there, outermost first.
    directories: Vec<PathBuf>,
}

struct Object {
    store: Arc<dyn ObjectStore>,
    location: ObjectPath,
    url: String,
}

/// Without its client, which has credentials.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Export {
    /// A file that is there, whole.
    pub(super) fn has_written(&self, file: PathBuf) {
        self.written.lock().files.push(file);
    }

    /// An object that may be there from now on.
    pub(super) fn may_write(&self, store: &Arc<dyn ObjectStore>, location: &ObjectPath, url: &str) {
        let object = Object { store: Arc::clone(store), location: location.clone(), url: url.into() };
        self.written.lock().objects.push(object);
    }

    /// What is there is another one's.
    pub(super) fn has_not_written(&self, location: &ObjectPath) {
        self.written.lock().objects.retain(|object| object.location != *location);
    }

    /// Makes a directory, and those above it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn make_directory(self: &Arc<Self>, directory: &Path) -> Result<(), StorageError> {
        let (export, made) = (Arc::clone(self), directory.to_owned());
        blocking::run("create", directory, move || {
            create_directories_noting(&made, &mut |new| export.written.lock().directories.push(new.to_owned()))
        })
        .await
    }

    /// Does what takes something back, though its writer has gone. The statement's end waits for it.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.at_work.spawn_on(work, &self.handle)
    }

    fn stay(&self) {
        self.is_kept.store(true, Ordering::Release);
    }
}

/// A writer's files, from its end to its report.
pub(super) struct Reported(pub Arc<Export>);

impl Keep for Reported {
    /// Until the statement's end: if it fails elsewhere, they go.
    fn keep(self: Box<Self>) {
        let Reported(export) = *self;
        if export.ended.is_cancelled() {
            return;
        }
        let exports = export.exports.clone();
        let mut statements = exports.statements.lock();
        match statements.get_mut(&export.stem) {
            Some(statement) => statement.done.push(export),
            // It was forgotten while it wrote: its files stay, as those of others that are.
            None => export.stay(),
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if *self.is_kept.get_mut() {
            return;
        }
        let Written { files, objects, directories } = std::mem::take(self.written.get_mut());
        for file in files {
            if let Err(error) = fs::remove_file(&file)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %file.display(), %error, "could not remove a file of a COPY TO that failed");
            }
        }
        let left = remove_directories(directories);
        if !left.is_empty()
            && let Some(statement) = self.exports.statements.lock().get_mut(&self.stem)
        {
            statement.directories.extend(left);
        }
        if !objects.is_empty() {
            self.spawn(remove_objects(objects));
        }
    }
}

/// Those that are not empty are left, and told, outermost first.
fn remove_directories(directories: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut left = vec![];
    for directory in directories.into_iter().rev() {
        match fs::remove_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => left.push(directory),
        }
    }
    left.reverse();
    left
}

async fn remove_objects(objects: Vec<Object>) {
    for Object { store, location, url } in objects {
        match RetryPolicy::BUCKET.retry(&url, || store.delete(&location)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                let error = source::refused("remove", &url, error);
                tracing::warn!(%error, "could not remove an object of a COPY TO that failed");
            }
        }
    }
}
