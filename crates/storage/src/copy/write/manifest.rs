//! The file that lists all others of a COPY TO, written when they are there.

use super::CopyWriteSpec;
use super::exports::Reported;
use super::place::{Place, key};
use crate::StorageError;
use crate::backup::Bucket;
use crate::blocking;
use crate::durable::DurableFile;
use crate::retry::RetryPolicy;
use crate::sink::Keep;
use crate::source::refused;
use bytes::Bytes;
use damson_cluster::COPY_MANIFEST;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStoreExt};
use std::sync::Arc;

/// Whether a manifest may be written there.
///
/// # Errors
/// 58P02 if there is one; those of the place.
pub async fn check_no_manifest(spec: &CopyWriteSpec) -> Result<(), StorageError> {
    let (place, _) = spec.place().await?;
    let url = place.url_of(COPY_MANIFEST);
    let is_there = match &place {
        Place::Local(directory) => {
            let path = directory.join(COPY_MANIFEST);
            blocking::run("look for", directory, move || path.try_exists()).await?
        }
        Place::Bucket { client, prefix, .. } => {
            let location = location(prefix, &url)?;
            match RetryPolicy::BUCKET.retry(&url, || client.store.head(&location)).await {
                Ok(_) => true,
                Err(Error::NotFound { .. }) => false,
                Err(error) => return Err(refused("look for", &url, error)),
            }
        }
    };
    if is_there { Err(exists(url)) } else { Ok(()) }
}

/// Writes the manifest, durable when this returns. It is one of the statement's files from then on: see
/// [`Exports::take_back`](super::Exports::take_back).
///
/// # Cancellation
/// It goes.
///
/// # Errors
/// 58P02 if there is one; those of the place.
pub async fn write_manifest(spec: &CopyWriteSpec, text: Bytes) -> Result<(), StorageError> {
    let (place, _) = spec.place().await?;
    let url = place.url_of(COPY_MANIFEST);
    let export = spec.exports.begin(&spec.target.stem);
    match &place {
        Place::Local(directory) => {
            export.make_directory(directory).await?;
            let path = directory.join(COPY_MANIFEST);
            let temporary = directory.join(format!(".{COPY_MANIFEST}.{}.tmp", spec.target.stem));
            let held = Arc::clone(&export) as Arc<dyn Send + Sync>;
            let mut file = DurableFile::begin_holding(temporary, Some(held));
            file.write_block(text).await?;
            match file.finish_if_new(path.clone()).await {
                Ok(finished) => {
                    export.has_written(path);
                    finished.keep();
                }
                Err(error) if error.sqlstate() == "58P02" => return Err(exists(url)),
                Err(error) => return Err(error),
            }
        }
        Place::Bucket { client, prefix, .. } => {
            let bucket = Bucket { store: Arc::clone(&client.store), retry: RetryPolicy::BUCKET };
            let location = location(prefix, &url)?;
            // Whatever becomes of the answer.
            export.may_write(&client.store, &location, &url);
            match bucket.create(&location, &url, text).await {
                Ok(()) => {}
                Err(error) if error.sqlstate() == "58P02" => {
                    export.has_not_written(&location);
                    return Err(exists(url));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Box::new(Reported(export)).keep();
    Ok(())
}

fn location(prefix: &str, url: &str) -> Result<ObjectPath, StorageError> {
    ObjectPath::parse(key(prefix, COPY_MANIFEST)).map_err(|error| StorageError::File {
        path: url.into(),
        message: error.to_string(),
        sqlstate: "22023",
    })
}

/// Of another COPY TO: what it says must stay true.
fn exists(url: String) -> StorageError {
    let message = "it is there already, of another COPY: choose another directory, or remove it".into();
    StorageError::File { path: url, message, sqlstate: "58P02" }
}
