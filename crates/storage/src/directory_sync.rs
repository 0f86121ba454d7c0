//! Directories synced for several files at once: small INSERTs of many clients each make a file in the same directory, and a sync of it
//! covers all entries that are there when it begins.

use crate::error::copy_of;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

/// Returns once the directory's entries that were made before the call are on stable storage. Blocks. Callers who come while a sync of
/// the same directory runs wait for it, and share the next.
///
/// # Errors
/// As `fsync`. A sync that failed is no caller's success: those who wait for the next one fail with it, as their entries may have been in
/// what was lost.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    static DIRECTORIES: LazyLock<Mutex<HashMap<PathBuf, Arc<Syncs>>>> = LazyLock::new(Mutex::default);
    let syncs = Arc::clone(DIRECTORIES.lock().entry(directory.to_owned()).or_default());
    let synced = syncs.share(|| File::open(directory)?.sync_all());
    let mut directories = DIRECTORIES.lock();
    // This one's and the map's.
    if Arc::strong_count(&syncs) == 2 {
        directories.remove(directory);
    }
    synced
}

/// The syncs of one directory.
#[derive(Default)]
struct Syncs {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    /// Of those who came since the last one began.
    next: Arc<Turn>,
}

/// One sync, and how it ended.
#[derive(Default)]
struct Turn {
    outcome: OnceLock<io::Result<()>>,
}

impl Turn {
    fn end(&self, outcome: &io::Result<()>) {
        let set = self.outcome.set(outcome.as_ref().copied().map_err(copy_of));
        assert!(set.is_ok(), "a turn ends once: with its own sync, or with the failed one before");
    }
}

impl Syncs {
    fn share(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        let turn = Arc::clone(&state.next);
        loop {
            if let Some(outcome) = turn.outcome.get() {
                return outcome.as_ref().copied().map_err(copy_of);
            }
            if !state.is_running {
                break;
            }
            self.ended.wait(&mut state);
        }
        // This caller's turn has not begun, and it is the one to run it.
        state.is_running = true;
        state.next = Arc::default();
        drop(state);
        let outcome = sync();
        let mut state = self.state.lock();
        state.is_running = false;
        turn.end(&outcome);
        if outcome.is_err() {
            std::mem::take(&mut state.next).end(&outcome);
        }
        self.ended.notify_all();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    /// Callers wait while the first one's sync stands still, which ends as told. Answers the syncs that ran, and the callers' outcomes.
    fn waiting(callers: usize, first: io::Result<()>) -> (usize, Vec<io::Result<()>>) {
        let syncs = Syncs::default();
        let ran = AtomicUsize::new(0);
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                syncs.share(move || {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    first
                })
            });
            has_begun.recv().unwrap();
            let others: Vec<_> = (0..callers)
                .map(|_| {
                    scope.spawn(|| {
                        syncs.share(|| {
                            ran.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        })
                    })
                })
                .collect();
            // The map's, and each waiting caller's.
            while Arc::strong_count(&syncs.state.lock().next) < 1 + callers {
                thread::yield_now();
            }
            assert_eq!(ran.load(Ordering::Relaxed), 0, "none begins while one runs");
            go_on.send(()).unwrap();
            let outcomes = std::iter::once(first).chain(others).map(|caller| caller.join().unwrap()).collect();
            (ran.load(Ordering::Relaxed), outcomes)
        })
    }

    #[test]
    fn those_who_wait_share_the_next_one() {
        let (ran, outcomes) = waiting(8, Ok(()));
        assert_eq!(ran, 1);
        assert!(outcomes.iter().all(Result::is_ok));
    }

    #[test]
    fn a_sync_that_failed_is_no_ones_success() {
        let (ran, outcomes) = waiting(8, Err(io::Error::from(io::ErrorKind::StorageFull)));
        assert_eq!(ran, 0);
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().kind() == io::ErrorKind::StorageFull));
    }

    #[test]
    fn directories_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        sync_directory(directory.path()).unwrap();
        assert_eq!(sync_directory(&directory.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
