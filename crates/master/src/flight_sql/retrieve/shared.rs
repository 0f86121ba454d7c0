//! Parallel retrieve at the master: one query's rows in several streams.

use crate::error::{SqlError, SqlResult, internal, of_datafusion};
use crate::flight_sql::statements::Statement;
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// A query whose rows go to whichever of its streams is ready for them: a client may read the streams at once, in turn, or the first
/// one alone, which has all rows then. It starts with the first of them. A stream that is closed before its end ends the others.
pub(crate) struct Retrieval {
    /// The columns that were promised.
    pub schema: SchemaRef,
    pub cancel: CancellationToken,
    progress: Mutex<Progress>,
    has_ended: AtomicBool,
}

pub(crate) type Start = BoxFuture<'static, SqlResult<SendableRecordBatchStream>>;

enum Progress {
    Planned(Start),
    Running(SendableRecordBatchStream),
    Ended,
    Failed(SqlError),
}

impl Retrieval {
    /// Of a statement and its parameters as they are now. `cancel` ends it.
    pub(crate) fn new(
        session: Shared<Session>,
        statement: Arc<Statement>,
        parameters: Vec<ScalarValue>,
        schema: SchemaRef,
        cancel: CancellationToken,
    ) -> Self {
        let stop = cancel.clone();
        let start = async move {
            match session.execute_until(&statement.text, parameters, stop).await? {
                Outcome::Rows { stream, .. } => Ok(stream),
                Outcome::Command { tag, .. } => Err(internal(format!("a query ended as a command: {tag}"))),
            }
        };
        Self::of(start.boxed(), schema, cancel)
    }

    pub(crate) fn of(start: Start, schema: SchemaRef, cancel: CancellationToken) -> Self {
        Retrieval { schema, cancel, progress: Mutex::new(Progress::Planned(start)), has_ended: AtomicBool::new(false) }
    }

    /// One of its streams.
    pub(crate) fn rows(self: Arc<Self>) -> BoxStream<'static, SqlResult<RecordBatch>> {
        let share = Share { retrieval: self, is_done: false };
        stream::unfold(share, |mut share| async move { Some((share.next().await?, share)) }).boxed()
    }

    /// Ends what runs. Whoever reads it at this moment hears of the cancel, and does it then.
    fn stop(&self) {
        self.cancel.cancel();
        if let Ok(mut progress) = self.progress.try_lock()
            && !matches!(&*progress, Progress::Ended | Progress::Failed(_))
        {
            *progress = Progress::Failed(SqlError::canceled());
            self.has_ended.store(true, Ordering::Release);
        }
    }

    /// The next batch that no other stream has.
    async fn take(&self) -> Option<SqlResult<RecordBatch>> {
        let mut progress = self.progress.lock().await;
        loop {
            let next = match &mut *progress {
                Progress::Planned(start) => match start.await {
                    Ok(rows) => Progress::Running(rows),
                    Err(error) => Progress::Failed(error),
                },
                Progress::Running(rows) => match rows.next().await {
                    Some(Ok(batch)) => return Some(Ok(batch)),
                    Some(Err(error)) => Progress::Failed(of_datafusion(error)),
                    None => Progress::Ended,
                },
                Progress::Ended => return None,
                Progress::Failed(error) => return Some(Err(error.clone())),
            };
            self.has_ended.store(matches!(next, Progress::Ended | Progress::Failed(_)), Ordering::Release);
            *progress = next;
        }
    }
}

/// One stream.
struct Share {
    retrieval: Arc<Retrieval>,
    is_done: bool,
}

impl Share {
    async fn next(&mut self) -> Option<SqlResult<RecordBatch>> {
        if self.is_done {
            return None;
        }
        let retrieval = &self.retrieval;
        let next = tokio::select! {
            biased;
            () = retrieval.cancel.cancelled() => Some(Err(SqlError::canceled())),
            batch = retrieval.take() => batch,
        };
        self.is_done = !matches!(next, Some(Ok(_)));
        if retrieval.cancel.is_cancelled() {
            retrieval.stop();
        }
        next
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // What it has taken may be lost; what nobody has taken yet is nobody's any more.
        if !self.is_done && !self.retrieval.has_ended.load(Ordering::Acquire) {
            self.retrieval.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;
    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use datafusion::error::DataFusionError;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use std::sync::atomic::AtomicUsize;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]))
    }

    fn batch(n: i32) -> Result<RecordBatch, DataFusionError> {
        Ok(RecordBatch::try_new(schema(), vec![Arc::new(Int32Array::from(vec![n])) as ArrayRef]).unwrap())
    }

    /// Its rows, and how often it was started.
    fn retrieval(rows: BoxStream<'static, Result<RecordBatch, DataFusionError>>) -> (Arc<Retrieval>, Arc<AtomicUsize>) {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let start = async move {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), rows)) as SendableRecordBatchStream)
        };
        (Arc::new(Retrieval::of(start.boxed(), schema(), CancellationToken::new())), starts)
    }

    fn numbers(rows: Vec<SqlResult<RecordBatch>>) -> Vec<i32> {
        rows.into_iter().map(|batch| batch.unwrap().column(0).as_primitive::<Int32Type>().value(0)).collect()
    }

    #[tokio::test]
    async fn streams_share_the_rows_of_one_execution() {
        let (retrieval, starts) = retrieval(stream::iter((0..100).map(batch)).boxed());
        let streams: Vec<_> = (0..3).map(|_| Arc::clone(&retrieval).rows()).collect();
        assert_eq!(starts.load(Ordering::Relaxed), 0, "nothing starts before it is read");
        let read = futures::future::join_all(streams.into_iter().map(StreamExt::collect::<Vec<_>>)).await;
        let mut all: Vec<i32> = read.into_iter().flat_map(numbers).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(starts.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn streams_that_are_read_in_turn_have_the_rows_in_the_first() {
        let (retrieval, _) = retrieval(stream::iter((0..10).map(batch)).boxed());
        let (first, second) = (Arc::clone(&retrieval).rows(), Arc::clone(&retrieval).rows());
        assert_eq!(numbers(first.collect().await), (0..10).collect::<Vec<_>>());
        assert!(second.collect::<Vec<_>>().await.is_empty());
        // One that ended well cancels nothing, nor does one that comes too late.
        drop(Arc::clone(&retrieval).rows());
        assert!(!retrieval.cancel.is_cancelled());
    }

    #[tokio::test]
    async fn an_error_ends_every_stream() {
        let error = DataFusionError::External(Box::new(SqlError::new(SqlState::DIVISION_BY_ZERO, "zero")));
        let (retrieval, _) = retrieval(stream::iter([batch(1), Err(error)]).boxed());
        for rows in [2, 1] {
            let read: Vec<_> = Arc::clone(&retrieval).rows().collect().await;
            assert_eq!(read.len(), rows);
            assert_eq!(read.last().unwrap().as_ref().unwrap_err().state, SqlState::DIVISION_BY_ZERO);
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_early_ends_the_others() {
        let (retrieval, _) = retrieval(stream::iter([batch(1)]).chain(stream::pending()).boxed());
        let (mut first, mut second) = (Arc::clone(&retrieval).rows(), Arc::clone(&retrieval).rows());
        assert!(first.next().await.unwrap().is_ok());
        // The other waits for a row when it hears of it.
        let (ended, ()) = futures::join!(second.next(), async { drop(first) });
        assert_eq!(ended.unwrap().unwrap_err().state, SqlState::QUERY_CANCELED);
        assert!(second.next().await.is_none());
        assert!(retrieval.cancel.is_cancelled());
    }
}
