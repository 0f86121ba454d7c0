//! A file's share of row groups to batches, with the rows that are none taken out.

use super::columns::{as_views, match_columns};
use super::convert::{Mismatch, convert, mismatches};
use super::pruning::RowGroupBounds;
use crate::StorageError;
use crate::copy::bad_rows::{BadRows, Defect};
use crate::copy::column::{FileColumns, Wrong};
use crate::copy::progress::CopyProgress;
use crate::limits::BATCH_ROWS;
use crate::scan::Pruner;
use crate::source::SourceFile;
use damson_cluster::{BadRow, CopyFile, SourceAccess};
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter, filter_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::error::Result;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use datafusion::parquet::errors::ParquetError;
use futures::StreamExt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Reads one unit.
pub(crate) struct ParquetReader {
    columns: Arc<FileColumns>,
    path: String,
    rows: ParquetRecordBatchStream<SourceFile>,
    /// Position in the stream's batches, by column that is read.
    positions: Vec<usize>,
    numbers: RowNumbers,
    progress: Arc<CopyProgress>,
    /// Of the row groups; those of the rows that were read are counted.
    bytes: u64,
    bytes_done: u64,
    rows_all: u64,
    rows_done: u64,
}

/// Which rows of the file the stream's rows are.
struct RowNumbers {
    /// Of each row group that is read: its first row's number, from 1, and its rows.
    row_groups: VecDeque<(u64, u64)>,
}

impl RowNumbers {
    /// The numbers of the next rows.
    fn take(&mut self, rows: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(rows);
        while numbers.len() < rows
            && let Some((first, left)) = self.row_groups.front_mut()
        {
            let taken = (*left).min((rows - numbers.len()) as u64);
            numbers.extend(*first..*first + taken);
            *first += taken;
            *left -= taken;
            if *left == 0 {
                self.row_groups.pop_front();
            }
        }
        numbers
    }
}

impl ParquetReader {
    /// `pruning`: what excludes row groups, and the schema that it is of.
    ///
    /// # Errors
    /// As [`SourceFile::open`]; 22P04 for what is no Parquet file, or has not the columns; 55000 for a row group that is not there.
    pub(crate) async fn open(
        listed: &CopyFile,
        row_groups: Vec<usize>,
        columns: Arc<FileColumns>,
        access: &SourceAccess,
        progress: Arc<CopyProgress>,
        pruning: Option<(&mut Pruner, &SchemaRef)>,
    ) -> Result<Self, StorageError> {
        let path = listed.url.clone();
        let mut file = SourceFile::open(listed, access).await?;
        let bad = |error: ParquetError| unreadable(&path, error);
        let found = ArrowReaderMetadata::load_async(&mut file, ArrowReaderOptions::new()).await.map_err(bad)?;
        let groups = found.metadata().row_groups();
        if let Some(row_group) = row_groups.iter().find(|&&row_group| row_group >= groups.len()) {
            let message = format!("it has no row group {row_group} any more");
            return Err(StorageError::File { path, message, sqlstate: "55000" });
        }
        let sources = match_columns(&path, found.schema(), &columns.schema)?;
        let sources: Vec<usize> = columns.wanted.iter().map(|&column| sources[column]).collect();
        // Text straight into views.
        let options = ArrowReaderOptions::new().with_schema(Arc::new(as_views(found.schema())));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options).map_err(bad)?;
        let row_groups = match pruning {
            None => row_groups,
            Some((pruner, schema)) => {
                let may_match = |&row_group: &usize| {
                    let (metadata, sources, columns) = (&metadata, &sources[..], &*columns);
                    !pruner.is_proof(&RowGroupBounds { schema, columns, sources, metadata, row_group })
                };
                row_groups.into_iter().filter(may_match).collect()
            }
        };
        let bytes: u64 = row_groups.iter().map(|&row_group| groups[row_group].compressed_size().max(0) as u64).sum();
        progress.know_bytes(listed.bytes, bytes);
        let firsts: Vec<u64> = groups
            .iter()
            .scan(1, |next, group| {
                let first = *next;
                *next += group.num_rows().max(0) as u64;
                Some(first)
            })
            .collect();
        let numbers = row_groups.iter().map(|&group| (firsts[group], groups[group].num_rows().max(0) as u64));
        let rows_all: u64 = numbers.clone().map(|(_, rows)| rows).sum();
        let numbers = RowNumbers { row_groups: numbers.filter(|&(_, rows)| rows > 0).collect() };
        let mask = ProjectionMask::roots(metadata.parquet_schema(), sources.iter().copied());
        let rows = ParquetRecordBatchStreamBuilder::new_with_metadata(file, metadata)
            .with_row_groups(row_groups)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(bad)?;
        // The stream has its columns in the file's order.
        let mut sorted = sources.clone();
        sorted.sort_unstable();
        // One of them may be the target of several names that differ in case.
        sorted.dedup();
        let positions = sources.iter().map(|source| sorted.partition_point(|s| s < source)).collect();
        let (bytes_done, rows_done) = (0, 0);
        Ok(ParquetReader { columns, path, rows, positions, numbers, progress, bytes, bytes_done, rows_all, rows_done })
    }

    /// The next rows; None after the last. A batch is empty where all its rows were bad.
    pub(crate) async fn next_batch(&mut self, bad: &mut BadRows) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.rows.next().await else { return Ok(None) };
        let batch = batch.map_err(|error| unreadable(&self.path, error))?;
        self.count(batch.num_rows() as u64);
        let numbers = if bad.fails() { vec![] } else { self.numbers.take(batch.num_rows()) };
        let (converted, found) = match self.convert(&batch) {
            Ok(converted) => (converted, vec![]),
            Err(error) if bad.fails() => return Err(error.into()),
            Err(_) => self.sort_out(&batch, &numbers)?,
        };
        bad.add(converted.num_rows() as u64, found).await?;
        Ok(Some(converted))
    }

    /// Bytes by the rows that were read: those of a row group are read at once, but handed on for long.
    fn count(&mut self, rows: u64) {
        self.rows_done += rows;
        let done = u128::from(self.bytes) * u128::from(self.rows_done) / u128::from(self.rows_all.max(1));
        let done = u64::try_from(done).unwrap_or(u64::MAX).min(self.bytes);
        self.progress.add_bytes(done - self.bytes_done);
        self.bytes_done = done;
    }

    /// # Errors
    /// The first column that is wrong, and its first row.
    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, StorageError> {
        let mut converted = Vec::with_capacity(self.positions.len());
        for (&position, &source) in self.columns.wanted.iter().zip(&self.positions) {
            let rule = self.columns.rule(position);
            let column = convert(batch.column(source), rule.field.data_type());
            let column = column.map_err(|Mismatch { message, sqlstate }| self.wrong(position, message, sqlstate))?;
            if let Some(Wrong { message, sqlstate, .. }) = rule.first_refused(&column) {
                return Err(self.wrong(position, message, sqlstate));
            }
            converted.push(column);
        }
        Ok(self.columns.batch(converted, batch.num_rows()))
    }

    fn wrong(&self, position: usize, message: String, sqlstate: &'static str) -> StorageError {
        let (path, column) = (self.path.clone(), self.columns.schema.field(position).name().clone());
        StorageError::Column { path, column, message, sqlstate }
    }

    /// The good rows, and the others; `numbers` are the rows'.
    ///
    /// # Errors
    /// Of columns whose type cannot become the target's.
    fn sort_out(&self, batch: &RecordBatch, numbers: &[u64]) -> Result<(RecordBatch, Vec<BadRow>)> {
        let mut defects: BTreeMap<usize, Defect> = BTreeMap::new();
        let defect = |position: usize, message: String, sqlstate| {
            let column = Some(self.columns.schema.field(position).name().clone());
            Defect { column, value: None, message, sqlstate }
        };
        for (&position, &source) in self.columns.wanted.iter().zip(&self.positions) {
            let target = self.columns.rule(position).field.data_type();
            let found = mismatches(batch.column(source), target)
                .map_err(|Mismatch { message, sqlstate }| self.wrong(position, message, sqlstate))?;
            for (row, Mismatch { message, sqlstate }) in found {
                defects.entry(row).or_insert_with(|| defect(position, message, sqlstate));
            }
        }
        let fitting: Vec<usize> = (0..batch.num_rows()).filter(|row| !defects.contains_key(row)).collect();
        let is_fitting: BooleanArray = (0..batch.num_rows()).map(|row| Some(!defects.contains_key(&row))).collect();
        let batch = filter_record_batch(batch, &is_fitting)?;
        let mut converted = Vec::with_capacity(self.positions.len());
        for (&position, &source) in self.columns.wanted.iter().zip(&self.positions) {
            let rule = self.columns.rule(position);
            let column = convert(batch.column(source), rule.field.data_type())
                .map_err(|Mismatch { message, sqlstate }| self.wrong(position, message, sqlstate))?;
            for wrong in rule.all_refused(&column) {
                let defect = || defect(position, wrong.message, wrong.sqlstate);
                defects.entry(fitting[wrong.row]).or_insert_with(defect);
            }
            converted.push(column);
        }
        let is_good: BooleanArray = fitting.iter().map(|row| Some(!defects.contains_key(row))).collect();
        let columns: Vec<ArrayRef> =
            converted.iter().map(|column| filter(column, &is_good)).collect::<Result<_, ArrowError>>()?;
        let good = self.columns.batch(columns, is_good.true_count());
        // A row is shown by its number alone: it has no text.
        let found = defects.into_iter().map(|(row, defect)| defect.at(&self.path, numbers[row], None, None));
        Ok((good, found.collect()))
    }
}

/// A Parquet library's error, as one of the file.
pub(crate) fn unreadable(path: &str, error: ParquetError) -> StorageError {
    let error = datafusion::error::DataFusionError::from(error);
    let (message, sqlstate) = match StorageError::find(&error) {
        Some(StorageError::File { message, sqlstate, .. }) => (message.clone(), *sqlstate),
        Some(inner) => (inner.to_string(), inner.sqlstate()),
        None => (format!("not a readable Parquet file: {}", error.strip_backtrace()), "22P04"),
    };
    StorageError::File { path: path.into(), message, sqlstate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_numbers_in_the_file() {
        let mut numbers = RowNumbers { row_groups: [(1, 2), (11, 5)].into() };
        assert_eq!(numbers.take(1), [1]);
        assert_eq!(numbers.take(3), [2, 11, 12]);
        assert_eq!(numbers.take(5), [13, 14, 15]);
        assert_eq!(numbers.take(1), [0; 0]);
    }
}
