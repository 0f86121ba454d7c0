//! A web server of a test: a few files in memory, of which each says how well it is served.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A file and what its server does with it.
#[derive(Clone, Debug)]
pub struct WebFile {
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
    /// Whether a part of it can be asked for.
    pub has_ranges: bool,
    /// Whether its length can be asked for.
    pub has_head: bool,
    /// Where it is instead.
    pub moved_to: Option<String>,
}

impl WebFile {
    /// Served as well as can be.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        WebFile { bytes: bytes.into(), etag: Some("\"1\"".into()), has_ranges: true, has_head: true, moved_to: None }
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, WebFile>,
    /// Method and path.
    requests: Vec<String>,
}

/// The server. Its threads end with the process.
pub struct WebServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl WebServer {
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client may go at any time.
                thread::spawn(move || drop(answer(stream, &state)));
            }
        });
        WebServer { port, state }
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    pub fn put(&self, path: &str, file: WebFile) {
        lock(&self.state).files.insert(path.to_owned(), file);
    }

    /// Requests since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).requests)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test panics with the lock")
}

/// Answers one request.
fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("range")
        {
            range = parse_range(value);
        }
    }
    let file = {
        let mut state = lock(state);
        state.requests.push(format!("{method} {path}"));
        state.files.get(path).cloned()
    };
    let (status, mut headers, body) = match file {
        None => ("404 Not Found", String::new(), vec![]),
        Some(WebFile { moved_to: Some(url), .. }) => ("302 Found", format!("Location: {url}\r\n"), vec![]),
        Some(file) if method == "HEAD" && !file.has_head => ("501 Not Implemented", String::new(), vec![]),
        Some(file) => {
            let etag = file.etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
            match range.filter(|_| file.has_ranges && method == "GET") {
                Some((start, end)) if start < file.bytes.len() => {
                    let end = end.min(file.bytes.len() - 1);
                    let whole = file.bytes.len();
                    let headers = format!("{etag}Content-Range: bytes {start}-{end}/{whole}\r\n");
                    ("206 Partial Content", headers, file.bytes[start..=end].to_vec())
                }
                Some(_) => ("416 Range Not Satisfiable", etag, vec![]),
                None => ("200 OK", etag, file.bytes),
            }
        }
    };
    headers.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n", body.len()));
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\n")?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}

/// `bytes=first-last`.
fn parse_range(value: &str) -> Option<(usize, usize)> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
}
