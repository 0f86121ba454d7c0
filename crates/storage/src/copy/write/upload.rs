//! A file on its way to a bucket: an object once it is whole, and not before.

use super::exports::Export;
use crate::StorageError;
use crate::limits::{
    UPLOAD_ANSWER_WAIT, UPLOAD_FIRST_PARTS, UPLOAD_LATER_PART_BYTES, UPLOAD_PART_BYTES, UPLOAD_PARTS_AT_ONCE,
    UPLOAD_PARTS_MAX,
};
use crate::object_clients::told;
use crate::places::BucketClient;
use crate::retry::RetryPolicy;
use crate::source::refused;
use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path as ObjectPath;
use object_store::{Error, MultipartId, ObjectStoreExt, PutPayload};
use std::io;
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod tests;

/// Sends blocks as they come. Short files are one request, others several parts. Each request is made again, with pauses, while the bucket
/// only fails; where an answer may have been lost, the bucket is asked what it has.
///
/// # Memory
/// [`UPLOAD_PARTS_AT_ONCE`] parts that are sent, and one that gathers.
///
/// # Cancellation
/// Dropping it takes back what was sent.
pub(super) struct Upload {
    object: Object,
    export: Arc<Export>,
    /// Whether the object is in the place of another one, so that it is never taken back.
    replaces: bool,
    /// Not sent yet.
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// None: everything is gathered still.
    begun: Option<Begun>,
    bytes: u64,
}

/// What an upload is to make.
#[derive(Clone)]
struct Object {
    client: BucketClient,
    location: ObjectPath,
    url: String,
    /// What was there before, by its etag.
    before: Option<String>,
}

struct Begun {
    id: MultipartId,
    /// By number.
    parts: Vec<Option<PartId>>,
    under_way: JoinSet<Result<(usize, usize, PartId), Error>>,
    under_way_bytes: usize,
}

/// A part's number, its bytes, and what the bucket calls it.
type SentPart = Result<(usize, usize, PartId), Error>;

impl Upload {
    /// `replaces`: an object of that name may be there.
    ///
    /// # Errors
    /// Those of asking for it.
    pub(super) async fn begin(
        client: &BucketClient,
        location: ObjectPath,
        url: &str,
        export: &Arc<Export>,
        replaces: bool,
    ) -> Result<Self, StorageError> {
        let mut object = Object { client: client.clone(), location, url: url.into(), before: None };
        if replaces {
            object.before = object.look().await.map_err(|error| refused("look for", url, error))?.and_then(|(_, e)| e);
        }
        let export = Arc::clone(export);
        Ok(Upload { object, export, replaces, gathered: vec![], gathered_bytes: 0, begun: None, bytes: 0 })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.gathered_bytes + self.begun.as_ref().map_or(0, |begun| begun.under_way_bytes)
    }

    /// Takes a block, and sends what makes whole parts.
    ///
    /// # Errors
    /// The bucket's last answer, when the time is over; 54000 for more parts than buckets take.
    pub(super) async fn write_block(&mut self, block: Bytes) -> Result<(), StorageError> {
        self.bytes += block.len() as u64;
        self.gathered_bytes += block.len();
        self.gathered.push(block);
        while self.gathered_bytes >= self.part_bytes() {
            let part = self.take(self.part_bytes());
            self.send(part).await?;
        }
        Ok(())
    }

    /// Of the next part. Up to some size all parts have the same, as some stores want it.
    fn part_bytes(&self) -> usize {
        match &self.begun {
            Some(begun) if begun.parts.len() >= UPLOAD_FIRST_PARTS => UPLOAD_LATER_PART_BYTES,
            _ => UPLOAD_PART_BYTES,
        }
    }

    /// The first `bytes` of what is gathered, or all.
    fn take(&mut self, bytes: usize) -> PutPayload {
        let mut part = vec![];
        let mut left = bytes.min(self.gathered_bytes);
        self.gathered_bytes -= left;
        let mut rest = std::mem::take(&mut self.gathered).into_iter();
        while left > 0
            && let Some(mut block) = rest.next()
        {
            if block.len() > left {
                self.gathered.push(block.split_off(left));
            }
            left -= block.len();
            part.push(block);
        }
        self.gathered.extend(rest);
        part.into_iter().collect()
    }

    /// Begins to send a part, once there is room.
    async fn send(&mut self, part: PutPayload) -> Result<(), StorageError> {
        if self.begun.is_none() {
            self.make_known();
            let Object { client, location, url, .. } = &self.object;
            let create = RetryPolicy::BUCKET.retry(url, || client.parts.create_multipart(location)).await;
            let id = create.map_err(|error| refused("write", url, error))?;
            self.begun = Some(Begun { id, parts: vec![], under_way: JoinSet::new(), under_way_bytes: 0 });
        }
        let begun = self.begun.as_mut().expect("it was begun above");
        if begun.parts.len() == UPLOAD_PARTS_MAX {
            let message = format!("it would have more than {UPLOAD_PARTS_MAX} parts: buckets take no larger file");
            return Err(StorageError::File { path: self.object.url.clone(), message, sqlstate: "54000" });
        }
        while begun.under_way.len() >= UPLOAD_PARTS_AT_ONCE {
            let sent = begun.under_way.join_next().await;
            begun.note(sent, &self.object.url)?;
        }
        let (number, bytes) = (begun.parts.len(), part.content_length());
        begun.parts.push(None);
        begun.under_way_bytes += bytes;
        let (object, id) = (self.object.clone(), begun.id.clone());
        begun.under_way.spawn(async move {
            let Object { client, location, url, .. } = &object;
            let ask = || client.parts.put_part(location, &id, number, part.clone());
            RetryPolicy::BUCKET.retry(url, ask).await.map(|sent| (number, bytes, sent))
        });
        Ok(())
    }

    /// Sends the rest, and makes the object.
    ///
    /// # Errors
    /// As [`Upload::write_block`]; there is no object then, or it is taken back.
    pub(super) async fn finish(mut self) -> Result<u64, StorageError> {
        let rest = self.take(self.gathered_bytes);
        if self.begun.is_none() {
            self.make_known();
            let (object, bytes, ended) = (self.object.clone(), self.bytes, self.export.ended.clone());
            self.to_its_end(async move { object.put(rest, bytes, &ended).await }).await?;
            return Ok(self.bytes);
        }
        if rest.content_length() > 0 {
            self.send(rest).await?;
        }
        let url = self.object.url.clone();
        let begun = self.begun.as_mut().expect("it was begun");
        while let Some(sent) = begun.under_way.join_next().await {
            begun.note(Some(sent), &url)?;
        }
        let parts: Vec<PartId> = begun.parts.iter().flatten().cloned().collect();
        assert_eq!(parts.len(), begun.parts.len(), "every part was sent");
        let (object, id, bytes, ended) = (self.object.clone(), begun.id.clone(), self.bytes, self.export.ended.clone());
        self.to_its_end(async move { object.complete(&id, &parts, bytes, &ended).await }).await?;
        // Nothing is to be taken back by itself any more.
        self.begun = None;
        Ok(self.bytes)
    }

    /// A request that makes the object is waited for even where the writer goes meanwhile, and the object removed after that: it could be made
    /// when it was removed already. Once the statement has ended, not for longer than [`UPLOAD_ANSWER_WAIT`].
    async fn to_its_end(
        &self,
        request: impl Future<Output = Result<(), StorageError>> + Send + 'static,
    ) -> Result<(), StorageError> {
        let (export, url) = (Arc::clone(&self.export), self.object.url.clone());
        let answer = self.export.spawn(async move {
            let too_late = async {
                export.ended.cancelled().await;
                tokio::time::sleep(UPLOAD_ANSWER_WAIT).await;
            };
            tokio::select! {
                answer = request => answer,
                () = too_late => {
                    tracing::warn!(url, "a bucket does not say whether it has an object of a COPY TO that ended: it may be left");
                    Err(StorageError::io("write", &url)(io::ErrorKind::TimedOut.into()))
                }
            }
        });
        answer.await.map_err(|ended| StorageError::io("write", &self.object.url)(io::Error::other(ended)))?
    }

    /// From now on there may be an object, whatever the bucket says.
    fn make_known(&self) {
        if !self.replaces {
            let Object { client, location, url, .. } = &self.object;
            self.export.may_write(&client.store, location, url);
        }
    }
}

impl Begun {
    fn note(&mut self, sent: Option<Result<SentPart, JoinError>>, url: &str) -> Result<(), StorageError> {
        let Some(sent) = sent else { return Ok(()) };
        let sent = sent.map_err(|ended| StorageError::io("write", url)(io::Error::other(ended)))?;
        let (number, bytes, part) = sent.map_err(|error| refused("write", url, error))?;
        self.parts[number] = Some(part);
        self.under_way_bytes -= bytes;
        Ok(())
    }
}

impl Object {
    /// Length and etag of what is there.
    async fn look(&self) -> Result<Option<(u64, Option<String>)>, Error> {
        match RetryPolicy::BUCKET.retry(&self.url, || self.client.store.head(&self.location)).await {
            Ok(meta) => Ok(Some((meta.size, meta.e_tag))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// After an error: whether the bucket has done what it was asked, and only its answer was lost. Nobody else writes a name of ours; of a
    /// file that is replaced the etag is another one then.
    async fn is_there(&self, bytes: u64) -> bool {
        match self.look().await {
            Ok(Some((size, etag))) => size == bytes && (self.before.is_none() || etag != self.before),
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(url = %self.url, error = told(&error), "could not look for an object");
                false
            }
        }
    }

    async fn put(&self, payload: PutPayload, bytes: u64, ended: &CancellationToken) -> Result<(), StorageError> {
        let ask = || async {
            match self.client.store.put(&self.location, payload.clone()).await {
                Ok(_) => Ok(()),
                Err(_) if self.is_there(bytes).await => Ok(()),
                Err(error) => Err(error),
            }
        };
        let put = RetryPolicy::BUCKET.retry_until(ended, &self.url, ask).await;
        put.map_err(|error| refused("write", &self.url, error))
    }

    async fn complete(
        &self,
        id: &MultipartId,
        parts: &[PartId],
        bytes: u64,
        ended: &CancellationToken,
    ) -> Result<(), StorageError> {
        let ask = || async {
            match self.client.parts.complete_multipart(&self.location, id, parts.to_vec()).await {
                Ok(_) => Ok(()),
                // Of an upload that is complete some buckets say that there is none.
                Err(_) if self.is_there(bytes).await => Ok(()),
                Err(error) => Err(error),
            }
        };
        let complete = RetryPolicy::BUCKET.retry_until(ended, &self.url, ask).await;
        complete.map_err(|error| refused("write", &self.url, error))
    }

    /// The bucket's own rules remove what this cannot.
    async fn abort(self, id: MultipartId) {
        let ask = || self.client.parts.abort_multipart(&self.location, &id);
        match RetryPolicy::BUCKET.retry(&self.url, ask).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                let error = refused("take back an upload of", &self.url, error);
                tracing::warn!(%error, "an unfinished upload is left");
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            let Begun { id, mut under_way, .. } = begun;
            let (object, export) = (self.object.clone(), Arc::clone(&self.export));
            self.export.spawn(async move {
                // A part that arrives after the end would stay.
                under_way.shutdown().await;
                object.abort(id).await;
                drop(export);
            });
        }
    }
}
