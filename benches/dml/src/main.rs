//! What changing rows costs, on one machine in one go: single-row INSERTs, the scan of what they leave, UPDATE and DELETE of one
//! percent of TPC-H's lineitem, keys, and TPC-H after a tenth of its rows was deleted.
//!
//! An embedded cluster with one segment for each core, on a disk that it syncs to.

mod cluster;
mod inserts;
mod keys;
mod report;
mod tpch;

use clap::Parser;
use cluster::Cluster;
use mimalloc::MiMalloc;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

/// That of `damson`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
struct Options {
    /// TPC-H's scale factor.
    #[arg(long, default_value_t = 1.0)]
    sf: f64,
    /// Single rows that are inserted, before the scan.
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// Where the data is; by default a temporary directory in this one, so that it is on a disk.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Runs only these parts.
    #[arg(long, value_delimiter = ',', default_value = "inserts,keys,tpch")]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let parent = match &options.dir {
        Some(dir) => dir.clone(),
        None => std::env::current_dir()?,
    };
    let directory = tempfile::Builder::new().prefix("damson-bench-dml-").tempdir_in(parent)?;
    let cluster = Cluster::start(directory.path()).await?;
    let mut report = Report::default();
    if options.only.iter().any(|part| part == "inserts") {
        inserts::run(&cluster, options.rows, &mut report).await?;
    }
    if options.only.iter().any(|part| part == "keys") {
        keys::run(&cluster, options.sf, &mut report).await?;
    }
    if options.only.iter().any(|part| part == "tpch") {
        tpch::run(&cluster, options.sf, &mut report).await?;
    }
    cluster.shutdown().await;
    report.print();
    Ok(())
}
