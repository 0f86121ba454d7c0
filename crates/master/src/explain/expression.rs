//! Physical expressions as SQL.

use super::literal::{literal, plain_name};
use crate::sql::sql_type_name;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, TryCastExpr, UnKnownColumn,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;

/// Items of an IN list that are shown; lists of thousands are common and tell nothing.
const LIST_ITEMS_MAX: usize = 32;

/// Names that DataFusion gives to what a query computes twice; the plan does not show where they come from.
const SHARED_PREFIX: &str = "__common_expr_";

/// Prints the expressions of one operator.
#[derive(Clone, Copy)]
pub(super) struct Printer<'a> {
    /// Where columns that stand for shared expressions are looked up.
    pub input: Option<&'a Arc<dyn ExecutionPlan>>,
}

impl Printer<'_> {
    pub(super) fn of(input: &Arc<dyn ExecutionPlan>) -> Printer<'_> {
        Printer { input: Some(input) }
    }

    /// For expressions that are not over an operator's columns.
    pub(super) fn alone() -> Self {
        Printer { input: None }
    }

    pub(super) fn all<'e>(self, expressions: impl IntoIterator<Item = &'e Arc<dyn PhysicalExpr>>) -> Vec<String> {
        expressions.into_iter().map(|e| self.sql(e)).collect()
    }

    /// Sort keys: `a DESC NULLS LAST`, directions only where they are not PostgreSQL's defaults.
    pub(super) fn sort_keys<'e>(self, keys: impl IntoIterator<Item = &'e PhysicalSortExpr>) -> Vec<String> {
        let key = |key: &PhysicalSortExpr| {
            let direction = if key.options.descending { " DESC" } else { "" };
            let nulls = match (key.options.descending, key.options.nulls_first) {
                (false, true) => " NULLS FIRST",
                (true, false) => " NULLS LAST",
                (false, false) | (true, true) => "",
            };
            format!("{}{direction}{nulls}", self.sql(&key.expr))
        };
        keys.into_iter().map(key).collect()
    }

    /// One expression; every operator in parentheses.
    pub(super) fn sql(self, expression: &Arc<dyn PhysicalExpr>) -> String {
        if let Some(column) = expression.downcast_ref::<Column>() {
            return self.column(column);
        }
        if let Some(value) = expression.downcast_ref::<Literal>() {
            return literal(value.value());
        }
        if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
            return self.binary(binary);
        }
        if let Some(cast) = expression.downcast_ref::<CastExpr>() {
            return self.cast(cast.expr(), cast.cast_type());
        }
        if let Some(cast) = expression.downcast_ref::<TryCastExpr>() {
            return self.cast(cast.expr(), cast.cast_type());
        }
        if let Some(function) = expression.downcast_ref::<ScalarFunctionExpr>() {
            return self.function(function);
        }
        if let Some(like) = expression.downcast_ref::<LikeExpr>() {
            let not = if like.negated() { "NOT " } else { "" };
            let word = if like.case_insensitive() { "ILIKE" } else { "LIKE" };
            return format!("({} {not}{word} {})", self.sql(like.expr()), self.sql(like.pattern()));
        }
        if let Some(list) = expression.downcast_ref::<InListExpr>() {
            return self.in_list(list);
        }
        if let Some(null) = expression.downcast_ref::<IsNullExpr>() {
            return format!("({} IS NULL)", self.sql(null.arg()));
        }
        if let Some(null) = expression.downcast_ref::<IsNotNullExpr>() {
            return format!("({} IS NOT NULL)", self.sql(null.arg()));
        }
        if let Some(not) = expression.downcast_ref::<NotExpr>() {
            return format!("(NOT {})", self.sql(not.arg()));
        }
        if let Some(negative) = expression.downcast_ref::<NegativeExpr>() {
            return format!("(- {})", self.sql(negative.arg()));
        }
        if let Some(case) = expression.downcast_ref::<CaseExpr>() {
            return self.case(case);
        }
        if let Some(column) = expression.downcast_ref::<UnKnownColumn>() {
            return plain_name(column.name());
        }
        plain_name(&expression.to_string())
    }

    fn column(self, column: &Column) -> String {
        let shared = column.name().starts_with(SHARED_PREFIX);
        let found = if shared { self.input.and_then(|input| definition(input, column.index())) } else { None };
        match found {
            Some((expression, input)) => Printer::of(input).sql(expression),
            None => plain_name(column.name()),
        }
    }

    fn binary(self, binary: &BinaryExpr) -> String {
        let operator = *binary.op();
        if matches!(operator, Operator::And | Operator::Or) {
            let mut operands = vec![];
            self.flatten(binary, operator, &mut operands);
            return format!("({})", operands.join(&format!(" {operator} ")));
        }
        let sign = match operator {
            Operator::NotEq => "<>".into(),
            Operator::BitwiseXor => "#".into(),
            other => other.to_string(),
        };
        format!("({} {sign} {})", self.sql(binary.left()), self.sql(binary.right()))
    }

    /// The operands of a chain of one associative operator.
    fn flatten(self, binary: &BinaryExpr, operator: Operator, operands: &mut Vec<String>) {
        for side in [binary.left(), binary.right()] {
            match side.downcast_ref::<BinaryExpr>() {
                Some(inner) if *inner.op() == operator => self.flatten(inner, operator, operands),
                _ => operands.push(self.sql(side)),
            }
        }
    }

    fn cast(self, expression: &Arc<dyn PhysicalExpr>, data_type: &DataType) -> String {
        let text = self.sql(expression);
        let name = sql_type_name(data_type);
        // An operator comes with parentheses.
        if text.starts_with('-') { format!("({text})::{name}") } else { format!("{text}::{name}") }
    }

    /// Functions that the engine puts in the place of operators are shown as those.
    fn function(self, function: &ScalarFunctionExpr) -> String {
        let sign = match function.name() {
            "int_add" | "numeric_add" => "+",
            "int_sub" | "numeric_sub" => "-",
            "int_mul" | "numeric_mul" => "*",
            "int_div" | "numeric_div" | "float_div" => "/",
            "int_mod" | "numeric_mod" => "%",
            _ => "",
        };
        match (function.name(), function.args()) {
            (_, [left, right]) if !sign.is_empty() => format!("({} {sign} {})", self.sql(left), self.sql(right)),
            ("int_neg", [argument]) => format!("(- {})", self.sql(argument)),
            ("to_int2" | "to_int4" | "to_int8" | "to_numeric", [argument, ..]) => {
                self.cast(argument, function.return_type())
            }
            (name, []) if name.starts_with('$') => name.into(),
            (name, arguments) => format!("{name}({})", self.all(arguments).join(", ")),
        }
    }

    fn in_list(self, list: &InListExpr) -> String {
        let mut items = self.all(list.list().iter().take(LIST_ITEMS_MAX));
        if list.list().len() > LIST_ITEMS_MAX {
            items.push(format!("... {} more", list.list().len() - LIST_ITEMS_MAX));
        }
        let not = if list.negated() { "NOT " } else { "" };
        format!("({} {not}IN ({}))", self.sql(list.expr()), items.join(", "))
    }

    fn case(self, case: &CaseExpr) -> String {
        let mut text = String::from("CASE");
        if let Some(operand) = case.expr() {
            text += &format!(" {}", self.sql(operand));
        }
        for (when, then) in case.when_then_expr() {
            text += &format!(" WHEN {} THEN {}", self.sql(when), self.sql(then));
        }
        if let Some(otherwise) = case.else_expr() {
            text += &format!(" ELSE {}", self.sql(otherwise));
        }
        text + " END"
    }
}

/// An expression and the input of the projection that computes it.
type Defined<'a> = (&'a Arc<dyn PhysicalExpr>, &'a Arc<dyn ExecutionPlan>);

/// The expression that a projection below computes as a column, with the projection's input. Looks through operators
/// that hand on the columns of their one input.
fn definition(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<Defined<'_>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let expression = &projection.expr().get(column)?.expr;
        return match expression.downcast_ref::<Column>() {
            Some(renamed) => definition(projection.input(), renamed.index()),
            None => Some((expression, projection.input())),
        };
    }
    let children = plan.children();
    let [input] = children[..] else { return None };
    if input.schema() == plan.schema() { definition(input, column) } else { None }
}
