//! Which tables a statement locks.

use super::{Outcome, Session};
use crate::catalog::TableEntry;
use crate::ddl::find_table;
use crate::error::{SqlResult, SqlState};
use crate::locks::LockMode;
use crate::sql::{CreateView, LockTable, RelationName, Statement};
use crate::transaction::{LockWait, Transaction};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Session {
    /// Locks a table for a statement; gives it as it is then.
    ///
    /// # Errors
    /// As [`Transaction::lock`].
    pub(super) async fn lock(
        &self,
        transaction: &mut Transaction,
        name: &RelationName,
        mode: LockMode,
        cancel: &CancellationToken,
    ) -> SqlResult<Arc<TableEntry>> {
        let timeout = self.settings.lock().lock_timeout();
        transaction.lock(name, &self.search_schema(), mode, LockWait { timeout, cancel, nowait: false }).await
    }

    /// Locks a table to add rows to it: with keys, alone, so that no other's rows have them. Others read, and wait only to write.
    ///
    /// # Errors
    /// As [`Transaction::lock`].
    pub(super) async fn lock_to_add(
        &self,
        transaction: &mut Transaction,
        name: &RelationName,
        cancel: &CancellationToken,
    ) -> SqlResult<Arc<TableEntry>> {
        let mode = |entry: &TableEntry| match entry.def.keys.is_empty() {
            true => LockMode::RowExclusive,
            false => LockMode::ShareUpdateExclusive,
        };
        let mut wanted = mode(&*find_table(&transaction.state(), name, &self.search_schema())?);
        loop {
            let entry = self.lock(transaction, name, wanted, cancel).await?;
            // It may have got a key while this waited.
            if mode(&entry) == wanted {
                return Ok(entry);
            }
            wanted = mode(&entry);
        }
    }

    /// LOCK TABLE.
    pub(super) async fn lock_tables(
        &self,
        lock: &LockTable,
        transaction: &mut Transaction,
        cancel: &CancellationToken,
    ) -> SqlResult<Outcome> {
        let wait = LockWait { timeout: self.settings.lock().lock_timeout(), cancel, nowait: lock.nowait };
        for name in &lock.tables {
            transaction.lock(name, &self.search_schema(), lock.mode, wait).await?;
        }
        Ok(Outcome::command("LOCK TABLE"))
    }

    /// The tables that a view is made of: nobody may change meanwhile what it names.
    pub(super) async fn lock_viewed(
        &self,
        create: &CreateView,
        transaction: &mut Transaction,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        let (state, schema) = (transaction.state(), self.search_schema());
        for name in create.references.iter().filter(|name| find_table(&state, name, &schema).is_ok()) {
            self.lock(transaction, name, LockMode::AccessShare, cancel).await?;
        }
        Ok(())
    }

    /// The tables that DROP or TRUNCATE takes away, so that nobody writes what would be lost. Names that are none are said, or
    /// skipped, where the statement is executed.
    pub(super) async fn lock_defined(
        &self,
        statement: &Statement,
        transaction: &mut Transaction,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        let state = transaction.state();
        let mut names: Vec<RelationName> = match statement {
            Statement::DropTable(drop) => drop.names.clone(),
            Statement::Truncate(statement) => statement.tables.clone(),
            Statement::DropSchema(drop) => {
                let is_in = |table: &&Arc<TableEntry>| drop.names.iter().any(|name| name.text == table.def.schema);
                let name = |table: &Arc<TableEntry>| RelationName {
                    schema: Some(table.def.schema.clone()),
                    name: table.def.name.clone(),
                    position: 1,
                };
                state.tables().filter(is_in).map(name).collect()
            }
            _ => vec![],
        };
        let schema = self.search_schema();
        names.retain(|name| find_table(&state, name, &schema).is_ok());
        // In one order, whichever the statement's is: two of them do not wait for each other.
        names.sort_by_key(|name| (name.schema_or(&schema).to_owned(), name.name.clone()));
        for name in names {
            match self.lock(transaction, &name, LockMode::AccessExclusive, cancel).await {
                // Dropped while it waited.
                Err(error) if error.state == SqlState::UNDEFINED_TABLE => {}
                locked => _ = locked?,
            }
        }
        Ok(())
    }
}
