//! Which statement may change a table's rows in place.

use crate::error::{SqlError, SqlResult, SqlState};
use damson_cluster::TableId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// One lock a table, as Greenplum's EXCLUSIVE: UPDATE, DELETE and rewrites of one table run one after the other, each on the rows
/// that the one before left. Readers and INSERT never wait. One a master.
#[derive(Default)]
pub(crate) struct TableLocks {
    /// Those that somebody holds or waits for, and a few that nobody does.
    tables: Mutex<HashMap<TableId, Weak<tokio::sync::Mutex<()>>>>,
}

/// Held until it is dropped.
pub(crate) type TableLock = OwnedMutexGuard<()>;

impl TableLocks {
    /// Waits for whoever has the lock; in turn.
    ///
    /// # Errors
    /// 57014 when it is cancelled meanwhile.
    pub(crate) async fn lock(&self, table: TableId, cancel: &CancellationToken) -> SqlResult<TableLock> {
        let lock = self.of(table);
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                Err(SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"))
            }
            held = lock.lock_owned() => Ok(held),
        }
    }

    fn of(&self, table: TableId) -> Arc<tokio::sync::Mutex<()>> {
        let mut tables = self.tables.lock();
        if let Some(lock) = tables.get(&table).and_then(Weak::upgrade) {
            return lock;
        }
        tables.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        tables.insert(table, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn one_at_a_time_for_each_table() {
        let locks = TableLocks::default();
        let cancel = CancellationToken::new();
        let first = locks.lock(TableId(1), &cancel).await.unwrap();
        let _other = locks.lock(TableId(2), &cancel).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(locks.lock(TableId(1), &cancel));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.now_or_never().unwrap().unwrap();
        let waiting = locks.lock(TableId(1), &cancel);
        cancel.cancel();
        assert_eq!(waiting.await.err().unwrap().state, SqlState::QUERY_CANCELED);
        drop(second);
        // Nothing is kept of tables that nobody locks.
        let _third = locks.lock(TableId(3), &CancellationToken::new()).await.unwrap();
        assert_eq!(locks.tables.lock().len(), 2);
    }
}
