//! Ctrl-C.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM, from now on: they no longer end the process.
pub(crate) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// # Errors
    /// The system refuses the handlers.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Interrupt { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn pressed(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Forgets those that came while nothing ran.
    pub(crate) fn forget(&mut self) {
        use futures::FutureExt;
        while self.pressed().now_or_never().is_some() {}
    }
}
