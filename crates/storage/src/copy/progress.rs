//! What a running COPY has read or written so far, for others to look at.

use damson_cluster::{CopyCounts, CopyUnit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one segment's share of a COPY FROM, or of what it writes for a COPY TO. Made by the segment, with the units that it was given to
/// read, added to by the readers or the writer, read by whoever asks for `gp_stat_progress_copy`. The counts are looked at one by one: they need not be of the same moment.
#[derive(Debug)]
pub struct CopyProgress {
    units: AtomicU64,
    units_done: AtomicU64,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
    rows: AtomicU64,
    rejected: AtomicU64,
}

impl CopyProgress {
    pub fn new(units: &[CopyUnit]) -> Arc<Self> {
        Arc::new(CopyProgress {
            units: AtomicU64::new(units.len() as u64),
            units_done: AtomicU64::new(0),
            bytes: AtomicU64::new(units.iter().map(CopyUnit::bytes).sum()),
            bytes_done: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        })
    }

    /// The counts as they are now.
    pub fn counts(&self) -> CopyCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CopyCounts {
            units: of(&self.units),
            units_done: of(&self.units_done),
            bytes: of(&self.bytes),
            bytes_done: of(&self.bytes_done),
            rows: of(&self.rows),
            rejected: of(&self.rejected),
        }
    }

    /// Of what is written: how much there will be is not known.
    pub fn writing() -> Arc<Self> {
        CopyProgress::new(&[])
    }

    /// Another file is written.
    pub(crate) fn unit_begun(&self) {
        self.units.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of a file that were read or written, compressed as they are.
    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes row groups have, which were counted as their whole file before it was opened.
    pub(crate) fn know_bytes(&self, file_bytes: u64, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(file_bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: u64, rejected: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    pub(crate) fn unit_done(&self) {
        self.units_done.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{Codec, CopyFile};

    fn file(bytes: u64) -> CopyFile {
        CopyFile { url: "/f".into(), bytes, etag: None, modified_us: None, partition: vec![] }
    }

    #[test]
    fn counts_add_up() {
        let compressed =
            CopyUnit::Records { file: file(70), codec: Codec::Gzip, newline: None, start: 0, end: u64::MAX };
        let part = CopyUnit::Records { file: file(100), codec: Codec::None, newline: None, start: 40, end: 60 };
        let groups = CopyUnit::RowGroups { file: file(1000), row_groups: vec![0] };
        let progress = CopyProgress::new(&[compressed, part, groups]);
        assert_eq!(progress.counts(), CopyCounts { units: 3, bytes: 1090, ..CopyCounts::default() });
        progress.know_bytes(1000, 300);
        progress.add_bytes(70);
        progress.add_rows(5, 2);
        progress.add_rows(1, 0);
        progress.unit_done();
        let want = CopyCounts { units: 3, units_done: 1, bytes: 390, bytes_done: 70, rows: 6, rejected: 2 };
        assert_eq!(progress.counts(), want);
    }
}
