//! The connections that there are, for cancel requests: those come on connections of their own.

use crate::error::{SqlResult, internal};
use damson_cluster::SessionId;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Numbers that a process can have, and 0: far more than there can be connections.
const PROCESSES: u64 = 1 << 31;

/// Every connection that has been let in.
#[derive(Default)]
pub(super) struct Backends {
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
    /// A new connection's place, whose process has its session's number: clients end others by it with `pg_terminate_backend`.
    ///
    /// # Errors
    /// A system without random bytes.
    pub(super) fn enter(self: &Arc<Self>, session: SessionId) -> SqlResult<Backend> {
        let mut secret = [0; 4];
        self.secrets.0.fill(&mut secret).map_err(|_| internal("the system gives no random bytes"))?;
        let mut running = self.running.lock();
        // Clients take it for a positive i32. Of those that come round again, numbers in use are left out; 0 is no process.
        let mut process = (session.0 % PROCESSES) as u32;
        while process == 0 || running.contains_key(&process) {
            process = (process + 1) % PROCESSES as u32;
        }
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
    /// What a cancel request ends from now on; None: nothing, until there is something again. A request that came while the one before was
    /// not looked at any more ends this one, as what belongs to the same message.
    pub(super) fn runs(&self, cancel: Option<CancellationToken>) {
        let mut running = self.cancel.lock();
        if let (Some(before), Some(next)) = (&*running, &cancel)
            && before.is_cancelled()
        {
            next.cancel();
        }
        *running = cancel;
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
        let (one, other) = (backends.enter(SessionId(7)).unwrap(), backends.enter(SessionId(8)).unwrap());
        assert_eq!((one.process, other.process), (7, 8));
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
    fn a_cancel_between_two_steps_ends_the_next() {
        let backends = Arc::new(Backends::default());
        let backend = backends.enter(SessionId(7)).unwrap();
        let steps = [(); 3].map(|()| CancellationToken::new());
        backend.runs(Some(steps[0].clone()));
        backends.cancel(backend.process, &backend.secret);
        backend.runs(Some(steps[1].clone()));
        assert!(steps[1].is_cancelled());
        // The client has been told.
        backend.runs(None);
        backends.cancel(backend.process, &backend.secret);
        backend.runs(Some(steps[2].clone()));
        assert!(!steps[2].is_cancelled());
    }

    #[test]
    fn numbers_come_round_again() {
        let backends = Arc::new(Backends::default());
        let enter = |session| backends.enter(SessionId(session)).unwrap();
        let (first, last) = (enter(1), enter(PROCESSES - 1));
        assert_eq!((first.process, last.process), (1, i32::MAX as u32));
        assert_eq!(enter(PROCESSES).process, 2, "0 is none, and 1 is there");
        drop(first);
        assert_eq!(enter(PROCESSES).process, 1);
        assert_eq!(enter(2 * PROCESSES - 1).process, 1, "that of the last one is in use");
    }
}
