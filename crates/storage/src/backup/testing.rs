//! A bucket in memory that fails as it is told.

use super::place::BackupPlace;
use crate::retry::RetryPolicy;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done.
    None,
    /// It is refused, and not done: 503.
    Refused,
    /// It is done, and nobody says so.
    AnswerLost,
    /// It is done, and what is said is the answer to the same request made once more: there is no such upload.
    Gone,
    /// Half of what was asked for comes.
    Cut,
    /// It may not be done: 403.
    Forbidden,
    /// A PUT is done after [`LATE`], also where nobody waits for the answer any more.
    Late,
}

pub(crate) const LATE: Duration = Duration::from_millis(200);

/// Requests that were made, in their order, and what goes wrong with the next ones.
#[derive(Debug, Default)]
pub(crate) struct Script {
    next: Mutex<VecDeque<(&'static str, Fault)>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    /// The next request of that kind fails so: `put`, `multipart`, `part`, `complete`, `get`, `list`.
    pub(crate) fn fail(&self, kind: &'static str, fault: Fault) {
        self.next.lock().push_back((kind, fault));
    }

    fn ask(&self, kind: &'static str, location: &Path) -> Fault {
        self.asked.lock().push(format!("{kind} {location}"));
        let mut next = self.next.lock();
        let at = next.iter().position(|(planned, _)| *planned == kind);
        at.and_then(|at| next.remove(at)).map_or(Fault::None, |(_, fault)| fault)
    }

    /// Requests of a kind until now.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.asked.lock().iter().filter(|asked| asked.starts_with(&format!("{kind} "))).count()
    }

    /// Whether everything that was to fail has failed.
    pub(crate) fn is_over(&self) -> bool {
        self.next.lock().is_empty()
    }
}

#[derive(Debug, Default)]
pub(crate) struct FaultyStore {
    pub inner: Arc<InMemory>,
    pub script: Arc<Script>,
    /// Uploads that have begun, by id: parts by number. `InMemory` wants parts in their order.
    pub uploads: Mutex<HashMap<MultipartId, BTreeMap<usize, PutPayload>>>,
    /// Of the next upload.
    id: AtomicUsize,
}

/// A place in such a bucket, and what goes on in it.
pub(super) fn faulty_place() -> (BackupPlace, Arc<FaultyStore>) {
    let store = Arc::new(FaultyStore::default());
    let bucket = Arc::clone(&store) as Arc<dyn ObjectStore>;
    (BackupPlace::of_store("s3://test/p".into(), bucket, Path::from("p"), RetryPolicy::TEST), store)
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn busy() -> Error {
    Error::Generic { store: "faulty", source: "503 SlowDown".into() }
}

fn forbidden(location: &Path) -> Error {
    Error::PermissionDenied { path: location.to_string(), source: "403".into() }
}

/// Does what was asked for, unless it fails before.
async fn done<T>(fault: Fault, location: &Path, request: impl Future<Output = Result<T>>) -> Result<T> {
    match fault {
        Fault::Refused => Err(busy()),
        Fault::Forbidden => Err(forbidden(location)),
        Fault::AnswerLost => request.await.and(Err(busy())),
        Fault::Gone => request.await.and(Err(Error::NotFound { path: location.to_string(), source: "404".into() })),
        Fault::None | Fault::Cut | Fault::Late => request.await,
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.script.ask("put", location);
        if fault == Fault::Late {
            let (inner, location) = (Arc::clone(&self.inner), location.clone());
            let late = async move {
                tokio::time::sleep(LATE).await;
                inner.put_opts(&location, payload, options).await
            };
            return tokio::spawn(late).await.expect("a bucket does not panic");
        }
        done(fault, location, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.script.ask("multipart", location);
        let upload = done(fault, location, self.inner.put_multipart_opts(location, options)).await?;
        Ok(Box::new(FaultyUpload { upload, location: location.clone(), script: Arc::clone(&self.script) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { "head" } else { "get" };
        let fault = self.script.ask(kind, location);
        let found = done(fault, location, self.inner.get_opts(location, options)).await?;
        if fault != Fault::Cut {
            return Ok(found);
        }
        let GetResult { meta, range, attributes, .. } = found;
        let half =
            self.inner.get_opts(location, GetOptions::default().with_range(Some(range.start..range.end))).await?;
        let bytes = half.bytes().await?;
        let half = bytes.slice(..bytes.len() / 2);
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(half) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.script.ask("list", prefix.unwrap_or(&Path::default())) {
            Fault::None => self.inner.list(prefix),
            _ => futures::stream::once(async { Err(busy()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let location = prefix.cloned().unwrap_or_default();
        let fault = self.script.ask("list", &location);
        done(fault, &location, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, location: &Path) -> Result<MultipartId> {
        let fault = self.script.ask("multipart", location);
        let created = async {
            let id = self.id.fetch_add(1, Ordering::Relaxed).to_string();
            self.uploads.lock().insert(id.clone(), BTreeMap::new());
            Ok(id)
        };
        done(fault, location, created).await
    }

    async fn put_part(&self, location: &Path, id: &MultipartId, number: usize, data: PutPayload) -> Result<PartId> {
        let fault = self.script.ask("part", location);
        let put = async {
            let mut uploads = self.uploads.lock();
            uploads.get_mut(id).ok_or_else(|| no_upload(location))?.insert(number, data);
            Ok(PartId { content_id: number.to_string() })
        };
        done(fault, location, put).await
    }

    async fn complete_multipart(&self, location: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let fault = self.script.ask("complete", location);
        let complete = async {
            let sent = self.uploads.lock().remove(id).ok_or_else(|| no_upload(location))?;
            let numbers = parts.iter().map(|part| part.content_id.clone());
            assert!(numbers.eq(sent.keys().map(usize::to_string)), "parts are told in their order: {parts:?}");
            let whole: PutPayload = sent.values().flat_map(|part| part.iter().cloned()).collect();
            self.inner.put_opts(location, whole, PutOptions::default()).await
        };
        done(fault, location, complete).await
    }

    async fn abort_multipart(&self, location: &Path, id: &MultipartId) -> Result<()> {
        let fault = self.script.ask("abort", location);
        let abort = async { self.uploads.lock().remove(id).map(|_| ()).ok_or_else(|| no_upload(location)) };
        done(fault, location, abort).await
    }
}

fn no_upload(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: "no such upload".into() }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    location: Path,
    script: Arc<Script>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = self.script.ask("part", &self.location);
        let (part, location) = (self.upload.put_part(data), self.location.clone());
        Box::pin(async move { done(fault, &location, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.script.ask("complete", &self.location);
        done(fault, &self.location, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
