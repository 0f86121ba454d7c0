//! What the master asks a segment about files that COPY reads: it opens none itself.

use arrow::datatypes::SchemaRef;
use damson_cluster::{Codec, CopyFile, CopyFormat, SourceAccess};
use serde::{Deserialize, Serialize};

/// Names of the calls.
pub mod source_calls {
    /// Master → any segment: JSON [`super::ListSources`]; answers one JSON list of [`damson_cluster::CopyFile`].
    pub const LIST_SOURCES: &str = "list_sources";
    /// Master → any segment: JSON [`super::SplitSources`]; answers one JSON list of lists of [`damson_cluster::CopyUnit`], one a segment.
    pub const SPLIT_SOURCES: &str = "split_sources";
    /// Master → any segment: JSON [`super::InferSchema`]; answers one JSON [`super::InferredSchema`].
    pub const INFER_SCHEMA: &str = "infer_schema";
}

/// Which files are there?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListSources {
    /// Files, directories and patterns, as the user wrote them.
    pub names: Vec<String>,
    /// A regular expression that a file's URL must match.
    pub filter: Option<String>,
    pub access: SourceAccess,
}

/// Who reads what of them?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SplitSources {
    pub files: Vec<CopyFile>,
    pub format: CopyFormat,
    /// None: by each file's name.
    pub codec: Option<Codec>,
    pub segments: usize,
    pub access: SourceAccess,
}

/// Which columns have they, and of which types?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InferSchema {
    pub files: Vec<CopyFile>,
    pub format: CopyFormat,
    /// None: by each file's name.
    pub codec: Option<Codec>,
    pub access: SourceAccess,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferredSchema {
    /// Columns in the files' order, then those that the files' directories give.
    pub schema: SchemaRef,
    /// How many of them directories give.
    pub partition_columns: usize,
}
