//! Tables in buckets: their rows stay where they are.
//!
//! A segment that becomes the owner of rows gets an entry of its own for the file that they are in, with a delete vector of its own that deletes
//! the rows of others; the vector of who had them deletes those that left. So no two segments write one vector, and whatever minds deleted rows is right.
//! Who had the file says which rows are whose ([`handover`](super::handover)): of row groups whose buckets have one owner without reading them. Compaction
//! separates the rows later.

use super::pieces::Piece;
use crate::catalog::{CatalogState, Commit, FileKey, TableEntry};
use damson_cluster::{BUCKETS, BucketMap, ContentId, FileEntry, SecretType};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Whether rows of a hashed table's file may leave its segment.
pub(super) fn some_leave(file: &FileEntry, old: &BucketMap, new: &BucketMap) -> bool {
    let (low, high) = file.buckets.unwrap_or((0, (BUCKETS - 1) as u16));
    (low..=high).any(|bucket| old.owner(bucket) == file.content && new.owner(bucket) != file.content)
}

/// The entry by which a segment reads a file from now on.
fn share(file: &FileEntry, reader: ContentId) -> FileEntry {
    file.shared_with(reader, &Uuid::now_v7())
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
        let taker = map.owning_segments().iter().min_by(|a, b| surplus[a].total_cmp(&surplus[b]));
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
