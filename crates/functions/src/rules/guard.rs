//! `b <> 0 AND a / b > 1` does not divide by zero.
//!
//! DataFusion skips the right side of AND for rows that the left side has decided only when few rows are left; it also
//! turns a boolean CASE into ANDs, and merges filters in any order. PostgreSQL's users rely on guards, in CASE by the
//! documentation. This pass runs last and makes each operand that can fail evaluate only where the others leave it
//! undecided.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use std::collections::HashSet;

/// To be called on the optimized plan, right before physical planning: the optimizer would undo what this does, or
/// move the repeated conditions below the filter where they no longer prune files.
///
/// `L AND R`, where R can fail, becomes `L AND CASE WHEN L IS NOT FALSE THEN R END`, and OR the same with IS NOT TRUE; L
/// is all the operands that cannot fail, before R or behind it. Integer arithmetic, which rarely overflows and is too
/// cheap for a CASE, gets the condition as a third argument instead.
pub fn guard_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_down_with_subqueries(guard_node)?.data)
}

fn guard_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::TableScan(mut scan) = plan {
        let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        // A list of filters is a conjunction.
        let (filters, changed) = guarded(std::mem::take(&mut scan.filters), Operator::And, &schema)?;
        scan.filters = filters;
        return Ok(Transformed::new(LogicalPlan::TableScan(scan), changed, TreeNodeRecursion::Continue));
    }
    let names = NamePreserver::new(&plan);
    let schema = merge_schema(&plan.inputs());
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_down(|expr| guard(expr, &schema))?;
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })
}

/// One AND or OR with all its operands.
fn guard(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let op = match &expr {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => *op,
        _ => return Ok(Transformed::no(expr)),
    };
    let mut operands = vec![];
    flatten(&expr, op, &mut operands);
    let (operands, changed) = guarded(operands, op, schema)?;
    if !changed {
        return Ok(Transformed::no(expr));
    }
    let combined = operands
        .into_iter()
        .reduce(|left, right| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))));
    Ok(Transformed::yes(combined.unwrap_or(expr)))
}

fn flatten(expr: &Expr, op: Operator, operands: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryExpr(binary) if binary.op == op => {
            flatten(&binary.left, op, operands);
            flatten(&binary.right, op, operands);
        }
        other => operands.push(other.clone()),
    }
}

/// The operands, those that can fail behind those that cannot; whether there were any to put behind others.
fn guarded(operands: Vec<Expr>, op: Operator, schema: &DFSchema) -> Result<(Vec<Expr>, bool)> {
    let risks: Vec<Risk> = operands.iter().map(|operand| risk(operand, schema)).collect();
    if risks.iter().all(|risk| *risk == Risk::None) {
        return Ok((operands, false));
    }
    let safe = operands.iter().zip(&risks).filter(|(_, risk)| **risk == Risk::None).map(|(operand, _)| operand.clone());
    let safe: Vec<Expr> = safe.collect();
    let mut changed = false;
    let guarded = operands.into_iter().zip(risks).map(|(operand, risk)| {
        let columns: HashSet<Column> = operand.column_refs().into_iter().cloned().collect();
        let guards = safe.iter().filter(|guard| match risk {
            Risk::None => false,
            Risk::Overflow => guard.column_refs().into_iter().any(|column| columns.contains(column)),
            Risk::Value => true,
        });
        let join = |left, right| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
        let Some(guard) = guards.cloned().reduce(join) else {
            return Ok(operand);
        };
        changed = true;
        let undecided = match op {
            Operator::And => Expr::IsNotFalse(Box::new(guard)),
            _ => Expr::IsNotTrue(Box::new(guard)),
        };
        if risk == Risk::Overflow {
            return Ok(operand.transform_down(|expr| Ok(guard_integers(expr, &undecided)))?.data);
        }
        Ok(Expr::Case(Case::new(None, vec![(Box::new(undecided), Box::new(operand))], None)))
    });
    Ok((guarded.collect::<Result<_>>()?, changed))
}

/// Adds the guard to integer arithmetic, except in a CASE, which guards by itself.
fn guard_integers(expr: Expr, guard: &Expr) -> Transformed<Expr> {
    match expr {
        Expr::Case(_) => Transformed::new(expr, false, TreeNodeRecursion::Jump),
        Expr::ScalarFunction(mut function)
            if OVERFLOWING.contains(&function.func.name()) && function.args.len() == 2 =>
        {
            function.args.push(guard.clone());
            Transformed::yes(Expr::ScalarFunction(function))
        }
        other => Transformed::no(other),
    }
}

/// How evaluation for a row that should have been skipped can raise an error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Risk {
    /// It cannot. Nor can what a CASE guards.
    None,
    /// Integers out of range: rare, so only conditions on the same columns are worth repeating as guards.
    Overflow,
    /// A zero divisor, text that is no number: any condition may be the one that excludes them, as in
    /// `kind = 'int' AND value::int > 5`.
    Value,
}

fn risk(expr: &Expr, schema: &DFSchema) -> Risk {
    let mut highest = Risk::None;
    // The closure returns no errors.
    let _ = expr.apply(|expr| {
        let risk = match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::Divide | Operator::Modulo, right, .. })
                if !is_nonzero(right) =>
            {
                Risk::Value
            }
            Expr::ScalarFunction(function) => match function.func.name() {
                "numeric_div" | "numeric_mod" | "float_div" if function.args.get(1).is_some_and(is_nonzero) => {
                    Risk::None
                }
                name if RISKY.contains(&name) => Risk::Value,
                name if OVERFLOWING.contains(&name) => Risk::Overflow,
                _ => Risk::None,
            },
            // From text; between numbers only literals' and joins' types are adapted, by casts that widen.
            Expr::Cast(cast) => match cast.expr.get_type(schema) {
                Ok(source) if is_text(&source) && !is_text(cast.field.data_type()) => Risk::Value,
                _ => Risk::None,
            },
            _ => Risk::None,
        };
        highest = highest.max(risk);
        Ok(match expr {
            _ if highest == Risk::Value => TreeNodeRecursion::Stop,
            Expr::Case(_) => TreeNodeRecursion::Jump,
            _ => TreeNodeRecursion::Continue,
        })
    });
    highest
}

const RISKY: [&str; 18] = [
    "numeric_div",
    "numeric_mod",
    "float_div",
    "sqrt",
    "ln",
    "log",
    "log2",
    "log10",
    "power",
    "exp",
    "decode",
    "to_date",
    "to_timestamp",
    "factorial",
    "to_int2",
    "to_int4",
    "to_int8",
    "to_numeric",
];

const OVERFLOWING: [&str; 3] = ["int_add", "int_sub", "int_mul"];

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_nonzero(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            !value.is_null() && ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero != *value)
        }
        _ => false,
    }
}
