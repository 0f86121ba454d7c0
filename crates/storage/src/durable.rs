//! Files that exist whole and on stable storage, or not at all.

use crate::directory_sync::sync_directory;
use crate::limits::{SMALL_FILE_BYTES, WRITE_BEHIND_BYTES};
use crate::{StorageError, blocking};
use bytes::Bytes;
use damson_cluster::fault;
use datafusion::common::runtime::SpawnedTask;
use futures::FutureExt;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A file in the making. Removed when the last holder goes, unless it was kept: every call that may create it holds one,
/// so that a cancelled writer leaves nothing even when the call outlives it.
struct Partial {
    /// Where the file is now; None once it is kept, or has its name for good.
    path: Mutex<Option<PathBuf>>,
    /// What waits until the file is kept or gone.
    _held: Option<Arc<dyn Send + Sync>>,
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partial").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Partial {
    /// Makes the file, and its directories where they are missing, with its first blocks.
    fn make(&self, path: &Path, blocks: &[Bytes]) -> io::Result<Box<Open>> {
        if let Some(directory) = path.parent() {
            create_directories(directory)?;
        }
        let file = File::create_new(path).inspect_err(|error| {
            // Somebody else's file of that name is not ours to remove.
            if error.kind() == io::ErrorKind::AlreadyExists {
                self.path.lock().take();
            }
        })?;
        let mut open = Box::new(Open { file: Arc::new(file), hasher: Xxh3::new(), bytes: 0 });
        blocks.iter().try_for_each(|block| open.write(block))?;
        Ok(open)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.path.get_mut().take()
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "could not remove a partial file");
        }
    }
}

impl Unkept for Partial {
    fn keep(&self) {
        self.path.lock().take();
    }
}

/// A file that goes with its last holder, unless it was kept.
pub(crate) trait Unkept: std::fmt::Debug + Send + Sync {
    fn keep(&self);
}

/// Keeps a finished file from being removed when this is dropped; see [`DurableFile::finish`]. What got its name for good stays
/// either way.
#[derive(Debug)]
pub(crate) struct Finished {
    file: Arc<dyn Unkept>,
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
}

impl Finished {
    pub(crate) fn new(file: Arc<dyn Unkept>, bytes: u64, checksum: u64) -> Self {
        Finished { file, bytes, checksum }
    }

    /// From now on the file stays, whatever happens to the statement.
    pub(crate) fn keep(self) {
        self.file.keep();
    }
}

/// A new file: hashed while it is written, removed unless it is finished and kept.
///
/// # Memory
/// One block is written in the background while the caller makes the next.
#[derive(Debug)]
pub(crate) struct DurableFile {
    partial: Arc<Partial>,
    path: PathBuf,
    state: State,
    behind: WriteBehind,
}

#[derive(Debug)]
enum State {
    /// Not made yet: its blocks so far.
    Begun(Vec<Bytes>),
    Idle(Box<Open>),
    Writing(SpawnedTask<io::Result<Box<Open>>>),
    /// A write failed or was cancelled: nothing more can be written.
    Broken,
}

struct Open {
    file: Arc<File>,
    hasher: Xxh3,
    bytes: u64,
}

impl Open {
    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        fault("write")?;
        (&*self.file).write_all(block)?;
        self.hasher.update(block);
        self.bytes += block.len() as u64;
        Ok(())
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Puts what is written on stable storage while more is: a file's end does not wait for all of it then.
#[derive(Debug, Default)]
struct WriteBehind {
    /// Bytes of the file when the last sync began.
    from: u64,
    syncing: Option<SpawnedTask<io::Result<()>>>,
}

impl WriteBehind {
    /// Begins another sync if enough was written, and the one before has ended.
    ///
    /// # Errors
    /// That one's: the system tells it once, and the file must not be acknowledged afterwards.
    fn go_on(&mut self, open: &Open) -> io::Result<()> {
        if open.bytes - self.from < WRITE_BEHIND_BYTES {
            return Ok(());
        }
        if let Some(syncing) = &mut self.syncing {
            let Some(ended) = syncing.now_or_never() else { return Ok(()) };
            self.syncing = None;
            ended.map_err(io::Error::other)??;
        }
        self.from = open.bytes;
        let file = Arc::clone(&open.file);
        self.syncing = Some(SpawnedTask::spawn_blocking(move || {
            fault("sync")?;
            file.sync_data()
        }));
        Ok(())
    }

    /// # Errors
    /// As [`WriteBehind::go_on`].
    async fn end(&mut self) -> io::Result<()> {
        match self.syncing.take() {
            Some(syncing) => syncing.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

impl DurableFile {
    /// A file at `path`, which must not exist. It is made with its first block that is no longer small, or at its end, so that
    /// a small file costs one call off the runtime and not three.
    pub(crate) fn begin(path: PathBuf) -> Self {
        DurableFile::begin_holding(path, None)
    }

    /// As [`DurableFile::begin`]; `held` is dropped once the file is kept or gone, whichever thread that happens on.
    pub(crate) fn begin_holding(path: PathBuf, held: Option<Arc<dyn Send + Sync>>) -> Self {
        let partial = Arc::new(Partial { path: Mutex::new(Some(path.clone())), _held: held });
        DurableFile { partial, path, state: State::Begun(vec![]), behind: WriteBehind::default() }
    }

    /// Creates `path`, and its directories where they are missing. It must not exist.
    pub(crate) async fn create(path: PathBuf) -> Result<Self, StorageError> {
        let mut file = DurableFile::begin(path);
        let open = file.idle().await?;
        file.state = State::Idle(open);
        Ok(file)
    }

    /// Begins to write `block`, once the one before is written.
    pub(crate) async fn write_block(&mut self, block: Bytes) -> Result<(), StorageError> {
        if let State::Begun(blocks) = &mut self.state
            && blocks.iter().map(Bytes::len).sum::<usize>() + block.len() <= SMALL_FILE_BYTES
        {
            blocks.push(block);
            return Ok(());
        }
        let mut open = self.idle().await?;
        self.behind.go_on(&open).map_err(StorageError::io("sync", &self.path))?;
        let held = Arc::clone(&self.partial);
        self.state = State::Writing(SpawnedTask::spawn_blocking(move || {
            let _held = held;
            open.write(&block)?;
            Ok(open)
        }));
        Ok(())
    }

    async fn idle(&mut self) -> Result<Box<Open>, StorageError> {
        let result = match std::mem::replace(&mut self.state, State::Broken) {
            State::Begun(blocks) => {
                let (partial, path) = (Arc::clone(&self.partial), self.path.clone());
                return blocking::run("create", &self.path, move || partial.make(&path, &blocks)).await;
            }
            State::Idle(open) => Ok(open),
            State::Writing(task) => match task.join_unwind().await {
                Ok(result) => result,
                Err(shut_down) => Err(io::Error::other(shut_down)),
            },
            State::Broken => Err(io::Error::other("an earlier write failed")),
        };
        result.map_err(StorageError::io("write", &self.path))
    }

    /// Renames the file to `target` if given, and returns once file and directory are on stable storage. The file is still
    /// removed, whatever it is called by then, if this is cancelled, fails, or what comes back is dropped instead of kept.
    pub(crate) async fn finish(self, target: Option<PathBuf>) -> Result<Finished, StorageError> {
        match target {
            None => self.settle(None, true, |_, _| Ok(())).await,
            Some(target) => self.settle(Some(target), true, |from, to| fs::rename(from, to)).await,
        }
    }

    /// Renames the file to `target`, and returns once file and directory are on stable storage. From the moment that it has that name
    /// it stays, also if this is cancelled or fails: others may rely on what they see there.
    pub(crate) async fn finish_for_good(self, target: PathBuf) -> Result<Finished, StorageError> {
        self.settle(Some(target), false, |from, to| fs::rename(from, to)).await
    }

    /// As [`DurableFile::finish_for_good`], if there is no file of that name: another one's stays as it is.
    pub(crate) async fn finish_as_new(self, target: PathBuf) -> Result<Finished, StorageError> {
        self.settle(Some(target), false, give_only_name).await
    }

    /// As [`DurableFile::finish`], if there is no file of that name: another one's stays as it is.
    pub(crate) async fn finish_if_new(self, target: PathBuf) -> Result<Finished, StorageError> {
        self.settle(Some(target), true, give_only_name).await
    }

    /// `is_taken_back`: whether the file goes under its new name too unless it is kept.
    async fn settle(
        mut self,
        target: Option<PathBuf>,
        is_taken_back: bool,
        give_name: impl FnOnce(&Path, &Path) -> io::Result<()> + Send + 'static,
    ) -> Result<Finished, StorageError> {
        let written = match std::mem::replace(&mut self.state, State::Broken) {
            State::Begun(blocks) => Err(blocks),
            state => {
                self.state = state;
                Ok(self.idle().await?)
            }
        };
        let (partial, path) = (Arc::clone(&self.partial), self.path.clone());
        let named = target.clone().unwrap_or_else(|| self.path.clone());
        self.behind.end().await.map_err(StorageError::io("sync", &named))?;
        let operation = if written.is_ok() { "sync" } else { "write" };
        let settled = blocking::run(operation, &named, move || {
            let open = match written {
                Ok(open) => open,
                Err(blocks) => partial.make(&path, &blocks)?,
            };
            fault("sync")?;
            open.file.sync_all()?;
            if let Some(target) = &target {
                let mut current = partial.path.lock();
                give_name(&path, target)?;
                *current = is_taken_back.then(|| target.clone());
            }
            sync_directory(target.as_ref().unwrap_or(&path).parent().unwrap_or(Path::new("/")))?;
            Ok(open)
        });
        let open = settled.await?;
        Ok(Finished::new(self.partial, open.bytes, open.hasher.digest()))
    }
}

/// A second name of the file, then the only one: renaming would take the place of what is there.
fn give_only_name(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
}

/// `create_dir_all`, where each new directory's entry is on stable storage in its parent.
pub(crate) fn create_directories(directory: &Path) -> io::Result<()> {
    create_directories_noting(directory, &mut |_| {})
}

/// As [`create_directories`]; `note` is told of each that was not there, once it is.
pub(crate) fn create_directories_noting(directory: &Path, note: &mut dyn FnMut(&Path)) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        if !parent.as_os_str().is_empty() {
            create_directories_noting(parent, note)?;
        }
        match fs::create_dir(directory) {
            Ok(()) => note(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => return Err(error),
        }
        sync_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_stays_only_when_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");

        let mut file = DurableFile::create(path.clone()).await.unwrap();
        file.write_block(Bytes::from_static(b"hello ")).await.unwrap();
        drop(file);
        // The block may still be on its way to the disk; the file goes with its last holder.
        for _ in 0..200 {
            if !path.exists() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(!path.exists());

        let mut file = DurableFile::create(path.clone()).await.unwrap();
        file.write_block(Bytes::from_static(b"hello ")).await.unwrap();
        file.write_block(Bytes::from_static(b"world")).await.unwrap();
        let finished = file.finish(None).await.unwrap();
        assert_eq!((finished.bytes, finished.checksum), (11, xxhash_rust::xxh3::xxh3_64(b"hello world")));
        finished.keep();
        assert_eq!(fs::read(&path).unwrap(), b"hello world");

        // A name that is taken is refused, and the file that has it stays.
        assert_eq!(DurableFile::create(path.clone()).await.unwrap_err().sqlstate(), "58P02");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_small_file_is_made_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/file");
        let small = Bytes::from(vec![1; SMALL_FILE_BYTES / 2]);
        let mut file = DurableFile::begin(path.clone());
        for _ in 0..2 {
            file.write_block(small.clone()).await.unwrap();
        }
        assert!(!path.exists());
        let finished = file.finish(None).await.unwrap();
        assert_eq!(finished.bytes, SMALL_FILE_BYTES as u64);
        drop(finished);
        assert!(!path.exists());

        // Made with the block that is one too many, in the blocks' order.
        let mut file = DurableFile::begin(path.clone());
        file.write_block(Bytes::from_static(b"first")).await.unwrap();
        file.write_block(Bytes::from(vec![2; SMALL_FILE_BYTES])).await.unwrap();
        file.write_block(Bytes::from_static(b"last")).await.unwrap();
        let finished = file.finish(None).await.unwrap();
        let found = fs::read(&path).unwrap();
        assert!(found.starts_with(b"first") && found.ends_with(b"last") && found.len() == SMALL_FILE_BYTES + 9);
        assert_eq!(finished.checksum, xxhash_rust::xxh3::xxh3_64(&found));
        finished.keep();

        // A name that is taken is noticed at the end, and the file that has it stays.
        let mut file = DurableFile::begin(path.clone());
        file.write_block(Bytes::from_static(b"other")).await.unwrap();
        assert_eq!(file.finish(None).await.unwrap_err().sqlstate(), "58P02");
        assert_eq!(fs::read(&path).unwrap(), found);
    }

    #[tokio::test]
    async fn a_large_file_is_synced_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let block = Bytes::from(vec![7; WRITE_BEHIND_BYTES as usize / 2 + 1]);
        let mut file = DurableFile::begin(path.clone());
        for _ in 0..2 {
            file.write_block(block.clone()).await.unwrap();
            assert_eq!(file.behind.from, 0);
        }
        for _ in 0..2 {
            file.write_block(block.clone()).await.unwrap();
        }
        assert_eq!(file.behind.from, 2 * block.len() as u64);
        let finished = file.finish(None).await.unwrap();
        assert_eq!(finished.checksum, xxhash_rust::xxh3::xxh3_64(&block.repeat(4)));
        finished.keep();
        assert_eq!(fs::metadata(&path).unwrap().len(), 4 * block.len() as u64);
    }

    /// The system tells of it once: a later sync finds nothing wrong.
    #[tokio::test]
    async fn a_file_of_which_something_was_not_synced_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let block = Bytes::from(vec![7; WRITE_BEHIND_BYTES as usize]);
        for more in [0, 3] {
            let mut file = DurableFile::create(path.clone()).await.unwrap();
            file.behind.syncing = Some(SpawnedTask::spawn_blocking(|| Err(io::Error::from_raw_os_error(5))));
            let mut written = Ok(());
            for _ in 0..more {
                written = match written {
                    Ok(()) => file.write_block(block.clone()).await,
                    failed => failed,
                };
            }
            let error = match written {
                Ok(()) => file.finish(None).await.unwrap_err(),
                Err(error) => {
                    drop(file);
                    error
                }
            };
            assert!(error.to_string().contains("sync"), "{error}");
            for _ in 0..200 {
                if !path.exists() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_renamed_file_is_removed_under_its_new_name() {
        let dir = tempfile::tempdir().unwrap();
        let (temporary, target) = (dir.path().join(".x.tmp"), dir.path().join("x"));
        let finished =
            DurableFile::create(temporary.clone()).await.unwrap().finish(Some(target.clone())).await.unwrap();
        assert!(target.exists() && !temporary.exists());
        drop(finished);
        assert!(!target.exists());
    }

    #[tokio::test]
    async fn what_has_its_name_for_good_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (temporary, target) = (dir.path().join(".x.tmp"), dir.path().join("x"));
        let file = DurableFile::create(temporary.clone()).await.unwrap();
        drop(file.finish_for_good(target.clone()).await.unwrap());
        assert!(target.exists() && !temporary.exists());

        // Given up between the new name and the answer.
        for is_new in [false, true] {
            fs::remove_file(&target).unwrap();
            let file = DurableFile::create(temporary.clone()).await.unwrap();
            let to = target.clone();
            let mut finishing =
                Box::pin(
                    async move { if is_new { file.finish_as_new(to).await } else { file.finish_for_good(to).await } },
                );
            let _ = tokio::time::timeout(std::time::Duration::ZERO, &mut finishing).await;
            while !target.exists() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            drop(finishing);
            // The call goes on to its end.
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(target.exists() && !temporary.exists(), "as a new file: {is_new}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_taken_stays_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (temporary, target) = (dir.path().join(".x.tmp"), dir.path().join("x"));
        fs::write(&target, b"first").unwrap();
        let file = DurableFile::create(temporary.clone()).await.unwrap();
        assert_eq!(file.finish_as_new(target.clone()).await.unwrap_err().sqlstate(), "58P02");
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert!(!temporary.exists());

        fs::remove_file(&target).unwrap();
        let file = DurableFile::create(temporary.clone()).await.unwrap();
        file.finish_as_new(target.clone()).await.unwrap().keep();
        assert!(target.exists() && !temporary.exists());
    }
}
