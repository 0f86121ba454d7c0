//! One row group's columns: from the cache, or read and decoded, and on their way into the cache.

use super::cached_pieces::cached_pieces;
use super::compact::compact;
use super::pages::Pieces;
use super::row_groups::RowGroup;
use super::stream::PartitionScan;
use crate::StorageError;
use crate::cache::{Collecting, Column, ColumnKey, Found};
use crate::deletes::DeletedRows;
use crate::interval::from_stored;
use crate::limits::CHUNK_ROWS;
use bytes::Bytes;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, FilterBuilder, FilterPredicate, cast_with_options};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::Result;
use datafusion::parquet::DecodeResult;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelectionPolicy};
use datafusion::parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use futures::FutureExt;
use futures::future::{BoxFuture, MaybeDone, maybe_done};
use std::fmt::Display;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

/// Columns that no file has, by their position after the table's: which of the scan's files a row is in (Int32, from 0), and
/// which row of it (Int64, from 0).
pub(crate) const FILE_COLUMN: usize = 0;
pub(crate) const ROW_COLUMN: usize = 1;

/// Where a column of the scan comes from.
enum Source {
    Cached(Kept),
    /// Among those that are decoded.
    Decoded(usize),
    /// It was added after the file was written.
    Absent(DataType),
    /// See [`FILE_COLUMN`] and [`ROW_COLUMN`].
    FileNumber,
    RowNumber,
}

/// A column of the cache.
struct Kept {
    column: Column,
    /// Where it has rows that are deleted by now: it comes back without them.
    collecting: Option<Collecting>,
}

/// A row group whose missing bytes are on their way, or that misses nothing.
pub(crate) struct Fetching {
    row_group: RowGroup,
    sources: Vec<Source>,
    missing: Option<Missing>,
}

/// A read of byte ranges, which may be done.
type Reading = Pin<Box<MaybeDone<BoxFuture<'static, object_store::Result<Vec<Bytes>>>>>>;

struct Missing {
    decoder: ParquetPushDecoder,
    ranges: Vec<Range<u64>>,
    bytes: Reading,
    columns: Vec<Decoding>,
}

/// A column that is decoded.
struct Decoding {
    /// As the table has it.
    data_type: DataType,
    collecting: Option<Collecting>,
}

impl Fetching {
    /// Looks for the scan's columns in the cache, and prepares to read the others.
    pub(crate) fn begin(scan: &PartitionScan, row_group: RowGroup) -> Result<Self, StorageError> {
        let footer = &row_group.footer;
        let stored = footer.metadata.schema().fields().len();
        let key = |column| ColumnKey { file: footer.id, row_group: row_group.index, column };
        let deleted = row_group.deleted.clone();
        let count = |deleted: Option<&DeletedRows>| deleted.map_or(0, |rows| rows.len());
        // What a limit cuts off would be collected for nothing.
        let to_its_end = scan.rows_left.is_none_or(|left| left >= row_group.rows);
        let is_kept = to_its_end && row_group.is_committed && row_group.pieces.is_none();
        let collect = |position| if is_kept { scan.files.cache.collect(key(position), deleted.clone()) } else { None };
        let (mut missing, mut newer) = (Vec::new(), Vec::new());
        let source = |&position: &usize| {
            match position.checked_sub(scan.table.fields().len()) {
                None => {}
                Some(FILE_COLUMN) => return Source::FileNumber,
                Some(_) => return Source::RowNumber,
            }
            let data_type = scan.table.field(position).data_type();
            if position >= stored {
                return Source::Absent(data_type.clone());
            }
            match scan.files.cache.get(&key(position), data_type, deleted.as_ref()) {
                Found::Column(column) => {
                    scan.metrics.cache_hits.add(1);
                    let is_older = count(column.deleted()) < count(deleted.as_ref());
                    return Source::Cached(Kept {
                        collecting: if is_older { collect(position) } else { None },
                        column,
                    });
                }
                Found::Newer => newer.push(position),
                Found::Nothing => {}
            }
            missing.push(position);
            Source::Decoded(position)
        };
        let mut sources: Vec<Source> = scan.projection.iter().map(source).collect();
        // Decoded columns come in the file's order, each once.
        missing.sort_unstable();
        missing.dedup();
        scan.metrics.cache_misses.add(missing.len());
        for source in &mut sources {
            if let Source::Decoded(index) = source {
                *index = missing.partition_point(|position| position < index);
            }
        }

        let decoding = |&position: &usize| Decoding {
            data_type: scan.table.field(position).data_type().clone(),
            // What later scans need is not replaced by what this one needs.
            collecting: if newer.contains(&position) { None } else { collect(position) },
        };
        let columns = missing.iter().map(decoding).collect();
        let missing = match &missing[..] {
            [] => None,
            positions => Some(Missing::begin(scan, &row_group, positions, columns)?),
        };
        Ok(Fetching { row_group, sources, missing })
    }

    pub(crate) fn row_group(&self) -> &RowGroup {
        &self.row_group
    }

    /// Where all of it is in the cache, leaves out the pieces that cannot pass. Gives how many there are, and how many are left out.
    pub(crate) fn narrow(&mut self, predicate: &PruningPredicate, projection: &[usize]) -> Option<(usize, usize)> {
        let is_whole = |source: &Source| matches!(source, Source::Cached(kept) if kept.collecting.is_some());
        if self.row_group.pieces.is_some() || self.missing.is_some() || self.sources.iter().any(is_whole) {
            return None;
        }
        let sources = &self.sources;
        let bounds_of = |position: usize| {
            let at = projection.iter().position(|projected| *projected == position)?;
            match &sources[at] {
                Source::Cached(kept) => kept.column.bounds(),
                _ => None,
            }
        };
        let pieces = cached_pieces(&self.row_group.footer, predicate, bounds_of)?;
        let left_out = pieces.wanted.iter().filter(|is_wanted| !**is_wanted).count();
        let counts = (pieces.wanted.len(), left_out);
        self.row_group.pieces = Some(pieces);
        Some(counts)
    }

    /// Of the bytes that are read for it.
    pub(crate) fn bytes(&self) -> usize {
        self.missing.iter().flat_map(|missing| &missing.ranges).map(|range| (range.end - range.start) as usize).sum()
    }

    /// Lets reading go on while its bytes are not needed yet.
    pub(crate) fn nudge(&mut self) {
        if let Some(missing) = &mut self.missing {
            // Whether it is done is seen when the bytes are asked for.
            let _ = missing.bytes.as_mut().now_or_never();
        }
    }

    /// Waits for the bytes.
    pub(crate) async fn open(self) -> Result<RowGroupReader, StorageError> {
        let decoder = match self.missing {
            Some(missing) => Some(missing.open(&self.row_group).await?),
            None => None,
        };
        Ok(RowGroupReader { row_group: self.row_group, sources: self.sources, decoder, chunks_done: 0 })
    }
}

impl Missing {
    fn begin(
        scan: &PartitionScan,
        row_group: &RowGroup,
        positions: &[usize],
        columns: Vec<Decoding>,
    ) -> Result<Self, StorageError> {
        let footer = &row_group.footer;
        let mask = ProjectionMask::roots(footer.metadata.parquet_schema(), positions.iter().copied());
        let metadata = row_group.pieces.as_ref().map_or(&footer.metadata, |pieces| &pieces.metadata);
        let builder = ParquetPushDecoderBuilder::new_with_metadata(metadata.clone())
            .with_batch_size(CHUNK_ROWS)
            .with_row_groups(vec![row_group.index])
            .with_projection(mask);
        let builder = match &row_group.pieces {
            None => builder,
            // Read and skipped as they come: each batch is a piece.
            Some(pieces) => builder
                .with_row_selection(pieces.selection(row_group.rows))
                .with_row_selection_policy(RowSelectionPolicy::Selectors),
        };
        let mut decoder = builder.build().map_err(damaged(row_group))?;
        // What it asks for first is all of the row group's columns.
        let DecodeResult::NeedsData(ranges) = decoder.try_next_reader().map_err(damaged(row_group))? else {
            return Err(damaged(row_group)("it has rows but no data"));
        };
        scan.metrics.bytes_scanned.add(ranges.iter().map(|range| (range.end - range.start) as usize).sum());
        let (place, location, wanted) = (scan.files.place.clone(), footer.location.clone(), ranges.clone());
        let (is_remote, file_bytes) = (place.is_remote(), row_group.file.bytes);
        let read = async move { place.read(&location, file_bytes, &wanted).await };
        // Answers of a bucket are taken when they come, and not when somebody looks.
        let bytes = if is_remote { in_background(read) } else { read.boxed() };
        Ok(Missing { decoder, ranges, bytes: Box::pin(maybe_done(bytes)), columns })
    }

    async fn open(mut self, row_group: &RowGroup) -> Result<Decoder, StorageError> {
        self.bytes.as_mut().await;
        let bytes = self.bytes.as_mut().take_output().unwrap_or_else(|| Ok(Vec::new()));
        let bytes = bytes.map_err(|error| row_group.file.store_error(error))?;
        self.decoder.push_ranges(self.ranges, bytes).map_err(damaged(row_group))?;
        match self.decoder.try_next_reader().map_err(damaged(row_group))? {
            DecodeResult::Data(reader) => Ok(Decoder { reader, columns: self.columns }),
            _ => Err(damaged(row_group)("its columns are not where the footer says")),
        }
    }
}

fn in_background(
    read: impl Future<Output = object_store::Result<Vec<Bytes>>> + Send + 'static,
) -> BoxFuture<'static, object_store::Result<Vec<Bytes>>> {
    let task = SpawnedTask::spawn(read);
    async move { task.join_unwind().await.map_err(|source| object_store::Error::JoinError { source })? }.boxed()
}

/// The batches of one row group.
///
/// # Memory
/// The encoded bytes of the columns that were not in the cache, one batch, and what is collected for the cache.
pub(crate) struct RowGroupReader {
    row_group: RowGroup,
    sources: Vec<Source>,
    decoder: Option<Decoder>,
    chunks_done: usize,
}

struct Decoder {
    reader: ParquetRecordBatchReader,
    columns: Vec<Decoding>,
}

impl RowGroupReader {
    pub(crate) fn rows(&self) -> usize {
        self.row_group.rows
    }

    /// What is left of the next [`CHUNK_ROWS`] rows; None after the last, when what was decoded is in the cache. Uses the CPU,
    /// never waits.
    pub(crate) fn next_batch(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        loop {
            let batch = self.next_chunk(schema)?;
            if batch.as_ref().is_none_or(|batch| batch.num_rows() > 0) {
                return Ok(batch);
            }
        }
    }

    fn next_chunk(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let is_left_out = |pieces: &Pieces, chunk: usize| pieces.wanted.get(chunk) == Some(&false);
        while self.row_group.pieces.as_ref().is_some_and(|pieces| is_left_out(pieces, self.chunks_done)) {
            self.chunks_done += 1;
        }
        let rows = self.row_group.rows.saturating_sub(self.chunks_done * CHUNK_ROWS).min(CHUNK_ROWS);
        if rows == 0 {
            return Ok(None);
        }
        let row_group = &self.row_group;
        let first_row = row_group.first_row + (self.chunks_done * CHUNK_ROWS) as u64;
        let mut chunk = ChunkRows::new(first_row, rows, row_group.deleted.as_ref());
        let decoded = match &mut self.decoder {
            Some(decoder) => decoder.next_chunks(row_group, rows, &mut chunk)?,
            None => Vec::new(),
        };
        let chunks_done = self.chunks_done;
        let column = |source: &mut Source| {
            Ok(match source {
                Source::Cached(kept) => kept.chunk(chunks_done, &mut chunk)?,
                Source::Decoded(index) => Arc::clone(&decoded[*index]),
                Source::Absent(data_type) => new_null_array(data_type, chunk.live),
                Source::FileNumber => Arc::new(Int32Array::from_value(row_group.file_number as i32, chunk.live)),
                Source::RowNumber => {
                    let numbers = first_row as i64..first_row as i64 + rows as i64;
                    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
                    chunk.live_of(numbers, None)?
                }
            })
        };
        let columns = self.sources.iter_mut().map(column).collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.live));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        self.chunks_done += 1;
        if self.chunks_done * CHUNK_ROWS >= self.row_group.rows {
            let decoded = self.decoder.take().into_iter().flat_map(|decoder| decoder.columns);
            let kept = self.sources.iter_mut().filter_map(|source| match source {
                Source::Cached(kept) => kept.collecting.take(),
                _ => None,
            });
            decoded.filter_map(|column| column.collecting).chain(kept).for_each(Collecting::finish);
        }
        Ok(Some(batch))
    }
}

/// Some rows of a file that follow each other, and which of them are there.
struct ChunkRows<'a> {
    first_row: u32,
    rows: usize,
    /// Rows that are not deleted.
    live: usize,
    deleted: Option<&'a DeletedRows>,
    /// What leaves out the deleted rows, for arrays that lack as many of them as this says already.
    filters: Vec<(u64, FilterPredicate)>,
}

impl<'a> ChunkRows<'a> {
    fn new(first_row: u64, rows: usize, deleted: Option<&'a DeletedRows>) -> Self {
        let first_row = first_row as u32;
        let range = first_row..first_row + rows as u32;
        let gone = deleted.map_or(0, |deleted| deleted.range_cardinality(range)) as usize;
        ChunkRows { first_row, rows, live: rows - gone, deleted, filters: vec![] }
    }

    /// The live rows of an array that has the chunk's rows but those of `without`.
    fn live_of(&mut self, array: ArrayRef, without: Option<&DeletedRows>) -> Result<ArrayRef, ArrowError> {
        let Some(deleted) = self.deleted.filter(|_| array.len() > self.live) else { return Ok(array) };
        let known = without.map_or(0, |without| without.len());
        if let Some((_, filter)) = self.filters.iter().find(|(lacking, _)| *lacking == known) {
            return filter.filter(&array);
        }
        let range = self.first_row..self.first_row + self.rows as u32;
        let mut stay = BooleanBufferBuilder::new(array.len());
        match without {
            None => {
                stay.append_n(self.rows, true);
                deleted.range(range).for_each(|row| stay.set_bit((row - self.first_row) as usize, false));
            }
            Some(without) => {
                range.filter(|&row| !without.contains(row)).for_each(|row| stay.append(!deleted.contains(row)));
            }
        }
        let filter = FilterBuilder::new(&BooleanArray::new(stay.finish(), None)).optimize().build();
        let live = filter.filter(&array)?;
        self.filters.push((known, filter));
        Ok(live)
    }
}

impl Kept {
    fn chunk(&mut self, index: usize, rows: &mut ChunkRows<'_>) -> Result<ArrayRef, ArrowError> {
        let chunk = rows.live_of(Arc::clone(self.column.chunk(index)), self.column.deleted())?;
        let Some(collecting) = &mut self.collecting else { return Ok(chunk) };
        let chunk = compact(chunk)?;
        if !collecting.push(&chunk) {
            self.collecting = None;
        }
        Ok(chunk)
    }
}

impl Decoder {
    fn next_chunks(
        &mut self,
        row_group: &RowGroup,
        rows: usize,
        chunk: &mut ChunkRows<'_>,
    ) -> Result<Vec<ArrayRef>, StorageError> {
        let batch = match self.reader.next() {
            Some(batch) => batch.map_err(damaged(row_group))?,
            None => return Err(damaged(row_group)("it has fewer rows than the footer says")),
        };
        if batch.num_rows() != rows {
            return Err(damaged(row_group)(format!("{} rows where {rows} should be", batch.num_rows())));
        }
        let (_, arrays, _) = batch.into_parts();
        let live = |(column, array): (&mut Decoding, ArrayRef)| column.chunk(array, chunk).map_err(damaged(row_group));
        self.columns.iter_mut().zip(arrays).map(live).collect()
    }
}

impl Decoding {
    fn chunk(&mut self, array: ArrayRef, rows: &mut ChunkRows<'_>) -> Result<ArrayRef, ArrowError> {
        let array = rows.live_of(as_table_has_it(array, &self.data_type)?, None)?;
        let Some(collecting) = &mut self.collecting else { return Ok(array) };
        let array = compact(array)?;
        if !collecting.push(&array) {
            self.collecting = None;
        }
        Ok(array)
    }
}

fn as_table_has_it(array: ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(array);
    }
    if let (DataType::Interval(_), Some(stored)) = (wanted, array.as_fixed_size_binary_opt()) {
        return Ok(Arc::new(from_stored(stored)));
    }
    cast_with_options(&array, wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

fn damaged<E: Display>(row_group: &RowGroup) -> impl Fn(E) -> StorageError {
    move |detail| row_group.file.corrupt(format!("row group {}: {detail}", row_group.index))
}
