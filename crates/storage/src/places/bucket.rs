//! A place that is a prefix of a bucket.

use super::pieces::{Pieces, requests};
use crate::StorageError;
use crate::error::store_error;
use crate::limits::{
    PLACE_GAP_BYTES, PLACE_REQUEST_BYTES, PLACE_REQUESTS_AT_ONCE, PLACE_REQUESTS_OF_PROCESS_MAX, RANGE_BLOCK_BYTES,
};
use crate::range_cache::{ObjectName, RangeCache};
use crate::retry::{RetryPolicy, cut};
use bytes::Bytes;
use damson_cluster::{ContentId, stored_at};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::multipart::MultipartStore;
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, Result};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Of the process, for whatever contents and queries.
static REQUESTS: Semaphore = Semaphore::const_new(PLACE_REQUESTS_OF_PROCESS_MAX);

/// Waits for its turn to ask a bucket.
pub(super) async fn permit() -> SemaphorePermit<'static> {
    REQUESTS.acquire().await.expect("it is never closed")
}

/// A client of a bucket, both of its faces; a clone shares its connections.
#[derive(Clone)]
pub struct BucketClient {
    pub store: Arc<dyn ObjectStore>,
    /// Uploads whose parts can be sent again one by one.
    pub parts: Arc<dyn MultipartStore>,
}

impl fmt::Debug for BucketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketClient({})", self.store)
    }
}

/// One content's files in a bucket: `{prefix}/{path}`, where the prefix names cluster and content.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub client: BucketClient,
    /// For errors: the URL of the prefix, without credentials.
    pub name: String,
    pub prefix: ObjectPath,
    pub retry: RetryPolicy,
    pub cache: Arc<RangeCache>,
}

impl Bucket {
    /// Of a file that another content has written, the key that that one knows it by.
    pub(super) fn key(&self, location: &ObjectPath) -> ObjectPath {
        let (home, path) = stored_at(ContentId::MASTER, location.as_ref());
        if home.is_master() {
            return self.prefix.parts().chain(location.parts()).collect();
        }
        let cluster = self.prefix.parts().take(self.prefix.parts_count().saturating_sub(1));
        let lead = location.parts_count().saturating_sub(path.split('/').count());
        cluster.chain([PathPart::from(home.to_string())]).chain(location.parts().skip(lead)).collect()
    }

    /// For errors, and for the cache: one name for an object, whoever reads it.
    pub(crate) fn name_of(&self, path: &str) -> String {
        match stored_at(ContentId::MASTER, path) {
            (home, _) if home.is_master() => format!("{}/{path}", self.name),
            (home, path) => {
                let (cluster, _) = self.name.rsplit_once('/').unwrap_or_default();
                format!("{cluster}/{home}/{path}")
            }
        }
    }

    /// See [`Place::read`](super::Place::read). What the cache has is not asked for.
    pub(super) async fn read(
        self: Arc<Self>,
        location: &ObjectPath,
        file_bytes: u64,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let key = self.key(location);
        let Some(cache) = self.cache.opened().await else {
            let asked = requests(ranges, PLACE_GAP_BYTES, PLACE_REQUEST_BYTES);
            return found(&self.fetch(&key, file_bytes, asked).await?, ranges);
        };
        let name = ObjectName::new(&self.name_of(location.as_ref()));
        let (mut pieces, missing) = cache.read(name, file_bytes, ranges).await;
        if !missing.is_empty() {
            // Blocks whose neighbours are missing too are asked for together.
            debug_assert!(missing.iter().all(|block| block.start.is_multiple_of(RANGE_BLOCK_BYTES)));
            let asked = requests(&missing, 0, PLACE_REQUEST_BYTES);
            for (start, bytes) in self.fetch(&key, file_bytes, asked).await? {
                cache.keep(name, start, bytes.clone()).await;
                pieces.insert(start, bytes);
            }
        }
        ranges.iter().map(|range| pieces.get(range).ok_or_else(|| cut(0, range.end - range.start))).collect()
    }

    /// What is stored, whatever the cache has: for checks.
    pub(super) async fn read_stored(
        self: Arc<Self>,
        location: &ObjectPath,
        file_bytes: u64,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let key = self.key(location);
        self.get(key, file_bytes, range).await
    }

    /// Several requests at once, in any order.
    async fn fetch(
        self: &Arc<Self>,
        key: &ObjectPath,
        file_bytes: u64,
        asked: Vec<Range<u64>>,
    ) -> Result<Vec<(u64, Bytes)>> {
        let request = |range: Range<u64>| {
            let (start, read) = (range.start, Arc::clone(self).get(key.clone(), file_bytes, range));
            read.map(move |read| read.map(|bytes| (start, bytes)))
        };
        stream::iter(asked).map(request).buffer_unordered(PLACE_REQUESTS_AT_ONCE).try_collect().await
    }

    /// One request, made again while the bucket only fails.
    fn get(self: Arc<Self>, key: ObjectPath, file_bytes: u64, range: Range<u64>) -> BoxFuture<'static, Result<Bytes>> {
        let ask = async move {
            let wanted = range.end - range.start;
            let ask = || async {
                // Not while it waits to ask again: other buckets answer.
                let _permit = permit().await;
                let range = Some(GetRange::Bounded(range.clone()));
                let answer = self.client.store.get_opts(&key, GetOptions { range, ..GetOptions::default() }).await?;
                if answer.meta.size != file_bytes {
                    return Err(wrong_size(&key, answer.meta.size, file_bytes));
                }
                let bytes = answer.bytes().await?;
                if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(cut(bytes.len() as u64, wanted)) }
            };
            self.retry.retry(key.as_ref(), ask).await
        };
        ask.boxed()
    }

    pub(super) async fn size(&self, location: &ObjectPath) -> Result<u64> {
        self.size_of(&self.key(location)).await
    }

    pub(super) async fn size_of(&self, key: &ObjectPath) -> Result<u64> {
        let ask = || async {
            let _permit = permit().await;
            self.client.store.head(key).await
        };
        Ok(self.retry.retry(key.as_ref(), ask).await?.size)
    }

    pub(super) async fn remove(&self, location: &ObjectPath) -> Result<()> {
        self.remove_object(&self.key(location)).await
    }

    pub(super) async fn remove_object(&self, key: &ObjectPath) -> Result<()> {
        let ask = || async {
            let _permit = permit().await;
            self.client.store.delete(key).await
        };
        self.retry.retry(key.as_ref(), ask).await
    }

    pub(super) async fn list(&self, directory: &str) -> Result<Vec<(String, u64)>, StorageError> {
        let below = self.key(&ObjectPath::from(directory));
        let ask = || self.client.store.list(Some(&below)).try_collect::<Vec<ObjectMeta>>();
        let listed = self.retry.retry(below.as_ref(), ask).await;
        let listed = listed.map_err(|error| store_error("list", &self.name_of(directory), error))?;
        let path = |meta: &ObjectMeta| {
            let parts = meta.location.prefix_match(&self.prefix)?;
            Some((parts.collect::<ObjectPath>().to_string(), meta.size))
        };
        Ok(listed.iter().filter_map(path).collect())
    }
}

fn found(fetched: &[(u64, Bytes)], ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let mut pieces = Pieces::default();
    fetched.iter().for_each(|(start, bytes)| pieces.insert(*start, bytes.clone()));
    ranges.iter().map(|range| pieces.get(range).ok_or_else(|| cut(0, range.end - range.start))).collect()
}

/// An object that is not the file that was written: asking again does not help.
fn wrong_size(key: &ObjectPath, bytes: u64, wanted: u64) -> Error {
    Error::Precondition { path: key.to_string(), source: format!("it has {bytes} bytes, not {wanted}").into() }
}
