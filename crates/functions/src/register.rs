//! What a session must know: the functions on master and segments, the rules on the master.

use crate::aggregate::{Average, Sum, SumFlavour};
use crate::rules::{PostgresRule, PostgresTypes, WideOperators};
use crate::scalar::{
    self, AddOperator, FloatDivide, IntArithmetic, IntCast, IntNegate, IntOperator, Lengthening, Logarithm, Modulo,
    NumericAdd, NumericCast, NumericDivide, NumericModulo, NumericMultiply, Series,
};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::functions::{math, string, unicode};
use datafusion::functions_nested::range;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::optimizer::{AnalyzerRule, OptimizerRule};
use std::sync::{Arc, LazyLock};

static SCALARS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions = [
        ScalarUDF::from(IntArithmetic::new(IntOperator::Add)),
        ScalarUDF::from(IntArithmetic::new(IntOperator::Subtract)),
        ScalarUDF::from(IntArithmetic::new(IntOperator::Multiply)),
        ScalarUDF::from(IntNegate::new()),
        ScalarUDF::from(IntCast::new(DataType::Int16)),
        ScalarUDF::from(IntCast::new(DataType::Int32)),
        ScalarUDF::from(IntCast::new(DataType::Int64)),
        ScalarUDF::from(NumericAdd::new(AddOperator::Add)),
        ScalarUDF::from(NumericAdd::new(AddOperator::Subtract)),
        ScalarUDF::from(NumericMultiply::new()),
        ScalarUDF::from(NumericDivide::new()),
        ScalarUDF::from(NumericModulo::new()),
        ScalarUDF::from(NumericCast::new()),
        ScalarUDF::from(FloatDivide::new()),
        ScalarUDF::from(Modulo::new()),
        math::signum().as_ref().clone().with_aliases(["sign"]),
        ScalarUDF::from(Logarithm::new(math::ln())),
        ScalarUDF::from(Logarithm::new(math::log())),
        ScalarUDF::from(Logarithm::new(math::log2())),
        ScalarUDF::from(Logarithm::new(math::log10())),
        ScalarUDF::from(Lengthening::new(string::repeat())),
        ScalarUDF::from(Lengthening::new(unicode::lpad())),
        ScalarUDF::from(Lengthening::new(unicode::rpad())),
        ScalarUDF::from(Series::new(range::gen_series_udf())),
        scalar::text_to_float4(),
        scalar::text_to_float8(),
        scalar::text_to_date(),
        scalar::text_to_time(),
        scalar::text_to_timestamp(),
        scalar::text_to_timestamptz(),
        scalar::timezone(),
        scalar::now(),
        scalar::localtimestamp(),
        scalar::pg_typeof(),
        scalar::text_to_json(),
        scalar::round(),
        scalar::trunc(),
        scalar::ceil(),
        scalar::floor(),
        scalar::power(),
        scalar::exp(),
        scalar::encode(),
        scalar::decode(),
        scalar::to_bytea(),
        scalar::similar_to_regex(),
        scalar::like_escape(),
        scalar::to_varchar(),
        scalar::to_bpchar(),
        scalar::assign_varchar(),
        scalar::assign_bpchar(),
        scalar::extract(),
        scalar::date_part(),
        scalar::date_trunc(),
        scalar::age(),
        scalar::interval_span(),
        scalar::single_row(),
        scalar::to_text(),
        scalar::to_char(),
        scalar::to_date(),
        scalar::to_timestamp(),
    ];
    let ours: Vec<String> = functions.iter().map(|f| f.name().to_owned()).collect();
    let theirs = datafusion::functions::all_default_functions();
    let with_aliases = |function: ScalarUDF| {
        let replaced = theirs.iter().find(|old| old.name() == function.name());
        let aliases = aliases_of(replaced.map(|old| old.aliases()), &ours);
        Arc::new(if aliases.is_empty() { function } else { function.with_aliases(aliases) })
    };
    functions.into_iter().map(with_aliases).collect()
});

static AGGREGATES: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let functions = [
        AggregateUDF::from(Sum::new(SumFlavour::General)),
        AggregateUDF::from(Sum::new(SumFlavour::Bigint)),
        AggregateUDF::from(Average::new()),
    ];
    let ours: Vec<String> = functions.iter().map(|f| f.name().to_owned()).collect();
    let theirs = datafusion::functions_aggregate::all_default_aggregate_functions();
    let with_aliases = |function: AggregateUDF| {
        let replaced = theirs.iter().find(|old| old.name() == function.name());
        let aliases = aliases_of(replaced.map(|old| old.aliases()), &ours);
        Arc::new(if aliases.is_empty() { function } else { function.with_aliases(aliases) })
    };
    functions.into_iter().map(with_aliases).collect()
});

/// The scalar functions that the rules write into plans, those that replace DataFusion's of the same names, and those
/// that DataFusion does not have.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    SCALARS.clone()
}

/// `sum` and `avg` in place of DataFusion's, and what the rules write into plans.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    AGGREGATES.clone()
}

/// Registers every function here in the place of DataFusion's of the same names, under their aliases too, and the planner of operators that DataFusion
/// refuses, in a `SessionContext` or a `SessionState`.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in scalar_functions() {
        registry.register_udf(function)?;
    }
    for function in aggregate_functions() {
        registry.register_udaf(function)?;
    }
    registry.register_expr_planner(Arc::new(WideOperators::new()))
}

/// The aliases of the function of DataFusion that ours replaces, without those that name another of ours. Were the old one
/// left under an alias, a session that is made of another's functions would register it by its name again, after ours or
/// before, as it happens.
fn aliases_of(replaced: Option<&[String]>, ours: &[String]) -> Vec<&'static str> {
    let kept = replaced.unwrap_or_default().iter().filter(|alias| !ours.contains(alias));
    // Once a process, a few words.
    kept.map(|alias| &*alias.clone().leak()).collect()
}

/// One of [`scalar_functions`].
///
/// # Panics
/// When there is none of that name: the names are written in this crate.
pub(crate) fn scalar(name: &str) -> Arc<ScalarUDF> {
    let found = SCALARS.iter().find(|function| function.name() == name);
    Arc::clone(found.unwrap_or_else(|| panic!("no function {name}")))
}

/// One of [`aggregate_functions`], as [`scalar`].
pub(crate) fn aggregate(name: &str) -> Arc<AggregateUDF> {
    let found = AGGREGATES.iter().find(|function| function.name() == name);
    Arc::clone(found.unwrap_or_else(|| panic!("no aggregate {name}")))
}

/// For `SessionStateBuilder::with_type_planner`.
pub fn type_planner() -> Arc<dyn TypePlanner> {
    Arc::new(PostgresTypes::new())
}

/// To run, in order, right before DataFusion's `TypeCoercion` (and after its `ResolveGroupingFunction`).
pub fn analyzer_rules_before_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(PostgresRule::new())]
}

/// To run, in order, after DataFusion's `TypeCoercion`. None at present: [`PostgresRule`] coerces what it rewrites.
pub fn analyzer_rules_after_coercion() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![]
}

/// To run, in order, after all of DataFusion's optimizer rules. None at present: what must come last is
/// [`crate::guard_plan`], which the optimizer's next pass would undo.
pub fn optimizer_rules_last() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![]
}
