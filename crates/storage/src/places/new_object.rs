//! Objects that exist whole, or not at all.
//!
//! What a bucket answers may be wrong twice: a request that failed may have been done. An object's name is used once, and what is put there
//! is put whole; so after a failure, one that is there with the right length is the one that was sent.

use super::bucket::{Bucket, permit};
use crate::StorageError;
use crate::durable::{Finished, Unkept};
use crate::error::store_error;
use crate::limits::{PLACE_PART_BYTES, PLACE_PARTS_AT_ONCE};
use crate::retry::is_transient;
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use object_store::multipart::PartId;
use object_store::path::Path as ObjectPath;
use object_store::{Error, MultipartId, ObjectStoreExt, PutPayload, Result};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::runtime::Handle;
use xxhash_rust::xxh3::Xxh3;

/// A new object: hashed while it is sent, removed unless it is finished and kept. One that is no longer than a part is sent in one request at
/// its end, a longer one part by part while it is written.
pub(crate) struct NewObject {
    object: Arc<Object>,
    /// Not sent yet.
    ready: VecDeque<Bytes>,
    ready_bytes: usize,
    hasher: Xxh3,
    bytes: u64,
    upload: Option<Upload>,
}

struct Upload {
    id: MultipartId,
    /// By number.
    sent: Vec<PartId>,
    under_way: VecDeque<SpawnedTask<Result<PartId>>>,
}

/// What is there of an object until it is kept. Removed when the last holder goes; what a process that ends leaves is an orphan as any other,
/// and the bucket's own rules remove unfinished uploads.
struct Object {
    bucket: Arc<Bucket>,
    key: ObjectPath,
    name: String,
    left: Mutex<Left>,
    runtime: Handle,
}

enum Left {
    Nothing,
    Upload(MultipartId),
    /// It may be there.
    Object,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NewObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewObject").field("object", &self.object).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl NewObject {
    pub(super) fn begin(bucket: &Arc<Bucket>, path: &str) -> Result<Self, StorageError> {
        let name = bucket.name_of(path);
        let location = ObjectPath::parse(path).map_err(|error| store_error("create", &name, error.into()))?;
        let runtime =
            Handle::try_current().map_err(|error| StorageError::io("create", &name)(io::Error::other(error)))?;
        let (key, left) = (bucket.key(&location), Mutex::new(Left::Nothing));
        let object = Object { bucket: Arc::clone(bucket), key, name, left, runtime };
        Ok(NewObject {
            object: Arc::new(object),
            ready: VecDeque::new(),
            ready_bytes: 0,
            hasher: Xxh3::new(),
            bytes: 0,
            upload: None,
        })
    }

    pub(super) async fn write_block(&mut self, block: Bytes) -> Result<(), StorageError> {
        self.hasher.update(&block);
        self.bytes += block.len() as u64;
        self.ready_bytes += block.len();
        self.ready.push_back(block);
        if self.ready_bytes <= PLACE_PART_BYTES {
            return Ok(());
        }
        while self.ready_bytes > PLACE_PART_BYTES {
            let part = self.take_part();
            self.send_part(part).await.map_err(|error| store_error("write", &self.object.name, error))?;
        }
        // What is left would keep the whole block, which may have all of a file's row groups.
        self.ready.iter_mut().for_each(|left| *left = Bytes::copy_from_slice(left));
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Finished, StorageError> {
        let last = self.take_part();
        let sent = match self.upload {
            None => self.object.put(last, self.bytes).await,
            Some(_) => self.complete(last).await,
        };
        sent.map_err(|error| store_error("write", &self.object.name, error))?;
        Ok(Finished::new(self.object, self.bytes, self.hasher.digest()))
    }

    /// The next part: as long as a part may be, or all that is left.
    fn take_part(&mut self) -> PutPayload {
        let mut part = vec![];
        let mut wanted = PLACE_PART_BYTES.min(self.ready_bytes);
        self.ready_bytes -= wanted;
        while wanted > 0
            && let Some(mut block) = self.ready.pop_front()
        {
            let taken = block.split_to(wanted.min(block.len()));
            wanted -= taken.len();
            part.push(taken);
            if !block.is_empty() {
                self.ready.push_front(block);
            }
        }
        part.into_iter().collect()
    }

    async fn send_part(&mut self, part: PutPayload) -> Result<()> {
        let object = Arc::clone(&self.object);
        let upload = match &mut self.upload {
            Some(upload) => upload,
            begun => {
                begun.insert(Upload { id: object.begin_upload().await?, sent: vec![], under_way: VecDeque::new() })
            }
        };
        if upload.under_way.len() == PLACE_PARTS_AT_ONCE {
            upload.next_sent().await?;
        }
        let (id, number) = (upload.id.clone(), upload.sent.len() + upload.under_way.len());
        // The task holds the object, so that an upload is taken back only when none of its parts is under way.
        upload.under_way.push_back(SpawnedTask::spawn(async move {
            let send = || async {
                let _permit = permit().await;
                object.bucket.client.parts.put_part(&object.key, &id, number, part.clone()).await
            };
            object.bucket.retry.retry(object.key.as_ref(), send).await
        }));
        Ok(())
    }

    async fn complete(&mut self, last: PutPayload) -> Result<()> {
        if last.content_length() > 0 {
            self.send_part(last).await?;
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        while !upload.under_way.is_empty() {
            upload.next_sent().await?;
        }
        let (id, parts) = (upload.id.clone(), upload.sent.clone());
        self.object.complete(&id, parts, self.bytes).await
    }
}

impl Upload {
    /// Waits for the oldest part.
    async fn next_sent(&mut self) -> Result<()> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        let part = oldest.join_unwind().await.map_err(|source| Error::JoinError { source })??;
        self.sent.push(part);
        Ok(())
    }
}

impl Object {
    async fn begin_upload(&self) -> Result<MultipartId> {
        let begin = || async {
            let _permit = permit().await;
            self.bucket.client.parts.create_multipart(&self.key).await
        };
        let id = self.bucket.retry.retry(self.key.as_ref(), begin).await?;
        *self.left.lock() = Left::Upload(id.clone());
        Ok(id)
    }

    /// Sends it in one request, again and again until the bucket says that it has it, or has it.
    async fn put(&self, payload: PutPayload, bytes: u64) -> Result<()> {
        let mut patience = self.bucket.retry.begin(self.key.as_ref());
        *self.left.lock() = Left::Object;
        loop {
            let put = async {
                let _permit = permit().await;
                self.bucket.client.store.put(&self.key, payload.clone()).await
            };
            let error = match put.await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if self.is_there(bytes).await? {
                return Ok(());
            }
            if !is_transient(&error) || !patience.wait(&error).await {
                return Err(error);
            }
        }
    }

    /// Makes an object of its parts. Where that was done and the answer lost, the next answer is that there is no such upload.
    async fn complete(&self, id: &MultipartId, parts: Vec<PartId>, bytes: u64) -> Result<()> {
        let mut patience = self.bucket.retry.begin(self.key.as_ref());
        loop {
            let complete = async {
                let _permit = permit().await;
                self.bucket.client.parts.complete_multipart(&self.key, id, parts.clone()).await
            };
            let error = match complete.await {
                Ok(_) => {
                    *self.left.lock() = Left::Object;
                    return Ok(());
                }
                Err(error) => error,
            };
            if self.is_there(bytes).await? {
                *self.left.lock() = Left::Object;
                return Ok(());
            }
            if !is_transient(&error) || !patience.wait(&error).await {
                return Err(error);
            }
        }
    }

    async fn is_there(&self, bytes: u64) -> Result<bool> {
        match self.bucket.size_of(&self.key).await {
            Ok(found) => Ok(found == bytes),
            // Who may not list is told the latter of what is not there.
            Err(Error::NotFound { .. } | Error::PermissionDenied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Unkept for Object {
    fn keep(&self) {
        *self.left.lock() = Left::Nothing;
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let left = std::mem::replace(self.left.get_mut(), Left::Nothing);
        if matches!(left, Left::Nothing) {
            return;
        }
        let (bucket, key, name) = (Arc::clone(&self.bucket), self.key.clone(), self.name.clone());
        // It ends by itself, at the latest when the bucket's time is over.
        self.runtime.spawn(async move {
            let told = |removed: Result<()>| match removed {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    let error = crate::object_clients::told(&error);
                    tracing::warn!(name, error, "could not remove a partial object");
                }
            };
            if let Left::Upload(id) = &left {
                told(bucket.retry.retry(key.as_ref(), || bucket.client.parts.abort_multipart(&key, id)).await);
            }
            // An upload whose end was done without an answer is an object.
            told(bucket.remove_object(&key).await);
        });
    }
}
