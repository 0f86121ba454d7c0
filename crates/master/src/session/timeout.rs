//! `statement_timeout`.

use super::bind::external;
use super::{Outcome, Session};
use crate::error::{SqlError, SqlResult, SqlState};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, future, stream};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// When a statement has to be done, all its rows taken. Made when it begins.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// Without a timeout, or with one beyond what clocks count, there is none.
    pub(super) fn after(timeout: Option<Duration>) -> Self {
        Deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Waits for it; for ever, if there is none.
    pub(super) async fn passed(self) {
        match self.0 {
            Some(at) => sleep_until(at).await,
            None => future::pending().await,
        }
    }

    /// The outcome of a statement that was cancelled because the deadline had passed. It may have been done just before.
    pub(super) fn told(outcome: SqlResult<Outcome>) -> SqlResult<Outcome> {
        match outcome {
            Err(error) if error.state == SqlState::QUERY_CANCELED => Err(too_late()),
            outcome => outcome,
        }
    }

    /// Ends the rows, too, when it has passed: the query by its `cancel`, and the session's block with it.
    pub(super) fn over(self, outcome: Outcome, cancel: CancellationToken, session: Weak<Session>) -> Outcome {
        let Some(at) = self.0 else { return outcome };
        let Outcome::Rows { schema, stream } = outcome else { return outcome };
        let rows = stream::unfold(Some(stream), move |rows| {
            let (cancel, session) = (cancel.clone(), Weak::clone(&session));
            async move {
                let mut rows = rows?;
                tokio::select! {
                    biased;
                    () = sleep_until(at) => {
                        cancel.cancel();
                        // Its place with it: a statement of the block may wait for that, and has the block.
                        drop(rows);
                        if let Some(session) = session.upgrade() {
                            session.fail_block().await;
                        }
                        Some((Err(external(too_late())), None))
                    }
                    batch = rows.next() => Some((batch?, Some(rows))),
                }
            }
        });
        Outcome::Rows { schema: Arc::clone(&schema), stream: Box::pin(RecordBatchStreamAdapter::new(schema, rows)) }
    }
}

pub(super) fn too_late() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::error::DataFusionError;

    #[tokio::test]
    async fn rows_end_at_the_deadline() {
        let schema = Arc::new(Schema::empty());
        let never = RecordBatchStreamAdapter::new(
            Arc::clone(&schema),
            stream::pending::<Result<RecordBatch, DataFusionError>>(),
        );
        let outcome = Outcome::Rows { schema, stream: Box::pin(never) };
        let cancel = CancellationToken::new();
        let deadline = Deadline::after(Some(Duration::from_millis(50)));
        let begin = Instant::now();
        let Outcome::Rows { mut stream, .. } = deadline.over(outcome, cancel.clone(), Weak::new()) else {
            panic!("rows stay rows")
        };
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("statement timeout"), "{error}");
        assert!(begin.elapsed() >= Duration::from_millis(50));
        assert!(cancel.is_cancelled() && stream.next().await.is_none());
    }

    #[test]
    fn only_a_cancelled_statement_was_too_late() {
        let told = |state| Deadline::told(Err(SqlError::new(state, "x"))).map(|_| ()).unwrap_err().message;
        assert_eq!(told(SqlState::QUERY_CANCELED), "canceling statement due to statement timeout");
        assert_eq!(told(SqlState::SYNTAX_ERROR), "x");
    }
}
