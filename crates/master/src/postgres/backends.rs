//! The connections that there are, for cancel requests: those come on connections of their own.

use super::limits::CONNECTIONS_MAX;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::sync::CancellationToken;

const TOO_MANY_CONNECTIONS: SqlState = SqlState("53300");

/// Every connection that has been let in.
#[derive(Default)]
pub(super) struct Backends {
    next: AtomicU32,
    secrets: SystemRandomBytes,
    running: Mutex<HashMap<u32, Entry>>,
}

struct SystemRandomBytes(SystemRandom);

impl Default for SystemRandomBytes {
    fn default() -> Self {
        SystemRandomBytes(SystemRandom::new())
    }
}

struct Entry {
    secret: [u8; 4],
    cancel: Arc<Mutex<Option<CancellationToken>>>,
}

/// One connection's place in [`Backends`], which it leaves when this is dropped.
pub(super) struct Backend {
    pub process: u32,
    pub secret: [u8; 4],
    cancel: Arc<Mutex<Option<CancellationToken>>>,
    all: Arc<Backends>,
}

impl Backends {
    /// A new connection's place.
    ///
    /// # Errors
    /// 53300.
    pub(super) fn enter(self: &Arc<Self>) -> SqlResult<Backend> {
        let mut secret = [0; 4];
        self.secrets.0.fill(&mut secret).map_err(|_| internal("the system gives no random bytes"))?;
        let mut running = self.running.lock();
        if running.len() >= CONNECTIONS_MAX {
            return Err(SqlError::new(TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
        }
        // Numbers that are in use are left out when they come round again; 0 is no process.
        let process = loop {
            let process = self.next.fetch_add(1, Ordering::Relaxed) & (i32::MAX as u32);
            if process != 0 && !running.contains_key(&process) {
                break process;
            }
        };
        let cancel = Arc::<Mutex<Option<CancellationToken>>>::default();
        running.insert(process, Entry { secret, cancel: Arc::clone(&cancel) });
        Ok(Backend { process, secret, cancel, all: Arc::clone(self) })
    }

    /// Cancels what a connection runs, if the secret is its own. Who asks is told nothing.
    pub(super) fn cancel(&self, process: u32, secret: &[u8]) {
        let running = self.running.lock();
        let Some(entry) = running.get(&process) else { return };
        // Each byte is looked at, so that the time tells nothing of where the first difference is.
        let difference = entry.secret.iter().zip(secret).fold(0, |all, (a, b)| all | (a ^ b));
        if secret.len() == entry.secret.len()
            && difference == 0
            && let Some(cancel) = &*entry.cancel.lock()
        {
            cancel.cancel();
        }
    }
}

impl Backend {
    /// What a cancel request ends from now on; None between statements.
    pub(super) fn runs(&self, cancel: Option<CancellationToken>) {
        *self.cancel.lock() = cancel;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.all.running.lock().remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_needs_the_secret() {
        let backends = Arc::new(Backends::default());
        let (one, other) = (backends.enter().unwrap(), backends.enter().unwrap());
        assert_ne!(one.process, other.process);
        let cancel = CancellationToken::new();
        one.runs(Some(cancel.clone()));
        let mut wrong = one.secret;
        wrong[3] ^= 1;
        backends.cancel(one.process, &wrong);
        backends.cancel(one.process, &one.secret[..3]);
        backends.cancel(one.process, &[]);
        backends.cancel(other.process, &one.secret);
        assert!(!cancel.is_cancelled());
        backends.cancel(one.process, &one.secret);
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn a_connection_that_ends_makes_room() {
        let backends = Arc::new(Backends::default());
        let mut all: Vec<Backend> = (0..CONNECTIONS_MAX).map(|_| backends.enter().unwrap()).collect();
        assert_eq!(backends.enter().err().unwrap().state.0, "53300");
        all.pop();
        assert!(backends.enter().is_ok());
    }
}
