//! Which queries are lookups: those of which a plan can be kept because nothing of it can change but its values.
//!
//! That is shown by what they are made of. The syntax has no function, no cast, no subquery, no AS OF and no file, so that binding has asked
//! neither the clock nor the session (`now()`, `current_user`, `nextval`, settings) nor anything but the names of one table and its columns. The
//! plan scans one table and compares columns with values of their own type, so that optimizing it has computed nothing from values, nor from
//! statistics, which decide about joins alone. A text beside a column of another type, as in `d = 'today'`, is none of these values.

use crate::engine::DamsonTable;
use crate::session::query::place_of;
use crate::sql::{RelationName, relation_name, walk};
use damson_cluster::TableDef;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use sqlparser::ast::{self, BinaryOperator, TableFactor, UnaryOperator, Visitor};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Expressions of a lookup's filter; more are planned each time, where stacks are deep.
const EXPRESSIONS_MAX: usize = 64;

/// The one relation of a query if binding it asks for nothing but this relation and its columns.
pub(super) fn relation_of_plain(query: &ast::Statement) -> Option<RelationName> {
    let mut plain = Plain { queries: 0, relations: vec![] };
    if walk(query, &mut plain).is_break() {
        return None;
    }
    match &plain.relations[..] {
        [relation] => relation_name(relation).ok(),
        _ => None,
    }
}

/// Breaks at everything that it does not know.
struct Plain {
    queries: usize,
    relations: Vec<ast::ObjectName>,
}

impl Visitor for Plain {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.queries += 1;
        go_on(self.queries == 1 && query.with.is_none())
    }

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
        self.relations.push(relation.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        go_on(matches!(factor, TableFactor::Table { args: None, version: None, sample: None, .. }))
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        go_on(match expr {
            // The one of its kind that is written without parentheses and is no function of the syntax.
            ast::Expr::Identifier(name) => {
                name.quote_style.is_some() || !name.value.eq_ignore_ascii_case("current_schema")
            }
            ast::Expr::BinaryOp { op, .. } => is_known_operator(op),
            ast::Expr::UnaryOp { op, .. } => *op == UnaryOperator::Not,
            ast::Expr::CompoundIdentifier(_)
            | ast::Expr::Value(_)
            | ast::Expr::Nested(_)
            | ast::Expr::IsNull(_)
            | ast::Expr::IsNotNull(_)
            | ast::Expr::Between { .. }
            | ast::Expr::InList { .. } => true,
            _ => false,
        })
    }
}

fn go_on(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn is_known_operator(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// Whether a bound plan, whose parameters have these types, is a lookup's; or, if `is_optimized`, whether it still is one when it was optimized,
/// and its values have exactly the types of what they are compared with.
pub(super) fn is_lookup(plan: &LogicalPlan, types: &[DataType], is_optimized: bool) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(is_column) && is_lookup(&projection.input, types, is_optimized)
        }
        LogicalPlan::SubqueryAlias(alias) => is_lookup(&alias.input, types, is_optimized),
        LogicalPlan::Filter(filter) => {
            let mut filtering = Filtering { schema: filter.input.schema(), types, is_optimized, left: EXPRESSIONS_MAX };
            filtering.is_known(&filter.predicate) && is_lookup(&filter.input, types, is_optimized)
        }
        LogicalPlan::Sort(sort) => {
            sort.expr.iter().all(|key| is_column(&key.expr)) && is_lookup(&sort.input, types, is_optimized)
        }
        LogicalPlan::Limit(limit) => {
            let is_fixed =
                |count: &Option<Box<Expr>>| count.as_deref().is_none_or(|count| matches!(count, Expr::Literal(..)));
            is_fixed(&limit.skip) && is_fixed(&limit.fetch) && is_lookup(&limit.input, types, is_optimized)
        }
        LogicalPlan::TableScan(scan) => scan.filters.is_empty() && table_of(plan).is_some(),
        _ => false,
    }
}

/// The one table that a lookup's plan scans, and the columns that it has there.
pub(super) fn table_of(plan: &LogicalPlan) -> Option<(Arc<TableDef>, SchemaRef)> {
    match (plan, &plan.inputs()[..]) {
        (LogicalPlan::TableScan(scan), _) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<DamsonTable>()?;
            Some((Arc::clone(&table.entry().def), table.schema()))
        }
        (_, [input]) => table_of(input),
        _ => None,
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Alias(alias) => is_column(&alias.expr),
        _ => false,
    }
}

/// What a filter is made of.
struct Filtering<'a> {
    schema: &'a DFSchema,
    types: &'a [DataType],
    is_optimized: bool,
    /// Expressions that may come.
    left: usize,
}

impl Filtering<'_> {
    fn is_known(&mut self, expr: &Expr) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                self.is_known(left) && self.is_known(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let is_comparison = matches!(
                    op,
                    Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
                );
                is_comparison && (self.is_compared(left, right) || self.is_compared(right, left))
            }
            Expr::Between(between) => {
                self.is_compared(&between.expr, &between.low) && self.is_compared(&between.expr, &between.high)
            }
            Expr::InList(list) => {
                let Some(left) = self.left.checked_sub(list.list.len()) else { return false };
                self.left = left;
                list.list.iter().all(|value| self.is_compared(&list.expr, value))
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => matches!(**inner, Expr::Column(_)),
            Expr::Not(inner) => self.is_known(inner),
            _ => false,
        }
    }

    fn is_compared(&self, column: &Expr, value: &Expr) -> bool {
        let Expr::Column(_) = column else { return false };
        let Some(data_type) = column.get_type(self.schema).ok().filter(is_exact) else { return false };
        match value {
            // One that stands beside columns of two types has the type of the first.
            Expr::Placeholder(placeholder) => {
                let bound = place_of(placeholder).ok().and_then(|place| self.types.get(place));
                let inferred = placeholder.field.as_ref().map(|field| field.data_type());
                bound == Some(&data_type) && inferred == Some(&data_type)
            }
            Expr::Literal(value, _) if self.is_optimized => !value.is_null() && value.data_type() == data_type,
            Expr::Literal(value, _) => !value.is_null() && is_text(&value.data_type()) == is_text(&data_type),
            _ => false,
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Types whose values compare as Arrow compares them. Those of floats, whose NaN is equal to itself in SQL, and others do not, or need not.
fn is_exact(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Utf8View
            | DataType::Date32
            | DataType::Boolean
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{self, Statement};

    #[test]
    fn what_binding_would_ask_for_is_no_plain_query() {
        let is_plain = |text: &str| {
            let Statement::Query(query) = sql::parse(text).unwrap() else { panic!("{text} is a query") };
            relation_of_plain(&query).is_some()
        };
        for text in [
            "SELECT k, name AS n, t.* FROM s.t WHERE k = $1 AND (v <> 3 OR NOT b IS NULL) ORDER BY k LIMIT 3",
            "SELECT \"current_schema\" FROM t WHERE k BETWEEN $1 AND $2 OR k IN ($3, 4)",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "SELECT now() FROM t WHERE k = $1",
            "SELECT k FROM t WHERE d = CURRENT_DATE",
            "SELECT k FROM t WHERE at > CURRENT_TIMESTAMP",
            "SELECT k FROM t WHERE name = current_user",
            "SELECT k FROM t WHERE name = user",
            "SELECT k FROM t WHERE name = session_user",
            "SELECT k FROM t WHERE name = Current_Schema",
            "SELECT k FROM t WHERE name = current_setting('role')",
            "SELECT nextval('s') FROM t WHERE k = $1",
            "SELECT k FROM t WHERE d = 'today'::date",
            "SELECT k FROM t WHERE d = date 'today'",
            "SELECT k FROM t WHERE k = (SELECT 1)",
            "SELECT k FROM (SELECT k FROM t) AS u WHERE k = $1",
            "WITH u AS (SELECT 1) SELECT k FROM t WHERE k = $1",
            "SELECT k FROM t AS OF SNAPSHOT 3 WHERE k = $1",
            "SELECT k FROM generate_series(1, 3) AS g(k) WHERE k = $1",
            "SELECT k FROM t WHERE k + 1 = $1",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
