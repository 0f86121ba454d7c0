//! `SELECT pg_cancel_backend(n)` and `SELECT pg_terminate_backend(n)`: another session's statement, and the session itself.

use super::privileges::denied;
use super::truncate_error_log::only_call;
use super::{Outcome, Session};
use crate::catalog::CatalogState;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::sql::call_arguments;
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use sqlparser::ast as syntax;
use std::sync::Arc;

const CANCEL: &str = "pg_cancel_backend";
const TERMINATE: &str = "pg_terminate_backend";

/// A query whose only item is a call of one of the functions, without FROM.
pub(super) struct SignalBackend {
    /// Of the session, as `pg_stat_activity` has it.
    pid: u64,
    terminates: bool,
    column: String,
}

impl SignalBackend {
    /// None for a query that is none.
    ///
    /// # Errors
    /// 22023 for what is no number.
    pub(super) fn of(query: &syntax::Statement) -> SqlResult<Option<SignalBackend>> {
        let Some((call, function, column)) = only_call(query, &[CANCEL, TERMINATE]) else { return Ok(None) };
        let pid = call_arguments(call).as_deref().and_then(|arguments| match arguments {
            // Greenplum's has a message, PostgreSQL's a time to wait.
            [syntax::Expr::Value(pid)] | [syntax::Expr::Value(pid), _] => pid.value.to_string().parse().ok(),
            _ => None,
        });
        let Some(pid) = pid else {
            let message = format!("{function} takes a session's number, as pg_stat_activity shows it in pid");
            return Err(SqlError::new(SqlState::INVALID_PARAMETER, message));
        };
        Ok(Some(SignalBackend { pid, terminates: function == TERMINATE, column }))
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Boolean, false)]))
    }
}

impl Session {
    /// False where there is no such session.
    ///
    /// # Errors
    /// 42501 of another role's session.
    pub(super) fn signal_backend(&self, signal: &SignalBackend, state: &CatalogState) -> SqlResult<Outcome> {
        let found = self.master.sessions.find(signal.pid);
        if let Some(session) = &found {
            let (acting, theirs) = (self.acting_role(state), session.session_role(state));
            let verb = if signal.terminates { "terminate" } else { "cancel" };
            if state.is_superuser(theirs) && !state.is_superuser(acting) {
                return Err(denied(format!("must be a superuser to {verb} superuser's query")));
            }
            if !state.inherits(acting, theirs) {
                return Err(denied(format!("must be a member of the role whose query is to {verb}")));
            }
            match signal.terminates {
                true => {
                    tracing::info!(session_id = session.id.0, "the session was ended by an administrator");
                    session.terminate();
                }
                false => session.cancel(),
            }
        }
        let schema = signal.schema();
        let done: ArrayRef = Arc::new(BooleanArray::from(vec![found.is_some()]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![done]).map_err(|e| of_datafusion(e.into()))?;
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
        Ok(Outcome::Rows { schema, stream: Box::pin(rows) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    fn of(text: &str) -> SqlResult<Option<SignalBackend>> {
        let sql::Statement::Query(query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        SignalBackend::of(&query)
    }

    #[test]
    fn the_call_stands_alone() {
        let signal = of("select pg_cancel_backend(17)").unwrap().unwrap();
        assert_eq!((signal.pid, signal.terminates, signal.column.as_str()), (17, false, CANCEL));
        let signal = of("select pg_catalog.pg_terminate_backend(17, 'go') as gone").unwrap().unwrap();
        assert_eq!((signal.pid, signal.terminates, signal.column.as_str()), (17, true, "gone"));
        assert!(of("select pg_cancel_backend(1), 2").unwrap().is_none());
        for text in ["select pg_cancel_backend()", "select pg_cancel_backend(-1)", "select pg_cancel_backend(x)"] {
            assert_eq!(of(text).err().map(|error| error.state), Some(SqlState::INVALID_PARAMETER), "{text}");
        }
    }
}
