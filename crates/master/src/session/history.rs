//! What is kept of the past: restore points, and settings of the cluster.

use super::settings::{duration, snapshot_retention_text};
use super::{Outcome, Session};
use crate::catalog::{Catalog, CatalogError};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{AlterSystem, Name, Statement};
use std::time::Duration;

/// The one setting of the cluster that a statement can change.
pub(super) const SNAPSHOT_RETENTION: &str = "snapshot_retention";

impl Session {
    /// Runs a statement that is no part of a transaction: what it changes cannot be rolled back. None if it is another.
    pub(super) async fn keep_past(&self, statement: &Statement) -> Option<SqlResult<Outcome>> {
        let tag = statement.name();
        let done = match statement {
            Statement::AlterSystem(alter) => self.alter_system(alter).await,
            Statement::CreateRestorePoint(Name { text, .. }) => {
                let name = text.clone();
                self.change_past(move |catalog| catalog.create_restore_point(&name)).await.map(|point| {
                    let notice = format!("restore point \"{text}\" is snapshot {}", point.snapshot.0);
                    Outcome::Command { tag: tag.into(), rows: 0, notices: vec![notice] }
                })
            }
            Statement::DropRestorePoint { name: Name { text, .. }, if_exists } => {
                let name = text.clone();
                match self.change_past(move |catalog| catalog.drop_restore_point(&name)).await {
                    Err(error) if *if_exists && error.state == SqlState::UNDEFINED_OBJECT => {
                        let notice = format!("restore point \"{text}\" does not exist, skipping");
                        Ok(Outcome::Command { tag: tag.into(), rows: 0, notices: vec![notice] })
                    }
                    done => done.map(|()| Outcome::command(tag)),
                }
            }
            _ => return None,
        };
        Some(done)
    }

    async fn alter_system(&self, alter: &AlterSystem) -> SqlResult<Outcome> {
        if alter.name != SNAPSHOT_RETENTION {
            let message = format!("parameter \"{}\" cannot be changed with ALTER SYSTEM", alter.name);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(format!(
                "It changes {SNAPSHOT_RETENTION}; other settings are SET, or options of \"damson master\"."
            )));
        }
        let retention = match &alter.value {
            None => Duration::ZERO,
            Some(value) => duration(value).ok_or_else(|| {
                let message = format!("invalid value for parameter \"{SNAPSHOT_RETENTION}\": \"{value}\"");
                SqlError::new(SqlState::INVALID_PARAMETER, message)
                    .with_hint("It is a time: milliseconds, or a number with ms, s, min, h or d.")
            })?,
        };
        self.change_past(move |catalog| catalog.set_retention(retention)).await?;
        Ok(Outcome::command("ALTER SYSTEM"))
    }

    /// # Errors
    /// 25006 where the session's transactions may change nothing, and those of `change`.
    async fn change_past<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> SqlResult<T> {
        if self.settings.lock().default_read_only() {
            let message = "cannot change what is kept of the past in a read-only transaction";
            return Err(SqlError::new(SqlState::READ_ONLY_TRANSACTION, message));
        }
        self.master.files.in_catalog(change).await
    }

    /// How long snapshots are kept, as SHOW gives it.
    pub(super) fn snapshot_retention(&self) -> String {
        snapshot_retention_text(self.master.catalog.history().retention)
    }
}
