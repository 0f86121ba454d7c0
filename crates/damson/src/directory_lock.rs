//! A data directory has one process.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

const LOCK_FILE: &str = "lock";

/// The right to a data directory, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock(#[expect(dead_code, reason = "the lock is the open file's")] File);

/// Why a directory is not this process's.
#[derive(Debug, Error)]
pub enum DirectoryLockError {
    #[error("{0} is in use by another process of Damson: stop that one first, or take another directory")]
    InUse(PathBuf),
    #[error("cannot lock {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl DirectoryLock {
    /// # Errors
    /// Another process has it, or the file cannot be made or locked there.
    pub fn take(directory: &Path) -> Result<Self, DirectoryLockError> {
        let path = directory.join(LOCK_FILE);
        let failed = |source| DirectoryLockError::Io { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock(file)),
            Err(TryLockError::WouldBlock) => Err(DirectoryLockError::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let refusal = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(refusal.to_string().contains("in use by another process"), "{refusal}");
        drop(lock);
        DirectoryLock::take(directory.path()).unwrap();
    }
}
