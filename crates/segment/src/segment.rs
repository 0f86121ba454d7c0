//! A segment: its store, its resources, and its answers to the master's calls.

use crate::backup;
use crate::execute::execute;
use crate::running::Running;
use crate::stores::Stores;
use async_trait::async_trait;
use bytes::Bytes;
use damson_cluster::{ContentId, PlaceSpec};
use damson_interconnect::{ControlError, ControlHandler, ControlStream, Node};
use damson_motion::{
    CheckFiles, ExecuteRequest, ListFiles, NodeReport, RemoveFiles, Retrievals, codes, control, copy_calls,
    error_log_calls, source_calls,
};
use damson_storage::{Exports, StorageError, StoreCaches, TableStore, Verification, protect_directory};
use datafusion::execution::{SessionState, TaskContext};
use futures::{StreamExt, stream};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::runtime::Handle;

/// What a segment is made of.
pub struct SegmentConfig {
    pub content: ContentId,
    pub data_dir: PathBuf,
    pub node: Arc<Node>,
    /// Functions, settings and the node's runtime environment (memory pool, spill directory); shared by every content
    /// of a process.
    pub state: Arc<SessionState>,
    /// What the process keeps of its table files.
    pub caches: StoreCaches,
    /// How much of a file is compared with the catalog before it is read.
    pub verification: Verification,
    /// Where slices run; sockets and object stores have another runtime.
    pub cpu: Handle,
    /// Where clients fetch the rows of slices that are theirs; one for every content of a process.
    pub retrievals: Arc<Retrievals>,
}

/// A segment that cannot start.
#[derive(Debug, Error)]
pub enum SegmentError {
    #[error("{content}: cannot open {path}: {source}")]
    Open { content: ContentId, path: PathBuf, source: StorageError },
}

/// One segment of this process; answers the master until the process ends.
pub struct Segment {
    pub(crate) content: ContentId,
    pub(crate) store: TableStore,
    pub(crate) node: Arc<Node>,
    pub(crate) state: Arc<SessionState>,
    /// Knows the functions of slices that are decoded.
    pub(crate) functions: Arc<TaskContext>,
    pub(crate) cpu: Handle,
    pub(crate) running: Arc<Running>,
    pub(crate) retrievals: Arc<Retrievals>,
    /// What COPY TOs write here.
    pub(crate) exports: Exports,
}

impl Segment {
    /// Opens the data directory, keeps statements' own files out of it, and answers the calls for its content on the node.
    ///
    /// # Errors
    /// A data directory that cannot be made or read.
    pub fn start(config: SegmentConfig) -> Result<Arc<Segment>, SegmentError> {
        let SegmentConfig { content, data_dir, node, state, caches, verification, cpu, retrievals } = config;
        let open_error = |path: &Path, source| SegmentError::Open { content, path: path.to_owned(), source };
        let store = TableStore::open_with_caches(content, &data_dir, caches, verification);
        let store = store.map_err(|e| open_error(&data_dir, e))?;
        protect_directory(&data_dir).map_err(|e| open_error(&data_dir, e))?;
        let segment = Arc::new(Segment {
            content,
            store,
            node: Arc::clone(&node),
            functions: state.task_ctx(),
            state,
            cpu,
            running: Arc::new(Running::default()),
            retrievals,
            exports: Exports::default(),
        });
        node.set_handler(content, Arc::clone(&segment) as Arc<dyn ControlHandler>);
        Ok(segment)
    }

    /// This segment's files at a place; None: in the data directory.
    pub(crate) async fn store_at(&self, place: Option<&PlaceSpec>) -> Result<TableStore, ControlError> {
        match place {
            Some(place) => self.store.at(place).await.map_err(storage_error),
            None => Ok(self.store.clone()),
        }
    }
}

#[async_trait]
impl ControlHandler for Segment {
    async fn handle(&self, kind: &str, body: Bytes) -> Result<ControlStream, ControlError> {
        match kind {
            control::EXECUTE => {
                let request = ExecuteRequest::decode(body).map_err(|e| internal(&e))?;
                let stores = Stores::open(&self.store, &request.head.places).await.map_err(storage_error)?;
                Ok(execute(self, request, stores))
            }
            control::REMOVE_FILES => {
                let RemoveFiles { at, paths } = serde_json::from_slice(&body).map_err(|e| internal(&e))?;
                self.store_at(at.as_ref()).await?.remove(&paths).await.map_err(storage_error)?;
                answer(&paths.len())
            }
            control::CHECK_FILES => {
                let CheckFiles { at, table, map, files } = serde_json::from_slice(&body).map_err(|e| internal(&e))?;
                let store = self.store_at(at.as_ref()).await?;
                // Hashing rows is work for the CPU.
                let work = self.cpu.spawn(async move { store.check(&table, &map, &files).await });
                let problems = work.await.map_err(|e| internal(&e))?;
                answer(&problems.into_iter().map(|found| (found.path, found.problem)).collect::<Vec<_>>())
            }
            control::CLAIM_PLACE => self.claim_place(&body).await,
            control::BACKUP_FILES => self.backup_files(&body).await,
            control::RESTORE_FILES => self.restore_files(&body).await,
            control::WRITE_BACKUP => backup::write_backup(&body).await,
            control::READ_BACKUP => backup::read_backup(&body).await,
            control::LIST_BACKUPS => backup::list_backups(&body).await,
            source_calls::LIST_SOURCES => self.list_sources(&body).await,
            source_calls::SPLIT_SOURCES => self.split_sources(&body).await,
            error_log_calls::READ_ERROR_LOG => self.read_error_log(&body).await,
            error_log_calls::TRUNCATE_ERROR_LOG => self.truncate_error_log(&body).await,
            error_log_calls::LIST_ERROR_LOGS => self.list_error_logs().await,
            error_log_calls::DROP_ERROR_LOGS => self.drop_error_logs(&body).await,
            copy_calls::CHECK_MANIFEST => self.check_copy_manifest(&body).await,
            copy_calls::WRITE_MANIFEST => self.write_copy_manifest(&body).await,
            copy_calls::TAKE_BACK => self.take_back_copy(&body).await,
            copy_calls::END => self.end_copy(&body).await,
            source_calls::INFER_SCHEMA => self.infer_schema(&body).await,
            control::LIST_FILES => {
                let ListFiles { at } = serde_json::from_slice(&body).map_err(|e| internal(&e))?;
                answer(&self.store_at(at.as_ref()).await?.list().await.map_err(storage_error)?)
            }
            control::RUNNING_SLICES => answer(&self.running.list(self.content)),
            control::INTERCONNECT_STATS => answer(&NodeReport::of(&self.node)),
            _ => Err(ControlError { code: codes::INTERNAL.into(), message: format!("unknown call {kind:?}") }),
        }
    }
}

pub(crate) fn answer(value: &impl Serialize) -> Result<ControlStream, ControlError> {
    let body = Bytes::from(serde_json::to_vec(value).map_err(|e| internal(&e))?);
    Ok(stream::once(async { Ok(body) }).boxed())
}

pub(crate) fn internal(error: &dyn std::fmt::Display) -> ControlError {
    ControlError { code: codes::INTERNAL.into(), message: error.to_string() }
}

pub(crate) fn storage_error(error: StorageError) -> ControlError {
    ControlError { code: error.sqlstate().into(), message: error.to_string() }
}
