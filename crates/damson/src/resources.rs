//! Memory and spill space of a process, shared by all of its contents.

use crate::limits::{
    COLUMN_CACHE_PERCENT, MEMORY_BYTES_FALLBACK, MEMORY_PERCENT, MOTION_MEMORY_BYTES_MAX, MOTION_MEMORY_PART,
};
use damson_motion::SpillFiles;
use damson_storage::ColumnCache;
use datafusion::error::Result;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// In a data directory: ranges of tables in buckets.
pub(crate) const RANGE_CACHE_DIRECTORY: &str = "cache";

/// Operators that an out-of-memory error names.
const CONSUMERS_NAMED: usize = 5;

/// The decoded columns that a process with `memory_bytes_max` in all keeps, shared by its contents.
pub(crate) fn column_cache(memory_bytes_max: usize) -> Arc<ColumnCache> {
    Arc::new(ColumnCache::new((memory_bytes_max / 100 * COLUMN_CACHE_PERCENT) as u64))
}

/// A pool of what [`column_cache`] leaves of `memory_bytes_max`, for all queries, and an empty spill directory. Greedy: with fair shares, the hash joins
/// that cannot spill would leave little to those that can, however much is free. What is spilled has `spill_bytes_max`, or the disk.
///
/// # Errors
/// A directory that cannot be made.
pub(crate) fn runtime_env(
    memory_bytes_max: usize,
    spill_dir: &Path,
    spill_bytes_max: Option<u64>,
) -> Result<Arc<RuntimeEnv>> {
    // What an earlier process left there belongs to no query.
    match fs::remove_dir_all(spill_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(spill_dir)?,
    }
    let named = NonZeroUsize::new(CONSUMERS_NAMED).unwrap_or(NonZeroUsize::MIN);
    let pool =
        TrackConsumersPool::new(GreedyMemoryPool::new(memory_bytes_max / 100 * (100 - COLUMN_CACHE_PERCENT)), named);
    let files = SpillFiles::new(spill_dir, spill_bytes_max)?;
    let disk = DiskManagerBuilder::default().with_temp_file_factory(Arc::new(files));
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(disk).build_arc()
}

/// What one query's motions may hold of `memory_bytes_max`, unless told otherwise.
pub(crate) fn motion_memory_bytes(memory_bytes_max: usize) -> usize {
    MOTION_MEMORY_BYTES_MAX.min(memory_bytes_max / MOTION_MEMORY_PART)
}

/// What a process may use of this machine, or of this container.
pub(crate) fn default_memory_bytes() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let total: Option<u64> = [machine, container].into_iter().flatten().min();
    total.map_or(MEMORY_BYTES_FALLBACK, |total| (total / 100 * MEMORY_PERCENT) as usize)
}

/// Bytes of the line `MemTotal: 16314948 kB`.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        assert_eq!(mem_total("MemTotal:       16314948 kB\nMemFree: 1 kB\n"), Some(16_314_948 * 1024));
        assert_eq!(mem_total("nothing"), None);
        assert!(default_memory_bytes() > 1 << 20);
    }

    #[test]
    fn the_spill_directory_is_emptied() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let spill = dir.path().join("spill");
        fs::create_dir(&spill).expect("room");
        fs::write(spill.join("left-over"), "x").expect("room");
        runtime_env(1 << 20, &spill, None).expect("a runtime environment");
        assert!(!spill.join("left-over").exists());
    }
}
