//! The running master.

use crate::admission::Admission;
use crate::auth::{Authenticator, HbaSource, hash_password};
use crate::backup::Transfers;
use crate::blocks::Blocks;
use crate::catalog::{Catalog, CatalogError, CatalogLocation, Durability, Lease, RoleDef, RoleId, Verifier, Workspace};
use crate::compaction::compact_forever;
use crate::copies::Copies;
use crate::dispatch::{
    Dispatcher, ErrorLogCollector, FileService, OrphanCollector, Places, Registry, SegmentPlace, Writes,
};
use crate::error::{SqlError, SqlResult, SqlState, internal, task_ended};
use crate::idle::watch_clients_forever;
use crate::locks::Locks;
use crate::retrieve_gate::RetrieveGate;
use crate::secrets::SecretKeyFile;
use crate::session::Session;
use crate::session_limits::SessionLimits;
use crate::sessions::Sessions;
use async_trait::async_trait;
use bytes::Bytes;
use damson_cluster::{ContentId, Endpoint, SessionId};
use damson_interconnect::{ControlError, ControlHandler, ControlStream, Node};
use damson_motion::{InterconnectSettings, Register, Registered, TakeValues, codes, control};
use datafusion::execution::SessionState;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde::Serialize;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// How often dropped files are removed, and orphans looked for: they are gone within two of these, or when the statements that
/// were running have ended.
const COLLECT_EVERY: Duration = Duration::from_secs(10);

/// How often commits that did not wait for the disk are synced: what a loss of power can lose of them.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// Values of a sequence that one call takes at most: more than a batch has rows.
const VALUES_AT_ONCE_MAX: u64 = 1 << 24;

/// Where a master's catalog comes from.
pub enum CatalogSource {
    At(CatalogLocation),
    /// Of several masters that share it: this one has the lease. Who holds it keeps it, and ends the master when it is lost.
    Leased(Arc<Lease>),
}

impl CatalogSource {
    fn exists(&self) -> Result<bool, CatalogError> {
        match self {
            CatalogSource::At(location) => Catalog::exists_at(location),
            // Taking the lease has made it.
            CatalogSource::Leased(_) => Ok(true),
        }
    }

    fn open(&self, segments: usize) -> Result<Arc<Catalog>, CatalogError> {
        match self {
            CatalogSource::At(location) => Catalog::open_at(location, segments),
            CatalogSource::Leased(lease) => Catalog::open_leased(lease, segments),
        }
    }
}

/// What a master is made of.
pub struct MasterConfig {
    pub catalog: CatalogSource,
    /// Number of segments of a new cluster; an existing one must have as many, or have had them when it was made.
    pub segments: usize,
    pub node: Arc<Node>,
    /// From [`crate::base_state`].
    pub state: Arc<SessionState>,
    /// Where slice 0 runs.
    pub cpu: Handle,
    /// Where background work runs.
    pub io: Handle,
    /// This build; a segment of another is refused.
    pub build: String,
    /// The cluster's; segments ask for them.
    pub interconnect: InterconnectSettings,
    pub session_limits: SessionLimits,
    /// The key of the secrets, made when it is first needed.
    pub secret_key_file: PathBuf,
    /// Who may connect.
    pub hba: HbaSource,
    /// What the bootstrap superuser's password becomes, if it has none.
    pub admin_password: Option<AdminPassword>,
    /// Data directories of segments in this very process, by content; empty when segments are processes that register.
    pub local_segments: Vec<PathBuf>,
}

/// A password. It is not printed.
#[derive(Clone)]
pub struct AdminPassword(pub String);

impl std::fmt::Debug for AdminPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminPassword(***)")
    }
}

/// The running master: catalog, planner settings and the connection to the segments. One a process.
pub struct Master {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) files: Arc<FileService>,
    pub(crate) locks: Locks,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) base: Arc<SessionState>,
    pub(crate) cpu: Handle,
    pub(crate) interconnect: InterconnectSettings,
    pub(crate) session_limits: SessionLimits,
    pub(crate) build: String,
    pub(crate) transfers: Transfers,
    pub(crate) secrets: Arc<SecretKeyFile>,
    pub(crate) copies: Copies,
    pub auth: Arc<Authenticator>,
    pub(crate) retrieve_gate: RetrieveGate,
    pub(crate) sessions: Arc<Sessions>,
    has_admin_password: bool,
    next_session: AtomicU64,
    /// Ends with the master.
    background: Mutex<JoinSet<()>>,
}

impl Master {
    /// Opens the catalog and answers segments' registrations on the node. Segments of this process must have started.
    ///
    /// # Errors
    /// A catalog that cannot be opened, or is of another number of segments.
    pub async fn start(config: MasterConfig) -> SqlResult<Arc<Master>> {
        let MasterConfig {
            catalog,
            segments,
            node,
            state,
            cpu,
            io,
            build,
            interconnect,
            session_limits,
            secret_key_file,
            hba,
            admin_password,
            local_segments,
        } = config;
        let owned = local_segments.clone();
        let open = move || {
            refuse_orphaned(&catalog, &owned)?;
            let catalog = catalog.open(segments)?;
            let has_password = set_admin_password(&catalog, admin_password.as_ref())?;
            SqlResult::Ok((catalog, has_password))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let (catalog, has_admin_password) = opened.map_err(internal)??;
        let auth = Arc::new(Authenticator::new(Arc::clone(&catalog), hba)?);
        let endpoint = node.endpoint();
        let stored = catalog.current().current_map().segment_count();
        if !local_segments.is_empty() && local_segments.len() != stored {
            return Err(CatalogError::SegmentCount { stored, asked: local_segments.len() }.into());
        }
        let registry = Arc::new(Registry::new(endpoint.clone(), stored));
        let secrets = Arc::new(SecretKeyFile::new(secret_key_file));
        let places = Arc::new(Places::new(Arc::clone(&secrets)));
        let files = FileService {
            node: Arc::clone(&node),
            places: Arc::clone(&places),
            registry: Arc::clone(&registry),
            catalog: Arc::clone(&catalog),
            writes: Writes::default(),
        };
        let files = Arc::new(files);
        for (i, dir) in local_segments.iter().enumerate() {
            let content = ContentId(i as i32);
            let place =
                SegmentPlace { endpoint: endpoint.clone(), data_dir: dir.display().to_string(), retrieve: None };
            registry.register(content, place, true)?;
        }
        for i in 0..local_segments.len() {
            files.collect_orphans(ContentId(i as i32)).await?;
        }
        let settings = Arc::clone(&catalog.current().settings);
        let retrieve_gate = RetrieveGate::default();
        let registrar = Registrar {
            retrieve_gate: retrieve_gate.clone(),
            registry: Arc::clone(&registry),
            catalog: Arc::clone(&catalog),
            cluster_id: settings.cluster_id.clone(),
            build: build.clone(),
            interconnect: interconnect.clone(),
        };
        node.set_handler(ContentId::MASTER, Arc::new(registrar));
        let mut background = JoinSet::new();
        background.spawn_on(collect_forever(Arc::clone(&files)), &io);
        background.spawn_on(collect_orphans_forever(Arc::clone(&files)), &io);
        background.spawn_on(sync_forever(Arc::clone(&files)), &io);
        let dispatcher = Dispatcher::new(node, Arc::clone(&registry), places, cpu.clone(), settings.epoch);
        let master = Arc::new(Master {
            locks: Locks::default(),
            blocks: Arc::default(),
            admission: Arc::new(Admission::new(session_limits.active_statements_max)),
            catalog,
            registry,
            dispatcher,
            files,
            base: state,
            cpu,
            interconnect,
            session_limits,
            build,
            transfers: Transfers::default(),
            secrets,
            copies: Copies::default(),
            auth,
            retrieve_gate,
            sessions: Arc::default(),
            has_admin_password,
            next_session: AtomicU64::new(1),
            background: Mutex::new(background),
        });
        let (sessions, blocks) = (Arc::clone(&master.sessions), Arc::clone(&master.blocks));
        let watch = watch_clients_forever(sessions, blocks, Arc::clone(&master.admission));
        master.background.lock().spawn_on(watch, &io);
        master.background.lock().spawn_on(compact_forever(Arc::downgrade(&master)), &io);
        Ok(master)
    }

    /// Does what must be done though its statement has gone.
    pub(crate) fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.background.lock();
        // Those that have ended are not kept.
        while background.try_join_next().is_some() {}
        background.spawn_on(work, &self.cpu);
    }

    /// A session of whoever holds the master: nobody is asked for a password. A name that is no role's is the bootstrap superuser's.
    pub fn session(self: &Arc<Self>, user: &str) -> Arc<Session> {
        let role = self.catalog.current().role(user).map_or(RoleId::BOOTSTRAP, |role| role.id);
        self.session_of(user, role)
    }

    /// A new client's session, which has logged in by `user` and is that role.
    ///
    /// # Errors
    /// 53300 if there are too many.
    pub fn client_session(
        self: &Arc<Self>,
        user: &str,
        role: RoleId,
        client: Option<IpAddr>,
    ) -> SqlResult<Arc<Session>> {
        let id = self.next_session_id();
        let place = self.sessions.enter(id, role, &self.catalog.current())?;
        Ok(Session::new(id, user, role, Arc::clone(self), Some(place), client))
    }

    fn next_session_id(&self) -> SessionId {
        SessionId(self.next_session.fetch_add(1, Ordering::Relaxed))
    }

    fn session_of(self: &Arc<Self>, user: &str, role: RoleId) -> Arc<Session> {
        Session::new(self.next_session_id(), user, role, Arc::clone(self), None, None)
    }

    /// Whether the bootstrap superuser had a password when the master was started.
    pub fn has_admin_password(&self) -> bool {
        self.has_admin_password
    }

    /// The master's own session, for work that no client asked for: it may do everything.
    pub(crate) fn own_session(self: &Arc<Self>, name: &str) -> Arc<Session> {
        self.session_of(name, RoleId::BOOTSTRAP)
    }

    /// Whether every segment that has rows, or gets some, is there.
    pub(crate) fn is_ready(&self) -> bool {
        self.registry.are_up(&self.catalog.current().segments_in_use())
    }
}

/// Gives the bootstrap superuser its first password; says whether it has one.
fn set_admin_password(catalog: &Arc<Catalog>, password: Option<&AdminPassword>) -> SqlResult<bool> {
    let state = catalog.current();
    let Some(role) = state.role_by_id(RoleId::BOOTSTRAP) else { return Ok(false) };
    let Some(AdminPassword(password)) = password.filter(|_| role.verifier.is_none()) else {
        return Ok(role.verifier.is_some());
    };
    let role = RoleDef { verifier: Some(Verifier(hash_password(password)?)), ..(**role).clone() };
    let mut workspace = Workspace::new(catalog);
    workspace.put_role(role)?;
    workspace.commit(Durability::Synced)?;
    tracing::info!("the administrator has a password now");
    Ok(true)
}

/// Segments' files without the catalog that lists them: somebody lost it, or named the wrong directory.
fn refuse_orphaned(catalog: &CatalogSource, segments: &[PathBuf]) -> Result<(), CatalogError> {
    if catalog.exists()? {
        return Ok(());
    }
    for segment in segments {
        let tables = match std::fs::read_dir(segment.join("base")) {
            Ok(tables) => tables,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for table in tables {
            if std::fs::read_dir(table?.path())?.next().is_some() {
                return Err(CatalogError::Orphaned(segment.display().to_string()));
            }
        }
    }
    Ok(())
}

/// What was committed without waiting for the disk is on it soon.
async fn sync_forever(files: Arc<FileService>) {
    loop {
        tokio::time::sleep(SYNC_EVERY).await;
        if let Err(error) = files.in_catalog(Catalog::sync).await {
            tracing::warn!(%error, "could not sync the catalog: commits with synchronous_commit = off are not on the disk yet");
        }
    }
}

async fn collect_forever(files: Arc<FileService>) {
    let mut error_logs = ErrorLogCollector::default();
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        let has_collected = files.collect_dropped().await;
        // What was dropped may have been a whole table.
        error_logs.collect(&files, has_collected).await;
    }
}

/// Apart from what else is collected: it may wait for a bucket that does not answer.
async fn collect_orphans_forever(files: Arc<FileService>) {
    let mut orphans = OrphanCollector::default();
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        orphans.collect(&files).await;
    }
}

/// Takes segments' registrations and heartbeats, gives them values of sequences, and tells them which clients may have rows.
struct Registrar {
    retrieve_gate: RetrieveGate,
    registry: Arc<Registry>,
    catalog: Arc<Catalog>,
    cluster_id: String,
    build: String,
    interconnect: InterconnectSettings,
}

#[async_trait]
impl ControlHandler for Registrar {
    async fn handle(&self, kind: &str, body: Bytes) -> Result<ControlStream, ControlError> {
        match kind {
            control::INTERCONNECT => answer(&self.interconnect),
            control::REGISTER => self.register(&body),
            control::TAKE_VALUES => self.take_values(&body).await,
            control::RETRIEVE_LOG_IN | control::RETRIEVE => match self.retrieve_gate.get() {
                Some(gate) => gate.handle(kind, body).await,
                None => Err(refusal(SqlState::CANNOT_CONNECT_NOW.0, "the master does not serve clients yet".into())),
            },
            _ => Err(refusal(SqlState::INTERNAL_ERROR.0, format!("unknown call {kind:?}"))),
        }
    }
}

impl Registrar {
    /// Values that a batch of some QE needs; those that are reserved do not wait for the disk.
    async fn take_values(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let TakeValues { sequences } =
            serde_json::from_slice(body).map_err(|e| refusal(SqlState::INVALID_PARAMETER.0, e.to_string()))?;
        let refused = |error: CatalogError| {
            let error = SqlError::from(error);
            refusal(error.state.0, error.message)
        };
        let mut taken = Vec::with_capacity(sequences.len());
        for (sequence, count) in sequences {
            if count > VALUES_AT_ONCE_MAX {
                let message = format!("{count} values of {} at once: {VALUES_AT_ONCE_MAX} are the most", sequence.name);
                return Err(refusal(SqlState::TOO_COMPLEX.0, message));
            }
            let blocks = match self.catalog.take_reserved_values(&sequence, count).map_err(refused)? {
                Some(blocks) => blocks,
                None => {
                    let catalog = Arc::clone(&self.catalog);
                    let work = tokio::task::spawn_blocking(move || catalog.take_values(&sequence, count));
                    let ended = |error| {
                        let SqlError { state, message, .. } = task_ended(error);
                        refusal(state.0, message)
                    };
                    work.await.map_err(ended)?.map_err(refused)?
                }
            };
            taken.push(blocks);
        }
        answer(&taken)
    }

    fn register(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let register: Register =
            serde_json::from_slice(body).map_err(|e| refusal(SqlState::INVALID_PARAMETER.0, e.to_string()))?;
        if register.build != self.build {
            let message = format!(
                "segment {} is of build {}, the master of build {}: install one build everywhere",
                register.content, register.build, self.build
            );
            return Err(refusal(codes::BUILD_MISMATCH, message));
        }
        let (theirs, ours) = (register.driver, self.interconnect.driver);
        if theirs != ours {
            let message = format!(
                "segment {} has interconnect driver {theirs}, the master {ours}: it is one for the whole cluster, and a \
                 segment that is not told one takes the master's when it starts",
                register.content
            );
            return Err(refusal(SqlState::INVALID_PARAMETER.0, message));
        }
        let Register { content, endpoint, data_dir, retrieve, .. } = register;
        let is_new = !self.registry.definitions().iter().any(|s| s.content == content && s.up);
        let place = SegmentPlace { endpoint: Endpoint(endpoint), data_dir, retrieve };
        let registered = self.registry.register(content, place, false);
        let is_member = registered.map_err(|e| refusal(e.state.0, e.message))?;
        if is_new && is_member {
            tracing::info!(%content, "segment registered");
        }
        answer(&Registered { cluster_id: self.cluster_id.clone(), is_member })
    }
}

fn answer(value: &impl Serialize) -> Result<ControlStream, ControlError> {
    let answer = serde_json::to_vec(value).map_err(|e| refusal(SqlState::INTERNAL_ERROR.0, e.to_string()))?;
    Ok(stream::once(async { Ok(Bytes::from(answer)) }).boxed())
}

fn refusal(code: &str, message: String) -> ControlError {
    ControlError { code: code.into(), message }
}
