//! TPC-H on Damson, DataFusion and DuckDB, in one go on one machine: seconds, ratios, memory, and whether Damson's
//! answers are right.
//!
//! Every engine is a process of its own that this one asks for one query after another. For each query the engines take
//! turns, so that a drift of the machine hits all alike.

mod bench;
mod data;
mod engine;
mod limits;
mod options;
mod process;
mod profile;
mod report;
mod verify;

use clap::Parser;
use mimalloc::MiMalloc;
use options::Options;
use std::process::ExitCode;

/// That of `damson`, so that plain DataFusion runs on the same one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if let Some(engine) = options.worker {
        engine::worker::serve(engine, &options).map(|()| true)
    } else if let Some(query) = options.profile_query {
        profile::run(query, &options).map(|()| true)
    } else {
        bench::run(&options)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // What is wrong has been printed.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
