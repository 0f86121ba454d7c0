//! Certificates are replaced in their files, by whoever renews them; the master takes note.

use super::ClientTls;
use damson_interconnect::TlsError;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// How often the files are read: two small ones, in a moment of a thread that may wait.
const READ_EVERY: Duration = Duration::from_secs(10);

impl ClientTls {
    /// Reads the files again and again until `stop`, and at once at each `hangup`; the log says what came of it.
    pub async fn keep(self: Arc<Self>, hangup: &mut Signal, stop: CancellationToken) {
        // Two files cannot be replaced at once: what is wrong for longer is told, once.
        let mut told = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(READ_EVERY) => {}
                Some(()) = hangup.recv() => told = None,
            }
            let tls = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || tls.reload()).await;
            told = say(read, told);
        }
    }
}

/// Logs what is new, and gives what is wrong.
fn say(read: Result<Result<bool, TlsError>, JoinError>, told: Option<String>) -> Option<String> {
    let wrong = match read {
        Ok(Ok(true)) => {
            tracing::info!("clients are shown the new certificate from now on");
            return None;
        }
        Ok(Ok(false)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(died) => died.to_string(),
    };
    if told.as_ref() != Some(&wrong) {
        tracing::error!(error = wrong, "the clients' certificate was not read again: the old one stays in force");
    }
    Some(wrong)
}
