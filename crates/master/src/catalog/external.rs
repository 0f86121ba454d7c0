//! External tables: files that are read as a table, or that rows are written to.

use damson_cluster::{Codec, ColumnDef, CopyFormat, OnBadRow};
use serde::{Deserialize, Serialize};

/// Where an external table's rows are, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalDef {
    /// All may be NULL.
    pub columns: Vec<ColumnDef>,
    /// Paths and URLs, as they were written.
    pub locations: Vec<String>,
    /// A regular expression that a file's URL must match.
    pub pattern: Option<String>,
    pub format: CopyFormat,
    /// None: by each file's name.
    pub codec: Option<Codec>,
    pub on_bad_row: OnBadRow,
    /// The secret by which they are reached; None: the one in whose scope they are, if any.
    pub secret: Option<String>,
    /// Written and never read.
    pub writable: bool,
    /// Of a writable one: positions of the columns whose hash chooses the segment that writes a row; empty: where the rows are anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution_key: Vec<usize>,
    /// Of a writable one: positions of the columns whose values are directories, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<usize>,
}
