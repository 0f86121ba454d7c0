//! Tables in buckets: their rows stay where they are.
//!
//! A segment that becomes the owner of rows gets an entry of its own for the file that they are in, with a delete vector of its own that deletes
//! the rows of others; the vector of who had them deletes those that left. So no two segments write one vector, and whatever minds deleted rows is right.
//! The key's columns are read, once by each that keeps rows of a file, and about a bit a row is written. Compaction separates the rows later.

use super::moves::Moves;
use super::pieces::Piece;
use crate::catalog::{CatalogState, Commit, FileKey, TableEntry};
use crate::engine::DamsonTable;
use crate::error::{SqlResult, internal, of_datafusion};
use crate::planner::{Output, TableTarget, WriteTarget};
use crate::session::Session;
use crate::session::write::{Changed, Reports, unchecked};
use damson_cluster::{BUCKETS, BucketMap, ContentId, DeleteVector, FileEntry, SecretType};
use damson_motion::{HashFilterExec, Kept, ModifyKind};
use datafusion::catalog::TableProvider;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The segments that a hashed table's file may have rows for which leave its own: one for each bucket.
pub(super) fn takers(file: &FileEntry, old: &BucketMap, new: &BucketMap) -> impl Iterator<Item = ContentId> {
    let (low, high) = file.buckets.unwrap_or((0, (BUCKETS - 1) as u16));
    let own = (low..=high).filter(move |&bucket| old.owner(bucket) == file.content);
    own.map(move |bucket| new.owner(bucket)).filter(move |&owner| owner != file.content)
}

/// The entry by which a segment reads a file from now on.
fn share(file: &FileEntry, reader: ContentId) -> FileEntry {
    file.shared_with(reader, &Uuid::now_v7())
}

impl Session {
    /// Gives the rows of some files that leave to their new owners, and commits nothing.
    pub(super) async fn share_group(
        self: &Arc<Self>,
        catalog: &Arc<CatalogState>,
        moves: &Moves,
        files: &[Arc<FileEntry>],
        key: &[usize],
        cancel: &CancellationToken,
    ) -> SqlResult<Piece> {
        let (def, map) = (moves.def(), moves.map());
        let of_file = |file: &Arc<FileEntry>| -> Vec<Shared> {
            let of_taker = |taker| Shared { of: Arc::clone(file), entry: share(file, taker) };
            moves.takers(file).collect::<BTreeSet<_>>().into_iter().map(of_taker).collect()
        };
        let shares: Vec<Shared> = files.iter().flat_map(of_file).collect();
        let of_shares = shares.iter().map(|share| Arc::new(share.entry.clone()));
        // Each segment deletes what is not its own, of both kinds alike.
        let supposed = self.master.catalog.suppose(catalog, def.id, files.iter().cloned().chain(of_shares))?;
        let entry = supposed.table_by_id(def.id).ok_or_else(|| internal("a table that was supposed is not there"))?;
        let only: HashSet<FileKey> = entry.files.iter().map(|file| FileKey::of(file)).collect();
        let bound = self.bind_nothing(Arc::clone(&supposed))?;
        let named: Vec<usize> = key.iter().copied().chain(def.columns.len()..def.columns.len() + 3).collect();
        let table = DamsonTable::with_row_ids(Arc::clone(entry), catalog.current_map().segment_count());
        let scan = table.scan(&*bound.state, Some(&named), &[], None).await.map_err(of_datafusion)?;
        let keys = (0..key.len()).map(|position| column(&scan, position)).collect();
        let leaving: Arc<dyn ExecutionPlan> = Arc::new(HashFilterExec::new(Kept::Leaving(keys), map.version, scan));
        let ids = (key.len()..named.len())
            .map(|position| (column(&leaving, position), leaving.schema().field(position).name().clone()));
        let ids = ProjectionExec::try_new(ids.collect::<Vec<_>>(), Arc::clone(&leaving)).map_err(of_datafusion)?;
        let table = TableTarget { map: map.version, ..unchecked(def) };
        let target = WriteTarget::Modify { table, kind: ModifyKind::Delete, once: None };
        let slices = self.slice(&bound, Arc::new(ids), Output::Write(target))?;
        let running = self.dispatch_over(&bound, &slices, only, cancel.clone()).await?;
        let Changed { commit, .. } = self.changed(&bound, running, def, Reports::Modifications, false).await?;
        let written = commit.new_files();
        match divided(files, shares, commit) {
            Ok((commit, rows, bytes)) => Ok(Piece { bytes, ..Piece::shared(files, commit, rows) }),
            Err(wrong) => {
                self.discard(&written).await;
                Err(internal(wrong))
            }
        }
    }
}

fn column(plan: &Arc<dyn ExecutionPlan>, position: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(plan.schema().field(position).name(), position))
}

/// A new entry, not committed, and whose rows it has.
struct Shared {
    of: Arc<FileEntry>,
    entry: FileEntry,
}

/// Makes new entries of what was deleted from them. Gives rows that have a new owner, and bytes that were written, too.
///
/// # Errors
/// Rows of a file that nobody has afterwards, or several.
fn divided(files: &[Arc<FileEntry>], shares: Vec<Shared>, reported: Commit) -> Result<(Commit, u64, u64), String> {
    let bytes = reported.deletes.iter().map(|(_, _, vector)| vector.bytes).sum();
    let mut emptied: HashSet<FileKey> = reported.drops.iter().map(|(_, file)| file.clone()).collect();
    let mut vectors: HashMap<FileKey, DeleteVector> =
        reported.deletes.into_iter().map(|(_, file, vector)| (file, vector)).collect();
    let (mut commit, mut moved) = (Commit { deletes: vec![], drops: vec![], ..reported }, 0);
    let mut live: HashMap<FileKey, u64> = HashMap::new();
    for Shared { of, mut entry } in shares {
        let key = FileKey::of(&entry);
        if emptied.remove(&key) {
            continue;
        }
        if let Some(vector) = vectors.remove(&key) {
            entry.deletes = Some(vector);
        }
        *live.entry(FileKey::of(&of)).or_default() += entry.live_rows();
        moved += entry.live_rows();
        commit.adds.push(entry);
    }
    for file in files {
        let key = FileKey::of(file);
        let given = live.get(&key).copied().unwrap_or(0);
        let left = if emptied.remove(&key) {
            commit.drops.push((file.table, key));
            0
        } else if let Some(vector) = vectors.remove(&key) {
            let left = file.rows.saturating_sub(vector.rows);
            commit.deletes.push((file.table, key, vector));
            left
        } else {
            file.live_rows()
        };
        if left + given != file.live_rows() {
            let FileEntry { path, content, .. } = &**file;
            return Err(format!(
                "{path} of {content} has {} rows, of which {left} stay and {given} leave",
                file.live_rows()
            ));
        }
    }
    if let Some(file) = vectors.into_keys().chain(emptied).next() {
        return Err(format!("rows of {} were deleted, which was not asked for", file.path));
    }
    Ok((commit, moved, bytes))
}

/// A replicated table's files, which segments without a copy read from now on.
pub(super) fn share_copies(entry: &TableEntry, from: ContentId, to: &[ContentId]) -> Piece {
    let files = entry.files.of(from);
    let adds = files.iter().flat_map(|file| to.iter().map(|&reader| share(file, reader))).collect::<Vec<_>>();
    let rows = adds.iter().map(FileEntry::live_rows).sum();
    Piece::shared(&[], Commit { adds, ..Commit::default() }, rows)
}

/// A random table's files, of which segments that have more than their share of rows give some to those that have less.
pub(super) fn share_evenly(entry: &TableEntry, map: &BucketMap) -> Piece {
    let (mut commit, mut rows) = (Commit::default(), 0);
    let files: Vec<Arc<FileEntry>> = entry.files.iter().cloned().collect();
    for (file, reader) in givings(files, map) {
        rows += file.live_rows();
        commit.adds.push(share(&file, reader));
        commit.drops.push((entry.def.id, FileKey::of(&file)));
    }
    Piece::shared(&[], commit, rows)
}

/// Whole files, and who gets them: as long as that makes it more even, and all files of segments that own nothing.
fn givings(mut files: Vec<Arc<FileEntry>>, map: &BucketMap) -> Vec<(Arc<FileEntry>, ContentId)> {
    let total: u64 = files.iter().map(|file| file.live_rows()).sum();
    let share = |buckets: usize| total as f64 * buckets as f64 / BUCKETS as f64;
    // Rows that a segment has more than its share, or less.
    let shares = map.bucket_counts().into_iter().map(|buckets| -share(buckets));
    let mut surplus: BTreeMap<ContentId, f64> = (0..).map(ContentId).zip(shares).collect();
    for file in &files {
        *surplus.entry(file.content).or_default() += file.live_rows() as f64;
    }
    // Large ones first: small ones level out what these leave.
    files.sort_by(|a, b| (b.live_rows(), &a.path).cmp(&(a.live_rows(), &b.path)));
    let mut given = vec![];
    for file in files {
        let rows = file.live_rows() as f64;
        let taker = map.owning_segments().into_iter().min_by(|a, b| surplus[a].total_cmp(&surplus[b]));
        let Some(taker) = taker.filter(|taker| *taker != file.content) else { continue };
        let gains = surplus[&file.content] - surplus[&taker] > rows;
        let must_go = !map.owns_any(file.content);
        if must_go || (surplus[&file.content] > 0.0 && surplus[&taker] < 0.0 && gains) {
            *surplus.entry(file.content).or_default() -= rows;
            *surplus.entry(taker).or_default() += rows;
            given.push((file, taker));
        }
    }
    given
}

/// Whether segments can read each other's files of the table.
pub(super) fn is_in_bucket(catalog: &CatalogState, entry: &TableEntry) -> bool {
    let tablespace = entry.def.tablespace.and_then(|id| catalog.tablespace_by_id(id));
    tablespace.is_some_and(|tablespace| SecretType::of_url(&tablespace.location).is_some())
}

#[cfg(test)]
mod tests;
