//! COPY's readers and writers.

mod bad_rows;
mod blocks;
mod column;
#[cfg(test)]
mod corpus_tests;
mod csv;
mod decode;
mod error_log;
mod infer;
mod json;
mod lines;
mod newline;
mod parquet;
mod print_json;
mod print_text;
mod progress;
mod pruning;
mod read;
mod reading;
mod scanner;
mod split;
mod write;

pub use error_log::{ErrorLog, ErrorLogWriter};
pub use infer::{Inferred, infer};
pub use progress::CopyProgress;
pub use read::{CopyRead, copy_read, copy_read_columns};
pub use split::split;
pub use write::{CopyWriteSpec, Exports, check_no_manifest, copy_write, write_manifest};
