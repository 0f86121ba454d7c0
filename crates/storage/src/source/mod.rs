//! Files that COPY reads: on disks, in buckets and of web servers. They are users' own: nothing here writes. COPY TO has its names from here.

mod file;
mod list;
mod partition;
mod pattern;
mod url;
mod web;

pub(crate) use file::{SourceFile, await_read, refused};
pub use list::list_sources;
pub(crate) use partition::HIVE_NULL;
pub(crate) use url::SourceName;
