//! What COPY reads and writes: formats, and the pieces of files that the master gives to segments.

use serde::{Deserialize, Serialize};

/// PostgreSQL's CSV options; each character is one byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    pub header: bool,
    pub delimiter: u8,
    pub quote: u8,
    pub escape: u8,
    /// The unquoted text that is NULL.
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { header: false, delimiter: b',', quote: b'"', escape: b'"', null: String::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParquetOptions {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyFormat {
    Csv(CsvOptions),
    Parquet(ParquetOptions),
}

/// A piece of a file for one segment to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyUnit {
    /// The records that *start* in `start..end` (bytes). `start` is a record's first byte, or 0, where a byte order mark
    /// and the header may come first; the last record may end beyond `end`.
    CsvRange { path: String, start: u64, end: u64 },
    /// Row groups by index.
    ParquetRowGroups { path: String, row_groups: Vec<usize> },
}
