//! What segments do for a COPY TO beside the plan: the manifest, and the end of it.

use super::FileService;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use damson_cluster::ContentId;
use damson_motion::{CopyPlace, EndCopy, WriteCopyManifest, copy_calls};
use futures::future;
use std::time::Duration;
use tokio::time::timeout;

/// Who writes the manifest. Every cluster has it.
pub(crate) const MANIFEST_WRITER: ContentId = ContentId(0);

/// How long a segment may take to remove what it has written; what is left then is logged there.
const END_WAIT: Duration = Duration::from_secs(30);

impl FileService {
    /// # Errors
    /// 58P02 for a place that has a manifest; those of the place; 57P03 without the segment.
    pub(crate) async fn check_copy_manifest(&self, place: &CopyPlace) -> SqlResult<()> {
        let body = serde_json::to_vec(place).map_err(internal)?;
        self.ask::<bool>(MANIFEST_WRITER, copy_calls::CHECK_MANIFEST, body.into()).await.map(|_| ())
    }

    /// # Errors
    /// As [`FileService::check_copy_manifest`]. It may be there all the same if the segment was lost.
    pub(crate) async fn write_copy_manifest(&self, place: CopyPlace, text: String) -> SqlResult<()> {
        let body = serde_json::to_vec(&WriteCopyManifest { place, text }).map_err(internal)?;
        self.ask::<usize>(MANIFEST_WRITER, copy_calls::WRITE_MANIFEST, body.into()).await.map(|_| ())
    }

    /// Removes the files of a COPY TO that failed on one segment.
    ///
    /// # Errors
    /// A segment that does not answer in time: its files may be left.
    pub(crate) async fn take_back_copy(&self, content: ContentId, stem: &str) -> SqlResult<()> {
        let body = serde_json::to_vec(stem).map_err(internal)?;
        in_time(self.ask::<bool>(content, copy_calls::TAKE_BACK, body.into())).await
    }

    /// Tells segments how a COPY TO ended. Who does not hear it keeps the files.
    pub(crate) async fn end_copy(&self, segments: &[ContentId], stem: &str, is_kept: bool) {
        let told = segments.iter().map(async |&content| {
            let body = serde_json::to_vec(&EndCopy { stem: stem.into(), is_kept }).map_err(internal)?;
            in_time(self.ask::<bool>(content, copy_calls::END, body.into())).await
        });
        for (content, told) in segments.iter().zip(future::join_all(told).await) {
            if let Err(error) = told {
                tracing::warn!(%content, stem, %error, "could not tell a segment how a COPY TO ended");
            }
        }
    }
}

async fn in_time(answer: impl Future<Output = SqlResult<bool>>) -> SqlResult<()> {
    let late = |_| SqlError::new(SqlState::CONNECTION_FAILURE, "the segment does not answer");
    timeout(END_WAIT, answer).await.map_err(late)?.map(|_| ())
}
