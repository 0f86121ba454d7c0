//! The interconnect in gigabytes a second, beside a plain copy of the same bytes through a socket, in one run on one machine:
//! streams, redistribution, broadcast, compression, a slow receiver, CPU time, and whether what is demanded of it holds.
//!
//! Every measurement is one or two processes of its own that this one starts; they take turns, so that a drift of the
//! machine hits all alike.

mod bench;
mod error;
mod limits;
mod message;
mod meter;
mod options;
mod process;
mod report;
mod rows;
mod suite;
mod tpch;
mod work;
mod worker;

use clap::Parser;
use mimalloc::MiMalloc;
use options::Options;
use std::error::Error;
use std::process::ExitCode;

/// That of `damson`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.task {
        Some(task) => worker::serve(task).map(|()| true).map_err(Box::<dyn Error>::from),
        None => bench::run(&options),
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
