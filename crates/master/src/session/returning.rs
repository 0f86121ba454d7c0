//! RETURNING: expressions over the rows that a statement changes, as columns beside them.

use super::bind::Bound;
use super::column_names::name_of_item;
use crate::error::{SqlError, SqlResult, SqlState, of_datafusion};
use crate::sql;
use crate::sql::walk;
use damson_cluster::{ColumnDef, TableDef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use sqlparser::ast::{self, SelectItem, SelectItemQualifiedWildcardKind, Visitor};
use std::ops::ControlFlow;

/// Names of columns that are not the user's begin with it.
const HIDDEN: &str = "pg_damson ";

/// A column that RETURNING can name.
#[derive(Clone, Debug)]
pub(super) struct Visible {
    /// What its table is called.
    pub table: Option<TableReference>,
    pub name: String,
    /// Position in the plan.
    pub position: usize,
}

/// The columns of a table's new row, which is in the plan from `first` on.
pub(super) fn visible_row(def: &TableDef, alias: Option<&str>, first: usize) -> Vec<Visible> {
    let table = TableReference::bare(alias.unwrap_or(&def.name));
    let column = |(i, column): (usize, &ColumnDef)| Visible {
        table: Some(table.clone()),
        name: column.name.clone(),
        position: first + i,
    };
    def.columns.iter().enumerate().map(column).collect()
}

/// The plan's first `kept` columns, then one for each of RETURNING; and their names.
///
/// # Errors
/// 42703, 42P01, 42702 for names; 42803 for an aggregate, 42P20 for a window function; 0A000 for a subquery.
pub(super) fn with_returning(
    bound: Bound,
    kept: usize,
    visible: &[Visible],
    items: &[SelectItem],
) -> SqlResult<(Bound, Vec<String>)> {
    let columns = bound.plan.schema().columns();
    // Under names that no table has: a name with a table, and the same without, are ambiguous to the binder.
    let hidden = |i: usize| format!("{HIDDEN}{i}");
    let kept_columns = columns[..kept].iter().enumerate();
    let first = kept_columns.map(|(i, column)| Expr::Column(column.clone()).alias(hidden(i)));
    let named = visible.iter().map(|column| {
        Expr::Column(columns[column.position].clone()).alias_qualified(column.table.clone(), &column.name)
    });
    let named: Vec<Expr> = first.chain(named).collect();
    let builder = LogicalPlanBuilder::from(bound.plan.clone()).project(named).map_err(of_datafusion)?;
    let schema = builder.schema().clone();
    let mut exprs: Vec<Expr> = vec![];
    let mut names: Vec<String> = vec![];
    for (i, column) in columns[..kept].iter().enumerate() {
        exprs.push(Expr::Column(datafusion::common::Column::new_unqualified(hidden(i))).alias(&column.name));
    }
    for item in items {
        for (expr, name) in item_exprs(&bound, &schema, visible, item)? {
            exprs.push(expr.alias(format!("{HIDDEN}returning {}", names.len())));
            names.push(name);
        }
    }
    let plan = builder.project(exprs).and_then(LogicalPlanBuilder::build).map_err(of_datafusion)?;
    Ok((Bound { plan, ..bound }, names))
}

/// One item's expressions and names.
fn item_exprs(
    bound: &Bound,
    schema: &DFSchema,
    visible: &[Visible],
    item: &SelectItem,
) -> SqlResult<Vec<(Expr, String)>> {
    let all = |of: &dyn Fn(&Visible) -> bool| {
        let column = |visible: &Visible| {
            let column = datafusion::common::Column::new(visible.table.clone(), &visible.name);
            (Expr::Column(column), visible.name.clone())
        };
        visible.iter().filter(|visible| of(visible)).map(column).collect::<Vec<_>>()
    };
    match item {
        SelectItem::Wildcard(_) => Ok(all(&|_| true)),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) => {
            let wanted = table.0.last().and_then(|part| part.as_ident()).map(sql::fold).unwrap_or_default();
            let of_table = all(&|visible| visible.table.as_ref().is_some_and(|table| table.table() == wanted));
            if of_table.is_empty() {
                let message = format!("missing FROM-clause entry for table \"{wanted}\"");
                return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
            }
            Ok(of_table)
        }
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            refuse_subqueries(expr)?;
            if let Some(name) = sql::calls_sequence(expr) {
                let message = format!("{name} in RETURNING is not supported");
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            let bound_expr = bound.state.create_logical_expr(&expr.to_string(), schema).map_err(of_datafusion)?;
            refuse_several_rows(&bound_expr)?;
            if let Some(column) = bound_expr.column_refs().into_iter().find(|column| column.name.starts_with(HIDDEN)) {
                let message = format!("column \"{}\" does not exist", column.name);
                return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
            }
            Ok(vec![(bound_expr, name_of_item(item))])
        }
        other => {
            let message = format!("\"{other}\" in RETURNING is not supported");
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))
        }
    }
}

/// # Errors
/// 42803, 42P20, 0A000 for what is not a value of one row.
fn refuse_several_rows(expr: &Expr) -> SqlResult<()> {
    let refuse =
        |state, what: &str| Err(SqlError::new(state, format!("{what} functions are not allowed in RETURNING")));
    if !find_aggregate_exprs([expr]).is_empty() {
        return refuse(SqlState::GROUPING_ERROR, "aggregate");
    }
    if !find_window_exprs([expr]).is_empty() {
        return refuse(SqlState::WINDOWING_ERROR, "window");
    }
    let gives_rows = |expr: &Expr| match expr {
        Expr::Unnest(_) => true,
        Expr::ScalarFunction(function) => ["generate_series", "range", "unnest"].contains(&function.name()),
        _ => false,
    };
    match expr.exists(|expr| Ok(gives_rows(expr))).map_err(of_datafusion)? {
        true => refuse(SqlState::FEATURE_NOT_SUPPORTED, "set-returning"),
        false => Ok(()),
    }
}

fn refuse_subqueries(expr: &ast::Expr) -> SqlResult<()> {
    struct Subquery;
    impl Visitor for Subquery {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    match walk(expr, &mut Subquery) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "a subquery in RETURNING is not supported"))
        }
    }
}
