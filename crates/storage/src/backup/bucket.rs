//! Sending a file to a bucket: whole or not at all, and known to be there.

use super::source::{Owner, Source};
use crate::StorageError;
use crate::error::store_error;
use crate::limits::{BACKUP_BLOCK_BYTES, BACKUP_PARTS_AT_ONCE};
use crate::object_clients::told;
use crate::retry::{BEGUN_ANEW, RetryPolicy, is_transient};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::path::Path as ObjectPath;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A bucket's objects.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub store: Arc<dyn ObjectStore>,
    pub retry: RetryPolicy,
}

/// Why one attempt to send failed.
enum Attempt {
    /// The file cannot be read, or is not the right one: no other attempt would be better.
    Source(StorageError),
    /// The bucket's answer, or that there was none.
    Bucket(Error),
}

impl From<StorageError> for Attempt {
    fn from(error: StorageError) -> Self {
        Attempt::Source(error)
    }
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Attempt::Bucket(error)
    }
}

impl Bucket {
    /// Makes the object `name` of a file. Where it is not known whether the bucket took it, what is there is read back.
    ///
    /// # Memory
    /// [`BACKUP_PARTS_AT_ONCE`] blocks that are sent, and one that is read.
    ///
    /// # Errors
    /// The file's; 58030 with the bucket's last answer when the time is over.
    pub(super) async fn send(&self, location: &ObjectPath, name: &str, source: &Source) -> Result<(), StorageError> {
        let mut patience = self.retry.begin(location.as_ref());
        loop {
            let error = match self.try_to_send(location, source).await {
                Ok(()) => return Ok(()),
                Err(Attempt::Source(error)) => return Err(error),
                Err(Attempt::Bucket(error)) => error,
            };
            let sent = Source {
                store: Arc::clone(&self.store),
                location: location.clone(),
                retry: RetryPolicy::DISK,
                owner: Owner::Place(name.into()),
                ..source.clone()
            };
            // The answer may have been lost, and not the request.
            match sent.verify().await {
                Ok(()) => return Ok(()),
                Err(found) => tracing::debug!(name, %found, "an object is not there, or not whole"),
            }
            if !is_transient(&error) || !patience.wait(&error).await {
                return Err(store_error("write", name, error));
            }
        }
    }

    async fn try_to_send(&self, location: &ObjectPath, source: &Source) -> Result<(), Attempt> {
        if source.bytes <= BACKUP_BLOCK_BYTES as u64 {
            let block = source.open().await?.next().await?.unwrap_or_default();
            self.store.put(location, block.into()).await?;
            return Ok(());
        }
        let mut upload = self.store.put_multipart(location).await?;
        let sent = send_parts(upload.as_mut(), source).await;
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            // The bucket's rules for unfinished uploads remove it.
            tracing::info!(%location, error = told(&error), "could not take back an unfinished upload");
        }
        sent.map_err(begin_anew)
    }

    /// Makes the object `name` of bytes, if there is none.
    ///
    /// # Errors
    /// 58P02 if there is another; 58030.
    pub(crate) async fn create(&self, location: &ObjectPath, name: &str, bytes: Bytes) -> Result<(), StorageError> {
        let mut patience = self.retry.begin(location.as_ref());
        // Whether an attempt whose answer was lost may have made it.
        let mut may_be_ours = false;
        loop {
            let error = match self.try_to_create(location, &bytes).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let is_unknown = is_transient(&error);
            may_be_ours |= is_unknown;
            if !is_unknown && !matches!(error, Error::AlreadyExists { .. }) {
                return Err(store_error("write", name, error));
            }
            // What is there may be of an attempt whose answer was lost.
            match self.retry.retry(location.as_ref(), || async { self.store.get(location).await?.bytes().await }).await
            {
                Ok(found) if xxh3_64(&found) == xxh3_64(&bytes) => return Ok(()),
                Ok(_) => {
                    let path = location.to_string();
                    let error = Error::AlreadyExists { path, source: "it is another's".into() };
                    return Err(store_error("write", name, error));
                }
                // Somebody's: no attempt of ours can have made it.
                Err(_) if !may_be_ours => return Err(store_error("write", name, error)),
                Err(Error::NotFound { .. }) if is_unknown => {}
                Err(error) => return Err(store_error("read", name, error)),
            }
            if !patience.wait(&error).await {
                return Err(store_error("write", name, error));
            }
        }
    }

    async fn try_to_create(&self, location: &ObjectPath, bytes: &Bytes) -> Result<(), Error> {
        let payload = PutPayload::from(bytes.clone());
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(location, payload.clone(), options).await {
            // A bucket that cannot make sure of it: it is looked at.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => match self.store.head(location).await {
                Ok(_) => {
                    let path = location.to_string();
                    Err(Error::AlreadyExists { path, source: "it is there".into() })
                }
                Err(Error::NotFound { .. }) => self.store.put(location, payload).await.map(|_| ()),
                Err(error) => Err(error),
            },
            answer => answer.map(|_| ()),
        }
    }
}

/// What went wrong with an upload that the bucket had begun. Its client asks again by itself, and where an upload's end was done and its
/// answer lost, it is told then that there is no such upload, or that it may not be touched: another upload may do.
fn begin_anew(failed: Attempt) -> Attempt {
    match failed {
        Attempt::Bucket(error) if !is_transient(&error) => {
            Attempt::Bucket(Error::Generic { store: BEGUN_ANEW, source: Box::new(error) })
        }
        failed => failed,
    }
}

/// Sends a file in parts; it is an object only when all are there and it was the right file.
async fn send_parts(upload: &mut dyn MultipartUpload, source: &Source) -> Result<(), Attempt> {
    let mut blocks = source.open().await?;
    let mut under_way = FuturesUnordered::new();
    while let Some(block) = blocks.next().await? {
        under_way.push(upload.put_part(block.into()));
        if under_way.len() == BACKUP_PARTS_AT_ONCE
            && let Some(sent) = under_way.next().await
        {
            sent?;
        }
    }
    while let Some(sent) = under_way.next().await {
        sent?;
    }
    upload.complete().await?;
    Ok(())
}
