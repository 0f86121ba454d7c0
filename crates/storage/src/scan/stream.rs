//! The batches of one partition of a scan.

use super::decode::{Fetching, RowGroupReader};
use super::files::TableFiles;
use super::row_groups::{Counts, RowGroup, RowGroups};
use crate::StorageError;
use crate::limits::{READ_AHEAD_BYTES, READ_AHEAD_ROW_GROUPS};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::Stream;
use std::collections::VecDeque;
use std::sync::Arc;

/// What one partition of a scan counts.
pub(crate) struct ScanMetrics {
    pub baseline: BaselineMetrics,
    pub bytes_scanned: Count,
    pub pruning: Counts,
    /// Columns of row groups that were in the cache, and that were not.
    pub cache_hits: Count,
    pub cache_misses: Count,
}

impl ScanMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        ScanMetrics {
            baseline: BaselineMetrics::new(metrics, partition),
            bytes_scanned: counter("bytes_scanned"),
            pruning: Counts {
                files: counter("files"),
                files_pruned: counter("files_pruned"),
                row_groups: counter("row_groups"),
                row_groups_pruned: counter("row_groups_pruned"),
                row_groups_filtered: counter("row_groups_filtered"),
                chunks: counter("chunks"),
                chunks_pruned: counter("chunks_pruned"),
            },
            cache_hits: counter("cache_hits"),
            cache_misses: counter("cache_misses"),
        }
    }
}

/// One partition of a scan: what it reads and how far it came. [`PartitionScan::stream`] runs it.
pub(crate) struct PartitionScan {
    pub files: Arc<TableFiles>,
    pub row_groups: RowGroups,
    pub table: SchemaRef,
    /// Positions in `table`, and after it those of `decode`.
    pub projection: Arc<[usize]>,
    /// Of the batches.
    pub schema: SchemaRef,
    /// Rows to yield at most.
    pub rows_left: Option<usize>,
    pub metrics: ScanMetrics,
}

impl PartitionScan {
    pub(crate) fn stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let state = State { scan: self, reading: None, ahead: VecDeque::new() };
        futures::stream::try_unfold(state, |mut state| async move {
            let batch = state.next_batch().await?;
            Ok(batch.map(|batch| (batch, state)))
        })
    }

    fn begin(&mut self, row_group: RowGroup) -> Result<Fetching, StorageError> {
        let elapsed = self.metrics.baseline.elapsed_compute().clone();
        let _timer = elapsed.timer();
        let mut fetching = Fetching::begin(self, row_group)?;
        self.row_groups.narrow(&mut fetching, &self.projection);
        Ok(fetching)
    }

    fn limited(&mut self, batch: RecordBatch) -> RecordBatch {
        let batch = match &mut self.rows_left {
            Some(left) if *left < batch.num_rows() => batch.slice(0, std::mem::take(left)),
            Some(left) => {
                *left -= batch.num_rows();
                batch
            }
            None => batch,
        };
        self.metrics.baseline.record_output(batch.num_rows());
        batch
    }
}

struct State {
    scan: PartitionScan,
    reading: Option<RowGroupReader>,
    /// The row groups after that, whose bytes are read while this one is decoded: of a disk one, of a bucket several.
    ahead: VecDeque<Fetching>,
}

impl State {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.scan.rows_left == Some(0) {
                return Ok(None);
            }
            if let Some(batch) = self.next_of_row_group()? {
                return Ok(Some(self.scan.limited(batch)));
            }
            let Some(next) = self.next_row_group().await? else { return Ok(None) };
            self.reading = Some(next.open().await?);
            self.look_ahead()?;
        }
    }

    /// Begins to read what comes next, as far as it is known.
    fn look_ahead(&mut self) -> Result<(), StorageError> {
        let is_remote = self.scan.files.place.is_remote();
        let most = if is_remote { READ_AHEAD_ROW_GROUPS } else { 1 };
        loop {
            let bytes: usize = self.ahead.iter().map(Fetching::bytes).sum();
            let has_enough = self.ahead.len() >= most || (!self.ahead.is_empty() && bytes >= READ_AHEAD_BYTES);
            // What a limit will not ask for is not read ahead.
            if has_enough || self.scan.rows_left.is_some_and(|left| left <= self.rows_on_their_way()) {
                return Ok(());
            }
            let Some(row_group) = self.scan.row_groups.next_at_hand()? else { return Ok(()) };
            self.ahead.push_back(self.scan.begin(row_group)?);
        }
    }

    /// Of the row group that is decoded, and of those that are read.
    fn rows_on_their_way(&self) -> usize {
        let ahead = self.ahead.iter().map(|fetching| fetching.row_group().rows);
        ahead.sum::<usize>() + self.reading.as_ref().map_or(0, RowGroupReader::rows)
    }

    async fn next_row_group(&mut self) -> Result<Option<Fetching>, StorageError> {
        while let Some(ahead) = self.ahead.pop_front() {
            // Filters may have tightened since that one was looked at.
            if !self.scan.row_groups.excludes(ahead.row_group()) {
                return Ok(Some(ahead));
            }
        }
        match self.scan.row_groups.next().await? {
            Some(row_group) => self.scan.begin(row_group).map(Some),
            None => Ok(None),
        }
    }

    fn next_of_row_group(&mut self) -> Result<Option<RecordBatch>> {
        if self.reading.is_none() {
            return Ok(None);
        }
        match self.ahead.front_mut() {
            Some(ahead) => ahead.nudge(),
            // The next file's footer may have come by now.
            None if self.scan.files.place.is_remote() => self.look_ahead()?,
            None => {}
        }
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let _timer = self.scan.metrics.baseline.elapsed_compute().timer();
        let batch = reading.next_batch(&self.scan.schema)?;
        if batch.is_none() {
            self.reading = None;
        }
        Ok(batch)
    }
}
