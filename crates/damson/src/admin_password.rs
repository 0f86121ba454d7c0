//! The first administrator's password: from a file, or from the environment.

use damson_master::AdminPassword;
use std::env::VarError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

const VARIABLE: &str = "DAMSON_ADMIN_PASSWORD";

/// Why the administrator's password is not known.
#[derive(Debug, Error)]
pub enum AdminPasswordError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} has no password in its first line")]
    Empty(PathBuf),
    #[error("the environment variable {VARIABLE} is not text")]
    NotText,
}

/// The first line of the file; without a file the variable, if it is set.
///
/// # Errors
/// A file that cannot be read, or begins with an empty line.
pub(crate) fn read(file: Option<&Path>) -> Result<Option<AdminPassword>, AdminPasswordError> {
    let Some(path) = file else {
        return match std::env::var(VARIABLE) {
            Ok(password) => Ok(Some(AdminPassword(password)).filter(|password| !password.0.is_empty())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(AdminPasswordError::NotText),
        };
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| AdminPasswordError::Unreadable { path: path.to_owned(), source })?;
    let first = text.lines().next().unwrap_or_default();
    match first.is_empty() {
        true => Err(AdminPasswordError::Empty(path.to_owned())),
        false => Ok(Some(AdminPassword(first.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("password");
        std::fs::write(&path, "two words \r\nmore\n").expect("room");
        let password = read(Some(&path)).expect("a password").expect("a password");
        assert_eq!(password.0, "two words ");
        assert_eq!(format!("{password:?}"), "AdminPassword(***)");
        std::fs::write(&path, "\nmore").expect("room");
        assert!(matches!(read(Some(&path)), Err(AdminPasswordError::Empty(_))));
        assert!(matches!(read(Some(&path.join("x"))), Err(AdminPasswordError::Unreadable { .. })));
    }
}
