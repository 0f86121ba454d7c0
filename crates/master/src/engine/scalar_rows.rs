//! Correlated scalar subqueries without an aggregate, which DataFusion 55.2 refuses: `(SELECT d.text FROM d WHERE d.id = t.id)`.
//!
//! Rows of the query around get numbers, and are joined with the subquery's; a number that comes twice had two rows, which is the error
//! 21000 that PostgreSQL gives. So it is only for rows that the query around has.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::replace_col;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, Filter, Limit, LogicalPlan, LogicalPlanBuilder, Projection, SkipType, Subquery,
    WindowFunctionDefinition, lit, when,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes joins of them in select lists and conditions; those that cannot be are left for DataFusion to refuse.
///
/// # Errors
/// DataFusion's, of plans that do not fit together.
pub(crate) fn join_scalar_rows(plan: LogicalPlan, functions: &dyn FunctionRegistry) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Projection(Projection { expr, input, schema, .. }) if expr.iter().any(has_rows) => {
            let names: Vec<_> =
                schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.name().clone())).collect();
            let mut joined = Joined::new(input.as_ref().clone(), functions)?;
            let exprs = expr.iter().map(|expr| joined.replaced(expr.clone())).collect::<Result<Vec<_>>>()?;
            let named = exprs.into_iter().zip(&expr).zip(names).map(|((new, old), (qualifier, name))| {
                if new == *old { new } else { new.unalias().alias_qualified(qualifier, name) }
            });
            let plan = LogicalPlanBuilder::from(joined.plan).project(named.collect::<Vec<_>>())?.build()?;
            Ok(Transformed::yes(plan))
        }
        LogicalPlan::Filter(Filter { predicate, input, .. }) if has_rows(&predicate) => {
            let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
            let mut joined = Joined::new(input.as_ref().clone(), functions)?;
            let predicate = joined.replaced(predicate)?;
            let plan = LogicalPlanBuilder::from(joined.plan).filter(predicate)?.project(columns)?.build()?;
            Ok(Transformed::yes(plan))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn has_rows(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(subquery) if is_of_rows(subquery)))).unwrap_or(false)
}

/// Correlated, and not of one row by its form.
fn is_of_rows(subquery: &Subquery) -> bool {
    let mut plan = subquery.subquery.as_ref();
    while let LogicalPlan::Projection(Projection { input, .. })
    | LogicalPlan::SubqueryAlias(datafusion::logical_expr::SubqueryAlias { input, .. }) = plan
    {
        plan = input;
    }
    let is_aggregate = match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Filter(filter) => matches!(filter.input.as_ref(), LogicalPlan::Aggregate(_)),
        _ => false,
    };
    !subquery.outer_ref_columns.is_empty() && !is_aggregate && subquery.subquery.schema().fields().len() == 1
}

/// Whether the rows of a subquery for one row around are those of the whole subquery that the correlated conditions choose: all that is
/// above these conditions takes each row by itself. An aggregate, a window, a LIMIT or the side of an outer join that may be NULL would see
/// all rows instead of some.
fn can_be_chosen_later(plan: &LogicalPlan) -> Result<bool> {
    let is_correlated = |plan: &LogicalPlan| plan.exists(|node| Ok(node.contains_outer_reference()));
    match plan {
        LogicalPlan::Filter(filter) => can_be_chosen_later(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => can_be_chosen_later(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => can_be_chosen_later(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => can_be_chosen_later(input),
        LogicalPlan::Projection(projection) => {
            let computes = projection.expr.iter().any(Expr::contains_outer);
            Ok(!computes && can_be_chosen_later(&projection.input)?)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && !plan.contains_outer_reference() => {
            Ok(can_be_chosen_later(&join.left)? && can_be_chosen_later(&join.right)?)
        }
        other => Ok(!is_correlated(other)?),
    }
}

/// The plan around, with the subqueries joined so far.
struct Joined<'a> {
    plan: LogicalPlan,
    /// Numbers the rows of the plan as it was.
    number: Column,
    functions: &'a dyn FunctionRegistry,
}

impl<'a> Joined<'a> {
    fn new(plan: LogicalPlan, functions: &'a dyn FunctionRegistry) -> Result<Self> {
        let name = unique("__row");
        let plan = with_window(plan, row_number(), &name)?;
        Ok(Joined { plan, number: Column::new_unqualified(name), functions })
    }

    /// The expression with columns of joins in place of subqueries.
    fn replaced(&mut self, expr: Expr) -> Result<Expr> {
        let replaced = expr.transform_down(|expr| match &expr {
            Expr::ScalarSubquery(subquery) if is_of_rows(subquery) => match self.join(subquery)? {
                Some(value) => Ok(Transformed::new(value, true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        });
        replaced.data()
    }

    /// The subquery's value; None if its rows cannot be joined.
    fn join(&mut self, subquery: &Subquery) -> Result<Option<Expr>> {
        let (rows, takes_first) = match subquery.subquery.as_ref() {
            LogicalPlan::Limit(limit) if is_one(limit)? && !matches!(limit.input.as_ref(), LogicalPlan::Sort(_)) => {
                (limit.input.as_ref().clone(), true)
            }
            other => (other.clone(), false),
        };
        // A value that is made of columns around, too, is made when the rows are joined.
        let (rows, computed) = match rows {
            LogicalPlan::Projection(Projection { expr, input, .. }) if expr.len() == 1 && expr[0].contains_outer() => {
                (input.as_ref().clone(), Some(expr[0].clone().unalias()))
            }
            other => (other, None),
        };
        if !can_be_chosen_later(&rows)? {
            return Ok(None);
        }
        let mut pull_up = PullUpCorrelatedExpr::new();
        let rows = rows.rewrite(&mut pull_up).data()?;
        if !pull_up.can_pull_up {
            return Ok(None);
        }
        // Names of their own: the subquery may have two columns of one name, and one that is called as one around.
        let alias = unique("__scalar");
        let old: Vec<Column> = rows.schema().columns();
        let new: Vec<Column> = (0..old.len()).map(|n| Column::new(Some(alias.clone()), format!("c{n}"))).collect();
        let renamed = old.iter().zip(&new).map(|(old, new)| Expr::Column(old.clone()).alias(new.name.clone()));
        // Tells a row from none.
        let there = Column::new(Some(alias.clone()), "there");
        let columns = renamed.chain([lit(true).alias(there.name.clone())]);
        let rows = LogicalPlanBuilder::from(rows).project(columns.collect::<Vec<_>>())?.alias(alias)?.build()?;
        let by_old: HashMap<&Column, &Column> = old.iter().zip(&new).collect();
        let filters = pull_up.join_filters.into_iter().map(|filter| replace_col(filter, &by_old));
        let condition = conjunction(filters.collect::<Result<Vec<_>>>()?).unwrap_or_else(|| lit(true));
        let joined = LogicalPlanBuilder::from(self.plan.clone());
        let joined = joined.join_on(rows, JoinType::Left, Some(condition))?.build()?;
        let of_row = vec![Expr::Column(self.number.clone())];
        let value = match computed {
            None => Expr::Column(new[0].clone()),
            Some(computed) => when(Expr::Column(there).is_not_null(), around(computed, &by_old)?).end()?,
        };
        let rows = unique("__rows");
        if takes_first {
            let plan = with_window(joined, row_number().partition_by(of_row).build()?, &rows)?;
            let first = Expr::Column(Column::new_unqualified(rows)).eq(lit(1u64));
            self.plan = LogicalPlanBuilder::from(plan).filter(first)?.build()?;
            return Ok(Some(value));
        }
        let count = WindowFunction::new(WindowFunctionDefinition::AggregateUDF(count_udaf()), vec![lit(1i64)]);
        self.plan = with_window(joined, Expr::from(count).partition_by(of_row).build()?, &rows)?;
        let single_row = self.functions.udf("single_row")?;
        Ok(Some(single_row.call(vec![value, Expr::Column(Column::new_unqualified(rows))])))
    }
}

/// An expression of the subquery in columns of the join.
fn around(expr: Expr, by_old: &HashMap<&Column, &Column>) -> Result<Expr> {
    let renamed = expr.transform(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            Expr::Column(column) => match by_old.get(&column) {
                Some(new) => Transformed::yes(Expr::Column((*new).clone())),
                None => Transformed::no(Expr::Column(column)),
            },
            other => Transformed::no(other),
        })
    });
    renamed.data()
}

fn is_one(limit: &Limit) -> Result<bool> {
    use datafusion::logical_expr::FetchType;
    let skips = !matches!(limit.get_skip_type()?, SkipType::Literal(0));
    Ok(!skips && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1))))
}

/// The plan with one more column.
fn with_window(plan: LogicalPlan, window: Expr, name: &str) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let made = Column::new_unqualified(window.schema_name().to_string());
    columns.push(Expr::Column(made).alias(name));
    LogicalPlanBuilder::from(plan).window(vec![window])?.project(columns)?.build()
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
