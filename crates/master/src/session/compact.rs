//! VACUUM, and the background's compaction: files written anew where they are.

use super::write::table_target;
use super::{Outcome, Session};
use crate::catalog::Commit;
use crate::compaction::Policy;
use crate::engine::DamsonTable;
use crate::error::{SqlResult, SqlState, of_datafusion};
use crate::sql::RelationName;
use damson_cluster::TableId;
use datafusion::catalog::TableProvider;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

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
        for table in tables {
            self.compact(table, Policy::VACUUM, cancel.clone()).await?;
        }
        self.master.files.collect_dropped().await;
        Ok(Outcome::command("VACUUM"))
    }

    /// Writes a table's files anew that the policy chooses; gives how many. Others read and write meanwhile: the table's lock is
    /// held for the commit alone, so that no UPDATE is overtaken. Files that an UPDATE has changed meanwhile stay as they are.
    pub(crate) async fn compact(
        self: &Arc<Self>,
        table: TableId,
        policy: Policy,
        cancel: CancellationToken,
    ) -> SqlResult<usize> {
        let write = self.master.files.writes.begin();
        let catalog = self.master.catalog.current();
        // Dropped since it was looked for: there is nothing to do.
        let chosen = catalog.table_by_id(table).map(|entry| (Arc::clone(entry), policy.choose(entry)));
        let Some((entry, files)) = chosen.filter(|(_, files)| !files.is_empty()) else {
            write.succeeded();
            return Ok(0);
        };
        let (base, def, count) = (catalog.snapshot, Arc::clone(&entry.def), files.len());
        let segments = catalog.current_map().segment_count();
        let bound = self.bind_nothing(catalog)?;
        let rows = DamsonTable::new(entry, false, segments).scan(&bound.state, None, &[], None).await;
        let slices = self.slice(&bound, rows.map_err(of_datafusion)?, table_target(&def))?;
        let running = self.dispatch_over(&bound, &slices, files.clone(), cancel.clone()).await?;
        let written = self.written(running, &def).await?;
        let drops = files.into_iter().map(|file| (table, file)).collect();
        let commit = Commit { drops, ..Commit::of_adds(base, written.files) };
        // Cancelled while it waits, it does not commit: that is seen, and cleaned up after, in the next step.
        let _lock = self.master.locks.lock(table, &cancel).await;
        match self.commit_unless_cancelled(commit, &cancel).await {
            Ok(()) => {
                write.succeeded();
                Ok(count)
            }
            // An UPDATE, TRUNCATE or DROP was first; what was written is removed.
            Err(error) if error.state == SqlState::SERIALIZATION_FAILURE => Ok(0),
            Err(error) => Err(error),
        }
    }
}
