//! What every write does: plan with a writer on top, run to the end, give the files to the transaction.

use super::Session;
use super::bind::Bound;
use crate::catalog::{Commit, FileKey};
use crate::dispatch::Running;
use crate::error::{SqlError, SqlResult, internal, of_datafusion};
use crate::planner::{SliceTable, WriteTarget};
use crate::transaction::Transaction;
use damson_cluster::{ContentId, CopyUnit, Distribution, FileEntry, Modification, TableDef, TableId};
use damson_motion::TableWriteSpec;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use tokio_util::sync::CancellationToken;

/// What the writers of a statement reported.
pub(super) struct Written<F> {
    /// Rows of the statement: a replicated table's count once.
    pub rows: u64,
    pub files: Vec<F>,
}

/// What an UPDATE or DELETE changed.
pub(super) struct Modified {
    /// Rows of the statement: a replicated table's count once.
    pub rows: u64,
    modifications: Vec<Modification>,
}

impl Modified {
    pub(super) fn commit(self, table: TableId) -> Commit {
        let mut commit = Commit::default();
        for Modification { content, deletes, adds } in self.modifications {
            commit.adds.extend(adds);
            for (path, vector) in deletes {
                let file = FileKey { content, path };
                match vector {
                    Some(vector) => commit.deletes.push((table, file, vector)),
                    None => commit.drops.push((table, file)),
                }
            }
        }
        commit
    }
}

/// The writer of one table.
pub(super) fn table_target(def: &TableDef) -> WriteTarget {
    WriteTarget::Table { spec: table_spec(def), distribution: def.distribution.clone(), map: def.map_version }
}

pub(super) fn table_spec(def: &TableDef) -> TableWriteSpec {
    let distribution_key = match &def.distribution {
        Distribution::Hashed(key) => key.clone(),
        Distribution::Randomly | Distribution::Replicated => vec![],
    };
    TableWriteSpec {
        table: def.id,
        name: def.name.clone(),
        schema: def.arrow_schema(),
        compression: def.compression,
        distribution_key,
    }
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
        Ok(written)
    }

    /// Waits for the writers of a dispatched write. On an error, what was written is removed.
    pub(super) async fn written(&self, running: Running, def: &TableDef) -> SqlResult<Written<FileEntry>> {
        let (reports, outcome) = collect::<Vec<FileEntry>>(running).await;
        let rows = statement_rows(reports.iter().map(|(rows, _)| *rows), def);
        let files: Vec<FileEntry> = reports.into_iter().flat_map(|(_, files)| files).collect();
        if let Err(error) = outcome {
            self.discard(&keys(&files)).await;
            return Err(error);
        }
        Ok(Written { rows, files })
    }

    /// Waits for what changes the rows of a dispatched UPDATE or DELETE. On an error, what was written is removed.
    pub(super) async fn modified(&self, running: Running, def: &TableDef) -> SqlResult<Modified> {
        let (reports, outcome) = collect::<Modification>(running).await;
        let rows = statement_rows(reports.iter().map(|(rows, _)| *rows), def);
        let modifications = reports.into_iter().map(|(_, modification)| modification).collect();
        let modified = Modified { rows, modifications };
        if let Err(error) = outcome {
            self.discard(&modified.commit(def.id).new_files()).await;
            return Err(error);
        }
        Ok(modified)
    }

    /// Makes what a bound statement wrote the transaction's, unless the statement was cancelled until now, or the catalog refuses it: then
    /// it is removed.
    pub(super) async fn add(
        &self,
        transaction: &mut Transaction,
        bound: &Bound,
        commit: Commit,
        cancel: &CancellationToken,
    ) -> SqlResult<()> {
        let files = commit.new_files();
        let added = if cancel.is_cancelled() {
            Err(SqlError::canceled())
        } else {
            transaction.add(bound.names.state(), commit)
        };
        if added.is_err() {
            self.discard(&files).await;
        }
        added
    }

    /// Removes files that were never committed. What cannot be removed now is an orphan, and is
    /// removed as such.
    pub(super) async fn discard(&self, files: &[FileKey]) {
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

fn statement_rows(of_writers: impl Iterator<Item = u64>, def: &TableDef) -> u64 {
    match def.distribution {
        Distribution::Replicated => of_writers.max().unwrap_or(0),
        Distribution::Hashed(_) | Distribution::Randomly => of_writers.sum(),
    }
}

pub(super) fn keys(files: &[FileEntry]) -> Vec<FileKey> {
    files.iter().map(FileKey::of).collect()
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
