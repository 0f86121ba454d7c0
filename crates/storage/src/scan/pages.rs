//! Pieces of a row group that a scan need not decode, because the bounds of the pages that they lie in exclude their rows.
//!
//! A scan hands on [`CHUNK_ROWS`] rows at a time, and the cache keeps columns in such pieces; so a page index decides about whole pieces, and
//! columns that were decoded before and columns that are read leave out the same ones. Pages of files with a sort key are as long.

use super::files::TableFiles;
use crate::StorageError;
use crate::cache::FileId;
use crate::footers::{Fetch, FileIdentity, Footer};
use crate::limits::CHUNK_ROWS;
use crate::places::Place;
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, UInt64Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column as ColumnName, ScalarValue};
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaDataReader};
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// A part of a row group's pieces.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    /// The footer with its page indexes, by which pages are found.
    pub metadata: ArrowReaderMetadata,
    /// True for each piece that is read.
    pub wanted: Arc<[bool]>,
}

impl Pieces {
    pub(crate) fn selection(&self, rows: usize) -> RowSelection {
        let selector = |(piece, &is_wanted): (usize, &bool)| {
            let count = rows.saturating_sub(piece * CHUNK_ROWS).min(CHUNK_ROWS);
            if is_wanted { RowSelector::select(count) } else { RowSelector::skip(count) }
        };
        RowSelection::from(self.wanted.iter().enumerate().map(selector).collect::<Vec<_>>())
    }
}

/// Footers with page indexes, which are as long as the footers again; read when a filter is on a column that has one.
///
/// # Memory
/// Its capacity.
#[derive(Debug)]
pub(crate) struct PageIndexes {
    loaded: Cache<FileId, ArrowReaderMetadata, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<FileId, ArrowReaderMetadata> for ByBytes {
    fn weight(&self, _: &FileId, metadata: &ArrowReaderMetadata) -> u64 {
        metadata.metadata().memory_size() as u64 + 64
    }
}

impl PageIndexes {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        PageIndexes { loaded: Cache::with_weighter(1 << 8, capacity_bytes, ByBytes) }
    }

    pub(crate) fn forget(&self, gone: &HashSet<FileId>) {
        self.loaded.retain(|file, _| !gone.contains(file));
    }

    /// # Errors
    /// [`StorageError::Corrupt`], [`StorageError::Io`].
    async fn get(
        &self,
        place: &Place,
        file: &FileIdentity,
        footer: &Footer,
    ) -> Result<ArrowReaderMetadata, StorageError> {
        let load = async {
            let metadata = footer.metadata.metadata().as_ref().clone();
            let mut reader =
                ParquetMetaDataReader::new_with_metadata(metadata).with_page_index_policy(PageIndexPolicy::Optional);
            let fetch = Fetch { place, location: &footer.location, file_bytes: file.bytes };
            let loaded = reader.load_page_index(fetch).await.and_then(|()| reader.finish());
            loaded
                .and_then(|metadata| ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()))
                .map_err(|error| file.parquet_error("its page index: ", error))
        };
        self.loaded.get_or_insert_async(&footer.id, load).await
    }
}

/// Which pieces of a row group may have rows that pass. None where no column of the predicate has a page index, and where so many pieces are
/// read that the whole row group is better read, and kept decoded.
///
/// # Errors
/// Those of reading the page index.
pub(crate) async fn pieces(
    files: &TableFiles,
    file: &FileIdentity,
    footer: &Footer,
    row_group: usize,
    predicate: &PruningPredicate,
) -> Result<Option<Pieces>, StorageError> {
    let table = predicate.schema();
    let metadata = footer.metadata.metadata().row_group(row_group);
    let columns = indexed_columns(predicate, metadata.columns());
    let rows = usize::try_from(metadata.num_rows()).unwrap_or(0);
    if columns.is_empty() || rows <= CHUNK_ROWS {
        return Ok(None);
    }
    let indexed = files.cache.page_indexes().get(&files.place, file, footer).await?;
    let Some(wanted) = wanted(&indexed, row_group, rows, &columns, predicate, table) else { return Ok(None) };
    let read = wanted.iter().filter(|&&is_wanted| is_wanted).count();
    let is_sparse = read * 2 <= wanted.len();
    Ok(is_sparse.then(|| Pieces { metadata: indexed, wanted: wanted.into() }))
}

/// Positions of the predicate's columns that have a page index in a file of these columns.
pub(crate) fn indexed_columns(predicate: &PruningPredicate, columns: &[ColumnChunkMetaData]) -> BTreeSet<usize> {
    let has_index = |position: &usize| columns.get(*position).is_some_and(|c| c.column_index_offset().is_some());
    let named = collect_columns(predicate.orig_expr());
    named.iter().filter_map(|column| predicate.schema().index_of(column.name()).ok()).filter(has_index).collect()
}

/// None where the statistics do not tell.
fn wanted(
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    rows: usize,
    columns: &BTreeSet<usize>,
    predicate: &PruningPredicate,
    table: &Schema,
) -> Option<Vec<bool>> {
    let offsets = metadata.metadata().offset_index()?.get(row_group)?;
    let mut starts = BTreeSet::from([0]);
    for &column in columns {
        let pages = offsets.get(column)?.page_locations();
        starts.extend(pages.iter().filter_map(|page| usize::try_from(page.first_row_index).ok()));
    }
    let starts: Vec<usize> = starts.into_iter().filter(|&start| start < rows).collect();
    let statistics = PageStatistics { table, metadata, row_group, columns, starts: &starts, rows };
    let may_match = match predicate.prune(&statistics) {
        Ok(may_match) => may_match,
        Err(error) => {
            tracing::debug!(%error, "could not compare a predicate with a page index");
            return None;
        }
    };
    let mut wanted = vec![false; rows.div_ceil(CHUNK_ROWS)];
    for (index, _) in may_match.iter().enumerate().filter(|(_, may_match)| **may_match) {
        let end = starts.get(index + 1).copied().unwrap_or(rows);
        wanted[starts[index] / CHUNK_ROWS..end.div_ceil(CHUNK_ROWS)].fill(true);
    }
    Some(wanted)
}

/// The pages' statistics. Columns are cut into pages at different rows, so that a container is what lies between two cuts, whichever
/// column's: of each column it lies in one page.
struct PageStatistics<'a> {
    table: &'a Schema,
    metadata: &'a ArrowReaderMetadata,
    row_group: usize,
    /// Those that have an index.
    columns: &'a BTreeSet<usize>,
    /// The containers' first rows; the first is 0.
    starts: &'a [usize],
    rows: usize,
}

impl PageStatistics<'_> {
    /// The column's position, and a converter of its statistics.
    fn converter(&self, name: &ColumnName) -> Option<(usize, StatisticsConverter<'_>)> {
        let position = self.table.index_of(name.name()).ok().filter(|position| self.columns.contains(position))?;
        let index = self.metadata.metadata().column_index()?.get(self.row_group)?.get(position)?;
        if matches!(index, ColumnIndexMetaData::NONE) {
            return None;
        }
        let stored = self.metadata.schema().fields().get(position)?;
        // No column of a table is nested: its position is that of its leaf.
        let converter =
            StatisticsConverter::from_column_index(position, stored, self.metadata.parquet_schema()).ok()?;
        Some((position, converter.with_missing_null_counts_as_zero(false)))
    }

    fn first_rows(&self, position: usize) -> Option<Vec<usize>> {
        let pages = self.metadata.metadata().offset_index()?.get(self.row_group)?.get(position)?.page_locations();
        pages.iter().map(|page| usize::try_from(page.first_row_index).ok()).collect()
    }

    /// By container the page of the column that it lies in.
    fn page_of(&self, position: usize) -> Option<UInt32Array> {
        let first_rows = self.first_rows(position)?;
        let page = |start: &usize| first_rows.partition_point(|first| first <= start).checked_sub(1);
        let pages = self.starts.iter().map(|start| u32::try_from(page(start)?).ok()).collect::<Option<Vec<u32>>>()?;
        Some(UInt32Array::from(pages))
    }

    fn bounds(&self, name: &ColumnName, largest: bool) -> Option<ArrayRef> {
        let (position, converter) = self.converter(name)?;
        let stored = converter.arrow_field().data_type();
        // As with row groups: an interval's bytes do not compare, and a NaN is in no bound.
        let is_float = matches!(stored, DataType::Float32 | DataType::Float64);
        if stored != self.table.field(position).data_type() || (largest && is_float) {
            return None;
        }
        let metadata = self.metadata.metadata();
        let (columns, offsets) = (metadata.column_index()?, metadata.offset_index()?);
        let values = match largest {
            true => converter.data_page_maxes(columns, offsets, [&self.row_group]),
            false => converter.data_page_mins(columns, offsets, [&self.row_group]),
        };
        take(&values.ok()?, &self.page_of(position)?, None).ok()
    }

    fn rows_of(&self, container: usize) -> usize {
        self.starts.get(container + 1).copied().unwrap_or(self.rows) - self.starts[container]
    }
}

impl PruningStatistics for PageStatistics<'_> {
    fn min_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        self.bounds(column, false)
    }

    fn max_values(&self, column: &ColumnName) -> Option<ArrayRef> {
        self.bounds(column, true)
    }

    fn num_containers(&self) -> usize {
        self.starts.len()
    }

    /// A page's NULLs lie anywhere in it: what a container has of them is known where all of its rows are NULL, or none.
    fn null_counts(&self, column: &ColumnName) -> Option<ArrayRef> {
        let (position, converter) = self.converter(column)?;
        let metadata = self.metadata.metadata();
        let (columns, offsets) = (metadata.column_index()?, metadata.offset_index()?);
        let nulls = converter.data_page_null_counts(columns, offsets, [&self.row_group]).ok()?;
        let first_rows = self.first_rows(position)?;
        let page_of = self.page_of(position)?;
        let count = |container: usize| {
            let page = page_of.value(container) as usize;
            let page_rows = first_rows.get(page + 1).copied().unwrap_or(self.rows) - first_rows[page];
            match nulls.is_valid(page).then(|| nulls.value(page)) {
                Some(0) => Some(0),
                Some(count) if count == page_rows as u64 => Some(self.rows_of(container) as u64),
                _ => None,
            }
        };
        Some(Arc::new((0..self.starts.len()).map(count).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(
            (0..self.starts.len()).map(|container| Some(self.rows_of(container) as u64)).collect::<UInt64Array>(),
        ))
    }

    fn contained(&self, _: &ColumnName, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
