//! Bloom filters of row groups, as they were written, kept for the lookups to come.

use crate::StorageError;
use crate::cache::FileId;
use crate::footers::{FileIdentity, Footer};
use crate::places::Place;
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::parquet::file::metadata::ColumnChunkMetaData;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::HashSet;
use std::sync::Arc;

/// Filters by file and where in it they begin. As with columns, those of a file whose footer was forgotten are not found
/// any more and age out.
///
/// # Memory
/// Its capacity; one filter beside it for each reader that finds no room. A capacity of 0 keeps none.
#[derive(Debug)]
pub(crate) struct BloomFilters {
    loaded: Cache<(FileId, u64), Arc<Sbbf>, ByBytes>,
}

/// For so few the cache is one piece, in which each filter finds room that is no larger than all of it.
const EXPECTED: usize = 32;

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<(FileId, u64), Arc<Sbbf>> for ByBytes {
    fn weight(&self, _: &(FileId, u64), filter: &Arc<Sbbf>) -> u64 {
        // A block has 256 bits.
        filter.num_blocks() as u64 * 32 + 64
    }
}

impl BloomFilters {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        BloomFilters { loaded: Cache::with_weighter(EXPECTED, capacity_bytes, ByBytes) }
    }

    pub(crate) fn forget(&self, gone: &HashSet<FileId>) {
        self.loaded.retain(|(file, _), _| !gone.contains(file));
    }

    /// The filter of a column of a row group; None if the file has none. Those who ask for one at the same time read it once.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], [`StorageError::Io`]; nothing is remembered of a failure.
    pub(crate) async fn get(
        &self,
        place: &Place,
        file: &FileIdentity,
        footer: &Footer,
        column: &ColumnChunkMetaData,
    ) -> Result<Option<Arc<Sbbf>>, StorageError> {
        let (Some(offset), Some(length)) = (column.bloom_filter_offset(), column.bloom_filter_length()) else {
            return Ok(None);
        };
        let corrupt = |detail: String| file.corrupt(format!("a Bloom filter: {detail}"));
        let (offset, length) = match (u64::try_from(offset), u64::try_from(length)) {
            (Ok(offset), Ok(length)) => (offset, length),
            _ => return Err(corrupt("it is nowhere".into())),
        };
        let load = async {
            let bytes = place.read_range(&footer.location, file.bytes, offset..offset + length).await;
            let bytes = bytes.map_err(|error| file.store_error(error))?;
            Sbbf::from_bytes(&bytes).map(Arc::new).map_err(|error| corrupt(error.to_string()))
        };
        self.loaded.get_or_insert_async(&(footer.id, offset), load).await.map(Some)
    }
}
