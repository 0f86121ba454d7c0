//! Where a node's unix socket is.

use nix::unistd::geteuid;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

/// The socket of the node that listens on a TCP address of this host. Addresses mean something within a network namespace
/// only, and its processes within a user: both are in the path.
pub(super) fn socket_path(address: &str) -> Option<PathBuf> {
    Some(directory()?.join(format!("{}.sock", address.replace(['/', ':'], "_"))))
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
    let metadata = fs::symlink_metadata(&directory)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        let message = format!("{} is not a directory that only this user may enter", directory.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(directory)
}

fn directory() -> Option<PathBuf> {
    let namespace = fs::read_link("/proc/self/ns/net").ok()?;
    let namespace: String = namespace.to_str()?.chars().filter(char::is_ascii_digit).collect();
    Some(std::env::temp_dir().join(format!("damson-{}-{namespace}", geteuid().as_raw())))
}
