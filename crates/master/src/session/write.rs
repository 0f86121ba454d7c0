//! What every write does: plan with a writer on top, run to the end, commit the files.

use super::Session;
use super::bind::Bound;
use crate::catalog::{CatalogError, Commit};
use crate::dispatch::Running;
use crate::error::{SqlError, SqlResult, SqlState, internal, of_datafusion};
use crate::planner::{SliceTable, WriteTarget};
use damson_cluster::{ContentId, CopyUnit, Distribution, FileEntry, TableDef};
use damson_motion::TableWriteSpec;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the writers of a statement reported.
pub(super) struct Written<F> {
    /// Rows of the statement: a replicated table's count once.
    pub rows: u64,
    pub files: Vec<F>,
}

/// The writer of one table.
pub(super) fn table_target(def: &TableDef) -> WriteTarget {
    let distribution_key = match &def.distribution {
        Distribution::Hashed(key) => key.clone(),
        Distribution::Randomly | Distribution::Replicated => vec![],
    };
    let spec = TableWriteSpec {
        table: def.id,
        name: def.name.clone(),
        schema: def.arrow_schema(),
        compression: def.compression,
        distribution_key,
    };
    WriteTarget::Table { spec, distribution: def.distribution.clone(), map: def.map_version }
}

impl Session {
    /// Runs a planned write of a table. On an error, what was written is removed.
    pub(super) async fn write_table(
        &self,
        bound: &Bound,
        table: &SliceTable,
        copy_units: HashMap<u32, Vec<Vec<CopyUnit>>>,
        def: &TableDef,
        cancel: CancellationToken,
    ) -> SqlResult<Written<FileEntry>> {
        let running = self.dispatch(bound, table, copy_units, true, cancel.clone()).await?;
        let written = self.written(running, def).await?;
        // The last moment for a cancel: the caller commits.
        if cancel.is_cancelled() {
            self.discard(&written.files).await;
            return Err(SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"));
        }
        Ok(written)
    }

    /// Waits for the writers of a dispatched write. On an error, what was written is removed.
    pub(super) async fn written(&self, running: Running, def: &TableDef) -> SqlResult<Written<FileEntry>> {
        let (reports, outcome) = collect::<Vec<FileEntry>>(running).await;
        let files: Vec<FileEntry> = reports.iter().flat_map(|(_, files)| files.clone()).collect();
        if let Err(error) = outcome {
            self.discard(&files).await;
            return Err(error);
        }
        let rows = reports.iter().map(|(rows, _)| *rows);
        let rows = match def.distribution {
            Distribution::Replicated => rows.max().unwrap_or(0),
            Distribution::Hashed(_) | Distribution::Randomly => rows.sum(),
        };
        Ok(Written { rows, files })
    }

    /// Commits new files; if the catalog refuses, they are removed.
    pub(super) async fn commit(self: &Arc<Self>, commit: Commit) -> SqlResult<()> {
        let files = commit.adds.clone();
        let session = Arc::clone(self);
        let work = move || session.master.catalog.commit(commit);
        match tokio::task::spawn_blocking(work).await.map_err(internal)? {
            Ok(_) => Ok(()),
            // Whether the catalog lists the files is known only when it can be read again.
            Err(error @ CatalogError::InDoubt(_)) => Err(error.into()),
            Err(error) => {
                self.discard(&files).await;
                Err(error.into())
            }
        }
    }

    /// Removes files that were never committed. What cannot be removed now is an orphan until the next start.
    pub(super) async fn discard(&self, files: &[FileEntry]) {
        let mut by_content: BTreeMap<ContentId, Vec<String>> = BTreeMap::new();
        for file in files {
            by_content.entry(file.content).or_default().push(file.path.clone());
        }
        for (content, paths) in by_content {
            if let Err(error) = self.master.files.remove(content, &paths).await {
                tracing::warn!(%content, %error, "could not remove a failed statement's files");
            }
        }
    }
}

/// The writers' reports, as many as came, and how it ended.
pub(super) async fn collect<F: DeserializeOwned>(mut running: Running) -> (Vec<(u64, F)>, SqlResult<()>) {
    let mut reports = vec![];
    while let Some(batch) = running.stream.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return (reports, Err(of_datafusion(error))),
        };
        // The storage crate orders its report's columns as it likes.
        let column = |name: &str| {
            let missing = || internal(format!("a writer's report lacks {name}"));
            batch.column_by_name(name).ok_or_else(missing)
        };
        let parsed = (|| -> Result<(), SqlError> {
            let rows = column("rows")?.as_primitive::<UInt64Type>();
            let files = column("files")?.as_binary::<i32>();
            for (rows, files) in rows.values().iter().zip(files.iter()) {
                let files = serde_json::from_slice(files.unwrap_or_default()).map_err(internal)?;
                reports.push((*rows, files));
            }
            Ok(())
        })();
        if let Err(error) = parsed {
            return (reports, Err(error));
        }
    }
    (reports, Ok(()))
}
