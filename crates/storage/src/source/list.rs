//! Which files a COPY's names mean.

use super::partition::partition_of;
use super::pattern::{OPTIONS, alternatives, compile, is_pattern, literal_prefix};
use super::url::{SourceName, bad_name, is_web};
use super::web;
use crate::StorageError;
use crate::backup::shown_url;
use crate::blocking;
use crate::limits::{SOURCE_DEPTH_MAX, SOURCE_FILES_MAX};
use crate::local_files;
use crate::object_clients::{Bucket, client};
use crate::retry::RetryPolicy;
use chrono::{DateTime, Utc};
use damson_cluster::{COPY_MANIFEST as MANIFEST, CopyFile, SourceAccess};
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use regex::Regex;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All files that `names` mean, in the order of their URLs, each once. A name is a file; or a directory (of a bucket: a prefix), which
/// means the files below it whose names, and whose directories' names, begin with neither `.` nor `_`, and are not a manifest's; or a pattern, see
/// `source/pattern.rs`. `filter` is a regular expression that the URL must match somewhere.
///
/// # Memory
/// All the files, at most [`SOURCE_FILES_MAX`].
///
/// # Errors
/// 58P01 for a name that means nothing; 22023 for what is no name, pattern or expression; 54000 for too many
/// files; 42501 for what may not be seen or reached, 58030 for what cannot be asked.
pub async fn list_sources(
    names: &[String],
    filter: Option<&str>,
    access: &SourceAccess,
) -> Result<Vec<CopyFile>, StorageError> {
    let filter = filter.map(|text| Regex::new(text).map_err(|error| bad_expression(text, &error))).transpose()?;
    let mut found = BTreeMap::new();
    for name in names {
        let (mut meant, mut is_directory) = (0, false);
        let meant_by_name = if is_web(name) { vec![name.clone()] } else { alternatives(name)? };
        for alternative in meant_by_name {
            let files = match SourceName::parse(&alternative)? {
                SourceName::Local(path) => {
                    let shown = PathBuf::from(&path);
                    let (files, is_listed) = blocking::try_run("list", &shown, move || local(&path)).await?;
                    is_directory |= is_listed;
                    files
                }
                SourceName::Remote { bucket, key } => remote(&bucket, &key, access).await?,
                SourceName::Web { server, path } => web::look_for(&server, &path).await?.into_iter().collect(),
            };
            meant += files.len();
            found.extend(files.into_iter().map(|file| (file.url.clone(), file)));
            if found.len() > SOURCE_FILES_MAX {
                let message = format!("there are more than {SOURCE_FILES_MAX} files");
                return Err(StorageError::File { path: shown_url(name).into(), message, sqlstate: "54000" });
            }
        }
        if meant == 0 {
            return Err(absent(name, is_directory));
        }
    }
    let is_wanted = |file: &CopyFile| filter.as_ref().is_none_or(|filter| filter.is_match(&file.url));
    let files: Vec<CopyFile> = found.into_values().filter(is_wanted).collect();
    match (files.is_empty(), filter) {
        (true, Some(filter)) => {
            let message = format!("no file's name matches PATTERN \"{filter}\"");
            let names: Vec<&str> = names.iter().map(|name| shown_url(name)).collect();
            Err(StorageError::File { path: names.join(", "), message, sqlstate: "58P01" })
        }
        _ => Ok(files),
    }
}

fn absent(name: &str, is_directory: bool) -> StorageError {
    let message = match (is_pattern(name), is_directory) {
        (true, _) => "no file matches",
        (false, true) => "there is no file in the directory; those whose names begin with \".\" or \"_\" do not count",
        (false, false) => "there is no such file",
    };
    StorageError::File { path: shown_url(name).into(), message: message.into(), sqlstate: "58P01" }
}

fn bad_expression(text: &str, error: &regex::Error) -> StorageError {
    StorageError::Place {
        place: format!("PATTERN \"{text}\""),
        message: format!("it is no regular expression: {error}"),
        sqlstate: "2201B",
    }
}

/// Files on the disks of this host, and whether the path is a directory. Blocks.
fn local(path: &str) -> Result<(Vec<CopyFile>, bool), StorageError> {
    let listed = if is_pattern(path) { literal_prefix(path) } else { path };
    local_files::check(Path::new(listed))?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let mut files = vec![];
            below(Path::new(path), 0, &mut files)?;
            return Ok((files, true));
        }
        Ok(metadata) if metadata.is_file() => return Ok((vec![local_file(PathBuf::from(path), &metadata)?], false)),
        // A pipe or a device: it has no length, and cannot be read twice.
        Ok(_) => {
            let message = "it is not a regular file".into();
            return Err(StorageError::File { path: path.into(), message, sqlstate: "42809" });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_pattern(path) => {}
        // Another one of a pattern's `{a,b}` may be there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((vec![], false)),
        Err(error) => return Err(StorageError::io("read", path)(error)),
    }
    compile(path)?;
    if path[listed.len()..].split('/').any(|part| part == "..") {
        return Err(bad_name(path, "a pattern has no \"..\" after its first wildcard"));
    }
    let found =
        glob::glob_with(path, OPTIONS).map_err(|error| bad_name(path, format!("it is not a file pattern: {error}")))?;
    // Of files one after the other most are in one directory.
    let (mut files, mut within) = (vec![], PathBuf::new());
    for entry in found {
        let entry = entry.map_err(|error| {
            let path = error.path().to_owned();
            StorageError::io("read", path)(error.into())
        })?;
        let parent = entry.parent().unwrap_or(Path::new("/"));
        if parent != within {
            local_files::check(parent)?;
            within = parent.to_owned();
        }
        let metadata = fs::metadata(&entry).map_err(StorageError::io("read", &entry))?;
        if metadata.is_file() {
            files.push(local_file(entry, &metadata)?);
        }
    }
    Ok((files, false))
}

/// Directories that are links are followed, so that the depth is bounded.
fn below(directory: &Path, depth: usize, files: &mut Vec<CopyFile>) -> Result<(), StorageError> {
    if depth > SOURCE_DEPTH_MAX || files.len() > SOURCE_FILES_MAX {
        let message = format!("it has more than {SOURCE_DEPTH_MAX} levels of directories or {SOURCE_FILES_MAX} files");
        return Err(StorageError::File { path: directory.display().to_string(), message, sqlstate: "54000" });
    }
    local_files::check(directory)?;
    for entry in fs::read_dir(directory).map_err(StorageError::io("read", directory))? {
        let path = entry.map_err(StorageError::io("read", directory))?.path();
        if path.file_name().is_some_and(|name| is_hidden(&name.to_string_lossy())) {
            continue;
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // A link to nothing, or a file that has gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StorageError::io("read", &path)(error)),
        };
        if metadata.is_dir() {
            below(&path, depth + 1, files)?;
        } else if metadata.is_file() {
            files.push(local_file(path, &metadata)?);
        }
    }
    Ok(())
}

/// Also what COPY TO writes beside its files.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_']) || name == MANIFEST
}

fn local_file(path: PathBuf, metadata: &Metadata) -> Result<CopyFile, StorageError> {
    let modified = metadata.modified().map_err(StorageError::io("read", &path))?;
    let url = path.into_os_string().into_string().map_err(|name| {
        let path = name.to_string_lossy().into_owned();
        StorageError::File { path, message: "its name is not UTF-8".into(), sqlstate: "22021" }
    })?;
    Ok(CopyFile {
        bytes: metadata.len(),
        etag: None,
        modified_us: Some(DateTime::<Utc>::from(modified).timestamp_micros()),
        partition: partition_of(&url),
        url,
    })
}

async fn remote(bucket: &Bucket, key: &str, access: &SourceAccess) -> Result<Vec<CopyFile>, StorageError> {
    let store = client(bucket, access)?;
    if is_pattern(key) {
        let pattern = compile(key)?;
        let matches = |key: &str| pattern.matches_with(key, OPTIONS);
        return list(&store, bucket, literal_prefix(key), matches).await;
    }
    if !key.is_empty()
        && !key.ends_with('/')
        && let Some(file) = head(&store, bucket, key).await?
    {
        return Ok(vec![file]);
    }
    let prefix = if key.is_empty() || key.ends_with('/') { key.to_owned() } else { format!("{key}/") };
    let shown = |key: &str| !key[prefix.len()..].split('/').any(is_hidden);
    list(&store, bucket, &prefix, shown).await
}

/// A file by its name; None if there is none.
async fn head(store: &Arc<dyn ObjectStore>, bucket: &Bucket, key: &str) -> Result<Option<CopyFile>, StorageError> {
    let location = ObjectPath::parse(key).map_err(|error| bad_name(&bucket.url_of(key), error.to_string()))?;
    match RetryPolicy::LOOK.retry(key, || store.head(&location)).await {
        Ok(meta) => Ok(Some(remote_file(bucket, meta))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(super::file::refused("look for", &bucket.url_of(key), error)),
    }
}

/// The files below `prefix`, which is empty or ends in a slash, whose keys are `wanted`.
async fn list(
    store: &Arc<dyn ObjectStore>,
    bucket: &Bucket,
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<CopyFile>, StorageError> {
    let url = bucket.url_of(prefix);
    let below = ObjectPath::parse(prefix.trim_end_matches('/')).map_err(|error| bad_name(&url, error.to_string()))?;
    let ask = || async {
        let mut files = vec![];
        let mut listed = store.list(Some(&below));
        while let Some(meta) = listed.try_next().await? {
            let key = meta.location.as_ref();
            if key.starts_with(prefix) && wanted(key) {
                files.push(remote_file(bucket, meta));
            }
            if files.len() > SOURCE_FILES_MAX {
                break;
            }
        }
        Ok(files)
    };
    RetryPolicy::LOOK.retry(&url, ask).await.map_err(|error| super::file::refused("list", &url, error))
}

/// The same whether the file was asked for or met in a listing: a header has whole seconds and quotes, a listing may have neither.
fn remote_file(bucket: &Bucket, meta: ObjectMeta) -> CopyFile {
    let key = meta.location.to_string();
    let quoted = |etag: String| match etag.starts_with('"') || etag.starts_with("W/") {
        true => etag,
        false => format!("\"{etag}\""),
    };
    CopyFile {
        url: bucket.url_of(&key),
        bytes: meta.size,
        etag: meta.e_tag.filter(|etag| !etag.is_empty()).map(quoted),
        modified_us: Some(meta.last_modified.timestamp() * 1_000_000),
        partition: partition_of(&key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_clients::Cloud;

    #[test]
    fn a_file_is_the_same_from_a_header_and_from_a_listing() {
        let bucket = Bucket { cloud: Cloud::Azure, name: "c".into() };
        let file = |etag: &str, time: &str| {
            let last_modified = DateTime::parse_from_rfc3339(time).unwrap().with_timezone(&Utc);
            let location = ObjectPath::from("a/b.csv");
            remote_file(
                &bucket,
                ObjectMeta { location, last_modified, size: 1, e_tag: Some(etag.into()), version: None },
            )
        };
        let asked = file("\"0x8D\"", "2026-11-26T10:00:01Z");
        assert_eq!(asked, file("0x8D", "2026-11-26T10:00:01.234Z"));
        assert_eq!(asked.etag.as_deref(), Some("\"0x8D\""), "as If-Match wants it");
    }
}
