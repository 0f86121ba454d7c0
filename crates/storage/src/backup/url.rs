//! Names of places.

use crate::StorageError;
use crate::object_clients::BucketUrl;
use std::fmt;
use std::path::{Component, PathBuf};

/// A directory that every node sees, or a prefix of a bucket's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlaceUrl {
    Directory(PathBuf),
    Bucket(BucketUrl),
}

/// A place's URL as it may be shown and logged: without a password, which is before an `@`, and without what is asked of a server,
/// which may be a signature. The master shows it so too.
pub fn shown_url(url: &str) -> &str {
    match url {
        // A directory's path has none.
        _ if url.starts_with('/') => url,
        _ if url.contains('@') => "the place",
        _ => url.split(['?', '#']).next().unwrap_or_default(),
    }
}

impl PlaceUrl {
    /// # Errors
    /// 22023 for what names no place, or says more than a place.
    pub(crate) fn parse(text: &str) -> Result<Self, StorageError> {
        let refuse = |message: &str| StorageError::Place {
            place: shown_url(text).into(),
            message: message.into(),
            sqlstate: "22023",
        };
        if text.chars().any(char::is_control) {
            return Err(refuse("the name of a place has no control characters"));
        }
        if text.starts_with('/') {
            return directory(text).ok_or_else(|| refuse("a directory is named without \"..\""));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refuse("it is no place: a directory's absolute path is one, or s3://bucket/prefix"));
        };
        if scheme.eq_ignore_ascii_case("file") {
            let is_local = rest.starts_with('/');
            let directory = is_local.then(|| directory(rest)).flatten();
            return directory.ok_or_else(|| refuse("a directory's URL is file:///directory, without a host or \"..\""));
        }
        BucketUrl::parse(text).map(PlaceUrl::Bucket)
    }
}

fn directory(path: &str) -> Option<PlaceUrl> {
    let path = PathBuf::from(path);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    // Without a slash at its end, or two in its middle.
    is_plain.then(|| PlaceUrl::Directory(path.components().collect()))
}

impl fmt::Display for PlaceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceUrl::Directory(path) => write!(f, "{}", path.display()),
            PlaceUrl::Bucket(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_one_name() {
        for (text, name) in [
            ("/backups/", "/backups"),
            ("/a//b", "/a/b"),
            ("file:///backups", "/backups"),
            ("FILE:///b c", "/b c"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("S3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/p", "gs://bucket/p"),
            ("az://container/p", "az://container/p"),
        ] {
            assert_eq!(PlaceUrl::parse(text).unwrap().to_string(), name, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "backups",
            "./backups",
            "/a/../b",
            "file://host/a",
            "file://a",
            "ftp://host/a",
            "s3://",
            "s3:///prefix",
            "s3://bucket:9000/prefix",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket/a?versionId=1",
            "s3://bucket/a#b",
            "/a\nb",
        ] {
            assert_eq!(PlaceUrl::parse(text).unwrap_err().sqlstate(), "22023", "{text}");
        }
    }

    #[test]
    fn credentials_are_not_repeated() {
        for url in [
            "s3://AKIA:hush@bucket/prefix",
            "s3://AKIA:h?hush@bucket/prefix",
            "az://container/prefix?sv=2026&sig=hush",
            "s3://bucket/prefix?X-Amz-Signature=hush",
            "s3://bucket/prefix#hush",
        ] {
            let error = PlaceUrl::parse(url).unwrap_err();
            assert!(!error.to_string().contains("hush"), "{error}");
            assert!(error.to_string().contains("environment"), "{error}");
            assert!(!shown_url(url).contains("hush"), "{url}");
        }
        assert_eq!(shown_url("az://container/prefix?sig=hush"), "az://container/prefix");
        assert_eq!(shown_url("s3://bucket/prefix"), "s3://bucket/prefix");
        assert_eq!(shown_url("/a@b?c"), "/a@b?c");
    }
}
