//! Rows to destinations: one hash pass, then each destination's rows are copied once into its pending batch.

use crate::limits::{MASKED_DESTINATIONS_MAX, SEND_BATCH_ROWS, SEND_BATCH_ROWS_FULL_ENOUGH};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use damson_cluster::{BucketMap, ContentId, placement};
use datafusion::error::{DataFusionError, Result};

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
    owners.clear();
    owners.extend(hashes.iter().map(|&hash| map.owners()[placement::bucket_of(hash) as usize]));
    Ok(())
}

/// Splits batches over destinations and gathers the pieces of each into batches of a useful size.
pub(crate) struct Splitter {
    map: std::sync::Arc<BucketMap>,
    hashes: Vec<u64>,
    owners: Vec<u16>,
    /// Row numbers by destination, reused from batch to batch.
    rows: Vec<Vec<u32>>,
    pending: Vec<BatchCoalescer>,
}

impl Splitter {
    pub(crate) fn new(schema: SchemaRef, map: std::sync::Arc<BucketMap>) -> Self {
        let n = map.segment_count();
        let coalescer = || {
            BatchCoalescer::new(schema.clone(), SEND_BATCH_ROWS)
                .with_biggest_coalesce_batch_size(Some(SEND_BATCH_ROWS_FULL_ENOUGH))
        };
        Splitter {
            map,
            hashes: vec![],
            owners: vec![],
            rows: vec![vec![]; n],
            pending: (0..n).map(|_| coalescer()).collect(),
        }
    }

    /// Takes one batch whose key columns are `keys`; what is ready is then in [`Splitter::next_ready`].
    pub(crate) fn push(&mut self, batch: &RecordBatch, keys: &[ArrayRef]) -> Result<()> {
        if let [only] = self.pending.as_mut_slice() {
            return only.push_batch(batch.clone()).map_err(arrow_error);
        }
        owners_of(keys, &self.map, &mut self.hashes, &mut self.owners)?;
        if self.pending.len() <= MASKED_DESTINATIONS_MAX { self.push_masked(batch) } else { self.push_taken(batch) }
    }

    /// A pass over the owners for each destination; the rows go straight into the pending batch.
    fn push_masked(&mut self, batch: &RecordBatch) -> Result<()> {
        for (owner, pending) in self.pending.iter_mut().enumerate() {
            let is_owner = |row| self.owners[row] == owner as u16;
            let mask = BooleanArray::from(BooleanBuffer::collect_bool(self.owners.len(), is_owner));
            pending.push_batch_with_filter(batch.clone(), &mask).map_err(arrow_error)?;
        }
        Ok(())
    }

    /// One pass over the owners; `take` makes a piece for each destination, which the pending batch copies.
    fn push_taken(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.iter_mut().for_each(Vec::clear);
        for (row, &owner) in self.owners.iter().enumerate() {
            self.rows[owner as usize].push(row as u32);
        }
        for (pending, rows) in self.pending.iter_mut().zip(&self.rows) {
            if !rows.is_empty() {
                let indices = UInt32Array::from(rows.clone());
                pending.push_batch_with_indices(batch.clone(), &indices).map_err(arrow_error)?;
            }
        }
        Ok(())
    }

    /// Lets out what has been gathered so far, full or not.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.pending.iter_mut().try_for_each(|p| p.finish_buffered_batch().map_err(arrow_error))
    }

    pub(crate) fn next_ready(&mut self) -> Option<(ContentId, RecordBatch)> {
        let ready = self.pending.iter_mut().enumerate();
        ready.filter_map(|(owner, p)| Some((ContentId(owner as i32), p.next_completed_batch()?))).next()
    }
}

fn arrow_error(error: ArrowError) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(error), None)
}
