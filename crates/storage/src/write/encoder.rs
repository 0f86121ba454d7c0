//! A table file's rows to Parquet. The first of them are held until they say how each column is encoded, and of rows that have buckets until they
//! are enough for several row groups at once.

use super::WriteSpec;
use super::bucket_groups::{BucketGroups, cuts};
use super::encodings::{ColumnEncoding, choose};
use crate::interval::{stored_schema, to_stored};
use crate::limits::{
    BLOOM_FALSE_POSITIVES, CHUNK_ROWS, DICTIONARY_BYTES_MAX, DIVIDED_HELD_BYTES, DIVIDED_ROWS_MIN,
    ENCODING_SAMPLE_BYTES, ENCODING_SAMPLE_ROWS, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX,
};
use damson_cluster::{Compression, OnDuplicate, SortColumn, has_bloom_filter, placement};
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
    pub(super) schema: SchemaRef,
    properties: WriterProperties,
    /// Columns with Bloom filters.
    pub(super) filtered: Vec<ColumnPath>,
    /// Columns by which rows have buckets.
    pub(super) key: Vec<usize>,
    /// The segment's buckets, ascending; empty: files are not divided by them.
    pub(super) owned: Vec<u16>,
}

impl FileForm {
    /// # Errors
    /// The library's, for a level of compression that it does not have.
    pub(super) fn new(spec: &WriteSpec) -> Result<Self> {
        let fields = spec.filtered.iter().map(|&position| spec.schema.field(position));
        let filtered = fields.filter(|field| has_bloom_filter(field.data_type()));
        let filtered: Vec<ColumnPath> = filtered.map(|field| path(field.name())).collect();
        let properties = properties(spec, &filtered)?;
        let owned = if is_divisible(spec) { spec.buckets.clone() } else { vec![] };
        let key = spec.distribution_key.clone();
        Ok(FileForm { schema: stored_schema(&spec.schema), properties, filtered, key, owned })
    }

    /// The encodings of a file that begins with `first`; `is_whole`: these are all of its rows.
    fn encodings(&self, first: &[RecordBatch], is_whole: bool) -> Vec<ColumnEncoding> {
        let rows: usize = first.iter().map(RecordBatch::num_rows).sum();
        choose(first, is_whole && rows <= ENCODING_SAMPLE_ROWS)
    }

    /// The same file's writer.
    fn writer(
        &self,
        first: &[RecordBatch],
        is_whole: bool,
        encodings: &[ColumnEncoding],
    ) -> Result<ArrowWriter<Vec<u8>>> {
        let mut properties = self.properties.clone().into_builder();
        for (field, encoding) in self.schema.fields().iter().zip(encodings) {
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

/// Whether rows may come in another order than they were written in, as long as those of one bucket keep theirs: they are not sorted, and none is
/// told from another by its number ([`NewKeys`](super::keys::NewKeys)).
fn is_divisible(spec: &WriteSpec) -> bool {
    let is_counted = spec.keys.iter().any(|key| key.on_duplicate != OnDuplicate::Fail);
    !spec.distribution_key.is_empty() && spec.sorted_by.is_empty() && !is_counted
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
    may_divide: bool,
    /// The file's first rows while there is no writer.
    held: Vec<RecordBatch>,
    held_rows: usize,
    /// Of the same rows, where files are divided by them.
    held_buckets: Vec<u16>,
    held_memory: RecordBatchMemoryCounter,
    writer: Option<Writer>,
}

enum Writer {
    /// One row group after the other.
    InTurn(Box<ArrowWriter<Vec<u8>>>),
    /// Several at once, by buckets.
    ByBucket(Box<BucketGroups>),
}

impl FileEncoder {
    /// `may_divide`: there is memory for several row groups at once.
    pub(super) fn new(form: &Arc<FileForm>, may_divide: bool) -> Self {
        FileEncoder {
            form: Arc::clone(form),
            may_divide: may_divide && !form.owned.is_empty(),
            held: vec![],
            held_rows: 0,
            held_buckets: vec![],
            held_memory: RecordBatchMemoryCounter::new(),
            writer: None,
        }
    }

    /// Rows with the table's columns; `hashes` are those of their distribution key, of a table that has one.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn write(&mut self, rows: &RecordBatch, hashes: &[u64]) -> Result<()> {
        let rows = stored(&self.form.schema, rows)?;
        let is_divided = self.may_divide;
        match &mut self.writer {
            Some(Writer::InTurn(writer)) => return writer.write(&rows),
            Some(Writer::ByBucket(groups)) => {
                let buckets: Vec<u16> = hashes.iter().map(|&hash| placement::bucket_of(hash)).collect();
                return groups.write(&rows, &buckets);
            }
            None => {}
        }
        self.held_rows += rows.num_rows();
        // Batches may be slices of one.
        self.held_memory.count_batch(&rows);
        self.held.push(rows);
        let (rows_max, bytes_max) = if is_divided {
            self.held_buckets.extend(hashes.iter().map(|&hash| placement::bucket_of(hash)));
            (DIVIDED_ROWS_MIN, DIVIDED_HELD_BYTES)
        } else {
            (ENCODING_SAMPLE_ROWS, ENCODING_SAMPLE_BYTES)
        };
        if self.held_rows >= rows_max || self.held_memory.memory_usage() >= bytes_max {
            self.begun(false, is_divided)?;
        }
        Ok(())
    }

    /// The writer. If there is none yet it is made, and what was held is written; `is_whole`: that is the file; `is_divided`: it is enough for
    /// several row groups.
    fn begun(&mut self, is_whole: bool, is_divided: bool) -> Result<&mut Writer> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin(is_whole, is_divided)?,
        };
        Ok(self.writer.insert(writer))
    }

    fn begin(&mut self, is_whole: bool, is_divided: bool) -> Result<Writer> {
        let form = Arc::clone(&self.form);
        let encodings = form.encodings(&self.held, is_whole);
        let mut writer = form.writer(&self.held, is_whole, &encodings)?;
        self.held_memory = RecordBatchMemoryCounter::new();
        let (held, buckets) = (std::mem::take(&mut self.held), std::mem::take(&mut self.held_buckets));
        let deltas = encodings.iter().filter(|encoding| **encoding == ColumnEncoding::Delta).count();
        if is_divided && let Some(cuts) = cuts(encodings.len(), deltas, form.filtered.len()) {
            let mut groups = BucketGroups::begin(writer, &form, cuts)?;
            let mut first = 0;
            for rows in held {
                groups.write(&rows, &buckets[first..first + rows.num_rows()])?;
                first += rows.num_rows();
            }
            return Ok(Writer::ByBucket(Box::new(groups)));
        }
        for rows in held {
            writer.write(&rows)?;
        }
        Ok(Writer::InTurn(Box::new(writer)))
    }

    /// Ends the row groups, so that no memory is held. The file is not divided from here on.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn flush(&mut self) -> Result<()> {
        match self.begun(false, false)? {
            Writer::InTurn(writer) => writer.flush(),
            Writer::ByBucket(groups) => groups.flush(),
        }
    }

    /// The bytes of the row groups that have ended, if there are any that have not been taken.
    pub(super) fn take_block(&mut self) -> Option<Vec<u8>> {
        let block = match self.writer.as_mut()? {
            Writer::InTurn(writer) => std::mem::take(writer.inner_mut()),
            Writer::ByBucket(groups) => groups.take_block(),
        };
        (!block.is_empty()).then_some(block)
    }

    /// The rest of the file.
    ///
    /// # Errors
    /// The library's.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>> {
        match self.begun(true, false)? {
            Writer::InTurn(writer) => {
                writer.finish()?;
                Ok(std::mem::take(writer.inner_mut()))
            }
            Writer::ByBucket(groups) => groups.finish(),
        }
    }

    /// Bytes of the file so far, those inside guessed.
    pub(super) fn file_bytes(&self) -> u64 {
        match &self.writer {
            None => 0,
            Some(Writer::InTurn(writer)) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            Some(Writer::ByBucket(groups)) => groups.file_bytes(),
        }
    }

    /// Whether all row groups of a file that has several at once have ended: if it goes on, they all begin again.
    pub(super) fn is_between_groups(&self) -> bool {
        matches!(&self.writer, Some(Writer::ByBucket(groups)) if groups.is_between_groups())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let writer = match &self.writer {
            None => 0,
            Some(Writer::InTurn(writer)) => writer.memory_size(),
            Some(Writer::ByBucket(groups)) => groups.memory_bytes(),
        };
        self.held_memory.memory_usage() + writer
    }
}

/// Rows as a file has them.
fn stored(schema: &SchemaRef, rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(to_stored).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
