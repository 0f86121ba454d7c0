//! SQL in, rows out: a plain DataFusion session with this crate's functions and rules.

mod aggregates;
mod casts;
mod dates;
mod explore;
mod formats;
mod guards;
mod integers;
mod numerics;
mod plans;
mod properties;
mod proto;
mod text;

use crate::{
    Described, analyzer_rules_after_coercion, analyzer_rules_before_coercion, describe_evaluation, guard_plan,
    register_all, type_planner,
};
use arrow::array::{
    ArrayRef, Date32Array, Decimal64Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringViewArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// A session as the master builds it, over table `t` of seven rows in four partitions.
pub fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(4).with_batch_size(2);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.sql_parser.default_null_ordering = "nulls_max".into();
    options.sql_parser.dialect = "postgresql".parse().unwrap();
    options.optimizer.repartition_aggregations = true;
    options.execution.skip_partial_aggregation_probe_rows_threshold = 1;
    let mut rules: Vec<Arc<dyn datafusion::optimizer::AnalyzerRule + Send + Sync>> =
        vec![Arc::new(ResolveGroupingFunction::new())];
    rules.extend(analyzer_rules_before_coercion());
    rules.push(Arc::new(TypeCoercion::new()));
    rules.extend(analyzer_rules_after_coercion());
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rules(rules)
        .with_type_planner(type_planner());
    let mut state = builder.build();
    register_all(&mut state).unwrap();
    let context = SessionContext::new_with_state(state);
    context.register_table("t", Arc::new(table())).unwrap();
    context
}

/// DataFusion as it is, with the same table.
pub fn plain() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(4);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config.options_mut().sql_parser.dialect = "postgresql".parse().unwrap();
    let context = SessionContext::new_with_config(config);
    context.register_table("t", Arc::new(table())).unwrap();
    context
}

/// k 1..7; the last row is NULL in every other column.
fn table() -> MemTable {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int32Array::from_iter_values(1..=7))),
        ("g", Arc::new(Int32Array::from(vec![Some(0), Some(1), Some(0), Some(1), Some(0), Some(1), None]))),
        (
            "i2",
            Arc::new(Int16Array::from(vec![Some(1), Some(-2), Some(3), Some(i16::MAX), Some(i16::MIN), Some(0), None])),
        ),
        (
            "i4",
            Arc::new(Int32Array::from(vec![
                Some(10),
                Some(-20),
                Some(30),
                Some(i32::MAX),
                Some(i32::MIN),
                Some(0),
                None,
            ])),
        ),
        (
            "i8",
            Arc::new(Int64Array::from(vec![Some(5), Some(-7), Some(9), Some(i64::MAX), Some(i64::MAX), Some(0), None])),
        ),
        (
            "n",
            Arc::new(
                Decimal64Array::from(vec![Some(150), Some(-250), Some(99), Some(100_000), Some(1), Some(0), None])
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
        ),
        (
            "big",
            Arc::new(
                Decimal64Array::from(vec![
                    Some(999_999_999_999_999_999),
                    Some(-999_999_999_999_999_999),
                    Some(999_999_999_999_999_999),
                    Some(999_999_999_999_999_999),
                    Some(999_999_999_999_999_999),
                    Some(1),
                    None,
                ])
                .with_precision_and_scale(18, 2)
                .unwrap(),
            ),
        ),
        (
            "w",
            Arc::new(
                Decimal128Array::from(vec![
                    Some(15_000),
                    Some(-25_000),
                    Some(9_999),
                    Some(1),
                    Some(10_000),
                    Some(0),
                    None,
                ])
                .with_precision_and_scale(30, 4)
                .unwrap(),
            ),
        ),
        (
            "f4",
            Arc::new(Float32Array::from(vec![
                Some(0.1),
                Some(-2.5),
                Some(2.5),
                Some(1e30),
                Some(3.5),
                Some(0.0),
                None,
            ])),
        ),
        (
            "f8",
            Arc::new(Float64Array::from(vec![
                Some(0.5),
                Some(-2.5),
                Some(2.5),
                Some(1e300),
                Some(1.005),
                Some(0.0),
                None,
            ])),
        ),
        (
            "s",
            Arc::new(StringViewArray::from(vec![
                Some("1"),
                Some("x"),
                Some("3.5"),
                Some("abc"),
                Some(""),
                Some(" 7"),
                None,
            ])),
        ),
        ("d", Arc::new(Date32Array::from(vec![Some(0), Some(31), Some(10_000), Some(-1), Some(1), Some(2), None]))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), *name != "k")).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let partitions = (0..4).map(|part| vec![batch.slice(part * 2, if part == 3 { 1 } else { 2 })]).collect();
    MemTable::try_new(schema, partitions).unwrap()
}

/// Analyzed, optimized, guarded, planned.
pub async fn plan_of(context: &SessionContext, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
    let (state, plan) = context.sql(sql).await?.into_parts();
    let plan = guard_plan(state.optimize(&plan)?)?;
    state.query_planner().create_physical_plan(&plan, &state).await
}

pub async fn try_run(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    datafusion::physical_plan::collect(plan_of(context, sql).await?, context.task_ctx()).await
}

/// Rows as `a|b`, NULL as an empty string.
pub async fn rows_of(context: &SessionContext, sql: &str) -> Vec<String> {
    text(&try_run(context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")))
}

pub fn text(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default();
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

pub async fn rows(sql: &str) -> Vec<String> {
    rows_of(&context(), sql).await
}

/// The types of the result's columns, also checked against the batches.
pub async fn types(sql: &str) -> Vec<DataType> {
    let context = context();
    let plan = plan_of(&context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let planned: Vec<_> = plan.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await;
    for batch in batches.unwrap_or_else(|error| panic!("{sql}: {error}")) {
        let actual: Vec<_> = batch.columns().iter().map(|column| column.data_type().clone()).collect();
        assert_eq!(actual, planned, "{sql}");
    }
    planned
}

/// The SQLSTATE that `sql` fails with.
pub async fn state(sql: &str) -> &'static str {
    described(sql).await.sqlstate
}

/// What a client is told of the failure of `sql`.
pub async fn described(sql: &str) -> Described {
    match try_run(&context(), sql).await {
        Ok(batches) => panic!("{sql} gave {:?}", text(&batches)),
        Err(error) => describe_evaluation(&error).unwrap_or_else(|| panic!("{sql}: no state for {error:?}")),
    }
}

/// Each expression, over the first row of `t`, gives the text next to it.
pub async fn expressions(expected: &[(&str, &str)]) {
    let context = context();
    for (expression, expected) in expected {
        let sql = format!("SELECT {expression} FROM t WHERE k = 1");
        assert_eq!(rows_of(&context, &sql).await, [*expected], "{sql}");
    }
}
