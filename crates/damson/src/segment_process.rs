//! `damson segment`: one segment alone, which registers with its master and stays registered.

use crate::build_id::build_id;
use crate::certificate_loading::{self, InterconnectTls, NodeCertificateError};
use crate::config_file::{ConfigError, read, required};
use crate::limits::{HEARTBEAT, RETRY_FIRST, RETRY_LAST};
use crate::listen::{ListenError, listen};
use crate::master_process::to_tokio;
use crate::resources::{column_cache, default_memory_bytes, runtime_env};
use crate::runtimes::{Runtimes, cores};
use crate::stop::stop_signal;
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{ControlError, InterconnectError, Node, NodeConfig};
use damson_master::base_state;
use damson_motion::{Register, Registered, control};
use damson_segment::{Segment, SegmentConfig, SegmentError};
use datafusion::error::DataFusionError;
use futures::StreamExt;
use serde::Deserialize;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DEFAULT_MASTER: &str = "127.0.0.1:50060";
/// Which cluster a data directory is of.
const CLUSTER_ID_FILE: &str = "cluster_id";

/// Runs one segment.
#[derive(Clone, Debug, clap::Args)]
pub struct SegmentArgs {
    /// TOML file of the options below, without --; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: SegmentOptions,
}

/// Options of a segment, on the command line or in its file.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct SegmentOptions {
    /// Directory of the segment's tables.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which segment this is, counted from 0.
    #[arg(long, value_name = "ID")]
    content: Option<u16>,
    /// Where the master listens for segments [default: 127.0.0.1:50060].
    #[arg(long, value_name = "HOST:PORT")]
    master: Option<String>,
    /// Address to listen on [default: 127.0.0.1 and a free port].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Address that the others are told [default: the one of --listen].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Memory for queries and cached columns, in MiB; by default 60 % of the machine's.
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
    /// Threads for queries; by default one a core.
    #[arg(long)]
    threads: Option<usize>,
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
            memory: self.memory.or(file.memory),
            threads: self.threads.or(file.threads),
            tls_dir: self.tls_dir.or(file.tls_dir),
            interconnect_tls: self.interconnect_tls.or(file.interconnect_tls),
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
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
    #[error(transparent)]
    Certificate(#[from] NodeCertificateError),
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
    #[error("the master at {master} refuses {content} of build {build}: {reason}")]
    Refused { master: Endpoint, content: ContentId, build: String, reason: String },
    #[error("unreadable message between segment and master: {0}")]
    Message(#[from] serde_json::Error),
    #[error("{path} belongs to cluster {ours}, the master at {master} to cluster {theirs}")]
    OtherCluster { path: PathBuf, ours: String, master: Endpoint, theirs: String },
}

/// Runs a segment until it is told to stop, or its master refuses it.
///
/// # Errors
/// Options, ports or directories that cannot be used, or a refusal.
pub async fn run(args: SegmentArgs) -> Result<(), SegmentProcessError> {
    let options = args.options.or(read(args.config.as_deref())?);
    let data_dir = required(options.data, "data")?;
    let content = ContentId(i32::from(required(options.content, "content")?));
    let master = Endpoint(options.master.unwrap_or_else(|| DEFAULT_MASTER.into()));
    let listener = listen(options.listen.unwrap_or(DEFAULT_LISTEN), "--listen")?;
    let address = listener.local_addr()?.to_string();
    let endpoint = Endpoint(options.advertise.unwrap_or(address));

    let unusable = |source| SegmentProcessError::DataDir { path: data_dir.clone(), source };
    fs::create_dir_all(&data_dir).map_err(unusable)?;
    let data_dir = data_dir.canonicalize().map_err(unusable)?;
    let threads = options.threads.unwrap_or_else(cores).max(1);
    let runtimes = Runtimes::new(threads)?;
    let memory = options.memory.map_or_else(default_memory_bytes, |mib| mib << 20);
    let state = Arc::new(base_state(runtime_env(memory, &data_dir.join("spill"))?)?);
    let build = build_id();
    let interconnect_tls = options.interconnect_tls.unwrap_or_default();
    let tls = certificate_loading::of_segment(interconnect_tls, options.tls_dir, &data_dir, &endpoint, &master)?;
    let node = Node::new(NodeConfig {
        tls,
        allow_plain_tcp: interconnect_tls == InterconnectTls::Off,
        ..NodeConfig::new(endpoint.clone(), build.clone(), runtimes.io())
    });
    let segment = Segment::start(SegmentConfig {
        content,
        data_dir: data_dir.clone(),
        node: Arc::clone(&node),
        state,
        columns: column_cache(memory),
        cpu: runtimes.cpu(),
    })?;

    let stop = CancellationToken::new();
    let io = runtimes.io();
    let listener = to_tokio(listener, &io)?;
    let mut server = AbortOnDropHandle::new(io.spawn(Arc::clone(&node).serve(listener, stop.child_token())));
    let registration = Registration {
        node,
        master,
        register: Register {
            content,
            endpoint: endpoint.0,
            build,
            data_dir: data_dir.display().to_string(),
            pid: std::process::id(),
        },
        data_dir,
    };
    let ended = tokio::select! {
        signal = stop_signal() => signal.map_err(SegmentProcessError::from),
        refused = registration.keep() => refused.map(|never| match never {}),
        ended = &mut server => match ended? {
            Ok(()) => Err(SegmentProcessError::Ended),
            Err(error) => Err(error.into()),
        },
    };
    stop.cancel();
    drop(segment);
    ended
}

/// The segment's entry in its master's books.
struct Registration {
    node: Arc<Node>,
    master: Endpoint,
    register: Register,
    data_dir: PathBuf,
}

impl Registration {
    /// Registers, says so on stdout, and repeats it as a heartbeat, which also registers with a master that was
    /// restarted. A master that is away is waited for.
    async fn keep(self) -> Result<Infallible, SegmentProcessError> {
        let (mut was_registered, mut is_lost) = (false, false);
        let mut retry = RETRY_FIRST;
        loop {
            match self.once().await {
                Ok(()) => {
                    if !std::mem::replace(&mut was_registered, true) {
                        self.say_ready()?;
                    } else if is_lost {
                        tracing::info!(master = %self.master, "the master is back");
                    }
                    is_lost = false;
                    retry = RETRY_FIRST;
                    tokio::time::sleep(HEARTBEAT).await;
                }
                Err(Failed::Lost(reason)) => {
                    if !std::mem::replace(&mut is_lost, true) {
                        tracing::warn!(master = %self.master, reason, "cannot reach the master; waiting for it");
                    }
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_LAST);
                }
                Err(Failed::For(error)) => return Err(error),
            }
        }
    }

    async fn once(&self) -> Result<(), Failed> {
        let body = serde_json::to_vec(&self.register).map_err(|e| Failed::For(e.into()))?;
        let answer = async {
            let master = ContentId::MASTER;
            let mut answers = self.node.call(&self.master, master, control::REGISTER, Bytes::from(body)).await?;
            answers.next().await.unwrap_or_else(|| {
                Err(InterconnectError::PeerLost { endpoint: self.master.clone(), reason: "it gave no answer".into() })
            })
        };
        let answer = match tokio::time::timeout(RETRY_LAST, answer).await {
            Err(_) => return Err(Failed::Lost("it does not answer".into())),
            Ok(Err(InterconnectError::Control(refusal))) => return Err(Failed::For(self.refused(refusal))),
            Ok(Err(error)) => return Err(Failed::Lost(error.to_string())),
            Ok(Ok(answer)) => answer,
        };
        let registered: Registered = serde_json::from_slice(&answer).map_err(|e| Failed::For(e.into()))?;
        self.check_cluster(registered.cluster_id).map_err(Failed::For)
    }

    fn refused(&self, refusal: ControlError) -> SegmentProcessError {
        let Register { content, build, .. } = &self.register;
        SegmentProcessError::Refused {
            master: self.master.clone(),
            content: *content,
            build: build.clone(),
            reason: refusal.message,
        }
    }

    /// A data directory is of one cluster for ever: another's master must not collect its files as orphans.
    fn check_cluster(&self, theirs: String) -> Result<(), SegmentProcessError> {
        let path = self.data_dir.join(CLUSTER_ID_FILE);
        let unusable = |source| SegmentProcessError::DataDir { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(ours) if ours.trim() == theirs => Ok(()),
            Ok(ours) => {
                let (path, ours) = (self.data_dir.clone(), ours.trim().to_owned());
                Err(SegmentProcessError::OtherCluster { path, ours, master: self.master.clone(), theirs })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => write_durably(&path, &theirs).map_err(unusable),
            Err(error) => Err(unusable(error)),
        }
    }

    fn say_ready(&self) -> io::Result<()> {
        let Register { content, endpoint, .. } = &self.register;
        let mut out = io::stdout();
        writeln!(out, "ready: {content} at {endpoint}, registered with {}", self.master)?;
        out.flush()
    }
}

enum Failed {
    /// Try again.
    Lost(String),
    /// For good.
    For(SegmentProcessError),
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

    fn registration(dir: &Path, io: tokio::runtime::Handle) -> Registration {
        let register = Register {
            content: ContentId(0),
            endpoint: "127.0.0.1:1".into(),
            build: "test".into(),
            data_dir: dir.display().to_string(),
            pid: 1,
        };
        let node = Node::new(NodeConfig::new(Endpoint("127.0.0.1:1".into()), "test", io));
        Registration { node, master: Endpoint("127.0.0.1:2".into()), register, data_dir: dir.to_owned() }
    }

    #[tokio::test]
    async fn a_data_directory_is_of_one_cluster() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let registration = registration(dir.path(), tokio::runtime::Handle::current());
        registration.check_cluster("one".into()).expect("the first cluster");
        registration.check_cluster("one".into()).expect("the same cluster");
        let error = registration.check_cluster("two".into()).unwrap_err().to_string();
        assert!(error.contains("one") && error.contains("two"), "{error}");
    }

    #[tokio::test]
    async fn a_master_that_is_away_is_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let registration = registration(dir.path(), tokio::runtime::Handle::current());
        assert!(matches!(registration.once().await, Err(Failed::Lost(_))));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: SegmentOptions = toml::from_str("content = 1\nmaster = \"m:1\"").expect("good TOML");
        let flags = SegmentOptions { content: Some(2), ..Default::default() };
        let options = flags.or(file);
        assert_eq!((options.content, options.master.as_deref()), (Some(2), Some("m:1")));
    }
}
