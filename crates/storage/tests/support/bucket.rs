//! A bucket in memory that fails as it is told.

#![allow(dead_code, reason = "each test binary uses its part")]

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use damson_storage::BucketClient;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and not done: 503.
    Refused,
    /// It is done, and nobody says so.
    AnswerLost,
    /// Half of what was asked for comes.
    Cut,
    /// It may not be done: 403.
    Forbidden,
}

/// Requests are `put`, `begin`, `part`, `complete`, `abort`, `get`, `head`, `delete` and `list`.
#[derive(Debug, Default)]
pub struct FakeBucket {
    pub objects: InMemory,
    uploads: Mutex<HashMap<MultipartId, BTreeMap<usize, Bytes>>>,
    next: Mutex<VecDeque<(&'static str, Fault)>>,
    asked: Mutex<Vec<&'static str>>,
    /// How long each `get` takes.
    pub delay: Mutex<Duration>,
    under_way: AtomicUsize,
    /// The most `get`s that there were at once.
    pub at_once: AtomicUsize,
}

impl FakeBucket {
    pub fn client(self: &Arc<Self>) -> BucketClient {
        BucketClient { store: Arc::clone(self) as Arc<dyn ObjectStore>, parts: Arc::clone(self) as _ }
    }

    /// The next request of that kind fails so.
    pub fn fail(&self, kind: &'static str, fault: Fault) {
        self.next.lock().push_back((kind, fault));
    }

    /// Whether everything that was to fail has failed.
    pub fn is_over(&self) -> bool {
        self.next.lock().is_empty()
    }

    /// Requests of a kind until now.
    pub fn count(&self, kind: &str) -> usize {
        self.asked.lock().iter().filter(|asked| **asked == kind).count()
    }

    pub fn unfinished_uploads(&self) -> usize {
        self.uploads.lock().len()
    }

    /// Changes an object as nobody should.
    pub async fn damage(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let key = Path::from(key);
        let mut bytes = self.objects.get(&key).await.unwrap().bytes().await.unwrap().to_vec();
        change(&mut bytes);
        self.objects.put(&key, bytes.into()).await.unwrap();
    }

    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.objects.list(None).map(|meta| meta.unwrap().location.to_string()).collect().await;
        keys.sort();
        keys
    }

    fn ask(&self, kind: &'static str) -> Option<Fault> {
        self.asked.lock().push(kind);
        let mut next = self.next.lock();
        let at = next.iter().position(|(planned, _)| *planned == kind)?;
        next.remove(at).map(|(_, fault)| fault)
    }

    /// Does what was asked for, unless it fails before.
    async fn done<T>(&self, kind: &'static str, request: impl Future<Output = Result<T>>) -> Result<T> {
        match self.ask(kind) {
            Some(Fault::Refused) => Err(busy()),
            Some(Fault::Forbidden) => Err(Error::PermissionDenied { path: kind.into(), source: "403".into() }),
            Some(Fault::AnswerLost) => request.await.and(Err(busy())),
            Some(Fault::Cut) | None => request.await,
        }
    }
}

fn busy() -> Error {
    Error::Generic { store: "fake", source: "503 SlowDown".into() }
}

fn no_upload(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "NoSuchUpload".into() }
}

impl fmt::Display for FakeBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fake")
    }
}

#[async_trait]
impl ObjectStore for FakeBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.done("put", self.objects.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".into(), implementer: "fake".into() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.done("head", self.objects.get_opts(location, options)).await;
        }
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once.fetch_max(now, Ordering::SeqCst);
        let delay = *self.delay.lock();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let is_cut = self.next.lock().iter().find(|(kind, _)| *kind == "get").is_some_and(|(_, f)| *f == Fault::Cut);
        let found = self.done("get", self.objects.get_opts(location, options)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let found = found?;
        if !is_cut {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = found.bytes().await?;
        let half = bytes.slice(..bytes.len() / 2);
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(half) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.ask("delete") {
            None => self.objects.delete_stream(locations),
            Some(_) => futures::stream::once(async { Err(busy()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.ask("list") {
            None => self.objects.list(prefix),
            Some(_) => futures::stream::once(async { Err(busy()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

/// Parts come in any order, and again.
#[async_trait]
impl MultipartStore for FakeBucket {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        let begin = async {
            let mut uploads = self.uploads.lock();
            let id = self.asked.lock().len().to_string();
            uploads.insert(id.clone(), BTreeMap::new());
            Ok(id)
        };
        self.done("begin", begin).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        let put = async {
            let bytes = data.iter().fold(BytesMut::new(), |mut all, bytes| {
                all.extend_from_slice(bytes);
                all
            });
            let mut uploads = self.uploads.lock();
            uploads.get_mut(id).ok_or_else(|| no_upload(path))?.insert(part_idx, bytes.freeze());
            Ok(PartId { content_id: part_idx.to_string() })
        };
        self.done("part", put).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = async {
            let sent = self.uploads.lock().remove(id).ok_or_else(|| no_upload(path))?;
            let named: Vec<String> = sent.keys().map(usize::to_string).collect();
            assert_eq!(parts.iter().map(|part| part.content_id.clone()).collect::<Vec<_>>(), named);
            let lengths: Vec<usize> = sent.values().map(Bytes::len).collect();
            assert!(lengths.windows(2).all(|pair| pair[0] >= pair[1] && pair[0] == lengths[0]), "{lengths:?}");
            self.objects.put(path, sent.into_values().collect::<PutPayload>()).await
        };
        self.done("complete", complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let abort = async { self.uploads.lock().remove(id).map(|_| ()).ok_or_else(|| no_upload(path)) };
        self.done("abort", abort).await
    }
}
