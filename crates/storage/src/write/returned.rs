//! The rows that a statement gives back: RETURNING.

use super::WriteSpec;
use super::keys::{Skipped, without_skipped};
use crate::sink::ReturnedRows;
use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};

/// The last columns of the input's batches, for the rows that were changed. They are kept until all are: a client sees rows of
/// a statement that succeeded.
pub(super) struct Returned {
    /// How many columns; 0 where nothing is kept.
    columns: usize,
    batches: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

impl Returned {
    pub(super) fn new(spec: &WriteSpec, context: &TaskContext) -> Self {
        let reservation = MemoryConsumer::new(format!("Returning[{}]", spec.name)).register(context.memory_pool());
        let columns = if spec.gives_returned { spec.returning } else { 0 };
        Returned { columns, batches: vec![], reservation }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.columns == 0 || batch.num_rows() == 0 {
            return Ok(());
        }
        let all = batch.num_columns();
        let rows = batch.project(&(all - self.columns..all).collect::<Vec<_>>())?;
        self.reservation.try_grow(rows.get_array_memory_size())?;
        self.batches.push(rows);
        Ok(())
    }

    /// As [`Returned::add`], of the rows that are true in `these`.
    pub(super) fn add_some(&mut self, batch: &RecordBatch, these: &BooleanArray) -> Result<()> {
        if self.columns == 0 || these.true_count() == batch.num_rows() {
            return self.add(batch);
        }
        self.add(&filter_record_batch(batch, these)?)
    }

    /// All rows but those, in the order in which they were added.
    pub(super) fn without(self, skipped: &Skipped) -> Result<ReturnedRows> {
        let reservation = Some(self.reservation);
        if skipped.is_empty() {
            return Ok(ReturnedRows { batches: self.batches, reservation });
        }
        let mut first = 0;
        let rest = self.batches.iter().map(|batch| {
            first += batch.num_rows() as u64;
            without_skipped(batch, first - batch.num_rows() as u64, skipped)
        });
        let is_empty = |batch: &Result<RecordBatch>| batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0);
        let batches = rest.filter(|batch| !is_empty(batch)).collect::<Result<Vec<_>>>()?;
        Ok(ReturnedRows { batches, reservation })
    }
}
