//! What the master asks segments about a place of backups: it opens no files itself.

use super::manifest::{BackupSequence, BackupTable, Manifest, read_part};
use super::place_name::shown_url;
use super::progress::Transfer;
use crate::catalog::{CatalogState, SequenceDef};
use crate::dispatch::FileService;
use crate::error::{SqlError, SqlResult, SqlState, internal, of_call};
use bytes::Bytes;
use damson_cluster::{BackupFile, ContentId, Copied, FileEntry, RestoreFile};
use damson_motion::{BackupFiles, ClaimPlace, ReadBackup, RestoreFiles, WriteBackup, control};
use futures::TryStreamExt;
use serde::Serialize;

/// A place of backups, by its URL, through the segments. Dropping a call's future ends it.
pub(crate) struct PlaceCalls<'a> {
    pub files: &'a FileService,
    pub url: &'a str,
    /// Who reads and writes manifests for the master. The same for all calls: the place may be a directory of its host.
    pub scribe: ContentId,
}

impl PlaceCalls<'_> {
    /// Makes the place the cluster's. Gives what every segment must see there.
    ///
    /// # Errors
    /// 22023 for a place of another cluster, and for what is no place; those of writing.
    pub async fn claim(&self, cluster_id: &str) -> SqlResult<String> {
        let request = ClaimPlace { place: self.url.into(), cluster_id: cluster_id.into() };
        self.files.ask(self.scribe, control::CLAIM_PLACE, body(&request)?).await
    }

    /// The snapshot's sequences, and where they are now.
    ///
    /// # Errors
    /// None in practice.
    pub async fn sequences(&self, state: &CatalogState) -> SqlResult<Vec<BackupSequence>> {
        let defs: Vec<_> = state.sequences().map(|def| (**def).clone()).collect();
        let positioned = self.files.in_catalog(move |catalog| {
            let of = |def: SequenceDef| {
                let position = catalog.position(def.id).unwrap_or_else(|| def.beginning());
                BackupSequence { def, position }
            };
            Ok(defs.into_iter().map(of).collect())
        });
        positioned.await
    }

    /// Copies files of a segment to the place.
    ///
    /// # Errors
    /// XX001 and 58P01 for a file that is not what the catalog says; those of writing.
    pub async fn back_up(
        &self,
        content: ContentId,
        marker: &str,
        files: Vec<BackupFile>,
        transfer: &Transfer,
    ) -> SqlResult<Copied> {
        let count = files.len();
        let request = BackupFiles { place: self.url.into(), marker: marker.into(), at: None, files };
        self.copy(content, control::BACKUP_FILES, body(&request)?, count, transfer).await
    }

    /// Copies files of the place to a segment.
    ///
    /// # Errors
    /// XX001 and 58P01 for a file that is not what the backup says; those of writing.
    pub async fn restore(&self, content: ContentId, files: Vec<RestoreFile>, transfer: &Transfer) -> SqlResult<Copied> {
        let count = files.len();
        let request = RestoreFiles { place: self.url.into(), at: None, files };
        self.copy(content, control::RESTORE_FILES, body(&request)?, count, transfer).await
    }

    async fn copy(
        &self,
        content: ContentId,
        kind: &str,
        body: Bytes,
        count: usize,
        transfer: &Transfer,
    ) -> SqlResult<Copied> {
        let mut answers = self.files.call(content, kind, body).await?;
        let mut sum = Copied::default();
        while let Some(answer) = answers.try_next().await.map_err(of_call(content))? {
            let copied: Copied = serde_json::from_slice(&answer).map_err(internal)?;
            transfer.advance(copied);
            sum += copied;
        }
        if sum.files != count as u64 {
            return Err(internal(format!("{content} has copied {} files of {count}", sum.files)));
        }
        Ok(sum)
    }

    /// A new file of the place.
    ///
    /// # Errors
    /// 58P02 if there is another of that name; those of writing.
    pub async fn write(&self, name: &str, text: String) -> SqlResult<()> {
        let request = WriteBackup { place: self.url.into(), name: name.into(), text };
        self.files.ask::<usize>(self.scribe, control::WRITE_BACKUP, body(&request)?).await.map(|_| ())
    }

    async fn read(&self, name: &str) -> SqlResult<Vec<u8>> {
        let request = ReadBackup { place: self.url.into(), name: name.into() };
        let answer = self.files.call(self.scribe, control::READ_BACKUP, body(&request)?).await?;
        let blocks: Vec<Bytes> = answer.try_collect().await.map_err(of_call(self.scribe))?;
        Ok(blocks.concat())
    }

    /// Names of the place's backups, those of the oldest snapshot first.
    ///
    /// # Errors
    /// 58P01 for a place without backups; those of reading.
    pub async fn list(&self) -> SqlResult<Vec<String>> {
        let mut ids: Vec<String> = self.files.ask(self.scribe, control::LIST_BACKUPS, body(&self.url)?).await?;
        ids.sort_by_cached_key(|id| Manifest::order(id));
        Ok(ids)
    }

    /// The backup of that name, or the one of the newest snapshot, the last one of several.
    ///
    /// # Errors
    /// 42704 where it is not there; XX001 for a manifest that is not what was written.
    pub async fn manifest(&self, id: Option<&str>) -> SqlResult<Manifest> {
        let ids = self.list().await?;
        let absent = |message: String| Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        let id = match (id, ids.last()) {
            (Some(id), _) if !ids.iter().any(|there| there == id) => {
                return absent(format!("there is no backup \"{id}\" in {}", shown_url(self.url)));
            }
            (Some(id), _) => id,
            (None, Some(newest)) => newest,
            (None, None) => return absent(format!("there is no backup in {}", shown_url(self.url))),
        };
        self.read_manifest(id).await
    }

    /// The manifest of a backup that [`PlaceCalls::list`] has named.
    ///
    /// # Errors
    /// XX001 for one that is not what was written; 42704 for a name that no backup has; those of reading.
    pub async fn read_manifest(&self, id: &str) -> SqlResult<Manifest> {
        let name = Manifest::name(id)?;
        Manifest::read(shown_url(self.url), &name, &self.read(&name).await?)
    }

    /// The files of a table of a backup.
    ///
    /// # Errors
    /// XX001 for a list that is not what was written, or cannot be of the table.
    pub async fn files_of(&self, manifest: &Manifest, table: &BackupTable) -> SqlResult<Vec<FileEntry>> {
        let mut files = vec![];
        for part in &table.parts {
            let text = self.read(&part.name).await?;
            files.extend(read_part(shown_url(self.url), part, &text, &table.def, manifest.segments)?);
        }
        Ok(files)
    }
}

fn body(request: &impl Serialize) -> SqlResult<Bytes> {
    serde_json::to_vec(request).map(Bytes::from).map_err(internal)
}
