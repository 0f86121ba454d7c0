//! `damson demo`: a cluster in one process, to try things.

use crate::cluster::{ClusterError, LocalCluster, LocalClusterConfig};
use crate::copy_dirs;
use crate::directory_lock::{DirectoryLock, DirectoryLockError};
use crate::listen::{ListenError, listen};
use crate::progress::Progress;
use crate::resources::default_memory_bytes;
use crate::runtimes::cores;
use crate::stop::stop_signal;
use crate::tpch;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use thiserror::Error;

/// Starts a master and segments in one process, with TPC-H in it if wanted, and serves until Ctrl-C.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Number of segments.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    segments: u16,
    /// Loads TPC-H at this scale factor, unless it is there: 0.01 is 10 MB, 1 is 1 GB.
    #[arg(long, value_name = "SF")]
    tpch: Option<f64>,
    /// Keeps the data here; without it they go when the process ends.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port of Flight SQL.
    #[arg(long, default_value_t = 50051)]
    flight_port: u16,
    /// Port of the PostgreSQL protocol; 0 is none.
    #[arg(long, default_value_t = 5433)]
    pg_port: u16,
    /// Directories whose files COPY, queries, external tables and backups may read and write, below which alone; or none
    /// [default: all that this process's user may, but no node's data directory].
    #[arg(long, value_name = "DIR,DIR", value_delimiter = ',')]
    copy_dirs: Option<Vec<PathBuf>>,
    /// Memory for queries, in MiB; by default 60 % of the machine's.
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
}

/// Why the demo did not start, or ended.
#[derive(Debug, Error)]
pub enum DemoError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("--copy-dirs: {0}")]
    CopyDirs(#[source] io::Error),
    #[error("cannot make the data directory: {0}")]
    Scratch(#[source] io::Error),
    #[error(transparent)]
    Lock(#[from] DirectoryLockError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("cannot load TPC-H: {0}")]
    Load(#[from] tpch::LoadError),
    #[error("cannot serve: {0}")]
    Serve(#[source] io::Error),
    #[error("a server ended; the log says why")]
    Ended,
}

/// Runs the demo until it is told to stop.
///
/// # Errors
/// A port or a directory that cannot be had, or a load that fails.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    // Ports first: a load would be for nothing without them.
    let flight = listen(SocketAddr::new(args.host, args.flight_port), "--flight-port")?;
    let address = flight.local_addr().map_err(DemoError::Serve)?;
    let postgres = match args.pg_port {
        0 => None,
        port => Some(listen(SocketAddr::new(args.host, port), "--pg-port")?),
    };
    let (data_dir, temporary) = data_dir(args.data.as_deref())?;
    std::fs::create_dir_all(&data_dir).map_err(DemoError::Scratch)?;
    let _lock = DirectoryLock::take(&data_dir)?;
    let cluster = LocalCluster::start(LocalClusterConfig {
        data_dir: data_dir.clone(),
        segments: usize::from(args.segments),
        memory_bytes_max: args.memory.map_or_else(default_memory_bytes, |mib| mib << 20),
        cpu_threads: cores(),
    })
    .await?;
    let serving = async {
        if let Some(sf) = args.tpch {
            let session = cluster.master().session("damson");
            tpch::load(&session, &data_dir, sf, &Progress::stderr()).await?;
        }
        // Not before: what was loaded is in none of them.
        copy_dirs::apply(args.copy_dirs.as_deref()).map_err(DemoError::CopyDirs)?;
        cluster.serve_flight_sql(flight).map_err(DemoError::Serve)?;
        if let Some(postgres) = postgres {
            cluster.serve_postgres(postgres).map_err(DemoError::Serve)?;
        }
        say_hello(&args, address, &data_dir, temporary.is_some()).map_err(DemoError::Serve)?;
        std::future::pending().await
    };
    let ended: Result<(), DemoError> = tokio::select! {
        ended = serving => ended,
        () = cluster.server_ended() => Err(DemoError::Ended),
        signal = stop_signal() => signal.map_err(DemoError::Serve),
    };
    if ended.is_ok() {
        say_goodbye(&data_dir, temporary.is_some());
    }
    cluster.shutdown().await;
    if let Some(directory) = temporary {
        directory.close().map_err(DemoError::Scratch)?;
    }
    ended
}

/// Where the data are, and what removes them if they are temporary.
fn data_dir(kept: Option<&Path>) -> Result<(PathBuf, Option<TempDir>), DemoError> {
    match kept {
        Some(dir) => Ok((dir.to_owned(), None)),
        None => {
            let temporary = tempfile::Builder::new().prefix("damson-demo-").tempdir().map_err(DemoError::Scratch)?;
            Ok((temporary.path().to_owned(), Some(temporary)))
        }
    }
}

fn say_hello(args: &DemoArgs, address: SocketAddr, data_dir: &Path, is_temporary: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let fate = if is_temporary { "removed at the end; --data DIR keeps it" } else { "kept" };
    writeln!(out, "Damson {}: a master and {} segments in this process", env!("CARGO_PKG_VERSION"), args.segments)?;
    writeln!(out, "  data         {} ({fate})", data_dir.display())?;
    writeln!(out, "  Flight SQL   {address}   (ADBC: grpc://{address})")?;
    writeln!(
        out,
        "  passwords    not asked for on this host: whoever is on it is the administrator; from elsewhere they are"
    )?;
    writeln!(out, "  shell        damson sql --url flight://{address}")?;
    match args.pg_port {
        0 => writeln!(out, "  PostgreSQL   not served: --pg-port 0")?,
        port => {
            let host = args.host;
            writeln!(out, "  PostgreSQL   psql -h {host} -p {port}   (any user, from this machine)")?;
        }
    }
    writeln!(out, "Try:")?;
    for example in examples(args.tpch.is_some()) {
        writeln!(out, "  {example}")?;
    }
    writeln!(out, "Ctrl-C ends it.")?;
    writeln!(out, "ready: flight://{address}")?;
    out.flush()
}

/// After the `^C` of the terminal.
fn say_goodbye(data_dir: &Path, is_temporary: bool) {
    let data_dir = data_dir.display();
    let fate = if is_temporary { format!("removes {data_dir}") } else { format!("keeps {data_dir}") };
    // Who has read the rest may be gone.
    let _ = writeln!(io::stdout(), "\nThe demo ends, and {fate}.");
}

fn examples(has_tpch: bool) -> [&'static str; 3] {
    if has_tpch {
        [
            "SELECT l_returnflag, l_linestatus, count(*), avg(l_quantity) FROM lineitem GROUP BY 1, 2 ORDER BY 1, 2;",
            "SELECT n_name, count(*) FROM customer JOIN nation ON c_nationkey = n_nationkey GROUP BY 1 ORDER BY 2 DESC \
             LIMIT 5;",
            "EXPLAIN SELECT count(*) FROM orders JOIN lineitem ON o_orderkey = l_orderkey;",
        ]
    } else {
        [
            "CREATE TABLE t (id int, name text) DISTRIBUTED BY (id);",
            "INSERT INTO t SELECT x, 'row ' || x FROM generate_series(1, 1000) AS g(x);",
            "SELECT gp_segment_id, count(*) FROM t GROUP BY 1 ORDER BY 1;",
        ]
    }
}
