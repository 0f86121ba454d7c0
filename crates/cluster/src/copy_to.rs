//! What COPY TO writes, and where.

use crate::{Codec, ContentId, CopyFormat};
use serde::{Deserialize, Serialize};

/// The file beside a COPY TO's files that lists them, written last.
pub const COPY_MANIFEST: &str = "manifest.json";

/// The files of one COPY TO. Made by the master; each segment writes its parts. It has no credentials: those travel as
/// [`SourceAccess`](crate::SourceAccess), apart from the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTarget {
    /// A directory's path or URL, or a prefix of a bucket's names; with `single` the file itself.
    pub place: String,
    /// Segments write to `place` and to these in turn.
    pub further_places: Vec<String>,
    /// The statement's own part of its files' names: no other statement, of any cluster, has the same.
    pub stem: String,
    /// Names of the columns of the rows that are written.
    pub columns: Vec<String>,
    pub format: CopyFormat,
    /// None: of Parquet the writer's default, else none.
    pub codec: Option<Codec>,
    /// Bytes after which a part is followed by another one; None: the writer's default, of a single file none.
    pub max_file_bytes: Option<u64>,
    /// Positions of the columns whose values are directories, outermost first; they are not in the files.
    pub partition_by: Vec<usize>,
    /// One file, which takes the place of what is there. All rows are on one segment.
    pub single: bool,
    /// A segment without rows writes no file, instead of one without rows.
    pub leaves_out_empty: bool,
}

impl CopyTarget {
    /// As one segment has it: with its place alone.
    pub fn of_segment(&self, content: ContentId) -> CopyTarget {
        let turn = usize::try_from(content.0).unwrap_or(0) % (1 + self.further_places.len());
        let place = if turn == 0 { &self.place } else { &self.further_places[turn - 1] };
        CopyTarget { place: place.clone(), further_places: vec![], ..self.clone() }
    }

    /// How the names of one segment's parts begin.
    pub fn stem_of(&self, content: ContentId) -> String {
        format!("seg{}-{}", content.0, self.stem)
    }
}

/// A file that a COPY TO has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedPart {
    /// As [`CopyFile::url`](crate::CopyFile::url).
    pub url: String,
    /// Whose host has it, if it is a local file.
    pub segment: ContentId,
    pub rows: u64,
    pub bytes: u64,
}
