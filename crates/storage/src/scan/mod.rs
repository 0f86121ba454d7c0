//! Reading table files: the operator, its stream of batches, and below it row groups, pruning and decoding.

mod cached_pieces;
mod compact;
mod decode;
mod exec;
mod file_statistics;
mod files;
mod pages;
mod pruning;
mod row_groups;
mod shares;
mod stream;

pub(crate) use exec::{scan, scan_chosen};
pub(crate) use files::TableFiles;
pub(crate) use pages::PageIndexes;
pub(crate) use pruning::{Asked, Pruner, on_table};
pub(crate) use row_groups::RowGroupChoice;
