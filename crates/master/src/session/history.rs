//! What is kept of the past: restore points, and settings of the cluster.

use super::settings::{duration_of_text, duration_text};
use super::{Outcome, Session};
use crate::catalog::{Catalog, CatalogError};
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{AlterSystem, Name, Statement};
use damson_cluster::{BucketMap, ContentId, MapVersion};
use std::sync::Arc;
use std::time::Duration;

/// Settings of the cluster that a statement can change.
pub(super) const SNAPSHOT_RETENTION: &str = "snapshot_retention";
/// Which segment owns how many buckets, for tables that are made from now on.
pub(super) const BUCKET_MAP: &str = "bucket_map";

impl Session {
    /// Runs a statement that is no part of a transaction: what it changes cannot be rolled back. None if it is another.
    pub(super) async fn keep_past(&self, statement: &Statement) -> Option<SqlResult<Outcome>> {
        let tag = statement.name();
        let done = match statement {
            Statement::AlterSystem(alter) => self.alter_system(alter).await,
            Statement::CreateRestorePoint(Name { text, .. }) => {
                let name = text.clone();
                self.change_cluster(move |catalog| catalog.create_restore_point(&name)).await.map(|point| {
                    let notice = format!("restore point \"{text}\" is snapshot {}", point.snapshot.0);
                    Outcome::Command { tag: tag.into(), rows: 0, notices: vec![notice] }
                })
            }
            Statement::DropRestorePoint { name: Name { text, .. }, if_exists } => {
                let name = text.clone();
                match self.change_cluster(move |catalog| catalog.drop_restore_point(&name)).await {
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
        if alter.name == BUCKET_MAP {
            return self.alter_bucket_map(alter.value.as_deref()).await;
        }
        if alter.name != SNAPSHOT_RETENTION {
            let message = format!("parameter \"{}\" cannot be changed with ALTER SYSTEM", alter.name);
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).with_hint(format!(
                "It changes {SNAPSHOT_RETENTION} and {BUCKET_MAP}; other settings are SET, or options of \"damson master\"."
            )));
        }
        let retention = match &alter.value {
            None => Duration::ZERO,
            Some(value) => duration_of_text(value).ok_or_else(|| {
                let message = format!("invalid value for parameter \"{SNAPSHOT_RETENTION}\": \"{value}\"");
                SqlError::new(SqlState::INVALID_PARAMETER, message)
                    .with_hint("It is a time: milliseconds, or a number with ms, s, min, h or d.")
            })?,
        };
        self.change_cluster(move |catalog| catalog.set_retention(retention)).await?;
        Ok(Outcome::command("ALTER SYSTEM"))
    }

    /// Without a value each segment owns as many buckets as any other.
    async fn alter_bucket_map(&self, value: Option<&str>) -> SqlResult<Outcome> {
        let owners = match value {
            None => {
                let current = Arc::clone(self.master.catalog.current().current_map());
                BucketMap::uniform(current.version, current.segment_count()).owners().to_vec()
            }
            Some(text) => BucketMap::parse_owners(text).map_err(|error| {
                let message = format!("invalid value for parameter \"{BUCKET_MAP}\": {error}");
                SqlError::new(SqlState::INVALID_PARAMETER, message)
                    .with_hint("Name each segment with the number of its buckets, in their order: '0*8192 1*8192'.")
            })?,
        };
        // What is refused adds no segments.
        self.check_may_change_cluster()?;
        let named = owners.iter().max().map_or(0, |&owner| usize::from(owner) + 1);
        BucketMap::from_owners(MapVersion(0), owners.clone(), named)
            .map_err(|error| SqlError::from(CatalogError::Map(error.to_string())))?;
        // Queries need them from the commit on. What is refused adds none.
        self.master.registry.check_members_up(&owners.iter().map(|&owner| ContentId(owner.into())).collect())?;
        self.master.registry.add(named)?;
        let catalog = Arc::clone(&self.master.catalog);
        let version = self.change_cluster(move |_| catalog.install_map(owners)).await?;
        let notice = format!("tables that are made from now on are laid out by bucket map {}", version.0);
        Ok(Outcome::Command { tag: "ALTER SYSTEM".into(), rows: 0, notices: vec![notice] })
    }

    /// # Errors
    /// 25006 where the session's transactions may change nothing, and those of `change`.
    async fn change_cluster<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> SqlResult<T> {
        self.check_may_change_cluster()?;
        self.master.files.in_catalog(change).await
    }

    /// # Errors
    /// 25006 where the session's transactions may change nothing.
    fn check_may_change_cluster(&self) -> SqlResult<()> {
        if self.settings.lock().default_read_only() {
            let message = "cannot change the cluster in a read-only transaction";
            return Err(SqlError::new(SqlState::READ_ONLY_TRANSACTION, message));
        }
        Ok(())
    }

    /// How long snapshots are kept, as SHOW gives it.
    pub(super) fn snapshot_retention(&self) -> String {
        duration_text(self.master.catalog.history().retention)
    }
}
