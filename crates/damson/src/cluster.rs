//! A whole cluster in this process: `demo`, tests, benchmarks and embedders.

use crate::build_id::build_id;
use crate::limits::SHUTDOWN;
use crate::master_process::to_tokio;
use crate::resources::{RANGE_CACHE_DIRECTORY, column_cache, default_memory_bytes, motion_memory_bytes, runtime_env};
use crate::runtimes::{Runtimes, cores};
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{Driver, Node, NodeConfig};
use damson_master::auth::{HbaRules, HbaSource};
use damson_master::flight_sql::{self, ServeError};
use damson_master::{
    CatalogLocation, CatalogSource, Master, MasterConfig, SECRET_KEY_FILE, SessionLimits, SqlError, base_state,
    postgres,
};
use damson_motion::{InterconnectSettings, Retrievals};
use damson_segment::{Segment, SegmentConfig, SegmentError};
use damson_storage::{RangeCache, RangeCacheConfig, StoreCaches, Verification};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use parking_lot::Mutex;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a [`LocalCluster`] is made of.
#[derive(Clone, Debug)]
pub struct LocalClusterConfig {
    /// Made if it is not there. The master's files are in `master`, segment i's in `seg<i>`.
    pub data_dir: PathBuf,
    /// Number of segments; fixed once the directory has a cluster.
    pub segments: usize,
    /// What all queries together may hold; more spills or fails.
    pub memory_bytes_max: usize,
    /// Threads that plan and execute.
    pub cpu_threads: usize,
}

impl Default for LocalClusterConfig {
    /// Four segments in `damson-data`, on all cores and most of the memory.
    fn default() -> Self {
        LocalClusterConfig {
            data_dir: "damson-data".into(),
            segments: 4,
            memory_bytes_max: default_memory_bytes(),
            cpu_threads: cores(),
        }
    }
}

/// Why a cluster does not run.
#[derive(Debug, Error)]
pub enum ClusterError {
    #[error("a cluster needs at least one segment")]
    NoSegments,
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    #[error("cannot set up the query engine: {0}")]
    Engine(#[source] DataFusionError),
    #[error("cannot use {path}: {source}")]
    DataDir { path: PathBuf, source: io::Error },
    #[error("cannot start a segment: {0}")]
    Segment(#[from] SegmentError),
    #[error("cannot start the master: {0}")]
    Master(#[source] SqlError),
}

/// A master and its segments in this process; motions pass batches by pointer. Clients of this host need no password
/// ([`HbaRules::demo`]). Dropping it ends it without waiting.
pub struct LocalCluster {
    master: Arc<Master>,
    state: Arc<SessionState>,
    segments: Vec<Arc<Segment>>,
    /// Ends the protocols' servers.
    stop: CancellationToken,
    servers: Mutex<JoinSet<Result<(), ServeError>>>,
    /// Cancelled when a server ends, for whatever reason.
    server_ended: CancellationToken,
    runtimes: Runtimes,
}

impl LocalCluster {
    /// Opens the cluster of a data directory, or makes one.
    ///
    /// # Errors
    /// A directory that cannot be used, or holds a cluster of another size.
    pub async fn start(config: LocalClusterConfig) -> Result<Self, ClusterError> {
        let LocalClusterConfig { data_dir, segments: count, memory_bytes_max, cpu_threads } = config;
        if count == 0 {
            return Err(ClusterError::NoSegments);
        }
        // Plans name paths: they must not depend on where a process was started.
        let unusable = |source| ClusterError::DataDir { path: data_dir.clone(), source };
        std::fs::create_dir_all(&data_dir).map_err(unusable)?;
        let data_dir = data_dir.canonicalize().map_err(unusable)?;
        let runtimes = Runtimes::new(cpu_threads).map_err(ClusterError::Threads)?;
        let resources = runtime_env(memory_bytes_max, &data_dir.join("spill"), None).map_err(ClusterError::Engine)?;
        let state = Arc::new(base_state(resources).map_err(ClusterError::Engine)?);
        let ranges = RangeCache::new(RangeCacheConfig::new(data_dir.join(RANGE_CACHE_DIRECTORY)));
        let caches = StoreCaches { columns: column_cache(memory_bytes_max), ranges: Arc::new(ranges) };
        let build = build_id();
        let mut config = NodeConfig::new(Endpoint::in_process(), build.clone(), runtimes.io());
        config.motion_memory_bytes_max = motion_memory_bytes(memory_bytes_max);
        config.driver = Driver::Inproc;
        let interconnect = InterconnectSettings::of(&config);
        let node = Node::new(config);
        let dirs: Vec<PathBuf> = (0..count).map(|i| data_dir.join(format!("seg{i}"))).collect();
        // Nobody comes for them: clients of one process have all rows from the master.
        let retrievals = Arc::new(Retrievals::default());
        let mut segments = vec![];
        for (i, dir) in dirs.iter().enumerate() {
            segments.push(Segment::start(SegmentConfig {
                content: ContentId(i as i32),
                data_dir: dir.clone(),
                node: Arc::clone(&node),
                state: Arc::clone(&state),
                caches: caches.clone(),
                verification: Verification::default(),
                cpu: runtimes.cpu(),
                retrievals: Arc::clone(&retrievals),
            })?);
        }
        let config = MasterConfig {
            catalog: CatalogSource::At(CatalogLocation::Directory(data_dir.join("master"))),
            segments: count,
            node,
            state: Arc::clone(&state),
            cpu: runtimes.cpu(),
            io: runtimes.io(),
            build,
            interconnect,
            session_limits: SessionLimits::default(),
            secret_key_file: data_dir.join("master").join(SECRET_KEY_FILE),
            hba: HbaSource::Fixed(HbaRules::demo()),
            admin_password: None,
            local_segments: dirs,
        };
        let master = Master::start(config).await.map_err(ClusterError::Master)?;
        let stop = CancellationToken::new();
        let server_ended = CancellationToken::new();
        Ok(LocalCluster { master, state, segments, stop, servers: Mutex::default(), server_ended, runtimes })
    }

    pub fn master(&self) -> Arc<Master> {
        Arc::clone(&self.master)
    }

    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// What the queries hold of the memory now, in bytes.
    pub fn memory_reserved(&self) -> usize {
        self.state.runtime_env().memory_pool.reserved()
    }

    /// Serves Flight SQL on a bound listener until the cluster ends.
    ///
    /// # Errors
    /// A listener that cannot be moved to the runtime of the sockets.
    pub fn serve_flight_sql(&self, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = to_tokio(listener, &self.runtimes.io())?;
        self.serve(flight_sql::serve(Arc::clone(&self.master), None, listener, self.stop.child_token()));
        Ok(())
    }

    /// Serves the PostgreSQL protocol on a bound listener until the cluster ends.
    ///
    /// # Errors
    /// As [`LocalCluster::serve_flight_sql`].
    pub fn serve_postgres(&self, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = to_tokio(listener, &self.runtimes.io())?;
        let serve = postgres::serve(Arc::clone(&self.master), None, listener, self.stop.child_token());
        self.serve(async move {
            serve.await;
            Ok(())
        });
        Ok(())
    }

    fn serve(&self, server: impl Future<Output = Result<(), ServeError>> + Send + 'static) {
        let ended = self.server_ended.clone().drop_guard();
        let serve = async move {
            let _ended = ended;
            server.await
        };
        self.servers.lock().spawn_on(serve, &self.runtimes.io());
    }

    /// Waits until a server ends; [`LocalCluster::shutdown`] then logs why.
    pub async fn server_ended(&self) {
        self.server_ended.cancelled().await;
    }

    /// Ends the servers, cancels what runs, and waits for both.
    pub async fn shutdown(self) {
        self.stop.cancel();
        let mut servers = std::mem::take(&mut *self.servers.lock());
        let ended = tokio::time::timeout(SHUTDOWN, async {
            while let Some(ended) = servers.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "a server failed"),
                    Err(error) => tracing::warn!(%error, "a server died"),
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("connections were closed with statements running");
        }
    }
}
