//! Which partition of a scan reads what.

use super::file_statistics::FileStatistics;
use crate::footers::FileIdentity;
use damson_cluster::{DeleteVector, FileEntry};
use std::ops::Range;
use std::sync::Arc;

/// What a partition reads of a file: the row groups whose bytes begin in `range`.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub file: Arc<FileIdentity>,
    /// Position of the file among those of the scan.
    pub number: usize,
    pub deletes: Option<Arc<DeleteVector>>,
    /// What is known before it is opened.
    pub statistics: Option<Arc<FileStatistics>>,
    pub range: Range<u64>,
}

/// Divides files into `partitions` lists of about the same bytes, in the files' order. Every row group is in exactly one:
/// a file's ranges cover it, and footers are not needed yet.
pub(crate) fn divide(files: &[FileEntry], partitions: usize) -> Vec<Vec<Share>> {
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let boundary = |partition: usize| (u128::from(total) * partition as u128 / partitions as u128) as u64;
    let mut shares = vec![Vec::new(); partitions];
    let (mut partition, mut offset) = (0, 0);
    for (number, entry) in files.iter().enumerate() {
        let file = Arc::new(FileIdentity::from(entry));
        let deletes = entry.deletes.clone().map(Arc::new);
        let statistics = FileStatistics::of(entry).map(Arc::new);
        let end = offset + entry.bytes;
        let mut begin = offset;
        while begin < end {
            while boundary(partition + 1) <= begin {
                partition += 1;
            }
            let cut = boundary(partition + 1).min(end);
            let range = begin - offset..cut - offset;
            let (file, deletes, statistics) = (Arc::clone(&file), deletes.clone(), statistics.clone());
            shares[partition].push(Share { file, number, deletes, statistics, range });
            begin = cut;
        }
        offset = end;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use damson_cluster::{ContentId, SnapshotId, TableId};

    fn file(path: usize, bytes: u64) -> FileEntry {
        FileEntry {
            table: TableId(1),
            content: ContentId(0),
            path: path.to_string(),
            rows: 1,
            bytes,
            checksum: 0,
            buckets: None,
            columns: vec![],
            deletes: None,
            created: SnapshotId(0),
        }
    }

    #[test]
    fn ranges_cover_every_file_once_and_are_balanced() {
        let sizes = [100, 1, 7_000, 3, 900, 1];
        let files: Vec<FileEntry> = sizes.iter().enumerate().map(|(i, &bytes)| file(i, bytes)).collect();
        let total: u64 = sizes.iter().sum();
        for partitions in [1, 2, 3, 7, 100] {
            let shares = divide(&files, partitions);
            assert_eq!(shares.len(), partitions);
            for share in &shares {
                let bytes: u64 = share.iter().map(|share| share.range.end - share.range.start).sum();
                assert!(bytes.abs_diff(total / partitions as u64) <= 1, "{partitions}: {share:?}");
            }
            for (i, &bytes) in sizes.iter().enumerate() {
                let of_file = shares.iter().flatten().filter(|share| share.file.path == i.to_string());
                let ends = of_file.fold(0, |end, share| {
                    assert_eq!(share.range.start, end);
                    share.range.end
                });
                assert_eq!(ends, bytes);
            }
        }
        assert!(divide(&[], 3).iter().all(Vec::is_empty));
    }
}
