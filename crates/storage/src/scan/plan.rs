//! The plan that scans a table's files.

use super::columns::ByPosition;
use super::reader::TableFileReaders;
use crate::StorageError;
use crate::footers::FileIdentity;
use crate::interval::{IntervalDecodeExec, is_interval, stored_schema};
use damson_cluster::FileEntry;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// Reads `projection` (positions in `table_schema`) of `files`. See [`crate::TableStore::scan`].
pub(crate) fn scan(
    readers: Arc<TableFileReaders>,
    table_schema: &SchemaRef,
    projection: &[usize],
    files: &[FileEntry],
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let table = files.first().map(|file| file.table);
    plan(readers, table_schema, projection, files, partitions.max(1)).map_err(|error| StorageError::WrongRows {
        table: table.unwrap_or(damson_cluster::TableId(0)),
        detail: format!("could not plan its scan: {error}"),
    })
}

fn plan(
    readers: Arc<TableFileReaders>,
    table_schema: &SchemaRef,
    projection: &[usize],
    files: &[FileEntry],
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let stored = stored_schema(table_schema);
    let source = ParquetSource::new(Arc::clone(&stored)).with_parquet_file_reader_factory(readers);
    // The URL only has to name a store that every runtime has: the readers have their own.
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file_groups(groups(files, partitions))
        .with_statistics(statistics(&stored, files))
        .with_expr_adapter(Some(Arc::new(ByPosition)))
        .with_projection_indices(Some(projection.to_vec()))?
        .build();
    let scan = DataSourceExec::from_data_source(config);
    let schema = Arc::new(table_schema.project(projection)?);
    if schema.fields().iter().any(|field| is_interval(field.data_type())) {
        return Ok(Arc::new(IntervalDecodeExec::new(scan, schema)));
    }
    Ok(scan)
}

/// Exactly `partitions` groups of about the same bytes; files are cut at row groups where that is needed.
fn groups(files: &[FileEntry], partitions: usize) -> Vec<FileGroup> {
    let file = |entry: &FileEntry| {
        PartitionedFile::new(entry.path.clone(), entry.bytes).with_extension(FileIdentity::from(entry))
    };
    let one = FileGroup::new(files.iter().map(file).collect());
    let mut groups = vec![one];
    if partitions > 1
        && let Some(split) = FileGroupPartitioner::new()
            .with_target_partitions(partitions)
            .with_repartition_file_min_size(0)
            .repartition_file_groups(&groups)
    {
        groups = split;
    }
    groups.resize_with(partitions, || FileGroup::new(Vec::new()));
    groups
}

/// Rows and bytes, declared inexact so that no rule answers a query from them.
fn statistics(schema: &SchemaRef, files: &[FileEntry]) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().flat_map(|file| &file.columns).map(|column| column.value_bytes).sum();
    statistics.num_rows = Precision::Inexact(rows as usize);
    statistics.total_byte_size = Precision::Inexact(bytes as usize);
    statistics
}
