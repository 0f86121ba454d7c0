//! Which files of this host statements may read and write: those of COPY, of queries, of external tables and of backups.
//!
//! Whoever may run a statement could otherwise read what the server's user can, such as the key of secrets, and put files where
//! others look for theirs. A process has one policy, which its start sets before it answers anybody.

use crate::StorageError;
use crate::backup::canonical;
use crate::blocking;
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

/// Files that tell a node's data directory, or the one of its certificate, whichever process it belongs to.
const NODE_FILES: [&str; 6] = ["cluster_id", "catalog.db", "secrets.key", "tls/node.key", "node.key", "ca.key"];

static POLICY: RwLock<Policy> = RwLock::new(Policy { allowed: None, nodes: BTreeSet::new() });

#[derive(Debug)]
struct Policy {
    /// Real paths of directories; None: all of them.
    allowed: Option<Vec<PathBuf>>,
    /// Real paths of data directories of this process, whatever is allowed.
    nodes: BTreeSet<PathBuf>,
}

/// Lets statements reach local files below these directories alone; below none if there are none. The nodes' own stay out of reach.
///
/// # Errors
/// A directory that is not there, or no directory.
pub fn allow_local_directories(directories: &[PathBuf]) -> io::Result<()> {
    let real = |directory: &PathBuf| {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
        let real = directory.canonicalize().map_err(named)?;
        if real.is_dir() { Ok(real) } else { Err(named(io::ErrorKind::NotADirectory.into())) }
    };
    let allowed = directories.iter().map(real).collect::<io::Result<_>>()?;
    POLICY.write().allowed = Some(allowed);
    Ok(())
}

/// Keeps statements out of a node's data directory, which is there.
///
/// # Errors
/// One that cannot be found.
pub fn protect_directory(directory: &Path) -> Result<(), StorageError> {
    let real = directory.canonicalize().map_err(StorageError::io("open", directory))?;
    POLICY.write().nodes.insert(real);
    Ok(())
}

/// Whether a statement may reach a file or directory, which need not be there; links on the way are followed. Blocks.
///
/// # Errors
/// 42501.
pub(crate) fn check(path: &Path) -> Result<(), StorageError> {
    POLICY.read().check(path)
}

/// As [`check`], off the query runtime.
///
/// # Errors
/// 42501.
pub(crate) async fn check_off_runtime(path: &Path) -> Result<(), StorageError> {
    let checked = path.to_owned();
    blocking::try_run("find", path, move || check(&checked)).await
}

/// Whether it was a file within reach that was opened, whatever `path` names by now. Blocks.
///
/// # Errors
/// 42501.
pub(crate) fn check_open(file: &File, path: &Path) -> Result<(), StorageError> {
    let policy = POLICY.read();
    match fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(real) => policy.check_real(&real, path),
        // There is no such file system.
        Err(_) => policy.check(path),
    }
}

impl Policy {
    fn check(&self, path: &Path) -> Result<(), StorageError> {
        match canonical(path) {
            Ok(real) => self.check_real(&real, path),
            // Why it cannot be found tells of what is there.
            Err(_) if self.allowed.is_some() => Err(not_allowed(path)),
            Err(error) => Err(StorageError::io("find", path)(error)),
        }
    }

    /// `real` is where `path` leads.
    fn check_real(&self, real: &Path, path: &Path) -> Result<(), StorageError> {
        // Of what is not there yet the rest is as it was written: once it is made, `..` leads elsewhere.
        if real.components().any(|part| part == Component::ParentDir) {
            return Err(refused(path, "it leads through \"..\" of a directory that is not there"));
        }
        let is_a_nodes =
            |above: &Path| self.nodes.contains(above) || NODE_FILES.iter().any(|file| above.join(file).exists());
        if real.ancestors().any(is_a_nodes) {
            return Err(refused(path, "it is in the data directory of a segment or a master"));
        }
        match &self.allowed {
            Some(allowed) if !allowed.iter().any(|directory| real.starts_with(directory)) => Err(not_allowed(path)),
            _ => Ok(()),
        }
    }
}

fn not_allowed(path: &Path) -> StorageError {
    refused(path, "it is in none of the directories that the segments' --copy-dirs lets statements reach")
}

fn refused(path: &Path, why: &str) -> StorageError {
    let path = path.display().to_string();
    StorageError::File { path, message: format!("it may not be reached: {why}"), sqlstate: "42501" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_parents_lead_nowhere_else() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (open, shut, node) = (root.join("open"), root.join("shut"), root.join("open/node"));
        for directory in [&open, &shut, &node, &root.join("open-too")] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(shut.join("f"), "x").unwrap();
        fs::write(open.join("f"), "x").unwrap();
        fs::write(node.join("cluster_id"), "x").unwrap();
        fs::create_dir_all(open.join("certified/tls")).unwrap();
        fs::write(open.join("certified/tls/node.key"), "x").unwrap();
        symlink(&shut, open.join("away")).unwrap();
        symlink(shut.join("f"), open.join("away.csv")).unwrap();
        symlink(open.join("f"), open.join("here.csv")).unwrap();
        symlink(shut.join("nothing"), open.join("dangling")).unwrap();
        let policy = |allowed| Policy { allowed, nodes: BTreeSet::from([root.join("own")]) };
        let some = policy(Some(vec![open.clone()]));
        for (name, is_allowed) in [
            ("open", true),
            ("open/f", true),
            ("open/here.csv", true),
            ("open/new/deep", true),
            ("open/../open/f", true),
            ("open-too/f", false),
            ("shut/f", false),
            ("shut/nothing", false),
            ("open/away/f", false),
            ("open/away/new", false),
            ("open/away.csv", false),
            ("open/../shut/f", false),
            ("open/new/../../shut/f", false),
            ("open/new/..", false),
            ("open/node/x", false),
            ("open/certified/tls/node.key", false),
            ("open/certified/x", false),
            ("", false),
        ] {
            let path = root.join(name);
            let checked = some.check(&path);
            assert_eq!(checked.is_ok(), is_allowed, "{name}: {checked:?}");
            if let Err(error) = checked {
                assert_eq!(error.sqlstate(), "42501", "{name}: {error}");
            }
        }
        let (all, none) = (policy(None), policy(Some(vec![])));
        for (name, is_allowed) in [("shut/f", true), ("open/away/f", true), ("open/node/x", false), ("own/x", false)] {
            assert_eq!(all.check(&root.join(name)).is_ok(), is_allowed, "{name}");
            assert!(none.check(&root.join(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn what_was_opened_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for directory in ["open", "shut"] {
            fs::create_dir(root.join(directory)).unwrap();
            fs::write(root.join(directory).join("f"), "x").unwrap();
        }
        let policy = Policy { allowed: Some(vec![root.join("open")]), nodes: BTreeSet::new() };
        let name = root.join("open/link");
        symlink(root.join("shut/f"), &name).unwrap();
        let file = File::open(&name).unwrap();
        // It is another one by the time it is looked at.
        fs::remove_file(&name).unwrap();
        symlink(root.join("open/f"), &name).unwrap();
        assert!(policy.check(&name).is_ok());
        let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert_eq!(policy.check_real(&real, &name).unwrap_err().sqlstate(), "42501");
    }
}
