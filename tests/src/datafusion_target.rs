//! Plain, single-process DataFusion with tables in memory: the reference.

use crate::{Answer, Target, TargetError, for_datafusion};
use async_trait::async_trait;
use datafusion::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// Name of a result that is sorted apart.
const UNSORTED: &str = "unsorted_result";

/// One session; its tables end with it.
pub struct PlainDataFusion {
    context: SessionContext,
    /// Sort a query's rows in a query of its own: 55.2 leaves out sorts by what window functions give.
    sorts_apart: bool,
}

impl PlainDataFusion {
    /// PostgreSQL's dialect, one partition.
    pub fn new() -> Self {
        Self::with_partitions(1)
    }

    /// As [`PlainDataFusion::new`], executing with `partitions` threads of its own.
    pub fn with_partitions(partitions: usize) -> Self {
        let mut config = SessionConfig::new().with_target_partitions(partitions).with_information_schema(true);
        config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        // It compares nullability too, which the logical and the physical CASE work out differently.
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        // A reference must be right: this rule of 55.2 goes by names and can filter the wrong side of an outer join
        // (tests/slt/postgres/engine_bugs.slt).
        let mut rules = PhysicalOptimizer::default().rules;
        rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
        let builder = SessionStateBuilder::new().with_config(config).with_default_features();
        let state = builder.with_physical_optimizer_rules(rules).build();
        PlainDataFusion { context: SessionContext::new_with_state(state), sorts_apart: false }
    }

    /// For queries that order by positions.
    #[must_use]
    pub fn sorting_apart(self) -> Self {
        PlainDataFusion { sorts_apart: true, ..self }
    }
}

/// A query, and its own ORDER BY with what follows: the first that is in no parentheses or quotes.
fn split_order(sql: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted) = (0, false);
    for (at, letter) in sql.char_indices() {
        match letter {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ' ' if depth == 0 && !quoted && sql[at..].starts_with(" ORDER BY ") => return Some(sql.split_at(at)),
            _ => {}
        }
    }
    None
}

impl Default for PlainDataFusion {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Target for PlainDataFusion {
    fn name(&self) -> &'static str {
        "datafusion"
    }

    async fn run(&mut self, sql: &str) -> Result<Answer, TargetError> {
        let fail = |e: DataFusionError| TargetError { message: e.strip_backtrace(), sqlstate: None };
        let sql = &for_datafusion(sql);
        let frame = match split_order(sql).filter(|_| self.sorts_apart) {
            Some((rows, order)) => {
                let unsorted = self.context.sql(rows).await.map_err(fail)?;
                let schema = Arc::new(unsorted.schema().as_arrow().clone());
                let rows = unsorted.collect().await.map_err(fail)?;
                // What a batch says of nullability is not always what the plan said.
                let schema = rows.first().map_or(schema, |batch| batch.schema());
                let table = MemTable::try_new(schema, vec![rows]).map_err(fail)?;
                self.context.deregister_table(UNSORTED).map_err(fail)?;
                self.context.register_table(UNSORTED, Arc::new(table)).map_err(fail)?;
                self.context.sql(&format!("SELECT * FROM {UNSORTED}{order}")).await.map_err(fail)?
            }
            None => self.context.sql(sql).await.map_err(fail)?,
        };
        let is_insert = sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert"));
        let schema = frame.schema().as_arrow().clone();
        let batches = frame.collect().await.map_err(fail)?;
        let answer = Answer::from_batches(&schema, &batches);
        if is_insert {
            let count = answer.rows.first().and_then(|row| row[0].parse().ok()).unwrap_or_default();
            return Ok(Answer::command(count));
        }
        Ok(if schema.fields().is_empty() { Answer::command(0) } else { answer })
    }
}
