//! The master's calls about files that COPY TO writes.

use crate::segment::{Segment, answer, internal, storage_error};
use bytes::Bytes;
use damson_interconnect::{ControlError, ControlStream};
use damson_motion::{CopyPlace, EndCopy, WriteCopyManifest};
use damson_storage::{CopyProgress, CopyWriteSpec, check_no_manifest, write_manifest};
use serde::de::DeserializeOwned;

impl Segment {
    /// # Errors
    /// See [`check_no_manifest`].
    pub(crate) async fn check_copy_manifest(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let spec = self.copy_spec(request(body)?);
        check_no_manifest(&spec).await.map_err(storage_error)?;
        answer(&true)
    }

    /// # Errors
    /// See [`write_manifest`].
    pub(crate) async fn write_copy_manifest(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let WriteCopyManifest { place, text } = request(body)?;
        let (spec, text) = (self.copy_spec(place), Bytes::from(text));
        let bytes = text.len();
        write_manifest(&spec, text).await.map_err(storage_error)?;
        answer(&bytes)
    }

    /// # Errors
    /// See [`damson_storage::Exports::take_back`].
    pub(crate) async fn take_back_copy(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        self.exports.take_back(&request::<String>(body)?).await.map_err(storage_error)?;
        answer(&true)
    }

    /// # Errors
    /// See [`damson_storage::Exports::end`].
    pub(crate) async fn end_copy(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let EndCopy { stem, is_kept } = request(body)?;
        self.exports.end(&stem, is_kept).await.map_err(storage_error)?;
        answer(&true)
    }

    fn copy_spec(&self, CopyPlace { target, access }: CopyPlace) -> CopyWriteSpec {
        CopyWriteSpec {
            content: self.content,
            target,
            access,
            exports: self.exports.clone(),
            progress: CopyProgress::writing(),
            data_dir: Some(self.store.data_dir().to_owned()),
        }
    }
}

fn request<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| internal(&error))
}
