//! Reading the past, and deciding how much of it is kept.

use super::durable::{Catalog, Writer, state_of};
use super::error::CatalogError;
use super::history::{AsOf, History, RestorePoint};
use super::state::CatalogState;
use super::store::{Change, Durability, Transaction};
use damson_cluster::SnapshotId;
use std::sync::Arc;
use std::time::Duration;

/// How far the clock of who says now() may be ahead of the store's.
const CLOCKS_APART: Duration = Duration::from_secs(5);

impl Catalog {
    /// What can be read of the past.
    pub fn history(&self) -> Arc<History> {
        Arc::clone(&self.history.read())
    }

    /// Everything as of a past snapshot, which stays readable while it is held. Commits wait while it is read from the store.
    /// Blocks.
    ///
    /// # Errors
    /// [`CatalogError::NotKept`], [`CatalogError::InFuture`], [`CatalogError::NoRestorePoint`]; the store's.
    pub fn state_at(&self, at: &AsOf) -> Result<Arc<CatalogState>, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        let (current, history) = (self.current(), self.history());
        let snapshot = find(&mut writer, &current, &history, at)?;
        if snapshot == current.snapshot {
            return Ok(current);
        }
        if !history.keeps(snapshot) {
            return Err(CatalogError::NotKept { snapshot, from: history.from });
        }
        writer.past.retain(|_, state| state.strong_count() > 0);
        if let Some(state) = writer.past.get(&snapshot).and_then(|state| state.upgrade()) {
            return Ok(state);
        }
        // What it needs cannot be collected before it is pinned: that takes the writer.
        let stored = writer.store.load(Some(snapshot))?;
        let state = state_of(stored, self.pins())?.state;
        writer.past.insert(snapshot, Arc::downgrade(&state));
        Ok(state)
    }

    /// Names the newest snapshot, durably: it can be read until the name is dropped. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::RestorePointExists`]; the store's.
    pub fn create_restore_point(&self, name: &str) -> Result<RestorePoint, CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        if self.history().restore_points.contains_key(name) {
            return Err(CatalogError::RestorePointExists(name.to_owned()));
        }
        let snapshot = self.current().snapshot;
        let history = self.change_history(&mut writer, Change::PutRestorePoint { name: name.to_owned(), snapshot })?;
        history.restore_points.get(name).copied().ok_or_else(|| CatalogError::NoRestorePoint(name.to_owned()))
    }

    /// What it kept alone is collected. Blocks.
    ///
    /// # Errors
    /// [`CatalogError::NoRestorePoint`]; the store's.
    pub fn drop_restore_point(&self, name: &str) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        if !self.history().restore_points.contains_key(name) {
            return Err(CatalogError::NoRestorePoint(name.to_owned()));
        }
        self.change_history(&mut writer, Change::DropRestorePoint(name.to_owned()))?;
        Ok(())
    }

    /// How long snapshots are kept from now on; what is gone does not come back. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub fn set_retention(&self, retention: Duration) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        self.settle(&mut writer)?;
        self.change_history(&mut writer, Change::PutRetention(retention))?;
        Ok(())
    }

    /// Gives up the snapshots that are older than the retention, if files can go then. Durable before any of them does.
    pub(super) fn forget_past(&self, writer: &mut Writer) -> Result<(), CatalogError> {
        let history = self.history();
        let from = match micros(history.retention) {
            0 => self.current().snapshot,
            retention_us => {
                let now_us = writer.store.now_us()?;
                let Some(snapshot) = writer.store.snapshot_at(now_us.saturating_sub(retention_us))? else {
                    return Ok(());
                };
                snapshot
            }
        };
        let goes = writer.dropped.values().any(|file| history.from < file.dropped && file.dropped <= from);
        if goes {
            self.change_history(writer, Change::ForgetHistory(from))?;
        }
        Ok(())
    }

    fn change_history(&self, writer: &mut Writer, change: Change) -> Result<Arc<History>, CatalogError> {
        let changed = writer.apply(&[Transaction { snapshot: None, changes: vec![change] }], Durability::Synced);
        let history = changed.and_then(|()| writer.store.history());
        writer.in_doubt |= history.is_err();
        let history = Arc::new(history?);
        *self.history.write() = Arc::clone(&history);
        Ok(history)
    }
}

/// Microseconds; as many as there can be for longer.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn find(writer: &mut Writer, current: &CatalogState, history: &History, at: &AsOf) -> Result<SnapshotId, CatalogError> {
    match at {
        AsOf::Snapshot(snapshot) if *snapshot > current.snapshot => {
            let message = format!("snapshot {} does not exist: the newest is {}", snapshot.0, current.snapshot.0);
            Err(CatalogError::InFuture(message))
        }
        AsOf::Snapshot(snapshot) => Ok(*snapshot),
        AsOf::Time(us) if *us > writer.store.now_us()?.saturating_add(micros(CLOCKS_APART)) => {
            Err(CatalogError::InFuture("the time of AS OF is in the future".into()))
        }
        AsOf::Time(us) => {
            let snapshot = writer.store.snapshot_at(*us)?;
            snapshot.ok_or(CatalogError::NotKept { snapshot: SnapshotId(0), from: history.from })
        }
        AsOf::RestorePoint(name) => {
            let point = history.restore_points.get(name);
            point.map(|point| point.snapshot).ok_or_else(|| CatalogError::NoRestorePoint(name.clone()))
        }
    }
}
