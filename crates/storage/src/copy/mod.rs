//! COPY's readers and writers.

mod blocks;
mod csv;
mod decode;
mod json;
mod lines;
mod parquet;
mod print_json;
mod print_text;
mod read;
mod split;
mod write;

pub use read::{CopyRead, copy_read};
pub use split::split;
pub use write::copy_write;
