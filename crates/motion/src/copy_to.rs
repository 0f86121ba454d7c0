//! What the master asks segments about the files that COPY TO writes, beside the plan: it opens none itself.

use damson_cluster::{CopyTarget, SourceAccess};
use serde::{Deserialize, Serialize};

/// Names of the calls.
pub mod copy_calls {
    /// Master → a segment, before a statement with a manifest: JSON [`super::CopyPlace`]; refuses a place that has one. Answers nothing of
    /// note.
    pub const CHECK_MANIFEST: &str = "check_copy_manifest";
    /// Master → a segment, when all parts are there: JSON [`super::WriteCopyManifest`]; answers its bytes.
    pub const WRITE_MANIFEST: &str = "write_copy_manifest";
    /// Master → a segment: body: JSON of a statement's stem. Ends its writers and removes its files; answers when they are gone.
    pub const TAKE_BACK: &str = "take_back_copy";
    /// Master → a segment: JSON [`super::EndCopy`]; answers how many directories are left that others may have something in.
    pub const END: &str = "end_copy";
}

/// Where a COPY TO writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CopyPlace {
    pub target: CopyTarget,
    pub access: SourceAccess,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WriteCopyManifest {
    pub place: CopyPlace,
    pub text: String,
}

/// How a COPY TO ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndCopy {
    pub stem: String,
    /// Whether its files stay. Else they were taken back on all segments, and what is left are directories that were made for it.
    pub is_kept: bool,
}
