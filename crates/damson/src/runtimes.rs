//! The two runtimes of a process: sockets never wait behind queries.

use crate::limits::{CPU_STACK_BYTES, IO_THREADS};
use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// One runtime for sockets and object stores, one for planning and execution. Dropping it ends their tasks without
/// waiting.
pub struct Runtimes {
    // None only while dropping.
    io: Option<Runtime>,
    cpu: Option<Runtime>,
}

impl Runtimes {
    /// `cpu_threads` threads for queries; more would only compete for the cores.
    ///
    /// # Errors
    /// Threads that the system refuses.
    pub fn new(cpu_threads: usize) -> io::Result<Self> {
        let io =
            Builder::new_multi_thread().worker_threads(IO_THREADS).thread_name("damson-io").enable_all().build()?;
        let cpu = Builder::new_multi_thread()
            .worker_threads(cpu_threads.max(1))
            .thread_name("damson-cpu")
            .thread_stack_size(CPU_STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Runtimes { io: Some(io), cpu: Some(cpu) })
    }

    /// Sockets and object stores.
    pub fn io(&self) -> Handle {
        handle(&self.io)
    }

    /// Planning and execution.
    pub fn cpu(&self) -> Handle {
        handle(&self.cpu)
    }
}

fn handle(runtime: &Option<Runtime>) -> Handle {
    let runtime = runtime.as_ref();
    runtime.map(|runtime| runtime.handle().clone()).unwrap_or_else(|| unreachable!("taken by drop alone"))
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        // Waiting for threads is not allowed in an async context, where embedders drop this.
        for runtime in [self.cpu.take(), self.io.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
