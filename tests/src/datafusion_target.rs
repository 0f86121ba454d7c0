//! Plain, single-process DataFusion with tables in memory: the reference.

use crate::{Answer, Target, TargetError, for_datafusion};
use async_trait::async_trait;
use datafusion::config::Dialect;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

/// One session; its tables end with it.
pub struct PlainDataFusion {
    context: SessionContext,
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
        // A reference must be right: this rule of 55.2 goes by names and can filter the wrong side of an outer join
        // (tests/slt/postgres/engine_bugs.slt).
        let mut rules = PhysicalOptimizer::default().rules;
        rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
        let builder = SessionStateBuilder::new().with_config(config).with_default_features();
        let state = builder.with_physical_optimizer_rules(rules).build();
        PlainDataFusion { context: SessionContext::new_with_state(state) }
    }
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
        let frame = self.context.sql(&for_datafusion(sql)).await.map_err(fail)?;
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
