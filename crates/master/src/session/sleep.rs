//! `SELECT pg_sleep(seconds)`.

use super::backup::until;
use super::query::with_parameters;
use super::{Outcome, Session, ast};
use crate::catalog::CatalogState;
use crate::error::{SqlResult, of_datafusion};
use crate::planner::Output;
use crate::sql::{self, call_arguments};
use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, stream};
use sqlparser::ast as syntax;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const NAME: &str = "pg_sleep";

/// A query without FROM whose only item is a call of pg_sleep. It sleeps on the master, and holds no thread meanwhile.
pub(super) struct Sleep {
    /// The same query of the seconds.
    pub seconds: syntax::Statement,
    column: String,
}

impl Sleep {
    /// None for a query that is none.
    pub(super) fn of(query: &syntax::Statement) -> Option<Sleep> {
        let syntax::Statement::Query(whole) = query else { return None };
        let syntax::SetExpr::Select(select) = whole.body.as_ref() else { return None };
        let (call, column) = match select.projection.as_slice() {
            [syntax::SelectItem::UnnamedExpr(syntax::Expr::Function(call))] => (call, NAME.to_owned()),
            [syntax::SelectItem::ExprWithAlias { expr: syntax::Expr::Function(call), alias }] => {
                (call, sql::fold(alias))
            }
            _ => return None,
        };
        let name = call.name.0.last().and_then(|part| part.as_ident()).map(sql::fold)?;
        if name != NAME || !select.from.is_empty() || select.selection.is_some() {
            return None;
        }
        let arguments = call_arguments(call)?;
        let [argument] = arguments.as_slice() else { return None };
        let expr = syntax::Expr::Cast {
            kind: syntax::CastKind::Cast,
            expr: Box::new((*argument).clone()),
            data_type: syntax::DataType::DoublePrecision,
            array: false,
            format: None,
        };
        let mut seconds = query.clone();
        ast::select_of(&mut seconds)?.projection = vec![syntax::SelectItem::UnnamedExpr(expr)];
        Some(Sleep { seconds, column })
    }

    /// PostgreSQL's is a void, which is shown as an empty text.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Utf8View, true)]))
    }
}

impl Session {
    pub(super) async fn sleep(
        self: &Arc<Self>,
        sleep: &Sleep,
        parameters: Vec<ScalarValue>,
        state: Arc<CatalogState>,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let bound = with_parameters(self.bind(state, &sleep.seconds, "").await?, parameters)?;
        let admitted = self.admit_query(&bound, &cancel).await?;
        let bound = self.run_init_plans(bound, &cancel).await?;
        let table = self.plan(&bound, Output::Rows).await?;
        let mut rows = self.dispatch(&bound, &table, HashMap::new(), false, cancel.clone()).await?.stream;
        let mut given = vec![];
        while let Some(batch) = rows.next().await {
            given.extend(batch.map_err(of_datafusion)?.column(0).as_primitive::<Float64Type>().iter());
        }
        drop(admitted);
        for seconds in given.iter().flatten() {
            let time = tokio::time::sleep(duration(*seconds));
            let slept = async move {
                time.await;
                Ok(())
            };
            until(&cancel, slept).await?;
        }
        let schema = sleep.schema();
        let values: StringViewArray = given.iter().map(|seconds| seconds.map(|_| "")).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]);
        let batch = batch.map_err(|error| of_datafusion(error.into()))?;
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
        Ok(Outcome::Rows { schema, stream: Box::pin(rows) })
    }
}

/// Nothing for less than nothing; what no clock counts is for ever.
fn duration(seconds: f64) -> Duration {
    if seconds.is_nan() || seconds <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<String> {
        let sql::Statement::Query(query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
        Sleep::of(&query).map(|sleep| format!("{}: {}", sleep.column, sleep.seconds))
    }

    #[test]
    fn queries_that_sleep() {
        assert_eq!(seconds("SELECT pg_sleep(0.5)").unwrap(), "pg_sleep: SELECT CAST(0.5 AS DOUBLE PRECISION)");
        assert_eq!(seconds("SELECT pg_catalog.pg_sleep($1) AS s").unwrap(), "s: SELECT CAST($1 AS DOUBLE PRECISION)");
        for text in ["SELECT 1", "SELECT pg_sleep(1), 2", "SELECT pg_sleep(1) FROM t", "SELECT sleep(1)"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration(1.5), Duration::from_millis(1500));
        assert_eq!([duration(-1.0), duration(f64::NAN)], [Duration::ZERO; 2]);
        assert_eq!(duration(f64::INFINITY), Duration::MAX);
    }
}
