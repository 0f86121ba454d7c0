//! The row groups of one partition of a scan, in order, without those that the filters exclude.

use super::files::TableFiles;
use super::pruning::Pruner;
use super::shares::Share;
use crate::StorageError;
use crate::deletes::DeletedRows;
use crate::footers::{FileIdentity, Footer};
use datafusion::physical_plan::metrics::Count;
use std::collections::VecDeque;
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
}

/// What a partition has not read yet.
pub(crate) struct RowGroups {
    files: Arc<TableFiles>,
    /// Files that were not begun.
    shares: VecDeque<Share>,
    /// Of the file that was begun.
    ready: VecDeque<RowGroup>,
    pruner: Option<Pruner>,
    pruned: Count,
}

impl RowGroups {
    /// `pruned` counts the row groups that are left out.
    pub(crate) fn new(files: Arc<TableFiles>, shares: &[Share], pruner: Option<Pruner>, pruned: Count) -> Self {
        RowGroups { files, shares: shares.iter().cloned().collect(), ready: VecDeque::new(), pruner, pruned }
    }

    /// The next row group; None after the last. Verifies a file before its first.
    pub(crate) async fn next(&mut self) -> Result<Option<RowGroup>, StorageError> {
        loop {
            if let Some(row_group) = self.next_of_file() {
                return Ok(Some(row_group));
            }
            let Some(share) = self.shares.pop_front() else { return Ok(None) };
            let footer = self.files.footers.get(&share.file).await?;
            let deleted = match &share.deletes {
                Some(vector) => Some(self.files.deletes.get(share.file.table, vector).await?),
                None => None,
            };
            self.begin(share, footer, deleted)?;
        }
    }

    /// As [`RowGroups::next`], but None also where a file would have to be verified first: whoever asks for a row group
    /// ahead of time may not come back soon, and other scans would wait for that file.
    pub(crate) fn next_at_hand(&mut self) -> Result<Option<RowGroup>, StorageError> {
        loop {
            if let Some(row_group) = self.next_of_file() {
                return Ok(Some(row_group));
            }
            let Some(share) = self.shares.front() else { return Ok(None) };
            let Some(footer) = self.files.footers.loaded(&share.file) else { return Ok(None) };
            let deleted = share.deletes.as_ref().map(|vector| self.files.deletes.loaded(vector));
            if deleted.as_ref().is_some_and(Option::is_none) {
                return Ok(None);
            }
            if let Some(share) = self.shares.pop_front() {
                self.begin(share, footer, deleted.flatten())?;
            }
        }
    }

    /// Asks the filters, which may have tightened since the row group was handed out.
    pub(crate) fn excludes(&mut self, row_group: &RowGroup) -> bool {
        let excluded = match &mut self.pruner {
            Some(pruner) => pruner.excludes(&row_group.footer, row_group.index),
            None => false,
        };
        self.pruned.add(usize::from(excluded));
        excluded
    }

    fn begin(&mut self, share: Share, footer: Arc<Footer>, deleted: Option<DeletedRows>) -> Result<(), StorageError> {
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
            if rows > 0 && is_there && share.range.contains(&begin) {
                self.ready.push_back(RowGroup {
                    file: Arc::clone(&share.file),
                    footer: Arc::clone(&footer),
                    index,
                    rows,
                    file_number: share.number,
                    first_row,
                    deleted: deleted.clone(),
                    is_committed: share.deletes.as_ref().is_none_or(|vector| vector.is_committed()),
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
