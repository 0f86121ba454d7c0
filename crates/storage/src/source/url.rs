//! Names of files and patterns of names.

use crate::StorageError;
use crate::backup::shown_url;
use std::path::PathBuf;

/// What a name that a user wrote means; it may be a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceName {
    /// An absolute path.
    Local(String),
    Remote {
        place: RemotePlace,
        key: String,
    },
}

/// Whose names a key is among.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RemotePlace {
    pub scheme: Scheme,
    /// Bucket or container.
    pub authority: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scheme {
    S3,
    Google,
    Azure,
}

impl Scheme {
    const ALL: [Scheme; 3] = [Scheme::S3, Scheme::Google, Scheme::Azure];

    pub(super) fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Google => "gs",
            Scheme::Azure => "az",
        }
    }
}

impl RemotePlace {
    pub(super) fn url_of(&self, key: &str) -> String {
        format!("{}://{}/{key}", self.scheme.name(), self.authority)
    }
}

pub(super) fn bad_name(name: &str, message: impl Into<String>) -> StorageError {
    StorageError::File { path: shown_url(name).into(), message: message.into(), sqlstate: "22023" }
}

impl SourceName {
    /// # Errors
    /// 22023 for what names no file.
    pub(super) fn parse(text: &str) -> Result<Self, StorageError> {
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
        let scheme = Scheme::ALL.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.name()));
        let scheme = scheme.ok_or_else(|| refuse("files are at file://, s3://, gs:// and az://"))?;
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(refuse("it names no bucket"));
        }
        if authority.contains('@') {
            return Err(refuse("credentials do not belong into a URL: the nodes take them from their environment"));
        }
        if authority.contains(':') {
            return Err(refuse("it names no bucket; an endpoint is set in the environment of the nodes"));
        }
        // A pattern has no equals sign after its question mark; a signature has.
        if key.split_once('?').is_some_and(|(_, rest)| rest.contains('=')) {
            return Err(refuse("it says more than bucket and key: the nodes take credentials from their environment"));
        }
        if key.split('/').any(|part| part == "..") {
            return Err(refuse("a name has no \"..\" in it"));
        }
        let place = RemotePlace { scheme, authority: authority.into() };
        Ok(SourceName::Remote { place, key: key.into() })
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
