//! What a segment says of the files that COPY and queries read.

use super::FileService;
use crate::error::{SqlResult, SqlState, internal};
use damson_cluster::{Codec, ContentId, CopyFile, CopyFormat, CopyUnit, SegmentSet, SourceAccess};
use damson_motion::{InferSchema, InferredSchema, ListSources, SplitSources, source_calls};
use std::collections::BTreeMap;

/// Of a PATTERN that is none, most often a wildcard.
const PATTERN_HINT: &str =
    "PATTERN is a regular expression, such as '\\.csv$'; wildcards stand in the place itself: '/directory/*.csv'.";

/// Of a relative path that names nothing where the segment was started that looks.
const RELATIVE_HINT: &str =
    "A path is one of the segments' hosts, and begins with /. psql's \\copy reads files of the client's host.";

/// What each segment reads of files.
pub(crate) type Shares = BTreeMap<ContentId, Vec<CopyUnit>>;

impl FileService {
    /// The files that `names` mean. Dropping the future ends it.
    ///
    /// # Errors
    /// 58P01 for a name that means none, 22023 for what is no name, 2201B for a filter that is no regular expression, and those of the places;
    /// 57P03 without the segment.
    pub(crate) async fn list_sources(
        &self,
        names: &[String],
        filter: Option<&str>,
        access: &SourceAccess,
    ) -> SqlResult<Vec<CopyFile>> {
        let request = ListSources { names: names.to_vec(), filter: filter.map(str::to_owned), access: access.clone() };
        let body = serde_json::to_vec(&request).map_err(internal)?;
        let listed: SqlResult<Vec<CopyFile>> =
            self.ask(self.any_segment(), source_calls::LIST_SOURCES, body.into()).await;
        let is_relative = |name: &String| !name.starts_with('/') && !name.contains("://");
        listed.map_err(|error| {
            if error.state == SqlState::INVALID_REGEX {
                error.with_hint(PATTERN_HINT)
            } else if error.state == SqlState::UNDEFINED_FILE && names.iter().any(is_relative) {
                error.with_hint(RELATIVE_HINT)
            } else {
                error
            }
        })
    }

    /// The share of files of each of `segments`. Dropping the future ends it.
    ///
    /// # Errors
    /// 55000 for a file that has changed since it was listed, and those of the places and formats; 57P03 without the segment.
    pub(crate) async fn split_sources(
        &self,
        files: &[CopyFile],
        format: &CopyFormat,
        codec: Option<Codec>,
        segments: &SegmentSet,
        access: &SourceAccess,
    ) -> SqlResult<Shares> {
        let (files, format, access) = (files.to_vec(), format.clone(), access.clone());
        let request = SplitSources { files, format, codec, segments: segments.len(), access };
        let body = serde_json::to_vec(&request).map_err(internal)?;
        let units: Vec<Vec<CopyUnit>> = self.ask(self.any_segment(), source_calls::SPLIT_SOURCES, body.into()).await?;
        if units.len() != segments.len() {
            return Err(internal(format!("files were cut for {} segments, not {}", units.len(), segments.len())));
        }
        Ok(segments.iter().zip(units).collect())
    }

    /// The columns of files. Dropping the future ends it.
    ///
    /// # Errors
    /// 42804 for files that do not agree, 22P04 for those of another format, and those of the places; 57P03 without the segment.
    pub(crate) async fn infer_schema(
        &self,
        files: &[CopyFile],
        format: &CopyFormat,
        codec: Option<Codec>,
        access: &SourceAccess,
    ) -> SqlResult<InferredSchema> {
        let (files, format, access) = (files.to_vec(), format.clone(), access.clone());
        let body = serde_json::to_vec(&InferSchema { files, format, codec, access }).map_err(internal)?;
        self.ask(self.any_segment(), source_calls::INFER_SCHEMA, body.into()).await
    }
}
