//! Files of a bucket that get other readers: which rows of a file are whose, in delete vectors. Where a row group's buckets have one owner the footer says
//! it; of the others the key's columns are read, once.

use super::give::{Giver, Stopped};
use super::share::{Division, row_ranges};
use crate::deletes::encode;
use crate::footers::Footer;
use bytes::Bytes;
use damson_cluster::{ContentId, DeleteVector, FileEntry, HandoverPart, SharedFile, SnapshotId};
use datafusion::error::DataFusionError;
use roaring::RoaringBitmap;

impl Giver {
    /// To each segment that some rows of the file leave for, what it may not read of it; to this one, what is left.
    pub(super) async fn share(
        &self,
        number: usize,
        entry: &FileEntry,
        footer: &Footer,
        deleted: RoaringBitmap,
    ) -> Result<(), Stopped> {
        let division = Division::of(footer, entry, &self.giving.key, &self.giving.departures, &deleted);
        let Division { mut takers, undecided } = division;
        if !undecided.is_empty() {
            let take = |row: u32, taker: Option<ContentId>| {
                if let Some(taker) = taker {
                    takers.entry(taker).or_default().insert(row);
                }
            };
            self.each_row(entry, undecided, take).await?;
        }
        let rows = row_ranges(footer).last().map_or(0, |last| last.end);
        let mut left = deleted.clone();
        for (taker, mut its_own) in takers {
            its_own -= &deleted;
            if its_own.is_empty() {
                continue;
            }
            let mut others = RoaringBitmap::new();
            others.insert_range(0..rows);
            others -= &its_own;
            left |= its_own;
            self.send_share(number, entry, taker, others).await?;
        }
        if left.len() == deleted.len() {
            return Ok(());
        }
        let vector = if left.len() == entry.rows { Bytes::new() } else { encode_runs(&mut left) };
        self.send(self.giving.content, number, HandoverPart::Left, 0, vector).await
    }

    /// `others`: the rows that are not the taker's.
    async fn send_share(
        &self,
        number: usize,
        entry: &FileEntry,
        taker: ContentId,
        mut others: RoaringBitmap,
    ) -> Result<(), Stopped> {
        let mut deletes = None;
        if !others.is_empty() {
            let bytes = encode_runs(&mut others);
            deletes = Some(DeleteVector {
                path: String::new(),
                rows: others.len(),
                bytes: bytes.len() as u64,
                checksum: xxhash_rust::xxh3::xxh3_64(&bytes),
                created: SnapshotId(0),
            });
            self.send(taker, number, HandoverPart::Vector, 0, bytes).await?;
        }
        let shared = SharedFile { from: self.giving.content, path: entry.path.clone(), deletes };
        let shared = serde_json::to_vec(&shared).map_err(|error| DataFusionError::External(Box::new(error)))?;
        self.send(taker, number, HandoverPart::Share, 0, shared.into()).await
    }
}

/// Whole row groups are runs: a few bytes each, and not a bit a row.
fn encode_runs(rows: &mut RoaringBitmap) -> Bytes {
    rows.optimize();
    encode(rows)
}
