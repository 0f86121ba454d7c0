//! Operators that DataFusion cannot even give a type to.

use super::expression_rewriter::{compares, numeric_arithmetic};
use super::numeric_common::{Kind, kind, unify};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans arithmetic and comparisons of decimals that DataFusion's SQL planner refuses, because their common type has
/// more than 38 digits: `sum(bigint_column) > numeric_column`. All the others are left to the analyzer rule.
#[derive(Debug, Default)]
pub struct WideOperators {}

impl WideOperators {
    pub fn new() -> Self {
        Self {}
    }
}

impl ExprPlanner for WideOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        Ok(match plan(&expr, schema)? {
            Some(planned) => PlannerResult::Planned(planned),
            None => PlannerResult::Original(expr),
        })
    }
}

fn plan(expr: &RawBinaryExpr, schema: &DFSchema) -> Result<Option<Expr>> {
    let op = match &expr.op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return Ok(None),
    };
    // An operand without a type yet, such as a parameter, is for DataFusion to judge.
    let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
        return Ok(None);
    };
    let decimals = kind(&left) == Kind::Decimal && kind(&right) == Kind::Decimal;
    if !decimals || BinaryTypeCoercer::new(&left, &op, &right).get_result_type().is_ok() {
        return Ok(None);
    }
    if compares(op) {
        let unified =
            unify(&[&expr.left, &expr.right], schema)?.and_then(|unified| <[Expr; 2]>::try_from(unified).ok());
        return Ok(unified.map(|[left, right]| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))));
    }
    numeric_arithmetic(&expr.left, op, &expr.right, schema)
}
