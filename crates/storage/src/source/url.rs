//! Names of files and patterns of names.

use crate::StorageError;
use crate::backup::shown_url;
use crate::object_clients::{Bucket, Cloud};
use std::path::PathBuf;

/// What a name that a user wrote means; it may be a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceName {
    /// An absolute path.
    Local(String),
    Remote {
        /// Whose names the key is among.
        bucket: Bucket,
        key: String,
    },
}

pub(super) fn bad_name(name: &str, message: impl Into<String>) -> StorageError {
    StorageError::File { path: shown_url(name).into(), message: message.into(), sqlstate: "22023" }
}

impl SourceName {
    /// # Errors
    /// 22023 for what names no file.
    pub(crate) fn parse(text: &str) -> Result<Self, StorageError> {
        let refuse = |message: &str| bad_name(text, message);
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(refuse("a file's name is not empty, and has no control characters"));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return local(text) };
        if scheme.eq_ignore_ascii_case("file") {
            return match rest.starts_with('/') {
                true => local(rest),
                false => Err(refuse("a file's URL is file:///path, without a host")),
            };
        }
        let cloud = Cloud::by_scheme(scheme);
        let cloud = cloud.ok_or_else(|| refuse("files are at file://, s3://, gs:// and az://"))?;
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(refuse("it names no bucket"));
        }
        if name.contains('@') {
            return Err(refuse(
                "credentials do not belong into a URL: they come from the environment of the nodes or a secret",
            ));
        }
        if name.contains(':') {
            return Err(refuse("it names no bucket; an endpoint is set in the environment of the nodes or a secret"));
        }
        // A pattern has no equals sign after its question mark; a signature has.
        if key.split_once('?').is_some_and(|(_, rest)| rest.contains('=')) {
            return Err(refuse(
                "it says more than bucket and key: credentials come from the environment of the nodes or a secret",
            ));
        }
        if key.split('/').any(|part| part == "..") {
            return Err(refuse("a name has no \"..\" in it"));
        }
        Ok(SourceName::Remote { bucket: Bucket { cloud, name: name.into() }, key: key.into() })
    }
}

/// A path that is relative is one from where the server was started; a loaded file has one name, so it is made absolute.
fn local(path: &str) -> Result<SourceName, StorageError> {
    let absolute = std::path::absolute(PathBuf::from(path)).map_err(StorageError::io("find", path))?;
    let mut text = absolute.into_os_string().into_string().map_err(|_| bad_name(path, "its name is not UTF-8"))?;
    if path.ends_with('/') && !text.ends_with('/') {
        text.push('/');
    }
    Ok(SourceName::Local(text))
}
