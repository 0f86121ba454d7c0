//! Running this crate's operators in tests.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod bucket;
pub mod bucketed;

use damson_cluster::{ContentId, CopyFormat, CopyTarget, CopyUnit, FileEntry, OnBadRow, SourceAccess, TableId};
use damson_storage::{
    ColumnCache, CopyProgress, CopyRead, CopyWriteSpec, Exports, StorageError, TableStore, Verification, WriteSpec,
};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{SchemaRef, UInt64Type};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect};
use futures::TryStreamExt;
use std::path::Path;
use std::sync::Arc;

pub const TABLE: TableId = TableId(7);

pub fn memory(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Arc<dyn ExecutionPlan> {
    MemorySourceConfig::try_new_exec(&[batches], Arc::clone(schema), None).unwrap()
}

pub async fn run(plan: Arc<dyn ExecutionPlan>) -> Result<Vec<RecordBatch>, DataFusionError> {
    collect(plan, Arc::new(TaskContext::default())).await
}

/// A COPY FROM of `units` that fails of its first bad row.
pub fn copying(format: &CopyFormat, schema: &SchemaRef, units: Vec<CopyUnit>) -> CopyRead {
    CopyRead {
        content: ContentId(0),
        format: format.clone(),
        schema: Arc::clone(schema),
        partition_columns: vec![],
        max_chars: vec![None; schema.fields().len()],
        on_bad_row: OnBadRow::Fail,
        access: SourceAccess::default(),
        progress: CopyProgress::new(&units),
        units,
        error_log: None,
    }
}

/// A COPY TO of rows of `schema` into files `seg0-part_0.…` of a directory.
pub fn copying_to(directory: &Path, format: &CopyFormat, schema: &SchemaRef) -> CopyWriteSpec {
    let target = CopyTarget {
        place: directory.to_str().unwrap().into(),
        further_places: vec![],
        stem: "part".into(),
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
        format: format.clone(),
        codec: None,
        max_file_bytes: None,
        partition_by: vec![],
        single: false,
        leaves_out_empty: false,
    };
    let (access, exports) = (SourceAccess::default(), Exports::default());
    CopyWriteSpec { content: ContentId(0), target, access, exports, progress: CopyProgress::writing(), data_dir: None }
}

/// All the rows of a plan as one batch.
pub async fn rows(plan: Arc<dyn ExecutionPlan>) -> Result<RecordBatch, DataFusionError> {
    let schema = plan.schema();
    let batches = run(plan).await?;
    for batch in &batches {
        assert_eq!(batch.schema().fields(), schema.fields(), "a batch has its plan's schema");
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// The SQLSTATE and the message of what a plan fails with.
pub async fn failure(plan: Arc<dyn ExecutionPlan>) -> (String, String) {
    let error = run(plan).await.expect_err("the plan fails");
    let found = StorageError::find(&error).unwrap_or_else(|| panic!("not ours: {error}"));
    (found.sqlstate().to_owned(), found.to_string())
}

pub fn open(dir: &Path) -> TableStore {
    TableStore::open(ContentId(0), dir).unwrap()
}

pub fn open_with_cache(dir: &Path, cache: &Arc<ColumnCache>) -> TableStore {
    TableStore::open_with_cache(ContentId(0), dir, Arc::clone(cache), Verification::default()).unwrap()
}

/// All the rows of a plan as one batch, those of the first partition first.
pub async fn rows_in_order(plan: &Arc<dyn ExecutionPlan>) -> Result<RecordBatch, DataFusionError> {
    let mut batches = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let stream = plan.execute(partition, Arc::new(TaskContext::default()))?;
        batches.extend(stream.try_collect::<Vec<RecordBatch>>().await?);
    }
    Ok(concat_batches(&plan.schema(), &batches)?)
}

/// What an operator counted.
pub fn counted(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let metrics = plan.metrics().unwrap();
    metrics.sum_by_name(name).unwrap_or_else(|| panic!("no {name} in {metrics}")).as_usize()
}

/// Runs a sink, and gives `files` and `rows`.
pub async fn sink(plan: Arc<dyn ExecutionPlan>) -> Result<(Vec<u8>, u64), DataFusionError> {
    let batches = run(plan).await?;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let files = batches[0].column_by_name("files").unwrap().as_binary::<i32>().value(0).to_vec();
    let rows = batches[0].column_by_name("rows").unwrap().as_primitive::<UInt64Type>().value(0);
    Ok((files, rows))
}

pub async fn write(store: &TableStore, spec: WriteSpec, batches: Vec<RecordBatch>) -> Vec<FileEntry> {
    let input = memory(&spec.schema, batches);
    let (files, rows) = sink(store.write(spec, input).unwrap()).await.unwrap();
    let files: Vec<FileEntry> = serde_json::from_slice(&files).unwrap();
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), rows);
    files
}
