//! VACUUM, and the background's compaction: files written anew where they are.

use super::backup::until;
use super::write::{Reports, unchecked};
use super::{Outcome, Session};
use crate::catalog::Commit;
use crate::compaction::Policy;
use crate::engine::DamsonTable;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::locks::LockMode;
use crate::planner::{Output, TableTarget, WriteTarget};
use crate::sql::{Isolation, RelationName};
use crate::transaction::{LockWait, Transaction};
use damson_cluster::{TableDef, TableId};
use datafusion::catalog::TableProvider;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Whether compaction met somebody who was first.
pub(crate) fn is_busy(error: &SqlError) -> bool {
    [SqlState::SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE].contains(&error.state)
}

impl Session {
    /// Compacts the table, or all of them, and removes files that no statement reads any more.
    pub(super) async fn vacuum(
        self: &Arc<Self>,
        table: Option<&RelationName>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let catalog = self.master.catalog.current();
        let tables: Vec<TableId> = match table {
            Some(table) => vec![self.table(&catalog, table)?.def.id],
            None => catalog.tables().map(|table| table.def.id).collect(),
        };
        // Its own hold on the files that it replaces would keep them.
        drop(catalog);
        let mut notices = vec![];
        for table in tables {
            match self.compact(table, Policy::VACUUM, cancel.clone()).await {
                Err(error) if is_busy(&error) => {
                    notices.push(format!("skipped a table that others are changing: {}", error.message));
                }
                done => _ = done?,
            }
        }
        // A bucket that is away takes its time; what is left is removed later.
        until(&cancel, async { Ok(self.master.files.collect_dropped().await) }).await?;
        Ok(Outcome::Command { tag: "VACUUM".into(), rows: 0, notices })
    }

    /// Writes a table's files anew that the policy chooses; gives how many. Others read and write meanwhile: the table is locked for
    /// the commit alone, so that no UPDATE is overtaken.
    ///
    /// # Errors
    /// Those of [`is_busy`] if others have changed the files meanwhile, or have the table locked: it stays as it is.
    pub(crate) async fn compact(
        self: &Arc<Self>,
        table: TableId,
        policy: Policy,
        cancel: CancellationToken,
    ) -> SqlResult<usize> {
        let mut transaction = Transaction::new(&self.master, self.id, Isolation::ReadCommitted, false);
        transaction.begin_change(&self.master, "VACUUM")?;
        let catalog = transaction.state();
        // Dropped since it was looked for: there is nothing to do.
        let chosen = catalog.table_by_id(table).map(|entry| (Arc::clone(entry), policy.choose(entry)));
        let Some((entry, files)) = chosen.filter(|(_, files)| !files.is_empty()) else {
            self.commit(transaction, SqlError::from).await?;
            return Ok(0);
        };
        // A file that is written anew is another: a transaction that stays with a snapshot could not change its rows any more.
        let is_needed = self.master.blocks.is_snapshot_kept();
        let is_busy = is_needed || transaction.would_wait(&entry.def, LockMode::ShareUpdateExclusive);
        if policy.skips_busy && is_busy {
            self.commit(transaction, SqlError::from).await?;
            return Ok(0);
        }
        let (def, count) = (Arc::clone(&entry.def), files.len());
        let segments = catalog.current_map().owning_segments().len();
        let bound = self.bind_nothing(catalog)?;
        let rows = DamsonTable::new(entry, false, segments).scan(&*bound.state, None, &[], None).await;
        let target = Output::Write(WriteTarget::Table(in_place(&def)));
        let slices = self.slice(&bound, rows.map_err(of_datafusion)?, target)?;
        let running = self.dispatch_over(&bound, &slices, files.clone(), cancel.clone()).await?;
        let written = self.changed(&bound, running, &def, Reports::Files, false).await?;
        let drops = files.into_iter().map(|file| (table, file)).collect();
        let commit = Commit { drops, ..written.commit };
        let wait = LockWait { timeout: Some(policy.lock_timeout), cancel: &cancel, nowait: false };
        let locked = transaction.lock_read(&def, LockMode::ShareUpdateExclusive, wait).await;
        if let Err(error) = locked {
            self.discard(&commit.new_files()).await;
            return Err(error);
        }
        self.add(&mut transaction, &bound, commit, &cancel).await?;
        drop(bound);
        self.commit(transaction, SqlError::from).await?;
        Ok(count)
    }
}

fn in_place(def: &TableDef) -> TableTarget {
    TableTarget { in_place: true, ..unchecked(def) }
}
