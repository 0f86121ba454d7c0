//! Where a node's unix socket is.

use nix::unistd::geteuid;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The socket of the node that listens on a TCP address of this host. Addresses mean something within a network namespace
/// only, and its processes within a user: both are in the path.
pub(super) fn socket_path(address: &str) -> Option<PathBuf> {
    Some(directory()?.join(format!("{}.sock", address.replace(['/', ':'], "_"))))
}

/// The socket of a node of this host, if it has one now. A directory that another user has made or could enter says nothing
/// about nodes of this user.
pub(super) fn existing_socket(address: &str) -> Option<PathBuf> {
    let path = socket_path(address)?;
    (check(path.parent()?).is_ok() && path.exists()).then_some(path)
}

/// Makes the directory, which only this user may enter.
///
/// # Errors
/// It cannot be made, or somebody else could enter it.
pub(super) fn make_directory() -> io::Result<PathBuf> {
    let directory = directory().ok_or_else(|| io::Error::other("the network namespace has no name"))?;
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    check(&directory)?;
    Ok(directory)
}

fn check(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        let message = format!("{} is not a directory that only this user may enter", directory.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

fn directory() -> Option<PathBuf> {
    let namespace = fs::read_link("/proc/self/ns/net").ok()?;
    let namespace: String = namespace.to_str()?.chars().filter(char::is_ascii_digit).collect();
    Some(std::env::temp_dir().join(format!("damson-{}-{namespace}", geteuid().as_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_others_may_enter_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        set(0o700);
        check(directory.path()).unwrap();
        for mode in [0o755, 0o770, 0o701] {
            set(mode);
            assert_eq!(check(directory.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{mode:o}");
        }
        let link = directory.path().join("link");
        set(0o700);
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        check(&link).unwrap_err();
    }
}
