//! One segment's tables: immutable Parquet files in a data directory or a bucket, the operators that scan and write them, and COPY's
//! readers and writers. Knows nothing of the master, of motions or of the catalog.

mod backup;
mod blocking;
mod bloom_filters;
mod bucket_ranges;
mod cache;
mod check;
mod chunk_bounds;
mod copy;
mod deletes;
mod directory_sync;
mod durable;
mod error;
mod footers;
mod handover;
mod interval;
mod key_index;
pub mod limits;
mod local_files;
mod object_clients;
mod places;
mod range_cache;
mod retry;
mod scan;
mod sink;
mod source;
mod store;
pub mod text;
mod write;

pub use backup::{BackupPlace, shown_url};
pub use cache::{ColumnCache, ColumnCacheStats};
pub use check::FileProblem;
pub use copy::{
    CopyProgress, CopyRead, CopyWriteSpec, ErrorLog, ErrorLogWriter, Exports, Inferred, check_no_manifest, copy_read,
    copy_read_columns, copy_write, infer, split, write_manifest,
};
pub use error::{RecordError, StorageError};
pub use footers::Verification;
pub use local_files::{allow_local_directories, protect_directory};
pub use places::BucketClient;
pub use range_cache::{RangeCache, RangeCacheConfig, RangeCacheStats};
pub use source::list_sources;
pub use store::{StoreCaches, TableStore};
pub use write::{Check, ModifySpec, WriteSpec, Writes};
