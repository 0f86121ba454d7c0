//! Waiting for locks, and holding them.

use super::mode::LockMode;
use super::queue::{Asked, Queues, TransactionId};
use super::tag::LockTag;
use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::SessionId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The locks of a master's tables, and of the files that are being loaded. One a master.
#[derive(Clone, Default)]
pub(crate) struct Locks {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    queues: Queues,
    next: u64,
    /// Whose the transactions are.
    sessions: HashMap<TransactionId, SessionId>,
    /// To be told when their locks are granted.
    waiters: HashMap<TransactionId, oneshot::Sender<()>>,
}

impl Inner {
    fn wake(&mut self, granted: &[TransactionId]) {
        for transaction in granted {
            // Who does not listen any more gives its lock back by itself.
            let _ = self.waiters.remove(transaction).map(|waiter| waiter.send(()));
        }
    }
}

impl Locks {
    /// A new transaction, which holds nothing.
    pub(crate) fn transaction(&self, session: SessionId) -> TransactionLocks {
        let mut inner = self.inner.lock();
        inner.next += 1;
        let id = TransactionId(inner.next);
        inner.sessions.insert(id, session);
        TransactionLocks { id, locks: self.clone() }
    }

    /// Every lock, by what is locked and transaction.
    pub(crate) fn rows(&self) -> Vec<LockRow> {
        let inner = self.inner.lock();
        let row = |(tag, transaction, mode, granted)| {
            // Every transaction is there until its locks are gone.
            let session = inner.sessions.get(&transaction).copied().unwrap_or(SessionId(0));
            LockRow { tag, transaction, session, mode, granted }
        };
        inner.queues.all().into_iter().map(row).collect()
    }
}

/// What `pg_locks` shows of one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockRow {
    pub tag: LockTag,
    pub transaction: TransactionId,
    pub session: SessionId,
    pub mode: LockMode,
    /// False: it waits.
    pub granted: bool,
}

/// What one transaction holds, until it is dropped.
pub(crate) struct TransactionLocks {
    id: TransactionId,
    locks: Locks,
}

impl TransactionLocks {
    /// Waits for a lock, in turn; at most `timeout`, if there is one. `name` is the table's, or the file's URL, for messages. Gives
    /// whether it had to wait.
    ///
    /// # Errors
    /// 40P01 where it would wait for ever, 55P03 when it has waited too long, 57014 when it is cancelled meanwhile.
    pub(crate) async fn lock(
        &self,
        tag: impl Into<LockTag>,
        name: &str,
        mode: LockMode,
        timeout: Option<Duration>,
        cancel: &CancellationToken,
    ) -> SqlResult<bool> {
        let tag = tag.into();
        let granted = {
            let mut inner = self.locks.inner.lock();
            match inner.queues.ask(tag, self.id, mode) {
                Asked::Granted => return Ok(false),
                Asked::Deadlock(cycle) => return Err(deadlock(&cycle, mode, tag, name)),
                Asked::Waits => {
                    let (sender, granted) = oneshot::channel();
                    inner.waiters.insert(self.id, sender);
                    granted
                }
            }
        };
        let _request = Request { locks: &self.locks, tag, transaction: self.id };
        let too_long = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            granted = granted => granted.map(|()| true).map_err(crate::error::internal),
            () = cancel.cancelled() => Err(SqlError::canceled()),
            () = too_long => {
                let error = SqlError::new(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout");
                Err(error.with_detail(format!("It waited for {mode} on {} \"{name}\".", tag.type_name())).with_hint(
                    "pg_locks shows who holds it. The setting lock_timeout says how long to wait.",
                ))
            }
        }
    }

    /// Whether asking for the lock would mean waiting.
    pub(crate) fn would_wait(&self, tag: impl Into<LockTag>, mode: LockMode) -> bool {
        self.locks.inner.lock().queues.would_wait(tag.into(), self.id, mode)
    }

    /// As [`TransactionLocks::lock`], without waiting.
    ///
    /// # Errors
    /// 55P03 where it would have to.
    pub(crate) fn try_lock(&self, tag: impl Into<LockTag>, name: &str, mode: LockMode) -> SqlResult<()> {
        let tag = tag.into();
        let mut inner = self.locks.inner.lock();
        match inner.queues.ask(tag, self.id, mode) {
            Asked::Granted => Ok(()),
            Asked::Waits | Asked::Deadlock(_) => {
                let granted = inner.queues.give_up(tag, self.id);
                inner.wake(&granted);
                let message = format!("could not obtain lock on {} \"{name}\"", tag.type_name());
                Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, message))
            }
        }
    }
}

impl Drop for TransactionLocks {
    fn drop(&mut self) {
        let mut inner = self.locks.inner.lock();
        inner.waiters.remove(&self.id);
        inner.sessions.remove(&self.id);
        let granted = inner.queues.release(self.id);
        inner.wake(&granted);
    }
}

/// Takes a request back when nobody waits for it any more; one that was granted is the transaction's to the end.
struct Request<'a> {
    locks: &'a Locks,
    tag: LockTag,
    transaction: TransactionId,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut inner = self.locks.inner.lock();
        if inner.waiters.remove(&self.transaction).is_some() {
            let granted = inner.queues.give_up(self.tag, self.transaction);
            inner.wake(&granted);
        }
    }
}

fn deadlock(cycle: &[TransactionId], mode: LockMode, tag: LockTag, name: &str) -> SqlError {
    let mut edges = vec![];
    for (at, waits) in cycle.iter().enumerate() {
        let for_whom = cycle[(at + 1) % cycle.len()];
        edges.push(match at {
            0 => {
                let what = tag.type_name();
                format!("Transaction {} waits for {mode} on {what} \"{name}\", blocked by {}", waits.0, for_whom.0)
            }
            _ => format!("transaction {} waits for {}", waits.0, for_whom.0),
        });
    }
    SqlError::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
        .with_detail(format!("{}.", edges.join("; ")))
        .with_hint("Lock tables in one order everywhere, and run the transaction again.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::TableId;
    use futures::FutureExt;

    const T: TableId = TableId(1);

    #[tokio::test]
    async fn waiting_ends_by_the_lock_a_cancel_or_the_time() {
        let locks = Locks::default();
        let cancel = CancellationToken::new();
        let [first, second, third] = [1, 2, 3].map(|session| locks.transaction(SessionId(session)));
        assert!(!first.lock(T, "t", LockMode::Exclusive, None, &cancel).await.unwrap());
        let mut waiting = Box::pin(second.lock(T, "t", LockMode::Exclusive, None, &cancel));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(locks.rows().iter().filter(|row| !row.granted).count(), 1);

        let timeout = Some(Duration::from_millis(20));
        let error = third.lock(T, "t", LockMode::RowExclusive, timeout, &cancel).await.unwrap_err();
        assert_eq!(error.state, SqlState::LOCK_NOT_AVAILABLE);
        assert_eq!(third.try_lock(T, "t", LockMode::Share).unwrap_err().state, SqlState::LOCK_NOT_AVAILABLE);
        let token = CancellationToken::new();
        token.cancel();
        let error = third.lock(T, "t", LockMode::RowExclusive, None, &token).await.unwrap_err();
        assert_eq!(error.state, SqlState::QUERY_CANCELED);
        // One whose caller is gone.
        drop(third.lock(T, "t", LockMode::RowExclusive, None, &cancel).now_or_never());
        assert_eq!(locks.rows().len(), 2);

        drop(first);
        assert!(waiting.await.unwrap());
        drop(second);
        third.try_lock(T, "t", LockMode::Share).unwrap();
        drop(third);
        assert_eq!(locks.rows(), []);
    }

    #[tokio::test]
    async fn files_are_locked_beside_their_table() {
        let locks = Locks::default();
        let cancel = CancellationToken::new();
        let [first, second] = [1, 2].map(|session| locks.transaction(SessionId(session)));
        let timeout = Some(Duration::from_millis(20));
        first.lock(T, "t", LockMode::RowExclusive, None, &cancel).await.unwrap();
        first.lock(LockTag::File(T, 1), "/a", LockMode::Exclusive, None, &cancel).await.unwrap();
        second.lock(T, "t", LockMode::RowExclusive, None, &cancel).await.unwrap();
        second.lock(LockTag::File(T, 2), "/b", LockMode::Exclusive, None, &cancel).await.unwrap();
        second.lock(LockTag::File(TableId(2), 1), "/a", LockMode::Exclusive, None, &cancel).await.unwrap();
        let error = second.lock(LockTag::File(T, 1), "/a", LockMode::Exclusive, timeout, &cancel).await.unwrap_err();
        assert_eq!(error.detail.as_deref(), Some("It waited for ExclusiveLock on copy file \"/a\"."));

        // Circles are found through tables and files alike.
        let mut waiting = Box::pin(first.lock(LockTag::File(T, 2), "/b", LockMode::Exclusive, None, &cancel));
        assert!(waiting.as_mut().now_or_never().is_none());
        let error = second.lock(T, "t", LockMode::AccessExclusive, None, &cancel).await.unwrap_err();
        assert_eq!(error.state, SqlState::DEADLOCK_DETECTED);
        let error = second.lock(LockTag::File(T, 1), "/a", LockMode::Exclusive, None, &cancel).await.unwrap_err();
        assert_eq!(error.state, SqlState::DEADLOCK_DETECTED);
        assert!(error.detail.unwrap().contains("on copy file \"/a\""));
        drop(second);
        assert!(waiting.await.unwrap());
        drop(first);
        assert_eq!(locks.rows(), []);
    }
}
