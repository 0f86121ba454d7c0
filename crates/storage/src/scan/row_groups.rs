//! The row groups of one partition of a scan, in order, without those that the filters exclude.

use super::decode::Fetching;
use super::files::TableFiles;
use super::pages::{Pieces, indexed_columns, pieces};
use super::pruning::Pruner;
use super::shares::Share;
use crate::StorageError;
use crate::deletes::DeletedRows;
use crate::footers::{FileIdentity, Footer};
use crate::key_index::may_hold;
use crate::limits::READ_AHEAD_FOOTERS;
use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::metrics::Count;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// One row group of a file. It has rows.
#[derive(Clone, Debug)]
pub(crate) struct RowGroup {
    pub file: Arc<FileIdentity>,
    pub footer: Arc<Footer>,
    pub index: usize,
    pub rows: usize,
    /// Position of the file among those of the scan.
    pub file_number: usize,
    /// Number of its first row in the file.
    pub first_row: u64,
    /// Of the whole file; None where all of its rows are there.
    pub deleted: Option<DeletedRows>,
    /// Whether these rows are deleted for good. What a transaction that has not committed reads is of no use to others.
    pub is_committed: bool,
    /// Which of its pieces are read; None: all.
    pub pieces: Option<Pieces>,
}

/// What a partition counts of that which it need not read; see [`ScanCounts`](damson_cluster::ScanCounts).
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub files: Count,
    pub files_pruned: Count,
    pub row_groups: Count,
    pub row_groups_pruned: Count,
    pub row_groups_filtered: Count,
    pub chunks: Count,
    pub chunks_pruned: Count,
}

/// Which row groups of a file are read at all, whatever filters say.
#[derive(Clone)]
pub(crate) struct RowGroupChoice(pub Arc<IsChosen>);

/// Of a file and the number of one of its row groups.
type IsChosen = dyn Fn(&Footer, usize) -> bool + Send + Sync;

impl fmt::Debug for RowGroupChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowGroupChoice")
    }
}

/// What a partition has not read yet.
pub(crate) struct RowGroups {
    files: Arc<TableFiles>,
    /// Files that were not begun.
    shares: VecDeque<Share>,
    /// Of the file that was begun.
    ready: VecDeque<RowGroup>,
    pruner: Option<Pruner>,
    /// None: all may be read.
    choice: Option<RowGroupChoice>,
    counts: Counts,
    /// Of a bucket: the files whose footers are on their way.
    coming: VecDeque<(Arc<FileIdentity>, SpawnedTask<()>)>,
}

impl RowGroups {
    pub(crate) fn new(
        files: Arc<TableFiles>,
        shares: &[Share],
        pruner: Option<Pruner>,
        choice: Option<RowGroupChoice>,
        counts: Counts,
    ) -> Self {
        let (shares, ready, coming) = (shares.iter().cloned().collect(), VecDeque::new(), VecDeque::new());
        RowGroups { files, shares, ready, pruner, choice, counts, coming }
    }

    /// The next row group; None after the last. Verifies a file before its first, and asks its Bloom filters and page index.
    pub(crate) async fn next(&mut self) -> Result<Option<RowGroup>, StorageError> {
        loop {
            if let Some(row_group) = self.next_of_file() {
                return Ok(Some(row_group));
            }
            let Some(share) = self.shares.pop_front() else { return Ok(None) };
            if self.excludes_file(&share) {
                continue;
            }
            self.look_ahead(&share.file);
            let footer = self.files.footers.get(&share.file).await?;
            let deleted = match &share.deletes {
                Some(vector) => Some(self.files.deletes.get(share.file.table, vector).await?),
                None => None,
            };
            self.begin(share, footer, deleted)?;
            self.look_closer().await?;
        }
    }

    /// As [`RowGroups::next`], but None also where a file would have to be verified, or more of it read, first: whoever asks for a row group
    /// ahead of time may not come back soon, and other scans would wait for that file.
    pub(crate) fn next_at_hand(&mut self) -> Result<Option<RowGroup>, StorageError> {
        loop {
            if let Some(row_group) = self.next_of_file() {
                return Ok(Some(row_group));
            }
            let Some(share) = self.shares.front() else { return Ok(None) };
            let Some(footer) = self.files.footers.loaded(&share.file) else { return Ok(None) };
            if self.pruner.as_mut().is_some_and(|pruner| asks_more(pruner, &footer)) {
                return Ok(None);
            }
            let deleted = share.deletes.as_ref().map(|vector| self.files.deletes.loaded(vector));
            if deleted.as_ref().is_some_and(Option::is_none) {
                return Ok(None);
            }
            if let Some(share) = self.shares.pop_front()
                && !self.excludes_file(&share)
            {
                self.look_ahead(&share.file);
                self.begin(share, footer, deleted.flatten())?;
            }
        }
    }

    /// Begins to read the footers and delete vectors of the next files, where a bucket takes its time for each of them.
    fn look_ahead(&mut self, current: &Arc<FileIdentity>) {
        if !self.files.place.is_remote() {
            return;
        }
        let is_left = |file: &Arc<FileIdentity>| self.shares.iter().any(|share| Arc::ptr_eq(&share.file, file));
        self.coming.retain(|(file, _)| Arc::ptr_eq(file, current) || is_left(file));
        for share in self.shares.iter().take(READ_AHEAD_FOOTERS) {
            let is_excluded = match (&mut self.pruner, &share.statistics) {
                (Some(pruner), Some(statistics)) => pruner.excludes_file(statistics),
                _ => false,
            };
            if is_excluded || self.coming.iter().any(|(file, _)| Arc::ptr_eq(file, &share.file)) {
                continue;
            }
            let (files, file, deletes) = (Arc::clone(&self.files), Arc::clone(&share.file), share.deletes.clone());
            let task = SpawnedTask::spawn(async move {
                // Whoever needs them asks again, and is told then what is wrong.
                let footer = async { files.footers.get(&file).await.is_ok() };
                let vector = async {
                    match &deletes {
                        Some(vector) => files.deletes.get(file.table, vector).await.is_ok(),
                        None => true,
                    }
                };
                tokio::join!(footer, vector);
            });
            self.coming.push_back((Arc::clone(&share.file), task));
        }
    }

    /// Asks the filters, which may have tightened since the row group was handed out.
    pub(crate) fn excludes(&mut self, row_group: &RowGroup) -> bool {
        let excluded = match &mut self.pruner {
            Some(pruner) => pruner.excludes(&row_group.footer, row_group.index),
            None => false,
        };
        self.counts.row_groups_pruned.add(usize::from(excluded));
        excluded
    }

    /// Asks them about the pieces of a row group that is in the cache.
    pub(crate) fn narrow(&mut self, fetching: &mut Fetching, projection: &[usize]) {
        let Some(compiled) = self.pruner.as_mut().and_then(Pruner::compiled) else { return };
        if let Some((pieces, left_out)) = fetching.narrow(compiled, projection) {
            self.counts.chunks.add(pieces);
            self.counts.chunks_pruned.add(left_out);
        }
    }

    /// Called once for each share. Of a file that several partitions read, the one that has its beginning counts it.
    fn excludes_file(&mut self, share: &Share) -> bool {
        let excluded = match (&mut self.pruner, &share.statistics) {
            (Some(pruner), Some(statistics)) => pruner.excludes_file(statistics),
            _ => false,
        };
        let is_first = usize::from(share.range.start == 0);
        self.counts.files.add(is_first);
        self.counts.files_pruned.add(if excluded { is_first } else { 0 });
        excluded
    }

    /// Reads what the file that was begun says of its row groups beside their statistics, where a filter asks for it: Bloom filters,
    /// then the page index of those that are left.
    async fn look_closer(&mut self) -> Result<(), StorageError> {
        let asked = self.pruner.as_mut().map(Pruner::asked).unwrap_or_default();
        let mut left = VecDeque::with_capacity(self.ready.len());
        while let Some(mut row_group) = self.next_of_file() {
            if !may_hold(&self.files, &row_group.file, &row_group.footer, row_group.index, &asked).await? {
                self.counts.row_groups_filtered.add(1);
                continue;
            }
            if let Some(compiled) = self.pruner.as_mut().and_then(Pruner::compiled) {
                let (file, footer) = (&row_group.file, &row_group.footer);
                let pieces = pieces(&self.files, file, footer, row_group.index, compiled).await?;
                row_group.pieces = pieces;
            }
            if let Some(pieces) = &row_group.pieces {
                let pruned = pieces.wanted.iter().filter(|is_wanted| !**is_wanted).count();
                self.counts.chunks.add(pieces.wanted.len());
                self.counts.chunks_pruned.add(pruned);
                if pruned == pieces.wanted.len() {
                    continue;
                }
            }
            left.push_back(row_group);
        }
        self.ready = left;
        Ok(())
    }

    fn begin(&mut self, share: Share, footer: Arc<Footer>, deleted: Option<DeletedRows>) -> Result<(), StorageError> {
        // Those of a key that the filters ask for: of several row groups that are divided by buckets, one has it.
        let buckets = match (&footer.buckets, &mut self.pruner) {
            (Some(ranges), Some(pruner)) => ranges.buckets_of(&pruner.asked()).map(|buckets| (ranges, buckets)),
            _ => None,
        };
        let mut first_row = 0;
        for (index, row_group) in footer.metadata.metadata().row_groups().iter().enumerate() {
            // Without columns there is nothing to begin anywhere.
            let begin = row_group.columns().first().map_or(0, |column| column.byte_range().0);
            let rows = usize::try_from(row_group.num_rows())
                .map_err(|_| share.file.corrupt(format!("row group {index} has {} rows", row_group.num_rows())))?;
            // A row group whose rows are all deleted is as one without rows.
            let is_there = deleted.as_ref().is_none_or(|deleted| {
                deleted.range_cardinality(first_row as u32..first_row as u32 + rows as u32) < rows as u64
            });
            let is_chosen = self.choice.as_ref().is_none_or(|choice| choice.0(&footer, index));
            let is_asked = buckets.as_ref().is_none_or(|(ranges, buckets)| ranges.has_any(index, buckets));
            if rows > 0 && is_there && is_chosen && share.range.contains(&begin) {
                self.counts.row_groups.add(1);
                if !is_asked {
                    self.counts.row_groups_pruned.add(1);
                    first_row += rows as u64;
                    continue;
                }
                self.ready.push_back(RowGroup {
                    file: Arc::clone(&share.file),
                    footer: Arc::clone(&footer),
                    index,
                    rows,
                    file_number: share.number,
                    first_row,
                    deleted: deleted.clone(),
                    is_committed: share.deletes.as_ref().is_none_or(|vector| vector.is_committed()),
                    pieces: None,
                });
            }
            first_row += rows as u64;
        }
        Ok(())
    }

    fn next_of_file(&mut self) -> Option<RowGroup> {
        loop {
            let row_group = self.ready.pop_front()?;
            if !self.excludes(&row_group) {
                return Some(row_group);
            }
        }
    }
}

/// Whether the filters ask the file's Bloom filters, or its page index.
fn asks_more(pruner: &mut Pruner, footer: &Footer) -> bool {
    let columns = footer.metadata.metadata().row_groups().first().map_or(&[][..], |row_group| row_group.columns());
    let has_filter = |position: usize| columns.get(position).is_some_and(|c| c.bloom_filter_offset().is_some());
    pruner.asked().iter().any(|asked| has_filter(asked.column))
        || pruner.compiled().is_some_and(|compiled| !indexed_columns(compiled, columns).is_empty())
}
