//! ALTER TABLE … EXPAND TABLE: a table is laid out by the newest bucket map while others read and write it.
//!
//! Rows that leave their segments are moved a group of files at a time, from the newest snapshot: new files where the rows go, delete vectors
//! where they were, nothing of it committed. Row groups that leave as a whole are not decoded for that ([`handover`]). A group of which somebody has changed a file meanwhile is moved again. When little is left writers
//! wait: the rest is moved, and all of it committed with the table's new map. Queries go on reading their snapshots. In a bucket rows stay in their
//! files, which get other readers ([`shared`]).

mod handover;
mod moves;
mod pace;
mod pieces;
mod report;
mod shared;

pub use report::Expanded;

use super::{Outcome, Session};
use crate::catalog::{Commit, TableEntry};
use crate::ddl::find_table;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::locks::LockMode;
use crate::sql::{Isolation, RelationName};
use crate::transaction::{LockWait, Transaction};
use damson_cluster::{ContentId, Distribution, FileEntry, TableDef, failpoint};
use moves::Moves;
use pace::Pace;
use pieces::Pieces;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Bytes of each segment's files whose rows are moved at once: what is moved again if one of them changes.
const GROUP_BYTES: u64 = 128 << 20;

/// Of each segment's files in a bucket, of which nothing is moved, so many are given to others at once.
const GROUP_FILES: u64 = 64;

/// Files that may be left when writers begin to wait, and their bytes: a fraction of a second's work.
const LEFT_FILES_MAX: usize = 64;
const LEFT_BYTES_MAX: u64 = 16 << 20;

/// Rounds after which writers wait however much is left: they change files as fast as these are moved.
const ROUNDS_MAX: usize = 8;

/// How long others wait behind this statement for the writers that are at work, before it lets them pass and tries again.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// Between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(300);

/// Tries after which what was written meanwhile is moved first, about half a minute.
const LOCK_TRIES: usize = 60;

/// How often that is done before it gives up, about ten minutes.
const LOCK_ROUNDS: usize = 20;

impl Session {
    /// Outside of a transaction: what is moved before the commit is nobody's.
    ///
    /// # Errors
    /// 42P01; 55P03 if writers did not end for ten minutes; 57014; what reading and writing meet. Nothing is changed then.
    pub(super) async fn expand_table(
        self: &Arc<Self>,
        table: &RelationName,
        if_exists: bool,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let mut transaction =
            Transaction::new(&self.master, self.id, Isolation::ReadCommitted, self.default_read_only());
        transaction.begin_change(&self.master, "ALTER TABLE")?;
        let mut pieces = Pieces::default();
        let expanded = match self.expand(table, &mut transaction, &mut pieces, &cancel).await {
            Err(error) if if_exists && error.state == SqlState::UNDEFINED_TABLE => {
                Ok((0, vec![format!("relation \"{}\" does not exist, skipping", table.name)]))
            }
            expanded => expanded,
        };
        // What was not made the transaction's.
        self.discard(&pieces.new_files()).await;
        let (rows, notices) = expanded?;
        self.commit(transaction, SqlError::from).await?;
        failpoint("expand.after_switch");
        Ok(Outcome::Command { tag: "ALTER TABLE".into(), rows, notices })
    }

    /// Gives the number of rows that moved, and notices.
    async fn expand(
        self: &Arc<Self>,
        name: &RelationName,
        transaction: &mut Transaction,
        pieces: &mut Pieces,
        cancel: &CancellationToken,
    ) -> SqlResult<(u64, Vec<String>)> {
        let mut moves: Option<Moves> = None;
        let mut round = 1;
        let mut pace = Pace::new(self.settings.lock().expand_max_rate(), Instant::now());
        loop {
            if let Some(notice) = self.catch_up(name, &mut moves, transaction, pieces, &mut pace, cancel).await? {
                return Ok((0, vec![notice]));
            }
            match self.switch(name, moves.as_ref(), transaction, pieces, cancel).await {
                // While one keeps the table, others write.
                Err(error) if error.state == SqlState::LOCK_NOT_AVAILABLE && round < LOCK_ROUNDS => round += 1,
                switched => return switched,
            }
        }
    }

    /// Moves rows until little is left. Gives a notice if there is nothing to do.
    async fn catch_up(
        self: &Arc<Self>,
        name: &RelationName,
        moves: &mut Option<Moves>,
        transaction: &mut Transaction,
        pieces: &mut Pieces,
        pace: &mut Pace,
        cancel: &CancellationToken,
    ) -> SqlResult<Option<String>> {
        for round in 0..ROUNDS_MAX {
            transaction.begin_statement()?;
            let catalog = transaction.state();
            let entry = find_table(&catalog, name, &self.search_schema())?;
            let map = Arc::clone(catalog.current_map());
            if entry.def.map_version == map.version {
                return Ok(Some(format!(
                    "table \"{}\" is laid out by bucket map {} already",
                    entry.def.name, map.version.0
                )));
            }
            // The first round says which rows go; another map, or definition, says so anew.
            let is_same = moves.as_ref().is_some_and(|moves| moves.is_of(&entry.def, &map));
            if !is_same {
                *moves = Some(Moves::of(&catalog, &entry, &map)?);
                self.discard(&pieces.take_all()).await;
            }
            let moves = moves.as_ref().expect("just made");
            self.discard(&pieces.drop_outdated(&entry)).await;
            let left = pieces.left(moves, &entry);
            if round > 0 && left.len() <= LEFT_FILES_MAX && bytes_of(&left) <= LEFT_BYTES_MAX {
                break;
            }
            for group in groups(left, moves.is_in_bucket(), pace) {
                let piece = self.move_group(&catalog, moves, &group, cancel).await?;
                let wait = pace.wait_after(piece.bytes, Instant::now());
                pieces.add(piece);
                failpoint("expand.after_group");
                tokio::select! {
                    () = cancel.cancelled() => return Err(SqlError::canceled()),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
        Ok(None)
    }

    /// What is left, and the commit, while nobody writes to the table.
    async fn switch(
        self: &Arc<Self>,
        name: &RelationName,
        moves: Option<&Moves>,
        transaction: &mut Transaction,
        pieces: &mut Pieces,
        cancel: &CancellationToken,
    ) -> SqlResult<(u64, Vec<String>)> {
        let entry = self.lock_writers_out(name, transaction, cancel).await?;
        let started = Instant::now();
        let catalog = transaction.state();
        let map = Arc::clone(catalog.current_map());
        let Some(moves) = moves.filter(|moves| moves.is_of(&entry.def, &map)) else {
            let message = format!("could not expand table \"{}\": it was redefined meanwhile", entry.def.name);
            return Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, message).with_hint("Try again."));
        };
        self.discard(&pieces.drop_outdated(&entry)).await;
        for group in groups(pieces.left(moves, &entry), moves.is_in_bucket(), &Pace::new(None, started)) {
            pieces.add(self.move_group(&catalog, moves, &group, cancel).await?);
        }
        if let Some(piece) = moves.whole_files(&entry) {
            pieces.add(piece);
        }
        let (rows, bytes, copied_bytes) = pieces.moved();
        let mut commit = pieces.take_commit();
        commit.drops.extend(moves.copies_dropped(&entry));
        commit.new_layout = Some(TableDef { map_version: map.version, ..(*entry.def).clone() });
        let bound = self.bind_nothing(catalog)?;
        self.add(transaction, &bound, commit, cancel).await?;
        failpoint("expand.before_switch");
        let waited_ms = started.elapsed().as_millis() as u64;
        tracing::info!(table = %entry.def.qualified_name(), map = map.version.0, rows, bytes, copied_bytes, waited_ms, "table expanded");
        let expanded = Expanded { rows, bytes, copied_bytes, writers_waited_ms: waited_ms };
        Ok((rows, vec![expanded.notice(&entry.def.name, map.version.0)]))
    }

    /// Locks the table against writers. They wait behind this lock while it waits for others, so it does not wait for long.
    async fn lock_writers_out(
        &self,
        name: &RelationName,
        transaction: &mut Transaction,
        cancel: &CancellationToken,
    ) -> SqlResult<Arc<TableEntry>> {
        let wait = LockWait { timeout: Some(LOCK_WAIT), cancel, nowait: false };
        for _ in 1..LOCK_TRIES {
            let locked = transaction.lock(name, &self.search_schema(), LockMode::ShareRowExclusive, wait).await;
            match locked {
                Err(error) if error.state == SqlState::LOCK_NOT_AVAILABLE => {}
                locked => return locked,
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(SqlError::canceled()),
                () = tokio::time::sleep(LOCK_PAUSE) => {}
            }
        }
        transaction.lock(name, &self.search_schema(), LockMode::ShareRowExclusive, wait).await
    }
}

fn bytes_of(files: &[Arc<FileEntry>]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

/// Files that are moved at once: of each segment some, so that all of them are at work.
fn groups(files: Vec<Arc<FileEntry>>, are_in_bucket: bool, pace: &Pace) -> Vec<Vec<Arc<FileEntry>>> {
    let segments = files.iter().map(|file| file.content).collect::<BTreeSet<_>>().len().max(1) as u64;
    let most = if are_in_bucket { GROUP_FILES } else { (pace.at_once(GROUP_BYTES * segments) / segments).max(1) };
    let mut groups: BTreeMap<u64, Vec<Arc<FileEntry>>> = BTreeMap::new();
    // Of the same segment, in groups so far.
    let mut before: BTreeMap<ContentId, u64> = BTreeMap::new();
    for file in files {
        let before = before.entry(file.content).or_default();
        let group = *before / most;
        *before += if are_in_bucket { 1 } else { file.bytes };
        groups.entry(group).or_default().push(file);
    }
    groups.into_values().collect()
}

impl Pieces {
    /// All that they change; they are nobody's any more.
    fn take_commit(&mut self) -> Commit {
        let mut commit = Commit::default();
        for piece in self.take() {
            commit.adds.extend(piece.commit.adds);
            commit.drops.extend(piece.commit.drops);
            commit.deletes.extend(piece.commit.deletes);
        }
        commit
    }
}

/// Whether a table's rows have buckets.
fn is_hashed(def: &TableDef) -> bool {
    matches!(def.distribution, Distribution::Hashed(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{SnapshotId, TableId};

    fn file(content: i32, megabytes: u64) -> Arc<FileEntry> {
        Arc::new(FileEntry {
            table: TableId(5),
            content: ContentId(content),
            path: String::new(),
            rows: 1,
            bytes: megabytes << 20,
            checksum: 0,
            buckets: None,
            columns: vec![],
            deletes: None,
            created: SnapshotId(0),
        })
    }

    #[test]
    fn each_group_has_work_for_every_segment() {
        let files: Vec<Arc<FileEntry>> = (0..60).map(|at| file(at % 20, 100)).collect();
        let free = Pace::new(None, Instant::now());
        let of_groups = |files: Vec<Arc<FileEntry>>, are_in_bucket, pace: &Pace| {
            let groups = groups(files, are_in_bucket, pace);
            let segments = |group: &Vec<Arc<FileEntry>>| {
                (group.len(), group.iter().map(|file| file.content).collect::<BTreeSet<_>>().len())
            };
            groups.iter().map(segments).collect::<Vec<_>>()
        };
        assert_eq!(of_groups(files.clone(), false, &free), [(40, 20), (20, 20)]);
        assert_eq!(of_groups(files.clone(), true, &free), [(60, 20)]);
        // At 100 MB a second, of each segment one file.
        let slow = Pace::new(Some(100 << 20), Instant::now());
        assert_eq!(of_groups(files, false, &slow), [(20, 20), (20, 20), (20, 20)]);
        assert_eq!(of_groups((0..150).map(|_| file(0, 1)).collect(), true, &slow), [(64, 1), (64, 1), (22, 1)]);
        assert!(of_groups(vec![], false, &free).is_empty());
    }
}
