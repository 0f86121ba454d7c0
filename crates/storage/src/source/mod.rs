//! Files that COPY reads: on disks and in buckets. They are users' own: nothing here writes.

mod file;
mod list;
mod partition;
mod pattern;
mod url;

pub(crate) use file::{SourceFile, await_read};
pub use list::list_sources;
