//! The node's tasks: owned, so that none outlives it.

use parking_lot::Mutex;
use std::future::Future;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

pub(crate) struct Tasks {
    io: Handle,
    running: Mutex<JoinSet<()>>,
}

impl Tasks {
    pub(crate) fn new(io: Handle) -> Self {
        Tasks { io, running: Mutex::default() }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock();
        // The ended ones are let go here: each new one pays for the old.
        while let Some(ended) = running.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a task of the interconnect panicked");
            }
        }
        running.spawn_on(task, &self.io);
    }
}
