//! Ranges of files in buckets, kept in memory and on a local disk in blocks of one size. Files never change and their names are never used
//! again, so nothing in it is ever stale.

mod blocks;
mod cache;
mod slots;

pub(crate) use cache::ObjectName;
pub use cache::{RangeCache, RangeCacheConfig, RangeCacheStats};
