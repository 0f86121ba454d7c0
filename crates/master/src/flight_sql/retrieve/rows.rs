//! A segment's side: the rows of one slice, until the query ends.

use super::messages::Retrieved;
use crate::error::{SqlError, SqlResult, SqlState, internal};
use crate::flight_sql::results::Batches;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use damson_cluster::{ContentId, Endpoint};
use damson_interconnect::{ControlStream, InterconnectError};
use damson_motion::{RetrievalId, Retrievals, Taken};
use futures::{StreamExt, stream};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The master's word on a query. Dropping it ends the query.
pub(super) struct Word {
    master: Endpoint,
    answers: ControlStream,
}

/// A stream that the master has let a client read.
pub(super) struct Begun {
    pub id: RetrievalId,
    pub content: ContentId,
    pub schema: SchemaRef,
}

impl Word {
    pub(super) fn new(master: Endpoint, answers: ControlStream) -> Self {
        Word { master, answers }
    }

    /// # Errors
    /// Why the client may not have the stream; 08006 if the master is lost.
    pub(super) async fn begun(&mut self) -> SqlResult<Begun> {
        match self.next().await? {
            Retrieved::Begun { id, content, schema } => Ok(Begun { id, content, schema }),
            Retrieved::Ended | Retrieved::Failed(_) => Err(internal("a query ended before it began")),
        }
    }

    /// Waits until the query has ended.
    ///
    /// # Errors
    /// How, if not well.
    async fn ended(&mut self) -> SqlResult<()> {
        match self.next().await? {
            Retrieved::Ended => Ok(()),
            Retrieved::Begun { .. } | Retrieved::Failed(_) => Err(internal("a query began twice")),
        }
    }

    async fn next(&mut self) -> SqlResult<Retrieved> {
        let answer = self.answers.next().await;
        let answer = answer.ok_or_else(|| lost(&self.master, "it has ended the call"))?;
        let answer = answer.map_err(|error| of_master(&self.master, error))?;
        match serde_json::from_slice(&answer).map_err(internal)? {
            Retrieved::Failed(failure) => Err(failure.into()),
            answer => Ok(answer),
        }
    }
}

/// A call of the master's that failed.
pub(super) fn of_master(master: &Endpoint, error: InterconnectError) -> SqlError {
    match error {
        InterconnectError::PeerLost { reason, .. } => lost(master, &reason),
        InterconnectError::Control(control) => SqlError::new(SqlState::known(&control.code), control.message),
        other => internal(other),
    }
}

fn lost(master: &Endpoint, reason: &str) -> SqlError {
    SqlError::new(SqlState::CONNECTION_FAILURE, format!("lost the master at {master}"))
        .with_detail(reason)
        .with_hint("The statement can be repeated once the master is up again.")
}

/// Where the rows of a stream come from.
struct Rows {
    retrievals: Arc<Retrievals>,
    key: (RetrievalId, ContentId),
    word: Word,
    /// None: the slice does not run yet.
    slice: Option<damson_motion::Retrieved>,
    runtime: Handle,
}

/// The rows of a stream. They end when the client has all of this segment's; an error of the query, wherever it was, ends them before.
pub(super) fn rows(retrievals: Arc<Retrievals>, key: (RetrievalId, ContentId), word: Word, runtime: Handle) -> Batches {
    let rows = Rows { retrievals, key, word, slice: None, runtime };
    let next = |rows: Option<Rows>| async move {
        let mut rows = rows?;
        match rows.next().await {
            Ok(Some(batch)) => Some((Ok(batch), Some(rows))),
            Ok(None) => {
                rows.wait();
                None
            }
            Err(error) => Some((Err(error), None)),
        }
    };
    stream::unfold(Some(rows), next).boxed()
}

impl Rows {
    async fn next(&mut self) -> SqlResult<Option<RecordBatch>> {
        let Rows { retrievals, key, word, slice, .. } = self;
        let slice = match slice {
            Some(slice) => slice,
            none => {
                let taken = tokio::select! {
                    biased;
                    ended = word.ended() => return Err(early(ended)),
                    taken = retrievals.take(key.0, key.1) => taken,
                };
                none.insert(taken.ok_or_else(|| internal("a stream is read twice"))?)
            }
        };
        let taken = tokio::select! {
            biased;
            ended = word.ended() => return Err(early(ended)),
            taken = slice.next() => taken,
        };
        match taken {
            Taken::Batch(batch) => Ok(Some(batch)),
            Taken::End => Ok(None),
            // The master knows why.
            Taken::Broken => Err(early(word.ended().await)),
        }
    }

    /// The client has its rows; the query goes on as long as others have not.
    fn wait(mut self) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            if let Err(error) = self.word.ended().await {
                tracing::debug!(%error, "a query failed after a client had its rows of this segment");
            }
        });
    }
}

/// The end of a query that was not to end yet.
fn early(ended: SqlResult<()>) -> SqlError {
    ended.err().unwrap_or_else(|| internal("the query has ended without all rows of this segment"))
}

#[cfg(test)]
mod tests {
    use super::super::messages::Failure;
    use super::*;
    use arrow::datatypes::Schema;
    use bytes::Bytes;
    use damson_motion::Offered;
    use futures::FutureExt;
    use futures::channel::mpsc;

    const KEY: (RetrievalId, ContentId) = (RetrievalId(7), ContentId(0));

    type Says = mpsc::Sender<Result<Bytes, InterconnectError>>;

    fn begun(retrievals: &Arc<Retrievals>) -> (Says, Batches) {
        let (says, answers) = mpsc::channel(4);
        let word = Word::new(Endpoint("m:1".into()), answers.boxed());
        (says, rows(Arc::clone(retrievals), KEY, word, Handle::current()))
    }

    fn say(says: &mut Says, answer: &Retrieved) {
        says.try_send(Ok(serde_json::to_vec(answer).unwrap().into())).unwrap();
    }

    fn offered(retrievals: &Retrievals) -> Offered {
        retrievals.offer(KEY.0, KEY.1, Arc::default()).unwrap()
    }

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    async fn state(rows: &mut Batches) -> &'static str {
        let error = rows.next().await.expect("an error first").unwrap_err();
        assert!(rows.next().await.is_none(), "an error is the last");
        error.state.0
    }

    #[tokio::test]
    async fn the_query_goes_on_when_a_client_has_its_rows() {
        let retrievals = Arc::new(Retrievals::default());
        let (mut says, mut rows) = begun(&retrievals);
        assert!(rows.next().now_or_never().is_none(), "the slice is not there yet");
        let mut offered = offered(&retrievals);
        let slice = async {
            offered.send(batch()).await.unwrap();
            offered.finish().await.unwrap();
        };
        let client = async {
            assert!(rows.next().await.unwrap().is_ok());
            assert!(rows.next().await.is_none());
        };
        tokio::join!(slice, client);
        drop(rows);
        tokio::task::yield_now().await;
        assert!(!says.is_closed(), "dropping the master's word would end the query");
        say(&mut says, &Retrieved::Ended);
        while !says.is_closed() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_error_ends_the_rows_whenever_it_comes() {
        let failed = || Retrieved::Failed(Failure::from(SqlError::new(SqlState::DIVISION_BY_ZERO, "zero")));
        let retrievals = Arc::new(Retrievals::default());
        let (mut says, mut rows) = begun(&retrievals);
        say(&mut says, &failed());
        assert_eq!(state(&mut rows).await, "22012");
        // After some of the rows, of which others wait.
        let (mut says, mut rows) = begun(&retrievals);
        let mut slice = offered(&retrievals);
        slice.send(batch()).await.unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        slice.send(batch()).await.unwrap();
        say(&mut says, &failed());
        assert_eq!(state(&mut rows).await, "22012");
        drop(slice);
        // Told after the slice has gone.
        let (mut says, mut rows) = begun(&retrievals);
        drop(rows.next().now_or_never());
        drop(offered(&retrievals));
        assert!(rows.next().now_or_never().is_none());
        say(&mut says, &failed());
        assert_eq!(state(&mut rows).await, "22012");
    }

    #[tokio::test]
    async fn rows_are_never_cut_short_without_an_error() {
        let retrievals = Arc::new(Retrievals::default());
        let (mut says, mut rows) = begun(&retrievals);
        say(&mut says, &Retrieved::Ended);
        assert_eq!(state(&mut rows).await, "XX000");
        let (says, mut rows) = begun(&retrievals);
        let mut slice = offered(&retrievals);
        slice.send(batch()).await.unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        drop(says);
        assert_eq!(state(&mut rows).await, "08006");
    }

    #[tokio::test]
    async fn who_leaves_ends_the_query() {
        let retrievals = Arc::new(Retrievals::default());
        let (says, mut rows) = begun(&retrievals);
        let mut slice = offered(&retrievals);
        slice.send(batch()).await.unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        drop(rows);
        assert!(says.is_closed());
        assert!(slice.send(batch()).await.is_err());
    }
}
