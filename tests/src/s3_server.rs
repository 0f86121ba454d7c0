//! A real S3 server on the loopback, on a directory, which answers as it is told: late, not at all, or with a refusal.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpRequest, HttpResponse};
use s3s_fs::FileSystem;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The server's only bucket.
pub const BUCKET: &str = "backups";
pub const KEY: &str = "AKIDTEST";
/// In no other text.
pub const SECRET: &str = "s3cr3t-0f-the-server";

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is answered.
    Good,
    /// 503, and nothing is done.
    Busy,
    /// It is done, and the connection breaks before the answer.
    Lost,
    /// The connection breaks, and nothing is done.
    Cut,
    /// It is done and answered, this much later.
    Late(Duration),
}

/// What happens to the next requests.
#[derive(Default)]
struct Plan {
    /// Those whose method is the first's, in this order.
    next: VecDeque<(&'static str, Answer)>,
    /// Then those of this method whose path has this in it.
    matching: Option<(&'static str, &'static str, Answer)>,
    /// Then all of these, again and again.
    always: Vec<Answer>,
    requests: usize,
    /// What was done to requests, good answers aside.
    faults: Vec<(String, Answer)>,
    /// Late answers that are waited for.
    waiting: usize,
    /// When one came, or was not waited for any more.
    wait_ended: Option<Instant>,
}

impl Plan {
    fn answer(&mut self, method: &str, path: &str) -> Answer {
        self.requests += 1;
        let planned = self.next.iter().position(|(planned, _)| *planned == method);
        let answer = match planned.and_then(|at| self.next.remove(at)) {
            Some((_, answer)) => answer,
            None if self.matching.is_some_and(|(of, part, _)| of == method && path.contains(part)) => {
                self.matching.map_or(Answer::Good, |(_, _, answer)| answer)
            }
            None if self.always.is_empty() => Answer::Good,
            None => self.always[self.requests % self.always.len()],
        };
        if answer != Answer::Good {
            self.faults.push((format!("{method} {path}"), answer));
        }
        answer
    }
}

/// The server. It ends with its value.
pub struct S3Server {
    port: u16,
    plan: Arc<Mutex<Plan>>,
    directory: TempDir,
    // None only while dropping.
    runtime: Option<Runtime>,
}

impl S3Server {
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join(BUCKET)).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(directory.path()).expect("a directory"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(serve(listener, service, Arc::clone(&plan)));
        S3Server { port, plan, directory, runtime: Some(runtime) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Of a node that uses it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", "us-east-1".into()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Where a bucket's object is on the disk.
    pub fn object(&self, name: &str) -> PathBuf {
        self.directory.path().join(BUCKET).join(name)
    }

    /// Gives an object that was made on the disk its ETag, as one that was put has it. Otherwise the server reads all of it for each request,
    /// to make one: of 2 GB that is some seconds.
    ///
    /// # Panics
    /// When the object is not there.
    pub fn name_version(&self, name: &str) {
        let bytes = fs::metadata(self.object(name)).expect("an object").len();
        // Where s3s-fs keeps what it knows of an object.
        let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let path = format!(".bucket-{}.object-{}.internal.json", encoded(BUCKET), encoded(name));
        let known = serde_json::json!({ "e_tag": format!("{bytes:032x}") });
        fs::write(self.directory.path().join(path), known.to_string()).expect("a file");
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The next request of that method is answered so; several are in their order.
    pub fn answer_next(&self, method: &'static str, answer: Answer) {
        self.plan().next.push_back((method, answer));
    }

    /// From now on requests are answered so, one after the other, again and again; an empty list is good answers.
    pub fn answer_always(&self, answers: &[Answer]) {
        self.plan().always = answers.to_vec();
    }

    /// From now on requests of that method whose path has this in it are answered so; None: as the others.
    pub fn answer_matching(&self, matching: Option<(&'static str, &'static str, Answer)>) {
        self.plan().matching = matching;
    }

    /// How many came until now.
    pub fn requests(&self) -> usize {
        self.plan().requests
    }

    /// Names of the objects that are there, sorted.
    ///
    /// # Panics
    /// When the server's directory cannot be read.
    pub fn objects(&self) -> Vec<String> {
        let bucket = self.directory.path().join(BUCKET);
        let (mut names, mut directories) = (vec![], vec![bucket.clone()]);
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else {
                // The server removes those that are empty.
                assert!(directory != bucket, "the bucket is there");
                continue;
            };
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let name = path.strip_prefix(&bucket).expect("it is below");
                    names.push(name.to_str().expect("UTF-8").to_owned());
                }
            }
        }
        names.sort();
        names
    }

    /// Clients that wait for a late answer now.
    pub fn waiting(&self) -> usize {
        self.plan().waiting
    }

    /// When a late answer last came, or its client went away.
    pub fn wait_ended(&self) -> Option<Instant> {
        self.plan().wait_ended
    }

    /// What was done to requests until now, good answers aside: method and path.
    pub fn faults(&self) -> Vec<(String, Answer)> {
        self.plan().faults.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("nobody panics with it")
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// For as long as the runtime lives.
async fn serve(listener: TcpListener, service: S3Service, plan: Arc<Mutex<Plan>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (service, plan) = (service.clone(), Arc::clone(&plan));
        let handle = tower::service_fn(move |request: HttpRequest<_>| {
            answer(service.clone(), Arc::clone(&plan), request.map(Body::from))
        });
        connections.spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            // A connection that breaks is what the test wants, or its client's to tell.
            let _ = connection.serve_connection(TokioIo::new(socket), TowerToHyperService::new(handle)).await;
        });
    }
}

/// A client that waits for a late answer. It is dropped when the answer comes, and when the connection has ended.
struct Waiting(Arc<Mutex<Plan>>);

impl Waiting {
    fn begin(plan: Arc<Mutex<Plan>>) -> Self {
        plan.lock().expect("nobody panics with it").waiting += 1;
        Waiting(plan)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Ok(mut plan) = self.0.lock() {
            plan.waiting -= 1;
            plan.wait_ended = Some(Instant::now());
        }
    }
}

/// An error ends the connection.
async fn answer(service: S3Service, plan: Arc<Mutex<Plan>>, request: HttpRequest) -> io::Result<HttpResponse> {
    let answer = {
        let mut plan = plan.lock().expect("nobody panics with it");
        plan.answer(request.method().as_str(), request.uri().path())
    };
    let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
    match answer {
        Answer::Cut => return Err(broken()),
        Answer::Busy => {
            let mut busy = HttpResponse::new(Body::from(String::from("<Error><Code>SlowDown</Code></Error>")));
            *busy.status_mut() = 503_u16.try_into().expect("a status");
            return Ok(busy);
        }
        Answer::Good | Answer::Lost | Answer::Late(_) => {}
    }
    let done = service.call(request).await.map_err(|error| io::Error::other(format!("{error:?}")))?;
    if let Answer::Late(time) = answer {
        // Not before the request is read to its end: who has more to read does not see that its client has gone.
        let _waiting = Waiting::begin(plan);
        tokio::time::sleep(time).await;
    }
    if answer == Answer::Lost { Err(broken()) } else { Ok(done) }
}
