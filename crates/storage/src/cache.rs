//! Decoded columns of table files, kept in memory for the scans to come.

use crate::bloom_filters::BloomFilters;
use crate::chunk_bounds::ChunkBounds;
use crate::deletes::DeletedRows;
use crate::key_index::KeyIndexes;
use crate::limits::{
    BLOOM_FILTER_SHARE, CACHE_COLLECTING_SHARE, CACHE_COLUMN_BYTES_EXPECTED, CACHE_COLUMN_SHARE,
    CACHE_COLUMNS_EXPECTED_MAX, CACHE_COLUMNS_EXPECTED_MIN, KEY_INDEX_SHARE, PAGE_INDEX_SHARE,
};
use crate::scan::PageIndexes;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A file as the cache knows it. Given when a footer is loaded and never given again in this process: what was cached of
/// a file whose footer was forgotten is not found any more and ages out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64);

impl FileId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        FileId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One column of one row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ColumnKey {
    pub file: FileId,
    pub row_group: usize,
    /// Position in the file.
    pub column: usize,
}

/// One column of one row group: for each [`crate::limits::CHUNK_ROWS`] rows of the file a chunk, without those of them that were
/// deleted when it was collected, each in buffers of its own. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    chunks: Arc<[ArrayRef]>,
    bounds: Arc<OnceLock<Option<ChunkBounds>>>,
    bytes: u64,
    deleted: Option<DeletedRows>,
}

/// What a cache has for a scan.
#[derive(Debug)]
pub(crate) enum Found {
    /// Without some, or all, of the rows that the scan leaves out.
    Column(Column),
    /// The column without rows that the scan needs: it is of an older snapshot, or of a transaction that has deleted others.
    Newer,
    Nothing,
}

impl Column {
    pub(crate) fn chunk(&self, index: usize) -> &ArrayRef {
        &self.chunks[index]
    }

    /// None for a type that has none.
    pub(crate) fn bounds(&self) -> Option<&ChunkBounds> {
        self.bounds.get_or_init(|| ChunkBounds::of(&self.chunks)).as_ref()
    }

    /// The rows of the file that it lacks.
    pub(crate) fn deleted(&self) -> Option<&DeletedRows> {
        self.deleted.as_ref()
    }

    fn is(&self, data_type: &DataType) -> bool {
        self.chunks.first().is_some_and(|chunk| chunk.data_type() == data_type)
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<ColumnKey, Column> for ByBytes {
    fn weight(&self, _: &ColumnKey, column: &Column) -> u64 {
        // Nothing weighs 0: such an entry would never be evicted.
        column.bytes.max(1)
    }
}

/// The decoded columns that one node keeps. The node makes it, all of its contents share it. Eviction resists scans: a
/// column that was read twice stays when a large table passes by once.
///
/// # Memory
/// `capacity` bytes of complete columns, of hashes of keys, of page indexes and of Bloom filters, and at most 1/[`CACHE_COLLECTING_SHARE`] of it of columns that
/// are being collected. A capacity of 0 keeps nothing. What an evicted column's readers still hold is theirs.
#[derive(Debug)]
pub struct ColumnCache {
    columns: Option<Cache<ColumnKey, Column, ByBytes>>,
    keys: KeyIndexes,
    pages: PageIndexes,
    filters: BloomFilters,
    capacity: u64,
    /// Bytes of columns that are not complete yet.
    collecting: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a cache holds, and how often a scan found a column of a row group in it, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnCacheStats {
    pub bytes: u64,
    pub capacity: u64,
    pub hits: u64,
    pub misses: u64,
}

impl ColumnCache {
    pub fn new(capacity_bytes: u64) -> Self {
        let (keys_bytes, pages_bytes) = (capacity_bytes / KEY_INDEX_SHARE, capacity_bytes / PAGE_INDEX_SHARE);
        let filters_bytes = capacity_bytes / BLOOM_FILTER_SHARE;
        let columns_bytes = capacity_bytes - keys_bytes - pages_bytes - filters_bytes;
        ColumnCache::divided(columns_bytes, keys_bytes, pages_bytes, filters_bytes)
    }

    fn divided(capacity_bytes: u64, keys_bytes: u64, pages_bytes: u64, filters_bytes: u64) -> Self {
        let expected = usize::try_from(capacity_bytes / CACHE_COLUMN_BYTES_EXPECTED).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            // One lock, taken once for each column of a row group; shards would each have only a part of the capacity.
            .shards(1)
            .estimated_items_capacity(expected.clamp(CACHE_COLUMNS_EXPECTED_MIN, CACHE_COLUMNS_EXPECTED_MAX))
            .weight_capacity(capacity_bytes)
            .build();
        let columns = match options {
            Ok(options) if capacity_bytes > 0 => {
                let hash = DefaultHashBuilder::default();
                Some(Cache::with_options(options, ByBytes, hash, Default::default()))
            }
            _ => None,
        };
        ColumnCache {
            columns,
            keys: KeyIndexes::new(keys_bytes),
            pages: PageIndexes::new(pages_bytes),
            filters: BloomFilters::new(filters_bytes),
            capacity: capacity_bytes,
            collecting: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub fn stats(&self) -> ColumnCacheStats {
        ColumnCacheStats {
            bytes: self.columns.as_ref().map_or(0, Cache::weight),
            capacity: self.capacity,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Frees what files took that are gone. What a scan that still reads one of them puts here later ages out.
    pub(crate) fn forget(&self, gone: &HashSet<FileId>) {
        if gone.is_empty() {
            return;
        }
        if let Some(columns) = &self.columns {
            columns.retain(|key, _| !gone.contains(&key.file));
        }
        self.pages.forget(gone);
        self.filters.forget(gone);
    }

    /// The hashes of the keys of files.
    pub(crate) fn keys(&self) -> &KeyIndexes {
        &self.keys
    }

    pub(crate) fn page_indexes(&self) -> &PageIndexes {
        &self.pages
    }

    pub(crate) fn bloom_filters(&self) -> &BloomFilters {
        &self.filters
    }

    /// The column as `data_type`, for a scan that leaves out `deleted`.
    pub(crate) fn get(&self, key: &ColumnKey, data_type: &DataType, deleted: Option<&DeletedRows>) -> Found {
        let Some(columns) = &self.columns else { return Found::Nothing };
        let found = match columns.get(key).filter(|column| column.is(data_type)) {
            None => Found::Nothing,
            Some(column) if !is_within(column.deleted(), deleted) => Found::Newer,
            Some(column) => Found::Column(column),
        };
        let counter = if matches!(found, Found::Column(_)) { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Begins to collect a column, whose chunks come without the rows of `deleted`; None where nothing is kept.
    pub(crate) fn collect(self: &Arc<Self>, key: ColumnKey, deleted: Option<DeletedRows>) -> Option<Collecting> {
        self.columns.as_ref()?;
        Some(Collecting { cache: Arc::clone(self), key, deleted, chunks: Vec::new(), bytes: 0 })
    }
}

/// Whether `some` are among `all`.
fn is_within(some: Option<&DeletedRows>, all: Option<&DeletedRows>) -> bool {
    match (some, all) {
        (None, _) => true,
        (Some(some), None) => some.is_empty(),
        (Some(some), Some(all)) => Arc::ptr_eq(some, all) || some.is_subset(all),
    }
}

/// A column on its way into the cache. Dropped before [`Collecting::finish`], nothing of it is kept.
#[derive(Debug)]
pub(crate) struct Collecting {
    cache: Arc<ColumnCache>,
    key: ColumnKey,
    deleted: Option<DeletedRows>,
    chunks: Vec<ArrayRef>,
    bytes: u64,
}

impl Collecting {
    /// Takes the next chunk. False: the column is too large for the cache, or too much is being collected; give it up.
    #[must_use]
    pub(crate) fn push(&mut self, chunk: &ArrayRef) -> bool {
        let bytes = chunk.get_array_memory_size() as u64;
        self.bytes += bytes;
        let collecting = self.cache.collecting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.chunks.push(Arc::clone(chunk));
        self.bytes <= self.cache.capacity / CACHE_COLUMN_SHARE
            && collecting <= self.cache.capacity / CACHE_COLLECTING_SHARE
    }

    /// The column is complete: the next scan may find it.
    pub(crate) fn finish(mut self) {
        if let Some(columns) = &self.cache.columns {
            let chunks = std::mem::take(&mut self.chunks).into();
            let deleted = self.deleted.take();
            columns.insert(self.key, Column { chunks, bounds: Arc::default(), bytes: self.bytes, deleted });
        }
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.cache.collecting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::datatypes::Int64Type;

    /// About 8 KiB.
    fn chunk(value: i64) -> ArrayRef {
        Arc::new(Int64Array::from(vec![value; 1024]))
    }

    fn key(file: FileId, column: usize) -> ColumnKey {
        ColumnKey { file, row_group: 0, column }
    }

    fn get(cache: &ColumnCache, key: &ColumnKey, data_type: &DataType) -> Option<Column> {
        match cache.get(key, data_type, None) {
            Found::Column(column) => Some(column),
            Found::Newer | Found::Nothing => None,
        }
    }

    #[test]
    fn a_scan_of_an_older_snapshot_needs_the_rows_that_were_deleted_since() {
        let cache = Arc::new(ColumnCache::divided(1 << 20, 0, 0, 0));
        let key = key(FileId::new(), 0);
        let rows = |rows: &[u32]| Arc::new(rows.iter().copied().collect::<roaring::RoaringBitmap>());
        let mut collecting = cache.collect(key, Some(rows(&[1, 2]))).unwrap();
        assert!(collecting.push(&chunk(0)));
        collecting.finish();
        let found = |deleted: Option<&DeletedRows>| cache.get(&key, &DataType::Int64, deleted);
        assert!(matches!(found(None), Found::Newer));
        assert!(matches!(found(Some(&rows(&[2]))), Found::Newer));
        assert!(matches!(found(Some(&rows(&[1, 2]))), Found::Column(_)));
        assert!(matches!(found(Some(&rows(&[1, 2, 5]))), Found::Column(_)));
        // As many, or more, and others: two transactions have deleted from one file.
        assert!(matches!(found(Some(&rows(&[1, 3]))), Found::Newer));
        assert!(matches!(found(Some(&rows(&[2, 3, 4]))), Found::Newer));
    }

    fn insert(cache: &Arc<ColumnCache>, key: ColumnKey, value: i64) {
        let mut collecting = cache.collect(key, None).unwrap();
        assert!(collecting.push(&chunk(value)));
        collecting.finish();
    }

    #[test]
    fn a_complete_column_is_found_under_its_key_and_type() {
        let cache = Arc::new(ColumnCache::divided(1 << 20, 0, 0, 0));
        let (one, other) = (FileId::new(), FileId::new());
        insert(&cache, key(one, 3), 7);
        let found = get(&cache, &key(one, 3), &DataType::Int64).unwrap();
        assert_eq!(found.chunk(0).as_primitive::<Int64Type>().value(0), 7);
        assert!(get(&cache, &key(one, 2), &DataType::Int64).is_none());
        assert!(get(&cache, &key(other, 3), &DataType::Int64).is_none());
        assert!(get(&cache, &ColumnKey { row_group: 1, ..key(one, 3) }, &DataType::Int64).is_none());
        assert!(get(&cache, &key(one, 3), &DataType::Int32).is_none());
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.capacity), (1, 4, 1 << 20));
        assert_eq!(stats.bytes, chunk(7).get_array_memory_size() as u64);
    }

    #[test]
    fn the_capacity_bounds_what_is_kept() {
        let cache = Arc::new(ColumnCache::divided(100 << 10, 0, 0, 0));
        let file = FileId::new();
        for column in 0..100 {
            insert(&cache, key(file, column), column as i64);
            assert!(cache.stats().bytes <= cache.stats().capacity);
        }
        assert!(cache.stats().bytes > cache.stats().capacity / 2, "{:?}", cache.stats());
    }

    #[test]
    fn files_that_are_gone_leave_nothing() {
        let cache = Arc::new(ColumnCache::divided(1 << 20, 0, 0, 0));
        let (gone, other) = (FileId::new(), FileId::new());
        for column in 0..3 {
            insert(&cache, key(gone, column), 0);
            insert(&cache, key(other, column), 0);
        }
        let before = cache.stats().bytes;
        cache.forget(&HashSet::from([gone]));
        assert_eq!(cache.stats().bytes, before / 2);
        assert!(get(&cache, &key(gone, 1), &DataType::Int64).is_none());
        assert!(get(&cache, &key(other, 1), &DataType::Int64).is_some());
    }

    #[test]
    fn a_column_that_is_given_up_leaves_nothing() {
        let cache = Arc::new(ColumnCache::divided(100 << 10, 0, 0, 0));
        let file = FileId::new();
        let mut large = cache.collect(key(file, 0), None).unwrap();
        let taken = (0..100).take_while(|_| large.push(&chunk(0))).count();
        assert_eq!(taken, 3, "a quarter of 100 KiB");
        drop(large);

        // Three columns of three chunks are more than half of it.
        let mut columns: Vec<Collecting> =
            (0..3).map(|column| cache.collect(key(file, column), None).unwrap()).collect();
        let taken: usize = columns.iter_mut().map(|column| (0..3).filter(|_| column.push(&chunk(0))).count()).sum();
        assert_eq!(taken, 6);
        drop(columns);
        assert_eq!((cache.collecting.load(Ordering::Relaxed), cache.stats().bytes), (0, 0));
        assert!(get(&cache, &key(file, 0), &DataType::Int64).is_none());
    }

    #[test]
    fn a_column_that_was_read_twice_outlives_a_large_scan() {
        let cache = Arc::new(ColumnCache::divided(100 << 10, 0, 0, 0));
        let file = FileId::new();
        insert(&cache, key(file, 0), 0);
        for column in 1..1000 {
            insert(&cache, key(file, column), 1);
            assert!(get(&cache, &key(file, 0), &DataType::Int64).is_some(), "evicted by column {column}");
        }
    }

    #[test]
    fn a_capacity_of_zero_keeps_nothing() {
        let cache = Arc::new(ColumnCache::new(0));
        assert!(cache.collect(key(FileId::new(), 0), None).is_none());
        assert!(get(&cache, &key(FileId::new(), 0), &DataType::Int64).is_none());
        assert_eq!(cache.stats(), ColumnCacheStats::default());
    }
}
