//! DataFusion as Damson sets it up: functions, rules, settings, and a statement's view of the catalog.

mod constants;
mod cross_joins;
mod files;
mod filters;
mod in_lists;
mod init_plan;
mod names;
mod null_tests;
mod past;
mod peer_frames;
mod rewrite;
mod scalar_rows;
mod sent_rows;
mod sequences;
mod set_all;
mod statistics;
mod subqueries;
mod table;
mod window_filter;

pub(crate) use constants::write_out_constants;
pub(crate) use files::{FileColumns, FileRelation, FileTable, StatementFiles};
pub(crate) use init_plan::{ScalarRunner, replace_scalar_subqueries};
pub(crate) use names::{CATALOG, StatementNames};
pub(crate) use null_tests::write_out_nulls;
pub(crate) use past::{PastRelations, past_catalog};
pub(crate) use scalar_rows::join_scalar_rows;
pub(crate) use sent_rows::SentRows;
pub(crate) use sequences::{NextValues, Taking, take_next_values};
pub(crate) use set_all::count_occurrences;
pub(crate) use subqueries::write_out_subqueries;
pub(crate) use table::DamsonTable;

use crate::planner::JoinOrder;
use datafusion::common::config::{ConfigOptions, Dialect};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use std::sync::Arc;

/// The session state that every QE has too: functions, settings and resources, no tables.
///
/// # Errors
/// A function that DataFusion refuses to register.
pub fn base_state(runtime: Arc<RuntimeEnv>) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_config(SessionConfig::from(settings()))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_type_planner(damson_functions::type_planner())
        .with_analyzer_rules(analyzer_rules())
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rules(vec![])
        .build();
    damson_functions::register_all(&mut state)?;
    state.register_udf(Arc::new(sequences::next_value_function()))?;
    Ok(state)
}

/// DataFusion's, with PostgreSQL's meaning of operators around its type coercion.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![];
    for rule in Analyzer::new().rules {
        if rule.name() == "type_coercion" {
            rules.push(Arc::new(peer_frames::PeerFrames));
            rules.extend(damson_functions::analyzer_rules_before_coercion());
            rules.push(rule);
            rules.extend(damson_functions::analyzer_rules_after_coercion());
            rules.push(Arc::new(window_filter::WindowFilter));
            rules.push(Arc::new(in_lists::InLists));
        } else {
            rules.push(rule);
        }
    }
    rules
}

/// DataFusion's, with joins ordered once filters are where they belong, and before columns are pruned.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![];
    for rule in Optimizer::new().rules {
        match rule.name() {
            "eliminate_cross_join" => rules.push(Arc::new(cross_joins::CrossJoins::default())),
            "push_down_filter" => {
                rules.push(Arc::new(filters::Filters::default()));
                rules.push(Arc::new(JoinOrder::default()));
            }
            _ => rules.push(rule),
        }
    }
    rules.extend(damson_functions::optimizer_rules_last());
    rules
}

/// PostgreSQL's text, one partition per slice, and no rule that would run a query's parts by itself.
fn settings() -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.sql_parser.dialect = Dialect::PostgreSQL;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.catalog.create_default_catalog_and_schema = false;
    options.catalog.default_catalog = CATALOG.into();
    options.catalog.information_schema = false;
    options.execution.target_partitions = 1;
    options.execution.planning_concurrency = 1;
    options.execution.parquet.pushdown_filters = false;
    // It compares nullability too, which the logical and the physical CASE work out differently.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    options.optimizer.repartition_aggregations = false;
    options.optimizer.repartition_joins = false;
    options.optimizer.repartition_windows = false;
    options.optimizer.repartition_sorts = false;
    options.optimizer.enable_round_robin_repartition = false;
    options
}

/// The base state with a statement's names in it. A clone, which shares what a builder would register anew: functions and rules.
pub(crate) fn statement_state(base: &SessionState, names: &StatementNames) -> SessionState {
    let mut state = base.clone();
    state.config_mut().options_mut().catalog.default_schema = names.search_schema().into();
    state.register_catalog_list(Arc::new(names.clone()));
    // now() is the statement's start.
    state.mark_start_execution();
    state
}
