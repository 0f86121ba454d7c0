//! `parallel_retrieve`: in how many streams a query's rows are fetched, and where.

use super::Session;
use super::bind::Bound;
use super::query::with_parameters;
use super::setval::Setval;
use super::signal_backend::SignalBackend;
use super::sleep::Sleep;
use super::truncate_error_log::TruncateErrorLog;
use crate::error::SqlResult;
use crate::planner::{Output, retrievable};
use crate::sql::Statement;
use damson_cluster::SegmentSet;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan};
use datafusion::scalar::ScalarValue;

/// A query that cannot have so many rows is done before its streams are opened.
const ROWS_MIN: usize = 100_000;

/// Streams of one query: each is a request of the client's, a task and two messages here.
const STREAMS_MAX: usize = 64;

/// Where a query's rows can be fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    /// In how many streams of the master's.
    pub at_master: usize,
    /// Or in one of each of these.
    pub at_segments: Option<SegmentSet>,
}

impl Streams {
    const ONE: Streams = Streams { at_master: 1, at_segments: None };
}

impl Session {
    pub(crate) fn retrieves_in_parallel(&self) -> bool {
        self.settings.lock().parallel_retrieve()
    }

    /// One for each segment, if the statement is a query that may have many rows, in no order; else one. Executes nothing. Where clients may not reach
    /// segments, their own streams are not looked for.
    ///
    /// # Errors
    /// As [`Session::prepare`].
    pub(crate) async fn streams_of(
        &self,
        text: &str,
        parameters: Vec<ScalarValue>,
        may_reach_segments: bool,
    ) -> SqlResult<Streams> {
        let statement = self.parse(text);
        let (state, failure) = self.reading(&statement).await?;
        let statement = statement?;
        let Statement::Query(query) = &*statement else { return Ok(Streams::ONE) };
        let is_command = SignalBackend::of(query)?.is_some()
            || TruncateErrorLog::of(query)?.is_some()
            || Setval::of(query)?.is_some()
            || Sleep::of(query).is_some();
        if is_command {
            return Ok(Streams::ONE);
        }
        let segments = state.current_map().owning_segments().len();
        let bound = self.bind(state, query, text).await.inspect_err(|_| failure.fails())?;
        if rows_max(&bound.plan).is_none_or(|rows| rows < ROWS_MIN) {
            return Ok(Streams::ONE);
        }
        let at_segments = match may_reach_segments {
            true => self.retrievable(bound, parameters).await,
            false => None,
        };
        let at_segments = at_segments.filter(|segments| segments.len() <= STREAMS_MAX);
        Ok(Streams { at_master: segments.clamp(1, STREAMS_MAX), at_segments })
    }

    /// What is wrong with a query that cannot be planned, its execution tells.
    async fn retrievable(&self, bound: Bound, parameters: Vec<ScalarValue>) -> Option<SegmentSet> {
        // It would have to run before it is planned.
        if has_scalar_subquery(&bound.plan) {
            return None;
        }
        let bound = with_parameters(bound, parameters).ok()?;
        retrievable(&self.plan(&bound, Output::Rows).await.ok()?)
    }
}

fn has_scalar_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let looked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= matches!(expr, Expr::ScalarSubquery(_));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    // What cannot be looked through may have one.
    found || looked.is_err()
}

/// How many rows a plan may have, as far as the sizes of its tables tell; None where their order counts, or nothing is known.
fn rows_max(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            match provider.get_logical_plan() {
                Some(view) => rows_max(&view),
                None => provider.statistics()?.num_rows.get_value().copied(),
            }
        }
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Some(1),
        LogicalPlan::Limit(limit) => match limit.get_fetch_type().ok()? {
            FetchType::Literal(Some(fetch)) => rows_max(&limit.input).map(|rows| rows.min(fetch)),
            FetchType::Literal(None) => rows_max(&limit.input),
            FetchType::UnsupportedExpr => None,
        },
        LogicalPlan::Join(join) => Some(rows_max(&join.left)?.saturating_mul(rows_max(&join.right)?)),
        LogicalPlan::Union(union) => {
            union.inputs.iter().try_fold(0, |sum: usize, input| Some(sum.saturating_add(rows_max(input)?)))
        }
        LogicalPlan::EmptyRelation(_) => Some(1),
        LogicalPlan::Values(values) => Some(values.values.len()),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_) => match plan.inputs()[..] {
            [input] => rows_max(input),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;
    use std::sync::Arc;

    #[tokio::test]
    async fn rows_are_counted_at_most() {
        let context = SessionContext::new();
        let column = Arc::new(Int32Array::from_iter_values(0..1_000)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("k", column)]).unwrap();
        let table = Known(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
        context.register_table("t", Arc::new(table)).unwrap();
        for (sql, rows) in [
            ("SELECT k FROM t", Some(1_000)),
            ("SELECT k + 1 FROM t WHERE k > 7", Some(1_000)),
            ("SELECT a.k FROM t a, t b", Some(1_000_000)),
            ("SELECT a.k FROM t a JOIN t b ON a.k = b.k", Some(1_000_000)),
            ("SELECT DISTINCT k FROM t UNION ALL SELECT k FROM t", Some(2_000)),
            ("SELECT k, count(*) FROM t GROUP BY k", Some(1_000)),
            ("SELECT count(*) FROM t", Some(1)),
            ("SELECT k FROM t LIMIT 5", Some(5)),
            ("SELECT k FROM t LIMIT 5000", Some(1_000)),
            ("SELECT k FROM t ORDER BY k", None),
            ("SELECT k FROM t ORDER BY k LIMIT 5", None),
            ("SELECT 1", Some(1)),
        ] {
            let plan = context.state().create_logical_plan(sql).await.unwrap();
            assert_eq!(rows_max(&plan), rows, "{sql}");
        }
    }

    /// A table whose size is known.
    #[derive(Debug)]
    struct Known(MemTable);

    #[async_trait::async_trait]
    impl datafusion::catalog::TableProvider for Known {
        fn schema(&self) -> datafusion::arrow::datatypes::SchemaRef {
            self.0.schema()
        }

        fn table_type(&self) -> datafusion::logical_expr::TableType {
            self.0.table_type()
        }

        fn statistics(&self) -> Option<datafusion::physical_plan::Statistics> {
            let num_rows = datafusion::common::stats::Precision::Inexact(1_000);
            Some(datafusion::physical_plan::Statistics {
                num_rows,
                ..datafusion::physical_plan::Statistics::new_unknown(&self.schema())
            })
        }

        async fn scan(
            &self,
            state: &dyn datafusion::catalog::Session,
            projection: Option<&Vec<usize>>,
            filters: &[datafusion::logical_expr::Expr],
            limit: Option<usize>,
        ) -> datafusion::error::Result<Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            self.0.scan(state, projection, filters, limit).await
        }
    }
}
