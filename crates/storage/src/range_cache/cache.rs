//! The cache of one process.

use super::blocks::DiskBlocks;
use super::slots::BlockKey;
use crate::blocking;
use crate::limits::{
    RANGE_BLOCK_BYTES, RANGE_CACHE_DISK_BYTES, RANGE_CACHE_MEMORY_BYTES, RANGE_CACHE_READS_AT_ONCE,
    RANGE_CACHE_WRITING_BYTES_MAX,
};
use crate::places::Pieces;
use bytes::Bytes;
use futures::{StreamExt, stream};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OnceCell, Semaphore};
use xxhash_rust::xxh3::xxh3_128;

/// Blocks on their way to the disk.
const WRITING_MAX: u32 = (RANGE_CACHE_WRITING_BYTES_MAX / RANGE_BLOCK_BYTES) as u32;
/// Blocks of one call to the disk.
const READ_TOGETHER: usize = 8;
/// Of an entry in memory beside its bytes.
const ENTRY_BYTES: u64 = 128;

/// Where a cache is, and how large. What is 0 is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeCacheConfig {
    /// Made when the first bucket is opened. No other process may use it.
    pub directory: PathBuf,
    pub disk_bytes: u64,
    pub memory_bytes: u64,
}

impl RangeCacheConfig {
    /// Of the sizes that there are by default.
    pub fn new(directory: PathBuf) -> Self {
        let (disk_bytes, memory_bytes) = (RANGE_CACHE_DISK_BYTES, RANGE_CACHE_MEMORY_BYTES);
        RangeCacheConfig { directory, disk_bytes, memory_bytes }
    }
}

/// Ranges of objects that one process keeps, for all of its contents. Until a table of a bucket is read it takes nothing, neither memory nor
/// disk.
///
/// # Memory
/// What its configuration says, and [`RANGE_CACHE_WRITING_BYTES_MAX`] on their way to the disk.
#[derive(Debug)]
pub struct RangeCache {
    /// None: nothing is kept.
    config: Option<RangeCacheConfig>,
    opened: OnceCell<Option<Opened>>,
}

/// What a cache holds, and how many blocks were found in it, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeCacheStats {
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub disk_capacity: u64,
    pub memory_hits: u64,
    pub disk_hits: u64,
    pub misses: u64,
}

/// An object as the cache knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectName(u128);

impl ObjectName {
    /// By its full name, bucket and all.
    pub(crate) fn new(name: &str) -> Self {
        ObjectName(xxh3_128(name.as_bytes()))
    }
}

impl RangeCache {
    pub fn new(config: RangeCacheConfig) -> Self {
        RangeCache { config: Some(config), opened: OnceCell::new() }
    }

    /// A cache that keeps nothing.
    pub fn off() -> Self {
        RangeCache { config: None, opened: OnceCell::new() }
    }

    /// None if nothing is kept. A disk that cannot be used is said once, and done without.
    pub(crate) async fn opened(&self) -> Option<&Opened> {
        let config = self.config.as_ref()?;
        self.opened.get_or_init(|| open(config)).await.as_ref()
    }

    pub fn stats(&self) -> RangeCacheStats {
        self.opened.get().and_then(Option::as_ref).map(Opened::stats).unwrap_or_default()
    }

    /// Waits until what was handed to the disk is there.
    pub async fn settled(&self) {
        if let Some(Some(opened)) = self.opened.get() {
            let all = opened.writing.acquire_many(WRITING_MAX).await;
            drop(all.expect("it is never closed"));
        }
    }

    /// Blocks of an object that was removed give their room to others. What is in memory ages out.
    pub(crate) fn forget(&self, object: ObjectName) {
        if let Some(Some(Opened { disk: Some(disk), .. })) = self.opened.get() {
            disk.forget_object(object.0);
        }
    }
}

async fn open(config: &RangeCacheConfig) -> Option<Opened> {
    let RangeCacheConfig { directory, disk_bytes, memory_bytes } = config.clone();
    let disk = match disk_bytes {
        0 => None,
        _ => {
            let path = directory.clone();
            let opened = blocking::run("open", &path, move || DiskBlocks::open(&directory, disk_bytes)).await;
            match opened {
                Ok(disk) => Some(Arc::new(disk)),
                Err(error) => {
                    tracing::warn!(%error, "the range cache does without a disk");
                    None
                }
            }
        }
    };
    let memory = (memory_bytes > 0).then(|| Cache::with_weighter(1 << 8, memory_bytes, ByBytes));
    let counter = || AtomicU64::new(0);
    let (memory_hits, disk_hits, misses) = (counter(), counter(), counter());
    let writing = Arc::new(Semaphore::new(WRITING_MAX as usize));
    (memory.is_some() || disk.is_some()).then_some(Opened { memory, disk, writing, memory_hits, disk_hits, misses })
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<BlockKey, Bytes> for ByBytes {
    fn weight(&self, _: &BlockKey, block: &Bytes) -> u64 {
        block.len() as u64 + ENTRY_BYTES
    }
}

/// A cache that is used.
#[derive(Debug)]
pub(crate) struct Opened {
    memory: Option<Cache<BlockKey, Bytes, ByBytes>>,
    disk: Option<Arc<DiskBlocks>>,
    /// A permit for each block on its way to the disk.
    writing: Arc<Semaphore>,
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    misses: AtomicU64,
}

impl Opened {
    /// What is here of the blocks in which ranges of a file lie, and where the others are.
    pub(crate) async fn read(
        &self,
        object: ObjectName,
        file_bytes: u64,
        ranges: &[Range<u64>],
    ) -> (Pieces, Vec<Range<u64>>) {
        let (mut pieces, mut missing, mut on_disk) = (Pieces::default(), vec![], vec![]);
        for number in blocks_of(file_bytes, ranges) {
            let key = BlockKey { object: object.0, block: number };
            if let Some(block) = self.memory.as_ref().and_then(|memory| memory.get(&key)) {
                self.memory_hits.fetch_add(1, Ordering::Relaxed);
                pieces.insert(range_of(number, file_bytes).start, block);
            } else if self.disk.as_ref().is_some_and(|disk| disk.contains(&key)) {
                on_disk.push(number);
            } else {
                missing.push(range_of(number, file_bytes));
            }
        }
        for (number, block) in self.read_disk(object, file_bytes, &on_disk).await {
            let range = range_of(number, file_bytes);
            let Some(block) = block else {
                missing.push(range);
                continue;
            };
            self.disk_hits.fetch_add(1, Ordering::Relaxed);
            if let Some(memory) = &self.memory {
                memory.insert(BlockKey { object: object.0, block: number }, block.clone());
            }
            pieces.insert(range.start, block);
        }
        self.misses.fetch_add(missing.len() as u64, Ordering::Relaxed);
        (pieces, missing)
    }

    async fn read_disk(&self, object: ObjectName, file_bytes: u64, numbers: &[u32]) -> Vec<(u32, Option<Bytes>)> {
        let Some(disk) = self.disk.as_ref().filter(|_| !numbers.is_empty()) else { return vec![] };
        let calls: Vec<Vec<u32>> = numbers.chunks(READ_TOGETHER).map(<[u32]>::to_vec).collect();
        let read = |numbers: Vec<u32>| {
            let (disk, asked) = (Arc::clone(disk), numbers.clone());
            let call = move || {
                let block = |number: u32| {
                    let range = range_of(number, file_bytes);
                    let key = BlockKey { object: object.0, block: number };
                    (number, disk.read(&key, (range.end - range.start) as usize))
                };
                Ok(numbers.into_iter().map(block).collect::<Vec<_>>())
            };
            async move {
                // A runtime that ends reads nothing.
                let read = blocking::run("read", "the range cache".as_ref(), call).await;
                read.unwrap_or_else(|_| asked.into_iter().map(|number| (number, None)).collect())
            }
        };
        let read: Vec<_> = stream::iter(calls).map(read).buffer_unordered(RANGE_CACHE_READS_AT_ONCE).collect().await;
        read.into_iter().flatten().collect()
    }

    /// Keeps the blocks of a part of a file, which begins and ends where blocks do. Returns once they are in memory, or on their way to the
    /// disk; where too many are, it waits.
    pub(crate) async fn keep(&self, object: ObjectName, start: u64, part: Bytes) {
        let blocks = part.len().div_ceil(RANGE_BLOCK_BYTES as usize);
        let block = move |number: usize| {
            let from = number * RANGE_BLOCK_BYTES as usize;
            let key = BlockKey { object: object.0, block: (start / RANGE_BLOCK_BYTES) as u32 + number as u32 };
            (key, from..part.len().min(from + RANGE_BLOCK_BYTES as usize), part.clone())
        };
        if let Some(memory) = &self.memory
            && (self.disk.is_none() || blocks == 1)
        {
            for (key, range, part) in (0..blocks).map(&block) {
                // A part's blocks must not hold each other.
                let own = if blocks == 1 { part } else { Bytes::copy_from_slice(&part[range]) };
                memory.insert(key, own);
            }
        }
        let Some(disk) = &self.disk else { return };
        let permits = u32::try_from(blocks).unwrap_or(u32::MAX).min(WRITING_MAX);
        let permit = Arc::clone(&self.writing).acquire_many_owned(permits).await.expect("it is never closed");
        let disk = Arc::clone(disk);
        // It ends by itself, and whoever has read the blocks does not wait for it.
        drop(tokio::task::spawn_blocking(move || {
            for (key, range, part) in (0..blocks).map(block) {
                disk.write(key, &part[range]);
            }
            drop(permit);
        }));
    }

    fn stats(&self) -> RangeCacheStats {
        RangeCacheStats {
            memory_bytes: self.memory.as_ref().map_or(0, Cache::weight),
            disk_bytes: self.disk.as_ref().map_or(0, |disk| disk.bytes()),
            disk_capacity: self.disk.as_ref().map_or(0, |disk| disk.capacity_bytes()),
            memory_hits: self.memory_hits.load(Ordering::Relaxed),
            disk_hits: self.disk_hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

/// Numbers of the blocks in which ranges lie, as far as the file has them.
fn blocks_of(file_bytes: u64, ranges: &[Range<u64>]) -> BTreeSet<u32> {
    let of_range = |range: &Range<u64>| {
        let end = range.end.min(file_bytes).div_ceil(RANGE_BLOCK_BYTES);
        (range.start / RANGE_BLOCK_BYTES) as u32..end as u32
    };
    ranges.iter().filter(|range| !range.is_empty()).flat_map(of_range).collect()
}

/// What a block has of its file.
fn range_of(number: u32, file_bytes: u64) -> Range<u64> {
    let start = u64::from(number) * RANGE_BLOCK_BYTES;
    start..(start + RANGE_BLOCK_BYTES).min(file_bytes)
}
