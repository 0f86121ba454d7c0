//! `--copy-dirs`: which local files statements reach.

use damson_storage::allow_local_directories;
use std::io;
use std::path::{Path, PathBuf};

/// In the place of directories: no local files.
const NONE: &str = "none";

/// Keeps statements of this process to the directories that were given; without them they reach what the process's user does, but no
/// node's data directory.
///
/// # Errors
/// A directory that is not there, or is not named by its absolute path.
pub(crate) fn apply(directories: Option<&[PathBuf]>) -> io::Result<()> {
    match directories {
        None => Ok(()),
        Some([none]) if none == Path::new(NONE) => allow_local_directories(&[]),
        Some(directories) => match directories.iter().find(|directory| !directory.is_absolute()) {
            None => allow_local_directories(directories),
            Some(relative) => {
                let message = format!("{}: a directory is named by its absolute path", relative.display());
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_there_and_absolute() {
        apply(None).unwrap();
        for (directories, says) in [(vec!["/tmp", "here"], "here: "), (vec!["/nothing/here"], "/nothing/here: ")] {
            let directories: Vec<PathBuf> = directories.into_iter().map(PathBuf::from).collect();
            let error = apply(Some(&directories)).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
