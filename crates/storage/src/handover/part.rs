//! A Parquet file of some row groups of another one: their bytes as they are, and a footer of its own.

use crate::footers::Footer;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use std::ops::Range;

/// What every Parquet file begins with.
const MAGIC: &[u8] = b"PAR1";

/// How a new file is put together.
#[derive(Debug)]
pub(super) struct Assembly {
    pub head: &'static [u8],
    /// Of the old file, in the order of the new one.
    pub ranges: Vec<Range<u64>>,
    pub tail: Vec<u8>,
}

impl Assembly {
    /// All of a file, of so many bytes.
    pub(super) fn whole(bytes: u64) -> Self {
        Assembly { head: &[], ranges: std::iter::once(0..bytes).collect(), tail: vec![] }
    }

    /// Some of its row groups, with their Bloom filters. Page indexes stay behind: files whose row groups are told apart have none, and without them
    /// a scan reads more.
    ///
    /// # Errors
    /// The library's, of a footer that contradicts itself.
    pub(super) fn part(footer: &Footer, row_groups: &[usize]) -> Result<Self> {
        let old = footer.metadata.metadata();
        let mut moved = Moved { end: MAGIC.len() as u64, ranges: vec![] };
        let moved_groups = row_groups.iter().enumerate().map(|(ordinal, &index)| {
            let row_group = moved.row_group(old.row_group(index))?;
            row_group.into_builder().set_ordinal(ordinal as i16).build()
        });
        let new = moved_groups.collect::<Result<Vec<RowGroupMetaData>>>()?;
        let file = old.file_metadata();
        let metadata = FileMetaData::new(
            file.version(),
            new.iter().map(RowGroupMetaData::num_rows).sum(),
            file.created_by().map(str::to_owned),
            Some(key_values(footer, row_groups)),
            file.schema_descr_ptr(),
            file.column_orders().cloned(),
        );
        let mut tail = vec![];
        ParquetMetaDataWriter::new(&mut tail, &ParquetMetaData::new(metadata, new)).finish()?;
        Ok(Assembly { head: MAGIC, ranges: moved.ranges, tail })
    }
}

/// The old file's, but for the buckets of row groups that it has alone.
fn key_values(footer: &Footer, row_groups: &[usize]) -> Vec<KeyValue> {
    let old = footer.metadata.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let buckets = footer.buckets.as_ref().map(|buckets| buckets.select(row_groups).key_value());
    let is_other = |other: &&KeyValue| buckets.as_ref().is_none_or(|buckets| buckets.key != other.key);
    let others: Vec<KeyValue> = old.filter(is_other).cloned().collect();
    others.into_iter().chain(buckets).collect()
}

/// Ranges of the old file, one after the other in the new one.
struct Moved {
    /// Of the new file so far.
    end: u64,
    ranges: Vec<Range<u64>>,
}

impl Moved {
    fn row_group(&mut self, old: &RowGroupMetaData) -> Result<RowGroupMetaData> {
        let first = self.end as i64;
        let chunks = old.columns().iter().map(|chunk| self.chunk(chunk)).collect::<Result<Vec<_>>>()?;
        let chunks = chunks.into_iter().map(|chunk| self.bloom_filter(chunk)).collect::<Result<Vec<_>>>()?;
        old.clone().into_builder().set_column_metadata(chunks).set_file_offset(first).build()
    }

    fn chunk(&mut self, old: &ColumnChunkMetaData) -> Result<ColumnChunkMetaData> {
        let (start, length) = old.byte_range();
        let shift = self.append(start..start + length);
        let shifted = |offset: i64| offset + shift;
        old.clone()
            .into_builder()
            .set_data_page_offset(shifted(old.data_page_offset()))
            .set_dictionary_page_offset(old.dictionary_page_offset().map(shifted))
            .set_index_page_offset(old.index_page_offset().map(shifted))
            .set_offset_index_offset(None)
            .set_offset_index_length(None)
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .build()
    }

    /// Of a chunk whose other offsets are the new ones already.
    fn bloom_filter(&mut self, chunk: ColumnChunkMetaData) -> Result<ColumnChunkMetaData> {
        let offset = match (chunk.bloom_filter_offset(), chunk.bloom_filter_length()) {
            (Some(offset), Some(length)) => {
                let shift = self.append(offset as u64..offset as u64 + length as u64);
                Some(offset + shift)
            }
            _ => None,
        };
        let length = offset.and(chunk.bloom_filter_length());
        chunk.into_builder().set_bloom_filter_offset(offset).set_bloom_filter_length(length).build()
    }

    /// Gives what is added to an offset in the range.
    fn append(&mut self, range: Range<u64>) -> i64 {
        let shift = self.end as i64 - range.start as i64;
        self.end += range.end - range.start;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
        shift
    }
}
