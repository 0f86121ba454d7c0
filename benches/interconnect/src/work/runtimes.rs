//! Threads, as many as the product's processes have.

use damson_bench_report::machine::cores;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// Threads for sockets.
const IO_THREADS: usize = 2;

/// A runtime for sockets.
pub fn io_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(IO_THREADS).thread_name("io").enable_all().build()
}

/// A runtime with a thread for each core.
pub fn cores_runtime(name: &str) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(cores()).thread_name(name).enable_all().build()
}
