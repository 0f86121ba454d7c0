//! Web servers: files that are named by `http://` and `https://`.
//!
//! Whoever may run a statement could otherwise have the cluster's hosts ask servers that only they reach, such as a cloud's metadata
//! service: so a node asks none but those that its environment names, and follows an answer to no other.

use super::url::{WebServer, bad_name};
use crate::StorageError;
use crate::limits::{OBJECT_CLIENTS_MAX, SOURCE_REDIRECTS_MAX};
use damson_cluster::CopyFile;
use object_store::client::{HttpClient, HttpConnector};
use object_store::http::HttpBuilder;
use object_store::path::Path as ObjectPath;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, Result, RetryConfig};
use parking_lot::Mutex;
use reqwest::Url;
use reqwest::redirect::Policy;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Environment variable of the segments: hosts that may be read from, see [`Hosts::parse`]. None without it.
const HTTP_HOSTS: &str = "DAMSON_HTTP_HOSTS";

/// What a client tries by itself, for each request; what lasts longer its caller waits for.
const REQUEST_RETRIES: usize = 3;
const REQUEST_RETRY_FOR: Duration = Duration::from_secs(20);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a request of [`crate::limits::SOURCE_PART_BYTES`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

static CLIENTS: LazyLock<Mutex<BTreeMap<WebServer, Arc<dyn ObjectStore>>>> = LazyLock::new(Mutex::default);

static HOSTS: LazyLock<Hosts> = LazyLock::new(|| Hosts::parse(&std::env::var(HTTP_HOSTS).unwrap_or_default()));

/// The client of a server, made if there is none.
///
/// # Errors
/// 42501 for a server that may not be reached, 22023 for what is none.
pub(super) fn client(server: &WebServer) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let root = server.url_of("");
    let url = Url::parse(&root).map_err(|error| bad_name(&root, error.to_string()))?;
    if !HOSTS.allow(&url) {
        let message = format!(
            "its server may not be reached: the segments' environment does not name it in {HTTP_HOSTS}, as host or host:port"
        );
        return Err(StorageError::File { path: root, message, sqlstate: "42501" });
    }
    let mut clients = CLIENTS.lock();
    if let Some(client) = clients.get(server) {
        return Ok(Arc::clone(client));
    }
    let retry =
        RetryConfig { max_retries: REQUEST_RETRIES, retry_timeout: REQUEST_RETRY_FOR, ..RetryConfig::default() };
    let made = HttpBuilder::new().with_url(&root).with_retry(retry).with_http_connector(Connector).build();
    let made: Arc<dyn ObjectStore> = Arc::new(made.map_err(|error| bad_name(&root, error.to_string()))?);
    // Which of them goes does not matter: it is made again.
    if clients.len() >= OBJECT_CLIENTS_MAX {
        clients.pop_first();
    }
    clients.insert(server.clone(), Arc::clone(&made));
    Ok(made)
}

pub(super) fn location(server: &WebServer, path: &str) -> Result<ObjectPath, StorageError> {
    ObjectPath::from_url_path(path).map_err(|error| bad_name(&server.url_of(path), error.to_string()))
}

/// A file by its name; None if there is none.
pub(super) async fn look_for(server: &WebServer, path: &str) -> Result<Option<CopyFile>, StorageError> {
    let (store, location) = (client(server)?, location(server, path)?);
    let meta = match store.head(&location).await {
        Ok(meta) => Ok(meta),
        // A server that knows no such request, or tells no length.
        Err(_) => {
            let range = Some(GetRange::Bounded(0..1));
            store.get_opts(&location, GetOptions { range, ..GetOptions::default() }).await.map(|answer| answer.meta)
        }
    };
    let url = server.url_of(path);
    match meta {
        Ok(meta) => {
            let (etag, modified_us) = identity(&meta);
            Ok(Some(CopyFile { url, bytes: meta.size, etag, modified_us, partition: vec![] }))
        }
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(object_store::Error::NotSupported { .. }) => {
            let message = "its server tells neither its length (HEAD) nor gives parts of it (range requests)".into();
            Err(StorageError::File { path: url, message, sqlstate: "0A000" })
        }
        Err(error) => Err(super::file::refused("look for", &url, error)),
    }
}

/// Etag and time by which a file is known again; a server may tell neither.
pub(super) fn identity(meta: &ObjectMeta) -> (Option<String>, Option<i64>) {
    let seconds = meta.last_modified.timestamp();
    (meta.e_tag.clone().filter(|etag| !etag.is_empty()), (seconds != 0).then_some(seconds * 1_000_000))
}

/// Makes clients that are sent on to no server but those of [`HOSTS`], nor from https to http.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        let policy = Policy::custom(|attempt| {
            let is_weaker = attempt.previous().last().is_some_and(|url| url.scheme() == "https")
                && attempt.url().scheme() != "https";
            let is_far = attempt.previous().len() > SOURCE_REDIRECTS_MAX;
            if is_weaker || is_far || !HOSTS.allow(attempt.url()) { attempt.stop() } else { attempt.follow() }
        });
        let builder = reqwest::Client::builder()
            .redirect(policy)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("damson/", env!("CARGO_PKG_VERSION")));
        let failed = |source| object_store::Error::Generic { store: "HTTP", source: Box::new(source) };
        Ok(HttpClient::new(builder.build().map_err(failed)?))
    }
}

/// Servers that may be reached.
#[derive(Debug, Default)]
struct Hosts(Vec<Host>);

#[derive(Debug, PartialEq, Eq)]
struct Host {
    name: String,
    /// All hosts whose names end in a dot and the name, instead of the host of this name.
    is_domain: bool,
    /// None: the one of the scheme.
    port: Option<u16>,
}

impl Hosts {
    /// Names with commas between them: `host`, `host:port`, and `*.domain` for all hosts below it; with the scheme's own port where
    /// none is named. What is none of these allows nothing.
    fn parse(text: &str) -> Hosts {
        let host = |entry: &str| {
            let entry = entry.trim().to_ascii_lowercase();
            let (name, port) = match entry.rsplit_once(':') {
                // The last part of an address of IPv6 has a bracket behind it.
                Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse().ok()?)),
                _ => (entry.as_str(), None),
            };
            let (name, is_domain) = name.strip_prefix("*.").map_or((name, false), |domain| (domain, true));
            let is_name = !name.is_empty() && !name.contains(['*', '/', '@']);
            is_name.then(|| Host { name: name.to_owned(), is_domain, port })
        };
        Hosts(text.split(',').filter_map(host).collect())
    }

    fn allow(&self, url: &Url) -> bool {
        let Some(name) = url.host_str() else { return false };
        let default_port = match url.scheme() {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let port = url.port().unwrap_or(default_port);
        self.0.iter().any(|host| {
            let is_named = match host.is_domain {
                true => name.strip_suffix(&host.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                false => name == host.name,
            };
            is_named && port == host.port.unwrap_or(default_port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_servers_are_reached() {
        let hosts = Hosts::parse("data.example.com, *.Open.org,10.0.0.7:8080,[::1]:9000, *, http://x/");
        let allowed = |url: &str| hosts.allow(&Url::parse(url).unwrap());
        for url in [
            "https://data.example.com/x",
            "http://DATA.example.com/x",
            "https://a.b.open.org/x",
            "http://10.0.0.7:8080/x",
            "http://[::1]:9000/x",
        ] {
            assert!(allowed(url), "{url}");
        }
        for url in [
            "https://data.example.com:8443/x",
            "https://example.com/x",
            "https://open.org/x",
            "https://notopen.org/x",
            "http://10.0.0.7/x",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/x",
            "http://data.example.com.evil.org/x",
            "ftp://data.example.com/x",
        ] {
            assert!(!allowed(url), "{url}");
        }
        assert!(!Hosts::parse("").allow(&Url::parse("https://data.example.com/x").unwrap()));
    }
}
