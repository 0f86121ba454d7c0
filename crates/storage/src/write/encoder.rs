//! A table file's rows to Parquet. The first of them are held until they say how each column is encoded.

use super::WriteSpec;
use super::encodings::{ColumnEncoding, choose};
use crate::interval::{stored_schema, to_stored};
use crate::limits::{
    BLOOM_FALSE_POSITIVES, CHUNK_ROWS, DICTIONARY_BYTES_MAX, ENCODING_SAMPLE_BYTES, ENCODING_SAMPLE_ROWS,
    ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX,
};
use damson_cluster::{Compression, SortColumn, has_bloom_filter};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression as ParquetCompression, Encoding, ZstdLevel};
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
    /// Columns with Bloom filters.
    filtered: Vec<ColumnPath>,
}

impl FileForm {
    /// # Errors
    /// The library's, for a level of compression that it does not have.
    pub(super) fn new(spec: &WriteSpec) -> Result<Self> {
        let fields = spec.filtered.iter().map(|&position| spec.schema.field(position));
        let filtered = fields.filter(|field| has_bloom_filter(field.data_type()));
        let filtered: Vec<ColumnPath> = filtered.map(|field| path(field.name())).collect();
        let properties = properties(spec, &filtered)?;
        Ok(FileForm { schema: stored_schema(&spec.schema), properties, filtered })
    }

    /// The writer of a file that begins with `first`; `is_whole`: these are all of its rows.
    fn writer(&self, first: &[RecordBatch], is_whole: bool) -> Result<ArrowWriter<Vec<u8>>> {
        let mut properties = self.properties.clone().into_builder();
        for (field, encoding) in self.schema.fields().iter().zip(choose(first, is_whole)) {
            let path = path(field.name());
            properties = match encoding {
                ColumnEncoding::Dictionary => properties,
                ColumnEncoding::Plain => properties.set_column_dictionary_enabled(path, false),
                ColumnEncoding::Delta => properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            };
        }
        if is_whole {
            // A filter for a full row group takes 2 MiB before it is folded: too much for a row that is inserted alone.
            let rows = first.iter().map(|rows| rows.num_rows() as u64).sum();
            let sized = |properties: WriterPropertiesBuilder, path: &ColumnPath| {
                properties.set_column_bloom_filter_max_ndv(path.clone(), rows)
            };
            properties = self.filtered.iter().fold(properties, sized);
        }
        ArrowWriter::try_new(vec![], Arc::clone(&self.schema), Some(properties.build()))
    }
}

fn properties(spec: &WriteSpec, filtered: &[ColumnPath]) -> Result<WriterProperties> {
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
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        // Row groups are pruned by their statistics. In rows of any order a page's bounds are the row group's, and an index of them
        // would only be longer.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    let properties = if spec.sorted_by.is_empty() { properties } else { sorted(spec, properties) };
    let with_filter = |properties: WriterPropertiesBuilder, path: &ColumnPath| {
        // Made for a full row group, and folded to the size that its values need.
        properties.set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
    };
    Ok(filtered.iter().fold(properties, with_filter).build())
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
    form: Arc<FileForm>,
    /// The file's first rows while there is no writer.
    held: Vec<RecordBatch>,
    held_rows: usize,
    held_memory: RecordBatchMemoryCounter,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl FileEncoder {
    pub(super) fn new(form: &Arc<FileForm>) -> Self {
        let held_memory = RecordBatchMemoryCounter::new();
        FileEncoder { form: Arc::clone(form), held: vec![], held_rows: 0, held_memory, writer: None }
    }

    /// Rows with the table's columns.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = stored(&self.form.schema, rows)?;
        if let Some(writer) = &mut self.writer {
            return writer.write(&rows);
        }
        self.held_rows += rows.num_rows();
        // Batches may be slices of one.
        self.held_memory.count_batch(&rows);
        self.held.push(rows);
        if self.held_rows >= ENCODING_SAMPLE_ROWS || self.held_memory.memory_usage() >= ENCODING_SAMPLE_BYTES {
            self.begun(false)?;
        }
        Ok(())
    }

    /// The writer. If there is none yet it is made, and what was held is written; `is_whole`: that is the file.
    fn begun(&mut self, is_whole: bool) -> Result<&mut ArrowWriter<Vec<u8>>> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let mut writer = self.form.writer(&self.held, is_whole)?;
                self.held_memory = RecordBatchMemoryCounter::new();
                for rows in self.held.drain(..) {
                    writer.write(&rows)?;
                }
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Ends the row group, so that no memory is held.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.begun(false)?.flush()
    }

    /// The bytes of the row groups that have ended, if there are any that have not been taken.
    pub(super) fn take_block(&mut self) -> Option<Vec<u8>> {
        let block = std::mem::take(self.writer.as_mut()?.inner_mut());
        (!block.is_empty()).then_some(block)
    }

    /// The rest of the file.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>> {
        let writer = self.begun(true)?;
        writer.finish()?;
        Ok(std::mem::take(writer.inner_mut()))
    }

    /// Bytes of the file so far, those inside guessed.
    pub(super) fn file_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| (writer.bytes_written() + writer.in_progress_size()) as u64)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.held_memory.memory_usage() + self.writer.as_ref().map_or(0, ArrowWriter::memory_size)
    }
}

/// Rows as a file has them.
fn stored(schema: &SchemaRef, rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(to_stored).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
