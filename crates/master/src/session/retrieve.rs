//! A query whose rows its client fetches from the segments.

use super::backup::until;
use super::query::{dispatch_of, with_parameters};
use super::{Outcome, Session};
use crate::catalog::CatalogState;
use crate::dispatch::{Dispatch, Retrieving};
use crate::error::{SqlError, SqlResult, SqlState, internal, of_datafusion};
use crate::planner::{Output, plain_text, retrievable, retrieved};
use crate::sql::{Retrieve, Statement};
use damson_cluster::SegmentSet;
use damson_motion::RetrievalId;
use datafusion::scalar::ScalarValue;
use futures::FutureExt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

impl Session {
    /// Runs a query as [`Session::execute_until`] does, whose rows wait on `segments` under `id` for its client. The outcome has none of them: its end
    /// is the query's, when the client has fetched all. `is_idle` is told whether all segments that have some left wait for that.
    ///
    /// # Errors
    /// As [`Session::execute_until`]; 40001 if the rows are elsewhere by now than [`Session::streams_of`] has told.
    pub(crate) async fn retrieve_until(
        self: &Arc<Self>,
        text: &str,
        parameters: Vec<ScalarValue>,
        (id, segments, is_idle): (RetrievalId, SegmentSet, Arc<watch::Sender<bool>>),
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let statement = self.parse(text).and_then(|statement| match Arc::unwrap_or_clone(statement) {
            Statement::Query(query) => Ok(Statement::Retrieve(Box::new(Retrieve { query, id, segments, is_idle }))),
            other => Err(internal(format!("{} has no rows to retrieve", other.name()))),
        });
        self.run_until(statement, text, parameters, cancel).boxed().await
    }

    pub(super) async fn retrieve(
        self: &Arc<Self>,
        retrieve: &Retrieve,
        text: &str,
        parameters: Vec<ScalarValue>,
        state: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let bound = until(&cancel, self.bind(state, &retrieve.query, text)).await?;
        let bound = with_parameters(bound, parameters)?;
        let admitted = self.admit_query(&bound, &cancel).await?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let table = plain_text(self.plan(&bound, Output::Rows).await?).map_err(of_datafusion)?;
        let moved = match retrievable(&table) {
            Some(segments) if segments == retrieve.segments => None,
            Some(_) => Some("other segments have the query's rows than when its tickets were given"),
            None => {
                Some("the query's rows come from the master by now, not from segments as when its tickets were given")
            }
        };
        if let Some(message) = moved {
            return Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, message).with_hint("Execute it again."));
        }
        let table = retrieved(table, retrieve.id);
        let copy_units = self.split_files(&bound, &table, &cancel).await?;
        let retrieving = Retrieving { place: admitted.place_use(), is_idle: Arc::clone(&retrieve.is_idle) };
        let whole = dispatch_of(&bound, &table, cancel);
        let dispatch = Dispatch { copy_units, to_the_end: true, retrieving: Some(retrieving), ..whole };
        let running = self.master.dispatcher.run(dispatch).await?;
        Ok(Outcome::Rows { schema: running.stream.schema(), stream: admitted.over(running.stream) })
    }
}
