//! Rows that a client sends along with its statement.

use crate::admission::PlaceUse;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

/// What the relation is called within its plan.
const NAME: &str = "sent_rows";

/// Batches of one schema, made by a protocol module, read by a plan of the master as they come: its leaf, which only the master can run,
/// sends them on. Nothing is read ahead, so that the client waits while nobody reads. They are read once.
#[derive(Clone)]
pub(crate) struct SentRows {
    schema: SchemaRef,
    batches: Arc<Mutex<Option<BoxStream<'static, SqlResult<RecordBatch>>>>>,
    /// Of the statement, if it has a place.
    place: Arc<Mutex<Option<PlaceUse>>>,
}

impl SentRows {
    /// `batches` have the columns of `schema`.
    pub(crate) fn new(schema: SchemaRef, batches: BoxStream<'static, SqlResult<RecordBatch>>) -> Self {
        SentRows { schema, batches: Arc::new(Mutex::new(Some(batches))), place: Arc::default() }
    }

    /// From now on the statement's place is told when the client sends nothing.
    pub(crate) fn tell_waiting(&self, place: Option<PlaceUse>) {
        *self.place.lock() = place;
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A plan of all columns, whose names differ.
    ///
    /// # Errors
    /// DataFusion's.
    pub(crate) fn plan(&self) -> SqlResult<LogicalPlan> {
        let table = StreamingTable::try_new(Arc::clone(&self.schema), vec![Arc::new(self.clone())]);
        let source = provider_as_source(Arc::new(table.map_err(of_datafusion)?));
        LogicalPlanBuilder::scan(NAME, source, None).and_then(LogicalPlanBuilder::build).map_err(of_datafusion)
    }
}

impl PartitionStream for SentRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.lock().take().unwrap_or_else(|| {
            let error = SqlError::new(SqlState::INTERNAL_ERROR, "what a client has sent is read twice");
            stream::once(async { Err(error) }).boxed()
        });
        let mut place = self.place.lock().take();
        let mut batches = batches.map_err(|error| DataFusionError::External(Box::new(error)));
        let batches = stream::poll_fn(move |context| {
            let next = batches.poll_next_unpin(context);
            match (&next, &mut place) {
                (Poll::Pending, Some(place)) => place.waits_for_client(),
                (Poll::Ready(_), Some(place)) => place.works(),
                (_, None) => {}
            }
            next
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl fmt::Debug for SentRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentRows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Array, AsArray, Int32Array, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use datafusion::prelude::{SessionContext, col};

    fn rows() -> SentRows {
        let fields = vec![Field::new("n", DataType::Int32, true), Field::new("w", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let of = Arc::clone(&schema);
        let batch = move |n: i32| {
            let columns: Vec<Arc<dyn Array>> =
                vec![Arc::new(Int32Array::from(vec![n])), Arc::new(StringArray::from(vec!["w"]))];
            Ok(RecordBatch::try_new(Arc::clone(&of), columns).unwrap())
        };
        SentRows::new(schema, stream::iter(1..=3).map(batch).boxed())
    }

    #[tokio::test]
    async fn a_plan_reads_the_columns_that_it_wants_once() {
        let (rows, context) = (rows(), SessionContext::new());
        let plan = || LogicalPlanBuilder::from(rows.plan().unwrap()).project([col("n")]).unwrap().build().unwrap();
        let read = context.execute_logical_plan(plan()).await.unwrap().collect().await.unwrap();
        let numbers = read.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec());
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3]);
        assert!(read.iter().all(|batch| batch.num_columns() == 1));
        let again = context.execute_logical_plan(plan()).await.unwrap().collect().await;
        assert!(again.unwrap_err().to_string().contains("twice"));
    }
}
