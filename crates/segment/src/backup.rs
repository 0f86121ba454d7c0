//! The master's calls that make and read backups.

use crate::segment::{Segment, answer, internal, storage_error};
use bytes::Bytes;
use damson_cluster::Copied;
use damson_interconnect::{ControlError, ControlStream};
use damson_motion::{BackupFiles, ClaimPlace, ReadBackup, RestoreFiles, WriteBackup};
use damson_storage::{BackupPlace, StorageError};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;

impl Segment {
    /// # Errors
    /// See [`BackupPlace::claim`]; 22023 for a directory among this segment's own files.
    pub(crate) async fn claim_place(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let ClaimPlace { place, cluster_id } = request(body)?;
        self.store.refuse_place_inside(&place).await.map_err(storage_error)?;
        let place = BackupPlace::create(&place).await.map_err(storage_error)?;
        answer(&place.claim(&cluster_id).await.map_err(storage_error)?)
    }

    /// # Errors
    /// A place that is not the one that the master means; what fails later is in the answer.
    pub(crate) async fn backup_files(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let BackupFiles { place, marker, at, files } = request(body)?;
        let place = self.place(&place).await.map_err(storage_error)?;
        place.check_marker(&marker).await.map_err(storage_error)?;
        Ok(answers(self.store_at(at.as_ref()).await?.back_up(&place, files)))
    }

    /// # Errors
    /// A place that is none; what fails later is in the answer.
    pub(crate) async fn restore_files(&self, body: &[u8]) -> Result<ControlStream, ControlError> {
        let RestoreFiles { place, at, files } = request(body)?;
        let place = self.place(&place).await.map_err(storage_error)?;
        Ok(answers(self.store_at(at.as_ref()).await?.restore(&place, files)))
    }

    /// A place that is not among this segment's own files.
    async fn place(&self, url: &str) -> Result<BackupPlace, StorageError> {
        self.store.refuse_place_inside(url).await?;
        BackupPlace::open(url).await
    }
}

/// # Errors
/// See [`BackupPlace::write_new`].
pub(crate) async fn write_backup(body: &[u8]) -> Result<ControlStream, ControlError> {
    let WriteBackup { place, name, text } = request(body)?;
    let place = BackupPlace::open(&place).await.map_err(storage_error)?;
    let bytes = text.len();
    place.write_new(&name, text.into()).await.map_err(storage_error)?;
    answer(&bytes)
}

/// # Errors
/// See [`BackupPlace::read`].
pub(crate) async fn read_backup(body: &[u8]) -> Result<ControlStream, ControlError> {
    let ReadBackup { place, name } = request(body)?;
    let place = BackupPlace::open(&place).await.map_err(storage_error)?;
    let bytes = place.read(&name).await.map_err(storage_error)?;
    Ok(stream::once(async { Ok(bytes) }).boxed())
}

/// # Errors
/// See [`BackupPlace::backups`].
pub(crate) async fn list_backups(body: &[u8]) -> Result<ControlStream, ControlError> {
    let place = BackupPlace::open(&request::<String>(body)?).await.map_err(storage_error)?;
    answer(&place.backups().await.map_err(storage_error)?)
}

fn request<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| internal(&error))
}

fn answers(copies: BoxStream<'static, Result<Copied, StorageError>>) -> ControlStream {
    let copies = copies.map_err(storage_error);
    let coded = copies.and_then(|copied| async move {
        serde_json::to_vec(&copied).map(Bytes::from).map_err(|error| internal(&error))
    });
    coded.map_err(Into::into).boxed()
}
