//! Limits of the expansion, with their reasons.

use damson_cluster::BUCKETS;

/// Tables that are moved at once: the range of `gpexpand -n`, beyond which a disk gains nothing.
pub const PARALLEL_TABLES_MAX: usize = 96;

/// Every segment must be able to own a bucket.
pub const SEGMENTS_MAX: usize = BUCKETS;

const _: () = assert!(SEGMENTS_MAX <= u16::MAX as usize, "a bucket's owner is held in 16 bits");
