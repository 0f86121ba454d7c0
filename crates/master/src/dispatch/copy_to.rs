//! What segments do for a COPY TO beside the plan: the manifest, and the end of it.

use super::FileService;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use damson_cluster::ContentId;
use damson_motion::{CopyPlace, EndCopy, WriteCopyManifest, copy_calls};
use futures::future;
use std::time::Duration;
use tokio::time::timeout;

/// How long a segment may take to remove what it has written; what is left then is logged there.
const END_WAIT: Duration = Duration::from_secs(30);

impl FileService {
    /// # Errors
    /// 58P02 for a place that has a manifest; those of the place; 57P03 without the segment.
    pub(crate) async fn check_copy_manifest(&self, writer: ContentId, place: &CopyPlace) -> SqlResult<()> {
        let body = serde_json::to_vec(place).map_err(internal)?;
        self.ask::<bool>(writer, copy_calls::CHECK_MANIFEST, body.into()).await.map(|_| ())
    }

    /// # Errors
    /// As [`FileService::check_copy_manifest`]. It may be there all the same if the segment was lost.
    pub(crate) async fn write_copy_manifest(&self, writer: ContentId, place: CopyPlace, text: String) -> SqlResult<()> {
        let body = serde_json::to_vec(&WriteCopyManifest { place, text }).map_err(internal)?;
        self.ask::<usize>(writer, copy_calls::WRITE_MANIFEST, body.into()).await.map(|_| ())
    }

    /// Removes the files of a COPY TO that failed on one segment.
    ///
    /// # Errors
    /// A segment that does not answer in time: its files may be left.
    pub(crate) async fn take_back_copy(&self, content: ContentId, stem: &str) -> SqlResult<()> {
        let body = serde_json::to_vec(stem).map_err(internal)?;
        in_time(self.ask::<bool>(content, copy_calls::TAKE_BACK, body.into())).await.map(|_| ())
    }

    /// Tells segments that the files of a COPY TO stay. Who does not hear it keeps them too.
    pub(crate) async fn keep_copy(&self, segments: &[ContentId], stem: &str) {
        self.end_copy(segments, stem, true).await;
    }

    /// Removes the directories that were made for a COPY TO whose files were taken back. One segment's may have those of another within
    /// them, which go first: they are asked again for as long as some go.
    pub(crate) async fn remove_copy_directories(&self, segments: &[ContentId], stem: &str) {
        let (mut left, mut directories) = (segments.to_vec(), usize::MAX);
        while !left.is_empty() {
            let before = directories;
            let counts = self.end_copy(&left, stem, false).await;
            left = left.into_iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(content, _)| content).collect();
            directories = counts.iter().sum();
            if directories >= before {
                // Somebody else has something in them.
                return self.keep_copy(&left, stem).await;
            }
        }
    }

    /// How many directories each has left. None of those that do not answer, which is logged.
    async fn end_copy(&self, segments: &[ContentId], stem: &str, is_kept: bool) -> Vec<usize> {
        let told = segments.iter().map(async |&content| {
            let body = serde_json::to_vec(&EndCopy { stem: stem.into(), is_kept }).map_err(internal)?;
            in_time(self.ask::<usize>(content, copy_calls::END, body.into())).await
        });
        let told = segments.iter().zip(future::join_all(told).await).map(|(content, told)| {
            told.unwrap_or_else(|error| {
                tracing::warn!(%content, stem, %error, "could not tell a segment how a COPY TO ended");
                0
            })
        });
        told.collect()
    }
}

async fn in_time<T>(answer: impl Future<Output = SqlResult<T>>) -> SqlResult<T> {
    let late = |_| SqlError::new(SqlState::CONNECTION_FAILURE, "the segment does not answer");
    timeout(END_WAIT, answer).await.map_err(late)?
}
