//! What a scan had to look at, and what it was spared.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Counted by a table's scan on one segment, summed by EXPLAIN ANALYZE. What is pruned is among what it is a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    pub files: u64,
    /// By the catalog's statistics: never opened.
    pub files_pruned: u64,
    /// Of the files that were opened.
    pub row_groups: u64,
    /// By their statistics.
    pub row_groups_pruned: u64,
    /// By their Bloom filters.
    pub row_groups_filtered: u64,
    /// Of the row groups whose page index was looked at: pieces of 8,192 rows.
    pub chunks: u64,
    /// By the statistics of the pages that the piece lies in.
    pub chunks_pruned: u64,
}

impl AddAssign for ScanCounts {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.files_pruned += other.files_pruned;
        self.row_groups += other.row_groups;
        self.row_groups_pruned += other.row_groups_pruned;
        self.row_groups_filtered += other.row_groups_filtered;
        self.chunks += other.chunks;
        self.chunks_pruned += other.chunks_pruned;
    }
}
