//! `f(x) FILTER (WHERE c) OVER (…)`: DataFusion's plan codec loses the filter of a window.

use super::rewrite::rewrite_expressions;
use crate::error::{SqlError, SqlState};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition, when};
use datafusion::optimizer::AnalyzerRule;

/// Aggregates that do not skip NULL.
const KEEP_NULLS: [&str; 4] = ["array_agg", "first_value", "last_value", "nth_value"];

/// Writes the filter into the argument, `f(CASE WHEN c THEN x END) OVER (…)`: the same for an aggregate that skips NULL.
#[derive(Debug)]
pub(super) struct WindowFilter;

impl AnalyzerRule for WindowFilter {
    fn name(&self) -> &str {
        "window_filter"
    }

    /// # Errors
    /// 0A000 for the aggregates that keep NULL.
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |_| |expr: Expr| expr.transform_up(without_filter))
    }
}

fn without_filter(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut window) = expr else { return Ok(Transformed::no(expr)) };
    let Some(filter) = window.params.filter.take() else {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    };
    let skips_nulls = |window: &WindowFunction| {
        let name = window.fun.name().to_ascii_lowercase();
        matches!(window.fun, WindowFunctionDefinition::AggregateUDF(_)) && !KEEP_NULLS.contains(&name.as_str())
    };
    if !skips_nulls(&window) || window.params.args.is_empty() {
        let message = format!("FILTER is not supported for window function {}", window.fun.name());
        return Err(DataFusionError::External(Box::new(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))));
    }
    let argument = std::mem::take(&mut window.params.args[0]);
    window.params.args[0] = when(*filter, argument).end()?;
    Ok(Transformed::yes(Expr::WindowFunction(window)))
}
