//! What clients get, in one run on one machine: how fast they fetch a large result, each protocol beside DuckDB's Arrow in process; and
//! how long small statements take at several numbers of connections.
//!
//! Everything is kept in a temporary directory: TMPDIR says on which disk.

mod cluster;
mod fetch;
mod latency;
mod limits;
mod options;
mod report;

use clap::Parser;
use cluster::Cluster;
use mimalloc::MiMalloc;
use options::{Options, Part};
use report::Report;
use std::process::ExitCode;

/// That of `damson`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        // What has failed has been printed.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// False when a measurement has failed.
fn run(options: &Options) -> Result<bool, Failure> {
    // The cluster starts what the environment names.
    if std::env::var_os("DAMSON_BINARY").as_deref() != Some(options.binary.as_os_str()) {
        return Err("DAMSON_BINARY must name the damson that is measured".into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cluster = Cluster::start(options.segments);
    let mut report = Report::new(options);
    // First, while the master has nothing of large results in its memory.
    if options.wants(Part::Latency) {
        report.latency = runtime.block_on(latency::run(options, &cluster))?;
    }
    if options.wants(Part::Throughput) {
        report.fetches = runtime.block_on(fetch::run(options, &cluster))?;
    }
    drop(cluster);
    println!("{}", report.text());
    if !options.quick {
        println!("{}", report.write(&options.report)?.display());
    }
    Ok(report.is_whole())
}
