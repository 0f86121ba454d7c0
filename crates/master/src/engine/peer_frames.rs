//! `f(x) OVER (ORDER BY c)` where c is a time, an interval or bytea: DataFusion has ranges only of types that it can add to.

use super::rewrite::rewrite_expressions;
use crate::error::{SqlError, SqlState};
use crate::sql::sql_type_name;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFrameUnits};
use datafusion::optimizer::AnalyzerRule;

/// Writes a frame of RANGE without offsets as one of GROUPS, which begins and ends with the same peers. Before types are coerced, which refuses such ranges.
#[derive(Debug)]
pub(super) struct PeerFrames;

impl AnalyzerRule for PeerFrames {
    fn name(&self) -> &str {
        "peer_frames"
    }

    /// # Errors
    /// 0A000 for a range with an offset.
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |node| {
            let schema = matches!(node, LogicalPlan::Window(_)).then(|| merge_schema(&node.inputs()));
            move |expr: Expr| match &schema {
                Some(schema) => expr.transform_up(|expr| in_groups(expr, schema)),
                None => Ok(Transformed::no(expr)),
            }
        })
    }
}

fn in_groups(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut window) = expr else { return Ok(Transformed::no(expr)) };
    let frame = &window.params.window_frame;
    let ordered_by = window.params.order_by.first().filter(|_| frame.units == WindowFrameUnits::Range);
    // What has no type yet is no column of a type without ranges: coercion will tell what is wrong with it.
    let by_type = ordered_by.and_then(|sort| Some((&sort.expr, sort.expr.get_type(schema).ok()?)));
    let Some((by, data_type)) = by_type.filter(|(_, data_type)| !has_ranges(data_type)) else {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    };
    // Of ranges, those without offsets.
    if frame.can_accept_multi_orderby() {
        let (start, end) = (frame.start_bound.clone(), frame.end_bound.clone());
        window.params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end);
        return Ok(Transformed::yes(Expr::WindowFunction(window)));
    }
    // An expression may get another type yet, as the difference of two dates does.
    if matches!(by, Expr::Column(_)) {
        let name = sql_type_name(&data_type);
        let message = format!("RANGE with offset PRECEDING/FOLLOWING is not supported for column type {name}");
        return Err(DataFusionError::External(Box::new(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))));
    }
    Ok(Transformed::no(Expr::WindowFunction(window)))
}

/// Whether DataFusion's type coercion knows ranges of it.
fn has_ranges(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_ranges(values),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Boolean => true,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => true,
        other => other.is_numeric() || other.is_string() || other.is_null(),
    }
}
