//! `damson segment`: segments without a master, which register with theirs and stay registered.

use crate::build_id::build_id;
use crate::certificate_loading::{self, InterconnectTls, NodeCertificateError};
use crate::client_certificate::{self, ClientCertificateError};
use crate::config_file::{ConfigError, mib_as_bytes, read, required};
use crate::contents::Contents;
use crate::copy_dirs;
use crate::directory_lock::{DirectoryLock, DirectoryLockError};
use crate::interconnect_options::InterconnectOptions;
use crate::limits::HEARTBEAT;
use crate::listen::{ListenError, listen};
use crate::master_calls::{CallFailure, MasterCalls, Masters, Patience};
use crate::master_process::to_tokio;
use crate::resources::{RANGE_CACHE_DIRECTORY, column_cache, default_memory_bytes, runtime_env};
use crate::runtimes::{Runtimes, cores};
use crate::stop::{hangup, stop_signal};
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{ControlError, InterconnectError, Node, NodeConfig};
use damson_master::base_state;
use damson_master::client_tls::ClientTls;
use damson_master::flight_sql::{RetrieveServer, ServeError, serve_retrieve};
use damson_motion::{InterconnectSettings, Register, Registered, Retrievals, RetrieveAddress, codes, control};
use damson_segment::{Segment, SegmentConfig, SegmentError};
use damson_storage::{RangeCache, RangeCacheConfig, StorageError, StoreCaches, Verification, protect_directory};
use datafusion::error::DataFusionError;
use futures::future::try_join_all;
use serde::Deserialize;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DEFAULT_MASTER: &str = "127.0.0.1:50060";
/// Which cluster a data directory is of.
const CLUSTER_ID_FILE: &str = "cluster_id";
/// In a segment's data directory: which content it is of.
const CONTENT_FILE: &str = "content";

/// Runs one segment, or several of one host in one process.
#[derive(Clone, Debug, clap::Args)]
pub struct SegmentArgs {
    /// TOML file of the options below, without --; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run in a session of its own: the process outlives the terminal that it is started from.
    #[arg(long)]
    own_session: bool,
    #[command(flatten)]
    options: SegmentOptions,
}

/// Options of a segment, on the command line or in its file.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct SegmentOptions {
    /// Directory of the segment's tables; of several segments, each has its own in it: seg0, seg1, …
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which segment this is, counted from 0, or which: 0-63, or 0,2,5-7. Memory and threads are shared.
    #[arg(long, value_name = "IDS")]
    content: Option<Contents>,
    /// Where the master listens for segments, or several masters of which one is active: a:50060,b:50060 [default: 127.0.0.1:50060].
    #[arg(long, value_name = "HOST:PORT")]
    master: Option<String>,
    /// Address to listen on [default: 127.0.0.1 and a free port].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Address that the others are told [default: the one of --listen].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Port at which clients retrieve rows of large results, at the address of --listen; 0 is none [default: a free one].
    #[arg(long)]
    flight_port: Option<u16>,
    /// Host, or host and port, at which clients are told to come for them [default: the host of --advertise].
    #[arg(long, value_name = "HOST[:PORT]")]
    flight_advertise: Option<String>,
    /// Certificate that clients are shown there who ask for TLS, with those that issued it after it, in PEM; read again when it changes, and on
    /// SIGHUP. Needs --client-tls-key.
    #[arg(long, value_name = "FILE")]
    client_tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM, which nobody else may read.
    #[arg(long, value_name = "FILE")]
    client_tls_key: Option<PathBuf>,
    /// Memory for queries and cached columns, in MiB; by default 60 % of the machine's.
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
    /// Disk for what queries spill, in MiB; by default all that is free.
    #[arg(long, value_name = "MIB")]
    spill_limit: Option<u64>,
    /// Directory where ranges of tables in buckets are kept, on a disk of this host and of no other process; it is made when the first
    /// one is read [default: the data directory's cache].
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Disk for ranges of tables in buckets, in MiB; 0 for none [default: 10240].
    #[arg(long, value_name = "MIB")]
    cache_size: Option<u64>,
    /// How much of a table file is compared with the catalog before it is read: its length, or its checksum, once or always
    /// [default: once].
    #[arg(long, value_name = "length|once|always", hide_possible_values = true)]
    verify: Option<Verify>,
    /// Threads for queries; by default one a core.
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    interconnect: InterconnectOptions,
    /// Directories whose files COPY, queries, external tables and backups may read and write, below which alone; or none
    /// [default: all that this process's user may, but no node's data directory].
    #[arg(long, value_name = "DIR,DIR", value_delimiter = ',')]
    copy_dirs: Option<Vec<PathBuf>>,
    /// Directory of this node's certificate [default: the data directory's tls]; a segment on the
    /// master's host needs none.
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// Whether nodes of different hosts show certificates and encrypt [default: on].
    #[arg(long, value_name = "ON|OFF", hide_possible_values = true)]
    interconnect_tls: Option<InterconnectTls>,
}

impl SegmentOptions {
    fn or(self, file: SegmentOptions) -> SegmentOptions {
        SegmentOptions {
            data: self.data.or(file.data),
            content: self.content.or(file.content),
            master: self.master.or(file.master),
            listen: self.listen.or(file.listen),
            advertise: self.advertise.or(file.advertise),
            flight_port: self.flight_port.or(file.flight_port),
            flight_advertise: self.flight_advertise.or(file.flight_advertise),
            client_tls_cert: self.client_tls_cert.or(file.client_tls_cert),
            client_tls_key: self.client_tls_key.or(file.client_tls_key),
            memory: self.memory.or(file.memory),
            spill_limit: self.spill_limit.or(file.spill_limit),
            cache_dir: self.cache_dir.or(file.cache_dir),
            cache_size: self.cache_size.or(file.cache_size),
            verify: self.verify.or(file.verify),
            threads: self.threads.or(file.threads),
            interconnect: self.interconnect.or(file.interconnect),
            copy_dirs: self.copy_dirs.or(file.copy_dirs),
            tls_dir: self.tls_dir.or(file.tls_dir),
            interconnect_tls: self.interconnect_tls.or(file.interconnect_tls),
        }
    }
}

/// `--verify`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verify {
    Length,
    #[default]
    Once,
    Always,
}

impl From<Verify> for Verification {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Length => Verification::Length,
            Verify::Once => Verification::Once,
            Verify::Always => Verification::Always,
        }
    }
}

/// Why a segment does not run.
#[derive(Debug, Error)]
pub enum SegmentProcessError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("--own-session: {0}: a shell's job has a session already")]
    OwnSession(#[source] nix::Error),
    #[error("--master: {0}")]
    Masters(String),
    #[error("--copy-dirs: {0}")]
    CopyDirs(#[source] io::Error),
    #[error("cannot keep statements out of the data directory: {0}")]
    Protect(#[from] StorageError),
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
    #[error(transparent)]
    Certificate(#[from] NodeCertificateError),
    #[error(transparent)]
    ClientCertificate(#[from] ClientCertificateError),
    #[error(transparent)]
    Retrieve(#[from] ServeError),
    #[error("cannot use {path}: {source}")]
    DataDir { path: PathBuf, source: io::Error },
    #[error("cannot set up the query engine: {0}")]
    Engine(#[from] DataFusionError),
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Interconnect(#[from] InterconnectError),
    #[error("the server died: {0}")]
    Died(#[from] tokio::task::JoinError),
    #[error("the server ended by itself")]
    Ended,
    #[error("the master at {master} refuses {who} of build {build}: {reason}")]
    Refused { master: Endpoint, who: String, build: String, reason: String },
    #[error("unreadable message between segment and master: {0}")]
    Message(#[from] serde_json::Error),
    #[error("{path} is the directory of {ours}, not of {asked}")]
    OtherContent { path: PathBuf, ours: String, asked: ContentId },
    #[error(transparent)]
    Lock(#[from] DirectoryLockError),
    #[error("{path} belongs to cluster {ours}, the master at {master} to cluster {theirs}")]
    OtherCluster { path: PathBuf, ours: String, master: Endpoint, theirs: String },
}

/// Runs a segment until it is told to stop, or its master refuses it.
///
/// # Errors
/// Options, ports or directories that cannot be used, or a refusal.
pub async fn run(args: SegmentArgs) -> Result<(), SegmentProcessError> {
    if args.own_session {
        nix::unistd::setsid().map_err(SegmentProcessError::OwnSession)?;
    }
    let options = args.options.or(read(args.config.as_deref())?);
    let data_dir = required(options.data, "data")?;
    let contents = required(options.content, "content")?;
    let masters: Masters =
        options.master.as_deref().unwrap_or(DEFAULT_MASTER).parse().map_err(SegmentProcessError::Masters)?;
    let listener = listen(options.listen.unwrap_or(DEFAULT_LISTEN), "--listen")?;
    let address = listener.local_addr()?;
    let endpoint = Endpoint(options.advertise.unwrap_or_else(|| address.to_string()));
    let clients = retrieve_listener(address.ip(), options.flight_port)?;
    let client_tls = client_certificate::load(options.client_tls_cert, options.client_tls_key)?;
    let retrieve = match &clients {
        Some(clients) => Some(RetrieveAddress {
            address: told_address(options.flight_advertise.as_deref(), &endpoint, clients.local_addr()?.port()),
            has_tls: client_tls.is_some(),
        }),
        None => None,
    };

    let unusable = |source| SegmentProcessError::DataDir { path: data_dir.clone(), source };
    fs::create_dir_all(&data_dir).map_err(unusable)?;
    let data_dir = data_dir.canonicalize().map_err(unusable)?;
    let _lock = DirectoryLock::take(&data_dir)?;
    copy_dirs::apply(options.copy_dirs.as_deref()).map_err(SegmentProcessError::CopyDirs)?;
    protect_directory(&data_dir)?;
    let threads = options.threads.unwrap_or_else(cores).max(1);
    let runtimes = Runtimes::new(threads)?;
    let memory = options.memory.map(|mib| mib_as_bytes(mib as u64, "memory")).transpose()?;
    let memory = memory.map_or_else(default_memory_bytes, |bytes| bytes as usize);
    let spill_limit = options.spill_limit.map(|mib| mib_as_bytes(mib, "spill-limit")).transpose()?;
    let state = Arc::new(base_state(runtime_env(memory, &data_dir.join("spill"), spill_limit)?)?);
    let build = build_id();
    let interconnect_tls = options.interconnect_tls.unwrap_or_default();
    let tls = certificate_loading::of_segment(interconnect_tls, options.tls_dir, &data_dir, &endpoint, masters.all())?;
    let mut config = NodeConfig {
        tls,
        allow_plain_tcp: interconnect_tls == InterconnectTls::Off,
        ..NodeConfig::new(endpoint.clone(), build.clone(), runtimes.io())
    };
    // What was given must be good by itself, before the master is asked for the rest.
    options.interconnect.apply(&mut config)?;
    let settings = tokio::select! {
        signal = stop_signal() => return signal.map_err(SegmentProcessError::from),
        settings = cluster_settings(&config, &masters, &contents) => settings?,
    };
    settings.apply(&mut config);
    options.interconnect.apply(&mut config)?;
    let driver = config.driver;
    let node = Node::new(config);
    let mut ranges = RangeCacheConfig::new(options.cache_dir.unwrap_or_else(|| data_dir.join(RANGE_CACHE_DIRECTORY)));
    if let Some(mib) = options.cache_size {
        ranges.disk_bytes = mib_as_bytes(mib, "cache-size")?;
    }
    let caches = StoreCaches { columns: column_cache(memory), ranges: Arc::new(RangeCache::new(ranges)) };
    let retrievals = Arc::new(Retrievals::default());
    let (mut segments, mut registers) = (vec![], vec![]);
    for content in contents.ids() {
        let data_dir = if contents.ids().len() == 1 { data_dir.clone() } else { data_dir.join(content.to_string()) };
        check_content(&data_dir, content)?;
        registers.push(Register {
            content,
            endpoint: endpoint.0.clone(),
            build: build.clone(),
            data_dir: data_dir.display().to_string(),
            pid: std::process::id(),
            driver,
            retrieve: retrieve.clone(),
        });
        segments.push(Segment::start(SegmentConfig {
            content,
            data_dir,
            node: Arc::clone(&node),
            state: Arc::clone(&state),
            caches: caches.clone(),
            verification: options.verify.unwrap_or_default().into(),
            cpu: runtimes.cpu(),
            retrievals: Arc::clone(&retrievals),
        })?);
    }

    let stop = CancellationToken::new();
    let io = runtimes.io();
    let listener = to_tokio(listener, &io)?;
    let mut server = AbortOnDropHandle::new(io.spawn(Arc::clone(&node).serve(listener, stop.child_token())));
    let calls = Arc::new(MasterCalls::new(Arc::clone(&node), masters));
    let mut clients_server = JoinSet::new();
    if let Some(clients) = clients {
        let clients = to_tokio(clients, &io)?;
        if let Some(tls) = &client_tls {
            let hangup = hangup()?;
            clients_server.spawn_on(kept(Arc::clone(tls), hangup, stop.child_token()), &io);
        }
        let calls = Arc::clone(&calls);
        let server = RetrieveServer {
            node,
            contents: contents.ids().collect(),
            retrievals,
            master: Box::new(move || calls.master().clone()),
            cpu: runtimes.cpu(),
        };
        clients_server.spawn_on(serve_retrieve(server, client_tls, clients, stop.child_token()), &io);
    }
    let registration = Registration { calls, contents, endpoint, registers };
    let ended = tokio::select! {
        signal = stop_signal() => signal.map_err(SegmentProcessError::from),
        refused = registration.keep() => refused.map(|never| match never {}),
        Some(ended) = clients_server.join_next() => match ended? {
            Ok(()) => Err(SegmentProcessError::Ended),
            Err(error) => Err(error.into()),
        },
        ended = &mut server => match ended? {
            Ok(()) => Err(SegmentProcessError::Ended),
            Err(error) => Err(error.into()),
        },
    };
    stop.cancel();
    drop(segments);
    ended
}

/// Where clients come for rows; None if they may not.
fn retrieve_listener(address: IpAddr, port: Option<u16>) -> Result<Option<TcpListener>, ListenError> {
    match port {
        Some(0) => Ok(None),
        port => listen(SocketAddr::new(address, port.unwrap_or(0)), "--flight-port").map(Some),
    }
}

/// Where clients are told to come: the host that they are to know, or the one that the other nodes do.
fn told_address(told: Option<&str>, endpoint: &Endpoint, port: u16) -> String {
    let Some(told) = told else {
        let host = endpoint.0.rsplit_once(':').map_or(endpoint.0.as_str(), |(host, _)| host);
        return format!("{host}:{port}");
    };
    let has_port = told
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
    match has_port {
        true => told.to_owned(),
        false if told.contains(':') && !told.starts_with('[') => format!("[{told}]:{port}"),
        false => format!("{told}:{port}"),
    }
}

async fn kept(tls: Arc<ClientTls>, hangup: Signal, stop: CancellationToken) -> Result<(), ServeError> {
    client_certificate::keep(tls, hangup, stop).await;
    Ok(())
}

/// The interconnect's settings of the cluster: asked for with a node that serves nobody, so that the one that serves has
/// them from the start.
async fn cluster_settings(
    config: &NodeConfig,
    masters: &Masters,
    contents: &Contents,
) -> Result<InterconnectSettings, SegmentProcessError> {
    let calls = MasterCalls::new(Node::new(config.clone()), masters.clone());
    let answer = calls.until_answered(control::INTERCONNECT, Bytes::new()).await;
    let answer = answer.map_err(|refusal| refused(refusal, calls.master(), contents, &config.build))?;
    Ok(serde_json::from_slice(&answer)?)
}

fn refused(refusal: ControlError, master: &Endpoint, who: impl ToString, build: &str) -> SegmentProcessError {
    SegmentProcessError::Refused {
        master: master.clone(),
        who: who.to_string(),
        build: build.to_owned(),
        reason: refusal.message,
    }
}

/// The segments' entries in their master's books.
struct Registration {
    calls: Arc<MasterCalls>,
    contents: Contents,
    endpoint: Endpoint,
    /// One for each content.
    registers: Vec<Register>,
}

impl Registration {
    /// Registers, says so on stdout, and repeats it as a heartbeat, which also registers with a master that was
    /// restarted. A master that is away is waited for.
    async fn keep(self) -> Result<Infallible, SegmentProcessError> {
        let (mut was_registered, mut was_told) = (false, false);
        let mut patience = Patience::new(self.calls.masters().clone());
        loop {
            match self.once().await {
                Ok(is_member) => {
                    if is_member && !std::mem::replace(&mut was_registered, true) {
                        self.say_ready()?;
                    } else if !is_member && !std::mem::replace(&mut was_told, true) {
                        self.say_waiting()?;
                    }
                    patience.answered();
                    tokio::time::sleep(HEARTBEAT).await;
                }
                Err(Failed::Lost(reason)) => patience.wait(&reason).await,
                Err(Failed::For(error)) => return Err(error),
            }
        }
    }

    /// Whether the cluster has all contents.
    async fn once(&self) -> Result<bool, Failed> {
        let are_members: Vec<bool> =
            try_join_all(self.registers.iter().map(|register| self.register(register))).await?;
        Ok(are_members.into_iter().all(|is_member| is_member))
    }

    async fn register(&self, register: &Register) -> Result<bool, Failed> {
        let body = serde_json::to_vec(register).map_err(|e| Failed::For(e.into()))?;
        let answer = self.calls.once(control::REGISTER, Bytes::from(body)).await.map_err(|failure| match failure {
            CallFailure::Lost(reason) => Failed::Lost(reason),
            // The other may end, or was killed a moment ago and is not missed yet.
            CallFailure::Refused(refusal) if refusal.code == codes::OBJECT_IN_USE => Failed::Lost(refusal.message),
            CallFailure::Refused(refusal) => {
                Failed::For(refused(refusal, self.calls.master(), register.content, &register.build))
            }
        })?;
        let registered: Registered = serde_json::from_slice(&answer).map_err(|e| Failed::For(e.into()))?;
        let data_dir = Path::new(&register.data_dir);
        self.check_cluster(data_dir, registered.cluster_id).map_err(Failed::For)?;
        note_content(data_dir, register.content).map_err(Failed::For)?;
        Ok(registered.is_member)
    }

    /// A data directory is of one cluster for ever: another's master must not collect its files as orphans.
    fn check_cluster(&self, data_dir: &Path, theirs: String) -> Result<(), SegmentProcessError> {
        let path = data_dir.join(CLUSTER_ID_FILE);
        let unusable = |source| SegmentProcessError::DataDir { path: path.clone(), source };
        match owner(&path).map_err(unusable)? {
            Some(ours) if ours == theirs => Ok(()),
            Some(ours) => {
                let (path, master) = (data_dir.to_owned(), self.calls.master().clone());
                Err(SegmentProcessError::OtherCluster { path, ours, master, theirs })
            }
            None => write_durably(&path, &theirs).map_err(unusable),
        }
    }

    fn say_waiting(&self) -> io::Result<()> {
        let mut out = io::stdout();
        writeln!(
            out,
            "waiting: {} at {}: the cluster of {} has no such segment until its bucket_map is altered to name it",
            self.contents,
            self.endpoint,
            self.calls.master()
        )?;
        out.flush()
    }

    fn say_ready(&self) -> io::Result<()> {
        let mut out = io::stdout();
        writeln!(out, "ready: {} at {}, registered with {}", self.contents, self.endpoint, self.calls.master())?;
        out.flush()
    }
}

enum Failed {
    /// Try again.
    Lost(String),
    /// For good.
    For(SegmentProcessError),
}

/// A data directory is of one content for ever: as another's it would lack that one's rows, and take some of its own.
fn check_content(data_dir: &Path, content: ContentId) -> Result<(), SegmentProcessError> {
    let path = data_dir.join(CONTENT_FILE);
    match owner(&path).map_err(|source| SegmentProcessError::DataDir { path, source })? {
        Some(ours) if ours != content.to_string() => {
            Err(SegmentProcessError::OtherContent { path: data_dir.to_owned(), ours, asked: content })
        }
        _ => Ok(()),
    }
}

/// Once it is the content's: after the master has taken the segment.
fn note_content(data_dir: &Path, content: ContentId) -> Result<(), SegmentProcessError> {
    let path = data_dir.join(CONTENT_FILE);
    if path.exists() {
        return Ok(());
    }
    write_durably(&path, &content.to_string()).map_err(|source| SegmentProcessError::DataDir { path, source })
}

/// Whose a data directory is, as its file says; None if it is nobody's yet.
fn owner(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(ours) => Ok(Some(ours.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file that is there whole, or not at all.
fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_interconnect::Driver;

    fn registration(dir: &Path, io: tokio::runtime::Handle) -> Registration {
        let register = Register {
            content: ContentId(0),
            endpoint: "127.0.0.1:1".into(),
            build: "test".into(),
            data_dir: dir.display().to_string(),
            pid: 1,
            driver: Driver::Auto,
            retrieve: None,
        };
        let endpoint = Endpoint("127.0.0.1:1".into());
        let node = Node::new(NodeConfig::new(endpoint.clone(), "test", io));
        let calls = Arc::new(MasterCalls::new(node, "127.0.0.1:2".parse().expect("a master")));
        let contents = "0".parse().expect("a list");
        Registration { calls, contents, endpoint, registers: vec![register] }
    }

    #[test]
    fn a_data_directory_is_of_one_content() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        check_content(dir.path(), ContentId(1)).expect("a new one is anybody's");
        note_content(dir.path(), ContentId(1)).expect("written");
        note_content(dir.path(), ContentId(1)).expect("written before");
        check_content(dir.path(), ContentId(1)).expect("its own");
        let error = check_content(dir.path(), ContentId(0)).unwrap_err().to_string();
        assert!(error.ends_with("is the directory of seg1, not of seg0"), "{error}");
    }

    #[tokio::test]
    async fn a_data_directory_is_of_one_cluster() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let registration = registration(dir.path(), tokio::runtime::Handle::current());
        let check = |cluster: &str| registration.check_cluster(dir.path(), cluster.into());
        check("one").expect("the first cluster");
        check("one").expect("the same cluster");
        let error = check("two").unwrap_err().to_string();
        assert!(error.contains("one") && error.contains("two"), "{error}");
    }

    #[tokio::test]
    async fn a_master_that_is_away_is_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let registration = registration(dir.path(), tokio::runtime::Handle::current());
        assert!(matches!(registration.once().await, Err(Failed::Lost(_))));
    }

    #[test]
    fn clients_are_told_where_to_come() {
        let told = |told, endpoint: &str| told_address(told, &Endpoint(endpoint.into()), 7);
        assert_eq!(told(None, "seg.example:50061"), "seg.example:7");
        assert_eq!(told(None, "[::1]:50061"), "[::1]:7");
        assert_eq!(told(Some("outside"), "seg:50061"), "outside:7");
        assert_eq!(told(Some("outside:8"), "seg:50061"), "outside:8");
        assert_eq!(told(Some("fe80::1"), "seg:50061"), "[fe80::1]:7");
        assert_eq!(told(Some("[fe80::1]:8"), "seg:50061"), "[fe80::1]:8");
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: SegmentOptions = toml::from_str("content = 1\nmaster = \"m:1\"").expect("good TOML");
        let flags = SegmentOptions { content: "2-3".parse().ok(), ..Default::default() };
        let options = flags.or(file.clone());
        assert_eq!((options.content, options.master.as_deref()), ("2,3".parse().ok(), Some("m:1")));
        assert_eq!(file.content, "1".parse().ok());
        let dirs: SegmentOptions = toml::from_str("copy-dirs = [\"/a\", \"/b c\"]").expect("good TOML");
        assert_eq!(dirs.copy_dirs, Some(vec!["/a".into(), "/b c".into()]));
        let list: SegmentOptions = toml::from_str("content = \"0-3\"").expect("good TOML");
        assert_eq!(list.content, "0-3".parse().ok());
    }
}
