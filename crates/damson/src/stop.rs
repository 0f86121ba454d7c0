//! What a process's user asks of it by signals.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM.
///
/// # Errors
/// The system refuses the handlers.
pub(crate) async fn stop_signal() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// SIGHUP, by which a user says that files were changed; without somebody who listens it ends the process.
///
/// # Errors
/// The system refuses the handler.
pub(crate) fn hangup() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
