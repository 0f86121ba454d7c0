//! The QE (query executor): one segment. Takes slices from the master, puts its own files under their leaves, and runs
//! them.

mod backup;
mod copy_to;
mod error_log;
mod errors;
mod execute;
mod resolve;
mod running;
mod segment;
mod sources;
mod stores;

pub use errors::describe;
pub use segment::{Segment, SegmentConfig, SegmentError};
