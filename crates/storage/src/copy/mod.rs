//! COPY's readers and writers.

mod csv;
mod local;
mod parquet;
mod read;
mod write;

pub use read::copy_read;
pub use write::copy_write;
