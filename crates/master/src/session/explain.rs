//! EXPLAIN and EXPLAIN ANALYZE.

use super::bind::{Bound, external};
use super::change::BoundChange;
use super::create_as::{definition, with_types};
use super::query::with_parameters;
use super::scalar::{SubqueryRunner, one_value};
use super::show::text_rows;
use super::write::{Changed, Reports, table_target};
use super::{Outcome, Session};
use crate::admission::Admitted;
use crate::catalog::NewTable;
use crate::ddl::{TableAs, define_table_as, find_writable};
use crate::dispatch::{Running, SliceMetrics};
use crate::engine::{ScalarRunner, replace_scalar_subqueries};
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::explain::{Execution, Explained, Part, json, lines, placeholder};
use crate::locks::LockMode;
use crate::planner::{Output, SliceTable};
use crate::sql::{CreateTableAs, Explain, ExplainFormat, RelationName, Statement};
use crate::transaction::Transaction;
use damson_cluster::{TableDef, TableId};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use futures::StreamExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sqlparser::ast;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The id of a table that is shown and never made.
const NO_TABLE: TableId = TableId(u64::MAX);

/// One column of text: a line a row; JSON is one row.
pub(super) fn schema(_: &Explain) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

impl Session {
    /// Plans the statement and shows the plan. ANALYZE also runs it, init plans first, throws a query's rows away and
    /// gives the transaction what another statement wrote.
    pub(super) async fn explain(
        self: &Arc<Self>,
        explain: &Explain,
        text: &str,
        transaction: &mut Transaction,
        cancel: CancellationToken,
    ) -> SqlResult<Outcome> {
        let mut explainer = Explainer { session: self, explain, transaction, cancel, began: Instant::now() };
        let explained = match &*explain.statement {
            Statement::Query(query) => explainer.query(query, text).await?,
            Statement::CreateTableAs(create) => match explainer.create_table_as(create).await? {
                Shown::Plan(explained) => *explained,
                Shown::Notices(notices) => return text_rows(schema(explain), vec![notices]),
            },
            change => explainer.change(change).await?,
        };
        let rows = match explain.format {
            ExplainFormat::Text => lines(&explained, explain.costs),
            ExplainFormat::Json => vec![json(&explained, explain.costs)?],
        };
        text_rows(schema(explain), vec![rows])
    }
}

/// One EXPLAIN.
struct Explainer<'a> {
    session: &'a Arc<Session>,
    explain: &'a Explain,
    transaction: &'a mut Transaction,
    cancel: CancellationToken,
    began: Instant,
}

/// What a CREATE TABLE AS shows.
enum Shown {
    Plan(Box<Explained>),
    /// There is nothing to do, and why.
    Notices(Vec<String>),
}

/// A statement's plan, not yet run.
struct Planned {
    bound: Bound,
    table: SliceTable,
    init_plans: InitPlans,
    /// Without the time in which init plans ran.
    planning: Duration,
}

impl Explainer<'_> {
    async fn query(&mut self, query: &ast::Statement, text: &str) -> SqlResult<Explained> {
        let bound = with_parameters(self.session.bind(self.transaction.state(), query, text).await?, vec![])?;
        let _admitted = self.admit(Some(&bound)).await?;
        let (bound, init_plans) = self.init_plans(bound).await?;
        let planned = self.plan(bound, init_plans, Output::Rows).await?;
        if !self.explain.analyze {
            return Ok(self.shown(planned));
        }
        let started = Instant::now();
        let mut running = self.dispatch(&planned).await?;
        let mut rows = 0;
        while let Some(batch) = running.stream.next().await {
            rows += batch.map_err(of_datafusion)?.num_rows() as u64;
        }
        let metrics = std::mem::take(&mut *running.metrics.lock());
        Ok(self.analyzed(planned, Some(metrics), rows, started))
    }

    async fn change(&mut self, statement: &Statement) -> SqlResult<Explained> {
        let session = self.session;
        let change = match statement {
            Statement::Insert(insert) => {
                if self.explain.analyze {
                    let state = self.transaction.state();
                    if find_writable(&state, &insert.table, &session.search_schema())?.is_some() {
                        let message = "EXPLAIN ANALYZE of INSERT into a writable external table is not supported";
                        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
                    }
                    session.lock_to_add(self.transaction, &insert.table, &self.cancel).await?;
                }
                session.bind_insert(insert, self.transaction.state()).await?
            }
            Statement::Modify(modify) => {
                self.lock_to_change(&modify.table).await?;
                session.bind_modify(modify, self.transaction.state()).await?
            }
            Statement::Merge(merge) => {
                self.lock_to_change(&merge.table).await?;
                session.bind_merge(merge, self.transaction.state()).await?
            }
            _ => {
                let message = "EXPLAIN is for queries, INSERT, UPDATE, DELETE, MERGE and CREATE TABLE AS";
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
        };
        let (reports, unique) = (change.reports(), change.is_unique());
        let BoundChange { def, bound, target, .. } = change;
        let _admitted = self.admit(None).await?;
        let (bound, init_plans) = self.init_plans(with_parameters(bound, vec![])?).await?;
        let planned = self.plan(bound, init_plans, Output::Write(target)).await?;
        if !self.explain.analyze {
            return Ok(self.shown(planned));
        }
        let started = Instant::now();
        let running = self.dispatch(&planned).await?;
        let metrics = Arc::clone(&running.metrics);
        let changed = session.changed(&planned.bound, running, &def, reports, unique).await?;
        session.add(self.transaction, &planned.bound, changed.commit, &self.cancel).await?;
        let metrics = std::mem::take(&mut *metrics.lock());
        Ok(self.analyzed(planned, Some(metrics), changed.rows, started))
    }

    /// The statement's place, where ANALYZE runs it: a query's, or that of what changes something. Waiting for it is no planning.
    async fn admit(&mut self, query: Option<&Bound>) -> SqlResult<Admitted> {
        if !self.explain.analyze {
            return Ok(Admitted::without_place());
        }
        let asked = Instant::now();
        let admitted = match query {
            Some(bound) => self.session.admit_query(bound, &self.cancel).await?,
            None => self.session.admit(&self.transaction.state(), &self.cancel).await?,
        };
        self.began += asked.elapsed();
        Ok(admitted)
    }

    async fn lock_to_change(&mut self, table: &RelationName) -> SqlResult<()> {
        if self.explain.analyze {
            self.session.lock(self.transaction, table, LockMode::ShareUpdateExclusive, &self.cancel).await?;
        }
        Ok(())
    }

    async fn create_table_as(&mut self, create: &CreateTableAs) -> SqlResult<Shown> {
        let session = self.session;
        let tablespace = session.in_tablespace(&self.transaction.state(), create.tablespace.as_ref())?;
        let bound = session.bind(self.transaction.state(), &create.query, "").await?;
        let _admitted = self.admit(None).await?;
        let (bound, init_plans) = self.init_plans(bound).await?;
        let columns = session.schema_of(&bound)?;
        let new = match define_table_as(bound.names.state(), create, &columns, &session.search_schema())? {
            TableAs::Exists(done) => return Ok(Shown::Notices(done.notices)),
            TableAs::New { table, .. } => NewTable { tablespace, ..*table },
        };
        let runs = self.explain.analyze && create.with_data;
        let id = if runs { session.reserve_table_id().await? } else { NO_TABLE };
        let def = Arc::new(definition(bound.names.state(), &new, id));
        bound.names.add_new_table(Arc::clone(&def));
        let planned = self.plan(with_types(bound, &def)?, init_plans, Output::Write(table_target(&def))).await?;
        if !self.explain.analyze {
            return Ok(Shown::Plan(Box::new(self.shown(planned))));
        }
        let started = Instant::now();
        let (metrics, rows, new, files) = if runs {
            let (metrics, written) = self.write(&planned, &def).await?;
            let new = NewTable { id: Some(def.id), map_version: Some(def.map_version), ..new };
            (Some(metrics), written.rows, new, written.commit.adds)
        } else {
            (None, 0, new, vec![])
        };
        session.create(self.transaction, new, files, create.if_not_exists, &self.cancel).await?;
        Ok(Shown::Plan(Box::new(self.analyzed(planned, metrics, rows, started))))
    }

    /// Runs a plan with a writer on top; the caller commits.
    async fn write(&self, planned: &Planned, def: &TableDef) -> SqlResult<(SliceMetrics, Changed)> {
        let running = self.dispatch(planned).await?;
        let metrics = Arc::clone(&running.metrics);
        let written = self.session.changed(&planned.bound, running, def, Reports::Files, false).await?;
        Ok((std::mem::take(&mut *metrics.lock()), written))
    }

    async fn dispatch(&self, planned: &Planned) -> SqlResult<Running> {
        let Planned { bound, table, .. } = planned;
        self.session.dispatch(bound, table, HashMap::new(), true, self.cancel.clone()).await
    }

    /// Runs the statement's init plans, or puts names in their place.
    async fn init_plans(&self, bound: Bound) -> SqlResult<(Bound, InitPlans)> {
        let runner = self.session.scalar_runner(&bound, &self.cancel);
        let recorder = Recorder { runner, analyze: self.explain.analyze, recorded: Mutex::default() };
        let replaced = replace_scalar_subqueries(bound.plan.clone(), &recorder).await;
        let plan = replaced.map_err(of_datafusion)?;
        Ok((Bound { plan, ..bound }, recorder.recorded.into_inner()))
    }

    async fn plan(&self, bound: Bound, init_plans: InitPlans, output: Output) -> SqlResult<Planned> {
        let table = self.session.plan(&bound, output).await?;
        let planning = self.began.elapsed().saturating_sub(init_plans.running);
        Ok(Planned { bound, table, init_plans, planning })
    }

    fn shown(&self, planned: Planned) -> Explained {
        let Planned { table, init_plans, planning, .. } = planned;
        let main = Part { table, metrics: None, value: None };
        Explained { main, init_plans: init_plans.parts, verbose: self.explain.verbose, planning, execution: None }
    }

    fn analyzed(&self, planned: Planned, metrics: Option<SliceMetrics>, rows: u64, started: Instant) -> Explained {
        let elapsed = started.elapsed() + planned.init_plans.running;
        let mut explained = self.shown(planned);
        explained.main.metrics = metrics;
        explained.execution = Some(Execution { elapsed, rows });
        explained
    }
}

/// A statement's init plans, in the order in which they run.
#[derive(Default)]
struct InitPlans {
    parts: Vec<Part>,
    running: Duration,
}

/// Keeps what it runs, or for plain EXPLAIN would run.
struct Recorder {
    runner: SubqueryRunner,
    analyze: bool,
    recorded: Mutex<InitPlans>,
}

impl ScalarRunner for Recorder {
    fn run<'a>(&'a self, plan: &'a LogicalPlan) -> BoxFuture<'a, Result<Expr>> {
        Box::pin(async move {
            let (bound, table) = self.runner.plan(plan).await?;
            if !self.analyze {
                let data_type = table.whole.schema().fields().first().map(|field| field.data_type().clone());
                let nameless = || external(SqlError::new(SqlState::INTERNAL_ERROR, "a subquery without a column"));
                let data_type = data_type.ok_or_else(nameless)?;
                let parts = &mut self.recorded.lock().parts;
                let name = placeholder(parts.len(), data_type);
                parts.push(Part { table, metrics: None, value: None });
                return Ok(name);
            }
            let started = Instant::now();
            let running = self.runner.start(&bound, &table, true).await?;
            let metrics = Arc::clone(&running.metrics);
            let value = one_value(running.stream).await?;
            let metrics = Some(std::mem::take(&mut *metrics.lock()));
            let mut recorded = self.recorded.lock();
            recorded.running += started.elapsed();
            recorded.parts.push(Part { table, metrics, value: Some(value.clone()) });
            Ok(Expr::Literal(value, None))
        })
    }
}
