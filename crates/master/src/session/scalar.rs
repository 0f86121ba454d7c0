//! Runs an init plan.

use super::Session;
use super::bind::{Bound, external};
use crate::dispatch::Running;
use crate::engine::{ScalarRunner, StatementNames};
use crate::error::{SqlError, SqlState};
use crate::planner::{Output, SliceTable};
use damson_cluster::SourceAccess;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan, cast};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs init plans with the names and the snapshot of the statement that they belong to.
pub(super) struct SubqueryRunner {
    session: Arc<Session>,
    state: Arc<SessionState>,
    names: StatementNames,
    cancel: CancellationToken,
}

impl Session {
    pub(super) fn scalar_runner(self: &Arc<Self>, bound: &Bound, cancel: &CancellationToken) -> SubqueryRunner {
        SubqueryRunner {
            session: Arc::clone(self),
            state: Arc::clone(&bound.state),
            names: bound.names.clone(),
            cancel: cancel.clone(),
        }
    }
}

impl ScalarRunner for SubqueryRunner {
    fn run<'a>(&'a self, plan: &'a LogicalPlan) -> BoxFuture<'a, Result<Expr>> {
        Box::pin(async move {
            let (bound, table) = self.plan(plan).await?;
            let running = self.start(&bound, &table, false).await?;
            Ok(typed(one_value(running.stream).await?))
        })
    }
}

impl SubqueryRunner {
    pub(super) async fn plan(&self, plan: &LogicalPlan) -> Result<(Bound, SliceTable)> {
        let (state, names, access) = (Arc::clone(&self.state), self.names.clone(), SourceAccess::default());
        let bound = Bound { state, names, plan: plan.clone(), access };
        let table = self.session.plan(&bound, Output::Rows).await.map_err(external)?;
        Ok((bound, table))
    }

    pub(super) async fn start(&self, bound: &Bound, table: &SliceTable, to_the_end: bool) -> Result<Running> {
        let running = self.session.dispatch(bound, table, HashMap::new(), to_the_end, self.cancel.clone());
        running.await.map_err(external)
    }
}

/// A value that keeps its type: a bare integer is int4 where it fits, and a bare decimal has the digits that it shows, as if they had been
/// written in the query.
fn typed(value: ScalarValue) -> Expr {
    let data_type = value.data_type();
    let literal = Expr::Literal(value, None);
    if data_type == DataType::Int64 || data_type.is_decimal() { cast(literal, data_type) } else { literal }
}

/// The value of a subquery's one row; NULL without a row.
///
/// # Errors
/// 21000 for several rows, and the stream's.
pub(super) async fn one_value(mut rows: SendableRecordBatchStream) -> Result<ScalarValue> {
    let mut value = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if batch.num_rows() + usize::from(value.is_some()) > 1 {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(external(SqlError::new(SqlState::CARDINALITY_VIOLATION, message)));
        }
        if batch.num_rows() == 1 {
            value = Some(ScalarValue::try_from_array(batch.column(0), 0)?);
        }
    }
    match value {
        Some(value) => Ok(value),
        None => ScalarValue::try_from(rows.schema().field(0).data_type()),
    }
}
