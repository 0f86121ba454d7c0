//! Parallel retrieve at the segments: one query, of which each segment gives the client its own rows.

use super::shared::{Retrieval, Start};
use crate::error::{SqlError, SqlResult, SqlState, internal, of_datafusion};
use crate::flight_sql::limits::{CAUSE_WAIT, STATEMENT_IDLE};
use crate::flight_sql::statements::Statement;
use crate::session::{Outcome, Session};
use crate::shared::Shared;
use arrow::datatypes::SchemaRef;
use damson_cluster::{ContentId, SegmentSet};
use damson_motion::RetrievalId;
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};
use uuid::Uuid;

/// A query whose streams are one of each segment's, and which starts with the first of them. A client that asks the master for one of them instead, as
/// one does that cannot reach segments, gets all of its streams there, as those of a [`Retrieval`].
pub(crate) struct AtSegments {
    pub id: RetrievalId,
    /// The columns that were promised.
    pub schema: SchemaRef,
    pub cancel: CancellationToken,
    segments: SegmentSet,
    state: Mutex<State>,
    /// How the query has ended; None until then.
    outcome: watch::Sender<Option<SqlResult<()>>>,
    /// How many streams are being read, or were.
    claimed: watch::Sender<usize>,
    /// Whether every segment that has rows left waits for the client.
    is_idle: Arc<watch::Sender<bool>>,
    /// Somebody has gone away from a stream before the query's end.
    left: CancellationToken,
    session_id: u64,
}

enum State {
    /// Nobody has come yet.
    Planned {
        start: Start,
        at_master: Arc<Retrieval>,
    },
    AtSegments,
    AtMaster(Arc<Retrieval>),
}

/// One stream that is being read. Dropping it before the query has ended ends the query.
pub(crate) struct Claim {
    query: Arc<AtSegments>,
    outcome: watch::Receiver<Option<SqlResult<()>>>,
}

impl AtSegments {
    /// Of a statement and its parameters as they are now. `cancel` ends it.
    pub(crate) fn new(
        session: &Shared<Session>,
        statement: &Arc<Statement>,
        parameters: Vec<ScalarValue>,
        (schema, segments): (SchemaRef, SegmentSet),
        cancel: CancellationToken,
    ) -> Self {
        let id = RetrievalId(Uuid::new_v4().as_u128());
        let at_master = Retrieval::new(
            session.clone(),
            Arc::clone(statement),
            parameters.clone(),
            Arc::clone(&schema),
            cancel.clone(),
        );
        let session_id = session.id.0;
        let (session, statement, stop) = (session.clone(), Arc::clone(statement), cancel.clone());
        let is_idle = Arc::new(watch::Sender::new(false));
        let wanted = (id, segments.clone(), Arc::clone(&is_idle));
        let start = async move {
            match session.retrieve_until(&statement.text, parameters, wanted, stop).await? {
                Outcome::Rows { stream, .. } => Ok(stream),
                Outcome::Command { tag, .. } => Err(internal(format!("a query ended as a command: {tag}"))),
            }
        };
        let state = Mutex::new(State::Planned { start: start.boxed(), at_master: Arc::new(at_master) });
        let (outcome, claimed, left) = (watch::Sender::new(None), watch::Sender::new(0), CancellationToken::new());
        AtSegments { id, schema, cancel, segments, state, outcome, claimed, is_idle, left, session_id }
    }

    pub(crate) fn contents(&self) -> impl Iterator<Item = ContentId> + '_ {
        self.segments.iter()
    }

    /// One of its streams, which is read at its segment. The first starts the query, on `cpu`.
    ///
    /// # Errors
    /// 55000 if its streams are read at the master.
    pub(crate) fn claim(self: &Arc<Self>, cpu: &Handle) -> SqlResult<Claim> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::AtSegments) {
            State::Planned { start, .. } => {
                let span = info_span!("flight_sql", session_id = self.session_id);
                cpu.spawn(Arc::clone(self).run(start).instrument(span));
            }
            State::AtSegments => {}
            at_master @ State::AtMaster(_) => {
                *state = at_master;
                return Err(elsewhere("the query's rows are read from the master already"));
            }
        }
        self.claimed.send_modify(|claimed| *claimed += 1);
        Ok(Claim { query: Arc::clone(self), outcome: self.outcome.subscribe() })
    }

    /// Whether it has started, at the segments, and not ended.
    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.state.lock(), State::AtSegments) && self.outcome.borrow().is_none()
    }

    /// A stream's ticket was used up for nothing: if others are read at their segments, the query could not end well any more.
    fn lose_stream(&self) {
        if matches!(*self.state.lock(), State::AtSegments) {
            self.cancel.cancel();
        }
    }

    /// Its streams, as the master's.
    ///
    /// # Errors
    /// 55000 if they are read at the segments. The one that was asked for is lost then.
    pub(crate) fn at_master(&self) -> SqlResult<Arc<Retrieval>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::AtSegments) {
            State::Planned { at_master: retrieval, .. } | State::AtMaster(retrieval) => {
                *state = State::AtMaster(Arc::clone(&retrieval));
                Ok(retrieval)
            }
            State::AtSegments => {
                self.cancel.cancel();
                Err(elsewhere("the query's rows are read from the segments already"))
            }
        }
    }

    async fn run(self: Arc<Self>, start: Start) {
        let told = Told(&self);
        let query = async {
            let mut rows = start.await?;
            while let Some(batch) = rows.next().await {
                if batch.map_err(of_datafusion)?.num_rows() > 0 {
                    return Err(internal("rows came to the master that are to be at their segments"));
                }
            }
            Ok(())
        };
        let mut query = pin!(query);
        let outcome = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(SqlError::canceled()),
            outcome = &mut query => outcome,
            () = self.is_forgotten(STATEMENT_IDLE) => Err(forgotten()),
            // A segment that died leaves, too, and soon there is word of that. A slice that has lost its client says that it was cancelled.
            () = self.left.cancelled() => match tokio::time::timeout(CAUSE_WAIT, &mut query).await {
                Ok(Err(cause)) if cause.state != SqlState::QUERY_CANCELED => Err(cause),
                _ => Err(SqlError::canceled()),
            },
        };
        told.tell(outcome);
    }

    /// Waits until nobody has read anything for so long, and has not even asked for some of the streams: those would keep the query from its end for
    /// ever. Who has asked for all takes its time.
    async fn is_forgotten(&self, within: Duration) {
        let (mut claimed, mut is_idle) = (self.claimed.subscribe(), self.is_idle.subscribe());
        // Both senders are there as long as this is.
        while *claimed.borrow_and_update() < self.segments.len() {
            let _ = is_idle.wait_for(|is_idle| *is_idle).await;
            let goes_on = async {
                tokio::select! {
                    _ = is_idle.wait_for(|is_idle| !is_idle) => {}
                    _ = claimed.changed() => {}
                }
            };
            if tokio::time::timeout(within, goes_on).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }
}

fn elsewhere(message: &str) -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_STATE, message)
        .with_hint("Fetch all of a query's endpoints at the locations that they name, or all of them from the master.")
}

fn forgotten() -> SqlError {
    let within = STATEMENT_IDLE.as_secs() / 60;
    SqlError::new(
        SqlState::QUERY_CANCELED,
        format!("some of the query's streams were not fetched within {within} minutes"),
    )
}

/// Sees to it that who waits for a query hears of its end, even if its task dies.
struct Told<'a>(&'a AtSegments);

impl Told<'_> {
    fn tell(self, outcome: SqlResult<()>) {
        self.0.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.outcome.send_if_modified(|outcome| {
            let died = outcome.is_none();
            if died {
                *outcome = Some(Err(internal("the query's task died")));
            }
            died
        });
    }
}

impl Claim {
    /// Waits for the query's end.
    pub(crate) async fn ended(&mut self) -> SqlResult<()> {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Err(internal("the query is gone")),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            self.query.left.cancel();
        }
    }
}

/// A stream whose ticket was taken, until it is claimed: lost if nothing comes of it.
pub(crate) struct Taken(Option<Arc<AtSegments>>);

impl Taken {
    pub(crate) fn new(query: &Arc<AtSegments>) -> Self {
        Taken(Some(Arc::clone(query)))
    }

    /// # Errors
    /// As [`AtSegments::claim`].
    pub(crate) fn claim(mut self, cpu: &Handle) -> SqlResult<Claim> {
        let query = self.0.take().ok_or_else(|| internal("a stream is claimed twice"))?;
        query.claim(cpu)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(query) = &self.0 {
            query.lose_stream();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use datafusion::execution::SendableRecordBatchStream;
    use datafusion::physical_plan::EmptyRecordBatchStream;
    use futures::future;

    fn query(start: Start) -> Arc<AtSegments> {
        let (schema, cancel) = (Arc::new(Schema::empty()), CancellationToken::new());
        let at_master = Retrieval::of(future::pending().boxed(), Arc::clone(&schema) as _, cancel.clone());
        Arc::new(AtSegments {
            id: RetrievalId(7),
            schema,
            cancel,
            segments: [ContentId(0), ContentId(2)].into_iter().collect(),
            state: Mutex::new(State::Planned { start, at_master: Arc::new(at_master) }),
            outcome: watch::Sender::new(None),
            claimed: watch::Sender::new(0),
            is_idle: Arc::new(watch::Sender::new(false)),
            left: CancellationToken::new(),
            session_id: 1,
        })
    }

    fn no_rows() -> SendableRecordBatchStream {
        Box::pin(EmptyRecordBatchStream::new(Arc::new(Schema::empty())))
    }

    fn state(outcome: SqlResult<()>) -> &'static str {
        outcome.unwrap_err().state.0
    }

    #[tokio::test]
    async fn every_stream_hears_of_the_end() {
        let (go, begins) = tokio::sync::oneshot::channel::<SqlResult<()>>();
        let query = query(async { begins.await.unwrap().map(|()| no_rows()) }.boxed());
        let mut claims = [query.claim(&Handle::current()).unwrap(), query.claim(&Handle::current()).unwrap()];
        assert!(claims[0].ended().now_or_never().is_none());
        go.send(Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "zero"))).unwrap();
        for claim in &mut claims {
            assert_eq!(state(claim.ended().await), "22012");
        }
        drop(claims);
        assert!(!query.cancel.is_cancelled());
    }

    #[tokio::test]
    async fn who_leaves_before_the_end_ends_it() {
        let query = query(future::pending().boxed());
        assert!(!query.is_running());
        let (first, mut second) = (query.claim(&Handle::current()).unwrap(), query.claim(&Handle::current()).unwrap());
        assert!(query.is_running());
        drop(first);
        assert_eq!(state(second.ended().await), "57014");
        assert!(!query.is_running());
    }

    /// A segment that dies leaves before the master knows of it.
    #[tokio::test]
    async fn the_cause_of_leaving_is_told() {
        for (cause, told) in [(SqlState::CONNECTION_FAILURE, "08006"), (SqlState::QUERY_CANCELED, "57014")] {
            let (go, begins) = tokio::sync::oneshot::channel::<SqlResult<()>>();
            let query = query(async { begins.await.unwrap().map(|()| no_rows()) }.boxed());
            let first = query.claim(&Handle::current()).unwrap();
            let mut second = query.claim(&Handle::current()).unwrap();
            drop(first);
            assert!(tokio::time::timeout(Duration::from_millis(20), second.ended()).await.is_err());
            go.send(Err(SqlError::new(cause, "q1 was cancelled"))).unwrap();
            assert_eq!(state(second.ended().await), told);
        }
    }

    #[tokio::test]
    async fn a_task_that_dies_is_an_end() {
        let query = query(async { panic!("offset overflow") }.boxed());
        let mut claim = query.claim(&Handle::current()).unwrap();
        assert_eq!(state(claim.ended().await), "XX000");
    }

    #[tokio::test]
    async fn streams_are_all_at_one_place() {
        let query = query(async { Ok(no_rows()) }.boxed());
        let first = query.at_master().unwrap();
        assert!(Arc::ptr_eq(&first, &query.at_master().unwrap()));
        assert_eq!(query.claim(&Handle::current()).err().unwrap().state, SqlState::OBJECT_NOT_IN_STATE);
        drop(Taken::new(&query));
        assert!(!query.cancel.is_cancelled(), "the others have all rows");
    }

    #[tokio::test]
    async fn a_stream_that_cannot_be_read_any_more_ends_the_others() {
        let ways: [fn(&Arc<AtSegments>); 2] = [|query| drop(query.at_master()), |query| drop(Taken::new(query))];
        for loses in ways {
            let query = query(future::pending().boxed());
            let mut first = query.claim(&Handle::current()).unwrap();
            loses(&query);
            assert_eq!(state(first.ended().await), "57014");
            assert_eq!(query.at_master().err().unwrap().state, SqlState::OBJECT_NOT_IN_STATE);
        }
    }

    #[tokio::test]
    async fn streams_that_nobody_fetches_are_not_waited_for() {
        let query = query(future::pending().boxed());
        let moment = Duration::from_millis(20);
        let waits = async || tokio::time::timeout(5 * moment, query.is_forgotten(moment)).await.is_err();
        let _first = query.claim(&Handle::current()).unwrap();
        assert!(waits().await, "rows flow");
        query.is_idle.send_replace(true);
        query.is_forgotten(moment).await;
        // Once all are there, they take their time.
        let _second = query.claim(&Handle::current()).unwrap();
        assert!(waits().await);
        assert!(forgotten().message.contains("within 10 minutes"));
    }
}
