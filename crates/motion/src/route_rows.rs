//! Rows to destinations: one hash pass, one counting sort of row numbers, then one pass over each column that copies its
//! values straight into the destinations' pending batches.

mod groups;
mod pending;
mod scatter;
mod sizes;

use crate::limits::{SEND_BATCH_ROWS, SEND_MESSAGE_BYTES_MAX, SEND_MESSAGE_BYTES_MIN};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int32Type, SchemaRef};
use arrow::error::ArrowError;
use damson_cluster::{BUCKETS, BucketMap, ContentId, placement};
use datafusion::error::{DataFusionError, Result};
use groups::Groups;
use pending::Pending;
use scatter::{Piece, Scatter};
use sizes::RowSizes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Position of the owner of each row among the segments, by the placement hash of its key columns.
///
/// `columns`: the key, all of `rows` rows. `owners` is overwritten with one content id per row.
///
/// # Errors
/// A key type without a placement hash; the planner does not make such a motion.
pub(crate) fn owners_of(
    columns: &[ArrayRef],
    map: &BucketMap,
    hashes: &mut Vec<u64>,
    owners: &mut Vec<u16>,
) -> Result<()> {
    placement::hash_rows(columns, hashes).map_err(|e| DataFusionError::External(Box::new(e)))?;
    // As an array of known length, a bucket needs no check.
    let by_bucket: &[u16; BUCKETS] = map.owners().try_into().expect("a map has an owner for each bucket");
    owners.clear();
    owners.extend(hashes.iter().map(|&hash| by_bucket[placement::bucket_of(hash) as usize]));
    Ok(())
}

/// The destinations that rows name themselves.
///
/// # Errors
/// One that there is not.
fn named(keys: &[ArrayRef], destinations: usize, owners: &mut Vec<u16>) -> Result<()> {
    let internal = |message: String| DataFusionError::Internal(message);
    let [key] = keys else { return Err(internal(format!("a row names {} destinations", keys.len()))) };
    let names = key.as_primitive_opt::<Int32Type>().filter(|names| names.null_count() == 0);
    let names = names.ok_or_else(|| internal(format!("rows are sent to what {} of them names", key.data_type())))?;
    if let Some(wrong) = names.values().iter().find(|&&name| usize::try_from(name).map_or(true, |n| n >= destinations))
    {
        return Err(internal(format!("a row is sent to segment {wrong} of {destinations}")));
    }
    owners.extend(names.values().iter().map(|&name| name as u16));
    Ok(())
}

/// Splits batches over destinations and gathers the pieces of each into batches of a useful size. Made by the sending
/// end of a Redistribute or Explicit Redistribute motion, one for each QE.
///
/// A destination's batch is ready when it has `message_bytes`, or [`SEND_BATCH_ROWS`]; rows keep their order within a
/// destination. `push` is given at most [`SPLIT_ROWS_MAX`](crate::limits::SPLIT_ROWS_MAX) rows at once, and what is ready is
/// then taken with [`Splitter::next_ready`].
///
/// # Memory
/// Pending batches grow as rows come, up to `message_bytes` for each destination (or one row that is larger), and never
/// share the input's buffers, but for dictionaries. [`Splitter::buffered_bytes`] says what is held.
pub struct Splitter {
    schema: SchemaRef,
    /// None: rows name their destinations.
    map: Option<Arc<BucketMap>>,
    hashes: Vec<u64>,
    owners: Vec<u16>,
    groups: Groups,
    sizes: RowSizes,
    pieces: Vec<Piece>,
    /// Each column's values of all destinations.
    columns: Vec<Box<dyn Scatter>>,
    /// By destination.
    pending: Vec<Pending>,
    pending_rows: usize,
    ready: VecDeque<(ContentId, RecordBatch)>,
    ready_bytes: usize,
    message_bytes: usize,
    /// Most rows of a batch; fewer than [`SEND_BATCH_ROWS`] when even the fixed part of so many is too large.
    batch_rows: usize,
}

impl Splitter {
    /// For batches of `schema`, over the segments of `map`. `message_bytes`: what a batch should have when it is sent,
    /// within [`SEND_MESSAGE_BYTES_MIN`] and [`SEND_MESSAGE_BYTES_MAX`].
    pub fn new(schema: SchemaRef, map: Arc<BucketMap>, message_bytes: usize) -> Self {
        let destinations = map.segment_count();
        Splitter { map: Some(map), ..Splitter::to_named(schema, destinations, message_bytes) }
    }

    /// As [`Splitter::new`], for rows whose only key is the number of their destination (Int32).
    pub fn to_named(schema: SchemaRef, destinations: usize, message_bytes: usize) -> Self {
        let message_bytes = message_bytes.clamp(SEND_MESSAGE_BYTES_MIN, SEND_MESSAGE_BYTES_MAX);
        let sizes = RowSizes::new(&schema);
        let batch_rows = (message_bytes / sizes.fixed_bytes().max(1)).clamp(1, SEND_BATCH_ROWS);
        let columns = schema.fields().iter().map(|field| scatter::of(field.data_type(), destinations, message_bytes));
        Splitter {
            map: None,
            hashes: vec![],
            owners: vec![],
            groups: Groups::default(),
            sizes,
            pieces: vec![],
            columns: columns.collect(),
            pending: vec![Pending::default(); destinations],
            pending_rows: 0,
            ready: VecDeque::new(),
            ready_bytes: 0,
            message_bytes,
            batch_rows,
            schema,
        }
    }

    /// Takes one batch whose key columns are `keys`; what is ready is then in [`Splitter::next_ready`].
    ///
    /// # Errors
    /// A key without a placement hash; a batch of another schema.
    pub fn push(&mut self, batch: &RecordBatch, keys: &[ArrayRef]) -> Result<()> {
        self.check(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.owners.clear();
        match &self.map {
            Some(_) if self.pending.len() == 1 => self.owners.resize(batch.num_rows(), 0),
            Some(map) => owners_of(keys, map, &mut self.hashes, &mut self.owners)?,
            None => named(keys, self.pending.len(), &mut self.owners)?,
        }
        assert_eq!(self.owners.len(), batch.num_rows(), "a key has a value for each row");
        self.groups.group(&self.owners, self.pending.len());
        self.sizes.measure(batch);
        self.push_grouped(batch).map_err(arrow_error)
    }

    /// Lets out what has been gathered so far, full or not.
    ///
    /// # Errors
    /// A column declared without NULLs has one.
    pub fn flush(&mut self) -> Result<()> {
        for destination in 0..self.pending.len() {
            if self.pending[destination].rows > 0 {
                self.finish(destination, false).map_err(arrow_error)?;
            }
        }
        Ok(())
    }

    /// A batch to send, and to whom; those of one destination are in order.
    pub fn next_ready(&mut self) -> Option<(ContentId, RecordBatch)> {
        let next = self.ready.pop_front();
        if self.ready.is_empty() {
            self.ready_bytes = 0;
        }
        next
    }

    /// Whether rows wait for more of their destination.
    pub fn is_gathering(&self) -> bool {
        self.pending_rows > 0
    }

    /// Memory of the pending batches and of those that are ready: what was allocated for the former, what their rows use
    /// of the latter.
    pub fn buffered_bytes(&self) -> usize {
        self.ready_bytes + self.columns.iter().map(|column| column.bytes()).sum::<usize>()
    }

    fn check(&self, batch: &RecordBatch) -> Result<()> {
        if Arc::ptr_eq(batch.schema_ref(), &self.schema) {
            return Ok(());
        }
        let types = |schema: &SchemaRef| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        let (is, wanted) = (types(batch.schema_ref()), types(&self.schema));
        if is != wanted {
            return Err(DataFusionError::Internal(format!("a motion's input has columns {is:?}, not {wanted:?}")));
        }
        Ok(())
    }

    fn push_grouped(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        if let Some(destination) = self.groups.only()
            && self.pass_on(destination, batch)?
        {
            return Ok(());
        }
        self.begin(batch)?;
        // The first round reaches every destination of the batch; the rest is for those whose batch was filled by it.
        let mut round = self.first_round();
        while !round.is_empty() {
            self.pieces.clear();
            for at in &mut round {
                let rows = &self.groups.rows()[at.start..at.end];
                let pending = &mut self.pending[at.destination];
                let fitting = pending.fitting(rows, &self.sizes, self.batch_rows, self.message_bytes);
                if fitting.rows == 0 {
                    continue;
                }
                self.pieces.push(pending.add(at.destination, at.start, fitting, self.batch_rows));
                self.pending_rows += fitting.rows;
                at.start += fitting.rows;
            }
            for (scatter, column) in self.columns.iter_mut().zip(batch.columns()) {
                scatter.append(column, &self.groups, &self.pieces)?;
            }
            for at in &round {
                let pending = &self.pending[at.destination];
                if at.start < at.end || pending.is_full(self.batch_rows, self.message_bytes) {
                    self.finish(at.destination, true)?;
                }
            }
            round.retain(|at| at.start < at.end);
        }
        Ok(())
    }

    /// Finishes the pending batches that the rows of this one cannot join.
    fn begin(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut asking = vec![];
        for (position, (scatter, column)) in self.columns.iter_mut().zip(batch.columns()).enumerate() {
            if scatter.begin(column) {
                asking.push(position);
            }
        }
        if asking.is_empty() {
            return Ok(());
        }
        for destination in 0..self.pending.len() {
            let is_joined = self.pending[destination].rows > 0 && !self.groups.run(destination).is_empty();
            if is_joined && !asking.iter().all(|&position| self.columns[position].is_joinable(destination)) {
                self.finish(destination, true)?;
            }
        }
        Ok(())
    }

    /// All destinations of the grouped batch.
    fn first_round(&self) -> Vec<Run> {
        let runs = (0..self.pending.len()).map(|destination| (destination, self.groups.run(destination)));
        runs.filter(|(_, run)| !run.is_empty())
            .map(|(destination, run)| Run { destination, start: run.start, end: run.end })
            .collect()
    }

    /// Passes a batch that belongs to one destination on as it is, when copying it would not make a better one.
    fn pass_on(&mut self, destination: usize, batch: &RecordBatch) -> Result<bool, ArrowError> {
        let (rows, bytes) = (batch.num_rows(), self.sizes.total(batch.num_rows()));
        let is_enough = |rows, bytes| rows >= self.batch_rows / 2 || bytes >= self.message_bytes / 2;
        let pending = &self.pending[destination];
        if !is_enough(rows, bytes) || (pending.rows > 0 && !is_enough(pending.rows, pending.bytes)) {
            return Ok(false);
        }
        if pending.rows > 0 {
            self.finish(destination, true)?;
        }
        let batches = bytes.div_ceil(self.message_bytes).max(rows.div_ceil(self.batch_rows)).max(1);
        let step = rows.div_ceil(batches);
        let columns = batch.columns().to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        for start in (0..rows).step_by(step) {
            let rows = step.min(rows - start);
            self.ready.push_back((ContentId(destination as i32), batch.slice(start, rows)));
        }
        self.ready_bytes += bytes;
        Ok(true)
    }

    /// Moves a destination's pending batch to those that are ready.
    fn finish(&mut self, destination: usize, is_full: bool) -> Result<(), ArrowError> {
        let done = self.pending[destination].finish(is_full);
        let columns = self.columns.iter_mut().map(|column| column.finish(destination)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(done.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.ready.push_back((ContentId(destination as i32), batch));
        self.ready_bytes += done.bytes;
        self.pending_rows -= done.rows;
        Ok(())
    }
}

/// What is left of a destination's rows in the grouped batch.
struct Run {
    destination: usize,
    start: usize,
    end: usize,
}

fn arrow_error(error: ArrowError) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(error), None)
}

#[cfg(test)]
mod tests;
