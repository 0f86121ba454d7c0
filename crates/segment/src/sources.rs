//! The master's calls about files that COPY reads.

use crate::segment::{Segment, internal, storage_error};
use bytes::Bytes;
use damson_interconnect::{ControlError, ControlStream};
use damson_motion::{InferSchema, InferredSchema, ListSources, SplitSources};
use damson_storage::Inferred;
use futures::{StreamExt, stream};
use serde::Serialize;

/// Bytes of one message of an answer: a list of a million files takes 200 MB.
const ANSWER_PART_BYTES: usize = 512 << 10;

impl Segment {
    /// # Errors
    /// See [`damson_storage::list_sources`].
    pub(crate) async fn list_sources(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let ListSources { names, filter, access } = serde_json::from_slice(body).map_err(|e| internal(&e))?;
        let files = damson_storage::list_sources(&names, filter.as_deref(), &access).await;
        in_parts(&files.map_err(storage_error)?)
    }

    /// # Errors
    /// See [`damson_storage::split`].
    pub(crate) async fn split_sources(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let SplitSources { files, format, codec, segments, access } =
            serde_json::from_slice(body).map_err(|e| internal(&e))?;
        // Looking through text is work for the CPU; it ends with the call.
        let work = async move { damson_storage::split(files, &format, codec, segments, &access).await };
        let work = tokio_util::task::AbortOnDropHandle::new(self.cpu.spawn(work));
        in_parts(&work.await.map_err(|e| internal(&e))?.map_err(storage_error)?)
    }

    /// # Errors
    /// See [`damson_storage::infer`].
    pub(crate) async fn infer_schema(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let InferSchema { files, format, codec, access } = serde_json::from_slice(body).map_err(|e| internal(&e))?;
        // Looking at text is work for the CPU; it ends with the call.
        let work = async move { damson_storage::infer(&files, &format, codec, &access).await };
        let work = tokio_util::task::AbortOnDropHandle::new(self.cpu.spawn(work));
        let Inferred { schema, partition_columns } = work.await.map_err(|e| internal(&e))?.map_err(storage_error)?;
        in_parts(&InferredSchema { schema, partition_columns })
    }
}

/// One JSON value, in as many messages as it takes.
fn in_parts(value: &impl Serialize) -> Result<ControlStream, ControlError> {
    let body = Bytes::from(serde_json::to_vec(value).map_err(|e| internal(&e))?);
    let starts = (0..body.len()).step_by(ANSWER_PART_BYTES);
    let parts: Vec<Bytes> = starts.map(|start| body.slice(start..body.len().min(start + ANSWER_PART_BYTES))).collect();
    Ok(stream::iter(parts.into_iter().map(Ok)).boxed())
}
