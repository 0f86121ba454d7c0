//! Where a statement's files go.

use crate::StorageError;
use crate::backup::{canonical, shown_url};
use crate::blocking;
use crate::local_files;
use crate::object_clients::{Bucket, bucket_client};
use crate::places::BucketClient;
use crate::source::SourceName;
use damson_cluster::{CopyTarget, SourceAccess};
use object_store::path::Path as ObjectPath;
use std::path::{Path, PathBuf};

/// A directory, or a prefix of a bucket's names.
#[derive(Clone)]
pub(super) enum Place {
    Local(PathBuf),
    Bucket {
        client: BucketClient,
        bucket: Bucket,
        /// Without a slash at its end; it may be empty.
        prefix: String,
    },
}

impl Place {
    /// The place of a target's files, and, if they are a single one, its name there.
    ///
    /// # Errors
    /// 22023 for what names no place, or no file where it must.
    pub(super) fn open(target: &CopyTarget, access: &SourceAccess) -> Result<(Self, Option<String>), StorageError> {
        let refuse = |message: &str| StorageError::File {
            path: shown_url(&target.place).into(),
            message: message.into(),
            sqlstate: "22023",
        };
        let name = SourceName::parse(&target.place)?;
        let full = match &name {
            SourceName::Local(path) => path,
            SourceName::Remote { key, .. } => key,
            SourceName::Web { .. } => return Err(refuse("COPY TO does not write to web servers")),
        };
        let (above, single) = match (target.single, full.rsplit_once('/')) {
            (false, _) => (full.trim_end_matches('/'), None),
            (true, Some((_, ""))) => return Err(refuse("it names a directory, and SINGLE_FILE needs a file")),
            (true, Some((above, file))) => (above, Some(file.to_owned())),
            (true, None) if full.is_empty() => return Err(refuse("it names a bucket, and SINGLE_FILE needs a file")),
            (true, None) => ("", Some(full.clone())),
        };
        let place = match &name {
            // The root has no other name.
            SourceName::Local(_) => Place::Local(PathBuf::from(if above.is_empty() { "/" } else { above })),
            SourceName::Remote { bucket, .. } => {
                ObjectPath::parse(above).map_err(|error| refuse(&error.to_string()))?;
                let client = bucket_client(bucket, access)?;
                Place::Bucket { client, bucket: bucket.clone(), prefix: above.trim_start_matches('/').into() }
            }
            SourceName::Web { .. } => unreachable!("refused above"),
        };
        Ok((place, single))
    }

    /// Whether statements may write there, and it is elsewhere than a content's own files, among which only the catalog's are kept.
    ///
    /// # Errors
    /// 42501, also for a directory in `data_dir`, however it is named.
    pub(super) async fn check(&self, data_dir: Option<&Path>) -> Result<(), StorageError> {
        let Place::Local(directory) = self else { return Ok(()) };
        if let Some(own) = data_dir.map(Path::to_owned) {
            let named = directory.clone();
            if blocking::run("open", directory, move || Ok(canonical(&named)?.starts_with(&own))).await? {
                let message = "it is in the data directory of this segment: choose another place".into();
                return Err(StorageError::File { path: directory.display().to_string(), message, sqlstate: "42501" });
            }
        }
        local_files::check_off_runtime(directory).await
    }

    /// A path, or a URL without credentials, of a file below the place.
    pub(super) fn url_of(&self, name: &str) -> String {
        match self {
            Place::Local(directory) => directory.join(name).display().to_string(),
            Place::Bucket { bucket, prefix, .. } => bucket.url_of(&key(prefix, name)),
        }
    }
}

/// The name of an object below a prefix.
pub(super) fn key(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{CopyFormat, JsonOptions};

    fn open(place: &str, single: bool) -> Result<(String, Option<String>), StorageError> {
        let target = CopyTarget {
            place: place.into(),
            further_places: vec![],
            stem: "s".into(),
            columns: vec!["a".into()],
            format: CopyFormat::Json(JsonOptions {}),
            codec: None,
            max_file_bytes: None,
            partition_by: vec![],
            single,
            leaves_out_empty: false,
        };
        // A client is made without asking anybody.
        let options = [("region", "us-east-1"), ("access_key_id", "k"), ("secret_access_key", "s")];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let (place, single) = Place::open(&target, &SourceAccess { options })?;
        Ok((place.url_of("f"), single))
    }

    #[test]
    fn places_and_single_files() {
        for (name, file) in [
            ("/a/b", "/a/b/f"),
            ("/a/b/", "/a/b/f"),
            ("/", "/f"),
            ("file:///a", "/a/f"),
            ("s3://bucket", "s3://bucket/f"),
            ("s3://bucket/", "s3://bucket/f"),
            ("S3://bucket/a/b/", "s3://bucket/a/b/f"),
        ] {
            assert_eq!(open(name, false).unwrap(), (file.into(), None), "{name}");
        }
        for (name, file, single) in [
            ("/a/b.csv", "/a/f", "b.csv"),
            ("/b.csv", "/f", "b.csv"),
            ("s3://bucket/b.csv", "s3://bucket/f", "b.csv"),
            ("s3://bucket/a/b.csv", "s3://bucket/a/f", "b.csv"),
        ] {
            assert_eq!(open(name, true).unwrap(), (file.into(), Some(single.into())), "{name}");
        }
        for name in ["/a/", "s3://bucket", "s3://bucket/", "s3://bucket/a/"] {
            assert_eq!(open(name, true).unwrap_err().sqlstate(), "22023", "{name}");
        }
        for name in ["", "ftp://x/y", "s3://bucket/a//b", "s3://k:hush@bucket/a", "az://c/p?sig=hush"] {
            let error = open(name, false).unwrap_err();
            assert!(error.sqlstate() == "22023" && !error.to_string().contains("hush"), "{name}: {error}");
        }
    }
}
