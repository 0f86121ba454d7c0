//! A table file's rows to Parquet.

use super::WriteSpec;
use crate::interval::{stored_schema, to_stored};
use crate::limits::{BLOOM_FALSE_POSITIVES, CHUNK_ROWS, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};
use damson_cluster::{Compression, SortColumn, has_bloom_filter};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use datafusion::parquet::schema::types::ColumnPath;
use std::sync::Arc;

/// What all files of a table have in common, whatever their rows.
#[derive(Debug)]
pub(super) struct FileForm {
    /// See [`stored_schema`].
    schema: SchemaRef,
    properties: WriterProperties,
}

impl FileForm {
    /// # Errors
    /// The library's, for a level of compression that it does not have.
    pub(super) fn new(spec: &WriteSpec) -> Result<Self> {
        Ok(FileForm { schema: stored_schema(&spec.schema), properties: properties(spec)? })
    }

    /// # Errors
    /// The library's.
    pub(super) fn begin(&self) -> Result<FileEncoder> {
        let schema = Arc::clone(&self.schema);
        let writer = ArrowWriter::try_new(vec![], Arc::clone(&schema), Some(self.properties.clone()))?;
        Ok(FileEncoder { schema, writer })
    }
}

fn properties(spec: &WriteSpec) -> Result<WriterProperties> {
    let compression = match spec.compression {
        Compression::None => ParquetCompression::UNCOMPRESSED,
        Compression::Snappy => ParquetCompression::SNAPPY,
        Compression::Lz4 => ParquetCompression::LZ4_RAW,
        Compression::Zstd(level) => ParquetCompression::ZSTD(ZstdLevel::try_new(level)?),
    };
    let properties = WriterProperties::builder()
        .set_created_by(concat!("damson ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        // Row groups are pruned by their statistics. In rows of any order a page's bounds are the row group's, and an index of them
        // would only be longer.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    let properties = if spec.sorted_by.is_empty() { properties } else { sorted(spec, properties) };
    let fields = spec.filtered.iter().map(|&position| spec.schema.field(position));
    let filtered = fields.filter(|field| has_bloom_filter(field.data_type()));
    let with_filter = |properties: WriterPropertiesBuilder, path: ColumnPath| {
        // Made for a full row group, and folded to the size that its values need.
        properties.set_column_bloom_filter_fpp(path, BLOOM_FALSE_POSITIVES)
    };
    Ok(filtered.map(|field| path(field.name())).fold(properties, with_filter).build())
}

/// Pages as long as the pieces that a scan decodes at a time, and an index of the bounds of the key's columns; those of others would mostly be
/// the row group's.
fn sorted(spec: &WriteSpec, properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    let sorting = |sort: &SortColumn| SortingColumn {
        column_idx: sort.column as i32,
        descending: sort.descending,
        nulls_first: false,
    };
    let indexed = |properties: WriterPropertiesBuilder, sort: &SortColumn| {
        properties.set_column_statistics_enabled(path(spec.schema.field(sort.column).name()), EnabledStatistics::Page)
    };
    let properties = properties
        .set_sorting_columns(Some(spec.sorted_by.iter().map(sorting).collect()))
        .set_offset_index_disabled(false)
        .set_data_page_row_count_limit(CHUNK_ROWS);
    spec.sorted_by.iter().fold(properties, indexed)
}

fn path(column: &str) -> ColumnPath {
    ColumnPath::new(vec![column.to_owned()])
}

/// One file's rows on their way to bytes.
pub(super) struct FileEncoder {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl FileEncoder {
    /// Rows with the table's columns.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let stored = stored(&self.schema, rows)?;
        self.writer.write(&stored)
    }

    /// Ends the row group, so that no memory is held.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.writer.flush()
    }

    /// The bytes of the row groups that have ended, if there are any that have not been taken.
    pub(super) fn take_block(&mut self) -> Option<Vec<u8>> {
        let block = std::mem::take(self.writer.inner_mut());
        (!block.is_empty()).then_some(block)
    }

    /// The rest of the file.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// Bytes of the file so far, those inside guessed.
    pub(super) fn file_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.writer.memory_size()
    }
}

/// Rows as a file has them.
fn stored(schema: &SchemaRef, rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(to_stored).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
