//! Parquet files: a file's share of row groups to batches of the target's types.

mod columns;
mod convert;
mod pruning;
mod reader;

pub(crate) use reader::{ParquetReader, unreadable};
