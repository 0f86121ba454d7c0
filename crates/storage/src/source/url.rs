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
    /// A file of a web server.
    Web { server: WebServer, path: String },
}

/// A web server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WebServer {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Its host in lower case, and its port.
    pub authority: String,
}

impl WebServer {
    pub(super) fn url_of(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.authority)
    }
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
        if let Some(scheme) = web_scheme(scheme) {
            return web(text, scheme, rest);
        }
        let cloud = Cloud::by_scheme(scheme);
        let cloud = cloud.ok_or_else(|| refuse("files are at file://, s3://, gs://, az://, http:// and https://"))?;
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

/// Whether a name is of a web server, so that nothing in it is a pattern.
pub(super) fn is_web(name: &str) -> bool {
    name.split_once("://").is_some_and(|(scheme, _)| web_scheme(scheme).is_some())
}

fn web_scheme(scheme: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))
}

/// One file of a web server: what it has beside cannot be known.
fn web(text: &str, scheme: &'static str, rest: &str) -> Result<SourceName, StorageError> {
    let refuse = |message: &str| bad_name(text, message);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(refuse("credentials do not belong into a URL"));
    }
    if authority.is_empty() || path.is_empty() || path.ends_with('/') {
        return Err(refuse("it names no file of a web server"));
    }
    if text.contains('#') || path.split_once('?').is_some_and(|(_, rest)| rest.contains('=')) {
        return Err(refuse("a query may hold credentials, and would be shown: a URL has none"));
    }
    if path.contains(['*', '?', '[', '{']) {
        return Err(refuse("a web server lists no files: http and https have no patterns"));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(refuse("a name has no \"..\" and no empty part in it"));
    }
    let server = WebServer { scheme, authority: authority.to_ascii_lowercase() };
    Ok(SourceName::Web { server, path: path.into() })
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
