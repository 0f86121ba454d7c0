//! Stop 5 of a query's walk: slices to gangs, and the watch over them until the last row.

mod copy_to;
mod error_logs;
mod file_bounds;
mod files;
mod maps;
mod orphans;
mod places;
mod registry;
mod retrieving;
mod routes;
mod run;
mod sources;

pub(crate) use error_logs::ErrorLogCollector;
pub(crate) use files::{FileService, Finding};
pub(crate) use orphans::{OrphanCollector, Write, Writes};
pub(crate) use places::Places;
pub(crate) use registry::{Registry, SegmentPlace};
pub(crate) use retrieving::Retrieving;
pub(crate) use run::{Copied, Dispatch, Dispatcher, Running, SliceMetrics};
pub(crate) use sources::Shares;
