//! What every write does: plan with a writer on top, run to the end, give the files to the transaction.

use super::Session;
use super::bind::Bound;
use crate::catalog::{Commit, FileKey};
use crate::dispatch::Running;
use crate::error::{SqlError, SqlResult, internal, of_datafusion};
use crate::planner::{SliceTable, TableTarget, WriteTarget};
use crate::transaction::Transaction;
use damson_cluster::{ContentId, Distribution, FileEntry, Modification, TableDef, TableId};
use damson_motion::TableWriteSpec;
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, not};
use datafusion::arrow::datatypes::{Schema, SchemaRef, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// `rows` and `files`, with which what writers give begins.
const REPORT_COLUMNS: usize = 2;

/// What a statement changed.
pub(super) struct Changed {
    /// Rows of the statement: a replicated table's count once.
    pub rows: u64,
    pub commit: Commit,
    /// The rows of RETURNING.
    pub returned: Returned,
}

/// Rows that are kept until the statement has succeeded.
pub(super) struct Returned {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// As long as the rows are here.
    pub reservation: MemoryReservation,
}

/// What the writers of a statement report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reports {
    /// New files.
    Files,
    /// A [`Modification`] each.
    Modifications,
}

/// The writer of one table whose rows need not be looked at: they were there before, or have no constraints.
pub(super) fn table_target(def: &TableDef) -> WriteTarget {
    WriteTarget::Table(unchecked(def))
}

/// A table without its constraints.
pub(super) fn unchecked(def: &TableDef) -> TableTarget {
    let distribution_key = match &def.distribution {
        Distribution::Hashed(key) => key.clone(),
        Distribution::Randomly | Distribution::Replicated => vec![],
    };
    let of_keys = def.keys.iter().flat_map(|key| key.columns.iter().copied());
    let mut filtered: Vec<usize> = of_keys.chain(def.layout.bloom_filter_columns.iter().copied()).collect();
    filtered.sort_unstable();
    filtered.dedup();
    let spec = TableWriteSpec {
        table: def.id,
        place: def.place(),
        name: def.name.clone(),
        schema: def.arrow_schema(),
        compression: def.compression,
        distribution_key,
        map: def.map_version,
        filtered,
        checks: vec![],
        keys: vec![],
        sort_key: def.layout.sort_key.clone(),
        returning: None,
    };
    TableTarget {
        spec,
        checks: vec![],
        distribution: def.distribution.clone(),
        map: def.map_version,
        returning: 0,
        in_place: false,
        moves_to: vec![],
        copies: None,
    }
}

impl Session {
    /// Runs a planned write of new files of a table. On an error, what was written is removed.
    pub(super) async fn write_table(
        &self,
        bound: &Bound,
        table: &SliceTable,
        def: &TableDef,
        unique: bool,
        cancel: CancellationToken,
    ) -> SqlResult<Changed> {
        let running = self.dispatch(bound, table, HashMap::new(), true, cancel.clone()).await?;
        self.changed(bound, running, def, Reports::Files, unique).await
    }

    /// Waits for the writers of a dispatched change. On an error, what was written is removed. `unique`: they saw to it that keys are.
    pub(super) async fn changed(
        &self,
        bound: &Bound,
        running: Running,
        def: &TableDef,
        reports: Reports,
        unique: bool,
    ) -> SqlResult<Changed> {
        let mut commit = Commit { unique: if unique { vec![def.id] } else { vec![] }, ..Commit::default() };
        let (rows, returned, outcome) = match reports {
            Reports::Files => {
                let (reports, returned, outcome) = collect::<Vec<FileEntry>>(bound, running).await;
                let rows = statement_rows(reports.iter().map(|(rows, _)| *rows), def);
                commit.adds = reports.into_iter().flat_map(|(_, files)| files).collect();
                (rows, returned, outcome)
            }
            Reports::Modifications => {
                let (reports, returned, outcome) = collect::<Modification>(bound, running).await;
                let rows = statement_rows(reports.iter().map(|(rows, _)| *rows), def);
                reports.into_iter().for_each(|(_, modification)| add_to(&mut commit, def.id, modification));
                (rows, returned, outcome)
            }
        };
        if let Err(error) = outcome {
            self.discard(&commit.new_files()).await;
            return Err(error);
        }
        Ok(Changed { rows, commit, returned })
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
            if let Err(error) = self.master.files.remove(content, paths).await {
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

fn add_to(commit: &mut Commit, table: TableId, Modification { content, deletes, adds }: Modification) {
    commit.adds.extend(adds);
    for (path, vector) in deletes {
        let file = FileKey { content, path };
        match vector {
            Some(vector) => commit.deletes.push((table, file, vector)),
            None => commit.drops.push((table, file)),
        }
    }
}

pub(super) fn keys(files: &[FileEntry]) -> Vec<FileKey> {
    files.iter().map(FileKey::of).collect()
}

/// The writers' reports, as many as came, the rows that came back, and how it ended.
pub(super) async fn collect<F: DeserializeOwned>(
    bound: &Bound,
    mut running: Running,
) -> (Vec<(u64, F)>, Returned, SqlResult<()>) {
    let fields = running.stream.schema().fields().iter().skip(REPORT_COLUMNS).cloned().collect::<Vec<_>>();
    let reservation = MemoryConsumer::new("Returning").register(&bound.state.runtime_env().memory_pool);
    let mut returned = Returned { schema: Arc::new(Schema::new(fields)), batches: vec![], reservation };
    let mut reports = vec![];
    while let Some(batch) = running.stream.next().await {
        let taken = match batch {
            Ok(batch) => take(&batch, &mut reports, &mut returned),
            Err(error) => Err(of_datafusion(error)),
        };
        if let Err(error) = taken {
            return (reports, returned, Err(error));
        }
    }
    (reports, returned, Ok(()))
}

/// Takes apart the rows that writers gave: see [`sink_schema`](damson_motion::sink_schema).
fn take<F: DeserializeOwned>(
    batch: &RecordBatch,
    reports: &mut Vec<(u64, F)>,
    returned: &mut Returned,
) -> SqlResult<()> {
    let schema = batch.schema();
    // The storage crate orders its report's columns as it likes.
    let column = |name: &str| {
        let missing = || internal(format!("a writer's report lacks {name}"));
        schema.fields().iter().take(REPORT_COLUMNS).position(|field| field.name() == name).ok_or_else(missing)
    };
    let rows = batch.column(column("rows")?).as_primitive::<UInt64Type>();
    let files = batch.column(column("files")?).as_binary::<i32>();
    let is_report: BooleanArray =
        files.iter().map(|files| Some(files.is_some_and(|files| !files.is_empty()))).collect();
    for (row, files) in files.iter().enumerate().filter(|(row, _)| is_report.value(*row)) {
        let files = serde_json::from_slice(files.unwrap_or_default()).map_err(internal)?;
        reports.push((rows.value(row), files));
    }
    if is_report.true_count() < batch.num_rows() {
        let arrow = |error: ArrowError| of_datafusion(error.into());
        let others = not(&is_report).map_err(arrow)?;
        let columns: Vec<usize> = (REPORT_COLUMNS..batch.num_columns()).collect();
        let rows = batch.project(&columns).and_then(|rows| filter_record_batch(&rows, &others)).map_err(arrow)?;
        returned.reservation.try_grow(rows.get_array_memory_size()).map_err(of_datafusion)?;
        returned.batches.push(rows);
    }
    Ok(())
}
