//! `damson master`: a master alone; its segments are processes that register.

use crate::admin_password::{self, AdminPasswordError};
use crate::build_id::build_id;
use crate::certificate_loading::{self, InterconnectTls, NodeCertificateError};
use crate::client_certificate::{self, ClientCertificateError};
use crate::config_file::{ConfigError, mib_as_bytes, read, required};
use crate::directory_lock::{DirectoryLock, DirectoryLockError};
use crate::interconnect_options::InterconnectOptions;
use crate::limits::SHUTDOWN;
use crate::listen::{ListenError, Reserved};
use crate::resources::{default_memory_bytes, motion_memory_bytes, runtime_env};
use crate::runtimes::{Runtimes, cores};
use crate::stop::{hangup, stop_signal};
use crate::timeout::Timeout;
use damson_cluster::Endpoint;
use damson_interconnect::{InterconnectError, Node, NodeConfig};
use damson_master::auth::{Authenticator, HbaRules, HbaSource};
use damson_master::flight_sql::{self, ServeError};
use damson_master::{
    CatalogError, CatalogLocation, CatalogSource, Lease, Master, MasterConfig, SECRET_KEY_FILE, SessionLimits,
    SqlError, Waiting, base_state, postgres,
};
use damson_motion::InterconnectSettings;
use datafusion::error::DataFusionError;
use serde::Deserialize;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(DEFAULT_HOST, 50060);
const DEFAULT_FLIGHT_PORT: u16 = 50051;
const DEFAULT_PG_PORT: u16 = 5433;

/// Runs a master: clients connect to it, and segments register with it.
#[derive(Clone, Debug, clap::Args)]
pub struct MasterArgs {
    /// TOML file of the options below, without --; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: MasterOptions,
}

/// Options of a master, on the command line or in its file.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct MasterOptions {
    /// Directory of this master: its catalog, its certificate, what queries spill.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the catalog is, if not in --data: a directory, or postgres://USER@HOST/DATABASE, which several masters can share: one
    /// is active, the others stand by.
    #[arg(long, value_name = "LOCATION")]
    catalog: Option<String>,
    /// Number of segments of a new cluster.
    #[arg(long)]
    segments: Option<u16>,
    /// Address for segments [default: 127.0.0.1:50060].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Address for segments that they are told [default: the one of --listen].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Address for clients [default: 127.0.0.1].
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port of Flight SQL [default: 50051].
    #[arg(long)]
    flight_port: Option<u16>,
    /// Port of the PostgreSQL protocol; 0 is none [default: 5433].
    #[arg(long)]
    pg_port: Option<u16>,
    /// Memory for the queries' parts on the master, in MiB; by default 60 % of the machine's.
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
    /// Disk for what queries spill, in MiB; by default all that is free.
    #[arg(long, value_name = "MIB")]
    spill_limit: Option<u64>,
    /// Statements that work on segments at once, but for those of superusers; more wait for their turn. 0 is no limit [default: 64].
    #[arg(long, value_name = "N")]
    max_active_statements: Option<usize>,
    /// A client's session that has said nothing for so long ends, as 30min; sessions can SET their own. 0 is never [default: 0].
    #[arg(long, value_name = "TIME")]
    idle_session_timeout: Option<Timeout>,
    /// The same of a session that has a transaction, which is rolled back [default: 10min].
    #[arg(long, value_name = "TIME")]
    idle_in_transaction_session_timeout: Option<Timeout>,
    /// Key of the cluster's secrets [default: the data directory's secrets.key]; made when it is first needed. Masters that share a
    /// catalog need copies of one.
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// Who may connect from where, and what they must show, as PostgreSQL's pg_hba.conf; read again on SIGHUP. Without it everybody must
    /// show a password.
    #[arg(long, value_name = "FILE")]
    hba_file: Option<PathBuf>,
    /// File whose first line becomes the password of the superuser damson, if that has none yet; or give it in the environment variable
    /// DAMSON_ADMIN_PASSWORD.
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// Certificate that clients of both protocols are shown that ask for TLS, with those that issued it after it, in PEM; read again when it
    /// changes, and on SIGHUP. Needs --client-tls-key.
    #[arg(long, value_name = "FILE")]
    client_tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM, which nobody else may read.
    #[arg(long, value_name = "FILE")]
    client_tls_key: Option<PathBuf>,
    #[command(flatten)]
    interconnect: InterconnectOptions,
    /// Directory of this node's certificate [default: the data directory's tls]; the cluster's
    /// authority is made there too, unless one is given.
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// Whether nodes of different hosts show certificates and encrypt [default: on].
    #[arg(long, value_name = "ON|OFF", hide_possible_values = true)]
    interconnect_tls: Option<InterconnectTls>,
}

impl MasterOptions {
    fn or(self, file: MasterOptions) -> MasterOptions {
        MasterOptions {
            data: self.data.or(file.data),
            catalog: self.catalog.or(file.catalog),
            segments: self.segments.or(file.segments),
            listen: self.listen.or(file.listen),
            advertise: self.advertise.or(file.advertise),
            host: self.host.or(file.host),
            flight_port: self.flight_port.or(file.flight_port),
            pg_port: self.pg_port.or(file.pg_port),
            memory: self.memory.or(file.memory),
            spill_limit: self.spill_limit.or(file.spill_limit),
            max_active_statements: self.max_active_statements.or(file.max_active_statements),
            idle_session_timeout: self.idle_session_timeout.or(file.idle_session_timeout),
            idle_in_transaction_session_timeout: self
                .idle_in_transaction_session_timeout
                .or(file.idle_in_transaction_session_timeout),
            secret_key_file: self.secret_key_file.or(file.secret_key_file),
            hba_file: self.hba_file.or(file.hba_file),
            admin_password_file: self.admin_password_file.or(file.admin_password_file),
            client_tls_cert: self.client_tls_cert.or(file.client_tls_cert),
            client_tls_key: self.client_tls_key.or(file.client_tls_key),
            interconnect: self.interconnect.or(file.interconnect),
            tls_dir: self.tls_dir.or(file.tls_dir),
            interconnect_tls: self.interconnect_tls.or(file.interconnect_tls),
        }
    }
}

impl MasterOptions {
    fn session_limits(&self) -> SessionLimits {
        let defaults = SessionLimits::default();
        let or = |given: Option<Timeout>, default| given.map_or(default, |timeout| timeout.0);
        SessionLimits {
            idle_session_timeout: or(self.idle_session_timeout, defaults.idle_session_timeout),
            idle_in_transaction_session_timeout: or(
                self.idle_in_transaction_session_timeout,
                defaults.idle_in_transaction_session_timeout,
            ),
            active_statements_max: self.max_active_statements.map_or(defaults.active_statements_max, NonZeroUsize::new),
        }
    }
}

/// Why a master does not run.
#[derive(Debug, Error)]
pub enum MasterProcessError {
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
    #[error("cannot start: {0}")]
    Start(#[from] SqlError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("this master is not the active one any more: {0}")]
    Deposed(CatalogError),
    #[error(transparent)]
    Interconnect(#[from] InterconnectError),
    #[error(transparent)]
    FlightSql(#[from] ServeError),
    #[error(transparent)]
    Lock(#[from] DirectoryLockError),
    #[error(transparent)]
    AdminPassword(#[from] AdminPasswordError),
    #[error(transparent)]
    ClientCertificate(#[from] ClientCertificateError),
    #[error("a server died: {0}")]
    Died(#[from] tokio::task::JoinError),
    #[error("a server ended by itself")]
    Ended,
}

/// Runs a master until it is told to stop.
///
/// # Errors
/// Options, ports or directories that cannot be used, or a server that fails.
pub async fn run(args: MasterArgs) -> Result<(), MasterProcessError> {
    let options = args.options.or(read(args.config.as_deref())?);
    let session_limits = options.session_limits();
    let data_dir = required(options.data, "data")?;
    let segments = usize::from(required(options.segments, "segments")?);
    let flight =
        SocketAddr::new(options.host.unwrap_or(DEFAULT_HOST), options.flight_port.unwrap_or(DEFAULT_FLIGHT_PORT));
    // Who knocks at a standby is to try the next master at once.
    let psql = match options.pg_port.unwrap_or(DEFAULT_PG_PORT) {
        0 => None,
        port => Some(Reserved::new(SocketAddr::new(flight.ip(), port), "--pg-port")?),
    };
    let peers = Reserved::new(options.listen.unwrap_or(DEFAULT_LISTEN), "--listen")?;
    let clients = Reserved::new(flight, "--flight-port")?;
    let (peers_address, clients_address) = (peers.address(), clients.address());
    let location = options.catalog.as_deref().map(str::parse::<CatalogLocation>).transpose()?;
    let admin_password = admin_password::read(options.admin_password_file.as_deref())?;
    let hba = options.hba_file.map_or_else(|| HbaSource::Fixed(HbaRules::passwords()), HbaSource::File);
    let has_rules = matches!(hba, HbaSource::File(_));
    let client_tls = client_certificate::load(options.client_tls_cert, options.client_tls_key)?;

    let unusable = |source| MasterProcessError::DataDir { path: data_dir.clone(), source };
    std::fs::create_dir_all(&data_dir).map_err(unusable)?;
    let data_dir = data_dir.canonicalize().map_err(unusable)?;
    let _lock = DirectoryLock::take(&data_dir)?;
    let runtimes = Runtimes::new(cores())?;
    let memory = options.memory.map(|mib| mib_as_bytes(mib as u64, "memory")).transpose()?;
    let memory = memory.map_or_else(default_memory_bytes, |bytes| bytes as usize);
    let spill_limit = options.spill_limit.map(|mib| mib_as_bytes(mib, "spill-limit")).transpose()?;
    let state = Arc::new(base_state(runtime_env(memory, &data_dir.join("spill"), spill_limit)?)?);
    let build = build_id();
    let endpoint = Endpoint(options.advertise.unwrap_or_else(|| peers_address.to_string()));
    let interconnect_tls = options.interconnect_tls.unwrap_or_default();
    let tls = certificate_loading::of_master(interconnect_tls, options.tls_dir, &data_dir, &endpoint)?;
    let mut config = NodeConfig {
        tls,
        motion_memory_bytes_max: motion_memory_bytes(memory),
        allow_plain_tcp: interconnect_tls == InterconnectTls::Off,
        ..NodeConfig::new(endpoint, build.clone(), runtimes.io())
    };
    options.interconnect.apply(&mut config)?;
    let interconnect = InterconnectSettings::of(&config);
    let node = Node::new(config);
    let secret_key_file = options.secret_key_file.unwrap_or_else(|| data_dir.join(SECRET_KEY_FILE));
    let location = location.unwrap_or(CatalogLocation::Directory(data_dir));
    let lease = match &location {
        CatalogLocation::Directory(_) => None,
        CatalogLocation::Postgres { url } => tokio::select! {
            signal = stop_signal() => return signal.map_err(MasterProcessError::from),
            lease = stand_by(url, clients_address) => Some(Arc::new(lease?)),
        },
    };
    let (peers, clients) = (peers.listen()?, clients.listen()?);
    let psql = psql.map(Reserved::listen).transpose()?;
    // From before the catalog is opened, which may take longer than a lease lasts.
    let mut deposed = lease.clone().map(|lease| AbortOnDropHandle::new(tokio::spawn(lease.keep())));
    let catalog = match &lease {
        Some(lease) => CatalogSource::Leased(Arc::clone(lease)),
        None => CatalogSource::At(location),
    };
    let config = MasterConfig {
        catalog,
        segments,
        node: Arc::clone(&node),
        state,
        cpu: runtimes.cpu(),
        io: runtimes.io(),
        build,
        interconnect,
        session_limits,
        secret_key_file,
        hba,
        admin_password,
        local_segments: vec![],
    };
    let master = Master::start(config).await?;
    if !has_rules && !master.has_admin_password() {
        eprintln!(
            "the superuser damson has no password, and everybody must show one: give --admin-password-file, or --hba-file"
        );
    }

    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    let io = runtimes.io();
    let (peers, clients) = (to_tokio(peers, &io)?, to_tokio(clients, &io)?);
    let token = stop.child_token();
    servers.spawn_on(async move { node.serve(peers, token).await.map_err(MasterProcessError::from) }, &io);
    let has_tls = client_tls.is_some();
    warn_of_hostssl(&master.auth, has_tls);
    servers.spawn_on(reload_rules(Arc::clone(&master.auth), has_tls, hangup()?, stop.child_token()), &io);
    if let Some(tls) = &client_tls {
        let (kept, hangup, token) = (Arc::clone(tls), hangup()?, stop.child_token());
        let keep = async move {
            client_certificate::keep(kept, hangup, token).await;
            Ok(())
        };
        servers.spawn_on(keep, &io);
    }
    let (token, flight_master, flight_tls) = (stop.child_token(), Arc::clone(&master), client_tls.clone());
    servers.spawn_on(
        async move { flight_sql::serve(flight_master, flight_tls, clients, token).await.map_err(MasterProcessError::from) },
        &io,
    );
    let mut out = io::stdout();
    if let Some(psql) = psql {
        let address = psql.local_addr()?;
        let (psql, token) = (to_tokio(psql, &io)?, stop.child_token());
        let serve = async move {
            postgres::serve(master, client_tls, psql, token).await;
            Ok(())
        };
        servers.spawn_on(serve, &io);
        writeln!(out, "PostgreSQL: psql -h {} -p {} -U damson", address.ip(), address.port())?;
    }
    writeln!(out, "ready: flight://{clients_address}, segments register at {peers_address}")?;
    out.flush()?;

    let lost = async {
        match &mut deposed {
            Some(deposed) => deposed.await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        signal = stop_signal() => signal.map_err(MasterProcessError::from),
        // What its clients do can change nothing any more: there is nothing to wait for.
        lost = lost => return Err(MasterProcessError::Deposed(lost?)),
        ended = servers.join_next() => match ended {
            Some(Ok(Ok(()))) | None => Err(MasterProcessError::Ended),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(died)) => Err(died.into()),
        },
    };
    stop.cancel();
    let rest = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN, rest).await.is_err() {
        tracing::warn!("connections were closed with statements running");
    }
    if let Some(lease) = lease
        && let Err(error) = tokio::task::spawn_blocking(move || lease.release()).await?
    {
        tracing::warn!(%error, "the lease of the catalog was not given back: a standby waits until it ends");
    }
    ended
}

/// Rules that fit nobody are a mistake: whoever wrote them thinks that there is TLS.
fn warn_of_hostssl(auth: &Authenticator, has_tls: bool) {
    if auth.has_hostssl_rules() && !has_tls {
        tracing::warn!("hostssl lines of --hba-file fit nobody: TLS for clients needs --client-tls-cert");
    }
}

/// Reads the rules again at every SIGHUP.
async fn reload_rules(
    auth: Arc<Authenticator>,
    has_tls: bool,
    mut hangup: Signal,
    stop: CancellationToken,
) -> Result<(), MasterProcessError> {
    while let Some(Some(())) = stop.run_until_cancelled(hangup.recv()).await {
        match auth.reload() {
            Ok(()) => {
                tracing::info!("the rules of --hba-file were read again");
                warn_of_hostssl(&auth, has_tls);
            }
            Err(error) => {
                tracing::error!(%error, "the rules of --hba-file were not read again: the old ones stay in force")
            }
        }
    }
    Ok(())
}

/// Waits until this master is the active one, and says whom it waits for.
async fn stand_by(url: &str, clients: SocketAddr) -> Result<Lease, CatalogError> {
    let name = format!("{clients} (process {})", std::process::id());
    let say = |waiting: &Waiting| {
        let told = match waiting {
            Waiting::Held(holder) => format!("standby: {holder} is active; this master takes over when it ends"),
            Waiting::Unreachable(error) => format!("standby: the catalog cannot be reached: {error}"),
        };
        let mut out = io::stdout();
        if let Err(error) = writeln!(out, "{told}").and_then(|()| out.flush()) {
            tracing::warn!(%error, told, "nobody hears what this standby says");
        }
    };
    Lease::wait(url, &name, &clients.to_string(), say).await
}

/// The listener on the runtime of the sockets.
pub(crate) fn to_tokio(listener: TcpListener, io: &tokio::runtime::Handle) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    let _guard = io.enter();
    tokio::net::TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("master.toml");
        std::fs::write(&file, "data = \"/a\"\nsegments = 3\nflight-port = 1\ninterconnect.driver = \"quic\"\n")
            .expect("room");
        let flags = MasterOptions { flight_port: Some(2), ..Default::default() };
        let file: MasterOptions = read(Some(&file)).expect("a good file");
        assert_ne!(file.interconnect, InterconnectOptions::default());
        let options = flags.or(file);
        assert_eq!((options.data, options.segments, options.flight_port), (Some("/a".into()), Some(3), Some(2)));
    }

    #[test]
    fn sessions_have_the_times_of_the_file_or_the_defaults() {
        let file: MasterOptions = toml::from_str("idle-session-timeout = \"30min\"").expect("good TOML");
        let limits = file.session_limits();
        assert_eq!(limits.idle_session_timeout, Duration::from_secs(1800));
        assert_eq!(limits, SessionLimits { idle_session_timeout: limits.idle_session_timeout, ..Default::default() });
        assert!(toml::from_str::<MasterOptions>("idle-session-timeout = \"soon\"").is_err());
        let active =
            |n| MasterOptions { max_active_statements: n, ..Default::default() }.session_limits().active_statements_max;
        assert_eq!(
            [active(Some(3)), active(Some(0)), active(None)].map(|n| n.map(NonZeroUsize::get)),
            [Some(3), None, Some(64)]
        );
    }

    #[test]
    fn a_wrong_key_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("master.toml");
        std::fs::write(&file, "segmets = 3\n").expect("room");
        let error = read::<MasterOptions>(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("segmets"), "{error}");
        assert!(read::<MasterOptions>(Some(&dir.path().join("absent"))).is_err());
    }
}
