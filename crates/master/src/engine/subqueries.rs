//! IN and EXISTS whose joins DataFusion 55.2 makes without NULL: written out before it makes them.

use crate::error::{SqlError, SqlState};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SkipType, Subquery, lit, when,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rewrites what the binder gives. IN and EXISTS among a query's columns become counts: DataFusion makes joins of them in conditions
/// alone. In the conditions of WHERE and HAVING:
///
/// - `x IN (S)` below OR, NOT or IS, which becomes a two-valued mark join, by cases over EXISTS where it can be NULL;
/// - `x NOT IN (S)` whose S is correlated, or x without a column, which the null-aware anti join does not do;
/// - EXISTS over an aggregate without groups, which has a row whatever its input.
///
/// # Errors
/// 0A000 for a correlated EXISTS with OFFSET, which DataFusion would ignore.
pub(crate) fn write_out_subqueries(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter) => {
            let schema = Arc::clone(filter.input.schema());
            let conjuncts = split_conjunction_owned(filter.predicate.clone());
            let rewritten = conjuncts.into_iter().map(|conjunct| top_level(conjunct, &schema));
            let Some(predicate) = conjunction(rewritten.collect::<Result<Vec<_>>>()?) else {
                return Ok(Transformed::no(LogicalPlan::Filter(filter)));
            };
            if predicate == filter.predicate {
                return Ok(Transformed::no(LogicalPlan::Filter(filter)));
            }
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        LogicalPlan::Projection(projection) if projection.expr.iter().any(has_membership) => {
            let schema = Arc::clone(projection.input.schema());
            let value = |expr: Expr| {
                let name = expr.name_for_alias()?;
                expr.transform_up(|expr| as_value(expr, &schema)).data()?.alias_if_changed(name)
            };
            let exprs = projection.expr.into_iter().map(value).collect::<Result<Vec<_>>>()?;
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, projection.input)?)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn has_membership(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_) | Expr::Exists(_)))).unwrap_or(false)
}

/// IN and EXISTS as values of a row.
fn as_value(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Some(equal) = with_one_row(&expr) {
        return Ok(Transformed::yes(equal));
    }
    match expr {
        Expr::InSubquery(membership) => {
            let Parts { found, unknown } = Parts::of(&membership, schema)?;
            let counted = |condition: Expr| condition.transform_up(|expr| as_value(expr, schema)).data();
            let found = counted(found)?;
            let value = match unknown {
                None => found,
                Some(unknown) => {
                    let null = lit(ScalarValue::Boolean(None));
                    when(found, lit(true)).when(counted(unknown)?, null).otherwise(lit(false))?
                }
            };
            Ok(Transformed::yes(if membership.negated { !value } else { value }))
        }
        Expr::Exists(exists) if is_one_row(&exists.subquery.subquery) => Ok(Transformed::yes(lit(!exists.negated))),
        Expr::Exists(exists) => {
            let rows = LogicalPlanBuilder::new_from_arc(Arc::clone(&exists.subquery.subquery));
            let counted = rows.aggregate(Vec::<Expr>::new(), vec![count(lit(1i64)).alias("__count")])?;
            let any = counted.project(vec![Expr::Column("__count".into()).gt(lit(0i64)).alias("__any")])?.build()?;
            let value = Expr::ScalarSubquery(Subquery { subquery: Arc::new(any), ..exists.subquery });
            Ok(Transformed::yes(if exists.negated { !value } else { value }))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A condition that keeps a row only if it is true.
fn top_level(conjunct: Expr, schema: &DFSchema) -> Result<Expr> {
    if let Some(equal) = with_one_row(&conjunct) {
        return Ok(equal);
    }
    match conjunct {
        Expr::InSubquery(membership) if !membership.negated => Ok(Expr::InSubquery(membership)),
        Expr::InSubquery(membership) => {
            let correlated = !membership.subquery.outer_ref_columns.is_empty();
            if !correlated && !membership.expr.column_refs().is_empty() {
                return Ok(Expr::InSubquery(membership));
            }
            let Parts { found, unknown } = Parts::of(&membership, schema)?;
            let conditions = [Some(found), unknown].into_iter().flatten().map(|condition| !condition);
            Ok(conjunction(conditions).unwrap_or_else(|| lit(true)))
        }
        Expr::Not(inner) if matches!(*inner, Expr::InSubquery(_)) => match *inner {
            Expr::InSubquery(membership) => {
                top_level(Expr::InSubquery(InSubquery { negated: !membership.negated, ..membership }), schema)
            }
            other => Ok(!other),
        },
        other => other.transform_up(|expr| nested(expr, schema)).data(),
    }
}

fn nested(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Some(equal) = with_one_row(&expr) {
        return Ok(Transformed::yes(equal));
    }
    match expr {
        Expr::InSubquery(membership) => {
            let Parts { found, unknown } = Parts::of(&membership, schema)?;
            let Some(unknown) = unknown else { return Ok(Transformed::no(Expr::InSubquery(membership))) };
            let value = when(found, lit(true)).when(unknown, lit(ScalarValue::Boolean(None))).otherwise(lit(false))?;
            Ok(Transformed::yes(if membership.negated { !value } else { value }))
        }
        Expr::Exists(exists) => {
            if is_one_row(&exists.subquery.subquery) {
                return Ok(Transformed::yes(lit(!exists.negated)));
            }
            if !exists.subquery.outer_ref_columns.is_empty() && skips_rows(&exists.subquery.subquery)? {
                let error =
                    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "OFFSET in a correlated EXISTS is not supported");
                return Err(DataFusionError::External(Box::new(error)));
            }
            Ok(Transformed::no(Expr::Exists(exists)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// `x IN (S)` in terms of EXISTS.
struct Parts {
    /// S has a row that equals x.
    found: Expr,
    /// Otherwise NULL: x is NULL and S has a row, or S has a NULL. None where neither can be.
    unknown: Option<Expr>,
}

impl Parts {
    fn of(membership: &InSubquery, schema: &DFSchema) -> Result<Parts> {
        let InSubquery { expr: value, subquery, .. } = membership;
        let subquery = &renamed(subquery)?;
        let rows = &subquery.subquery;
        let member = Expr::Column(rows.schema().columns().swap_remove(0));
        let outer = as_outer(value, schema)?;
        let outer_columns = outer.clone();
        let found = exists(subquery, Some(outer.eq(member.clone())), outer_references(&outer_columns)?)?;
        let mut unknown = vec![];
        // Another query level's column may be NULL whatever this one's schema says.
        if value.column_refs().is_empty() || value.nullable(schema)? {
            unknown.push(value.as_ref().clone().is_null().and(exists(subquery, None, vec![])?));
        }
        if member.nullable(rows.schema())? {
            unknown.push(exists(subquery, Some(member.is_null()), vec![])?);
        }
        Ok(Parts { found, unknown: unknown.into_iter().reduce(Expr::or) })
    }
}

/// The subquery under a name of its own: DataFusion makes one column of two that are called the same, the outer one and the inner
/// one of the same table, where it turns the condition into a join's.
fn renamed(subquery: &Subquery) -> Result<Subquery> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let name = format!("__in_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let rows = LogicalPlanBuilder::new_from_arc(Arc::clone(&subquery.subquery)).alias(name)?.build()?;
    Ok(Subquery { subquery: Arc::new(rows), ..subquery.clone() })
}

/// EXISTS over the subquery's rows that fulfil a condition; `references` are what the condition adds to the outer columns.
fn exists(subquery: &Subquery, condition: Option<Expr>, references: Vec<Expr>) -> Result<Expr> {
    let correlated = !subquery.outer_ref_columns.is_empty() || !references.is_empty();
    let mut builder = LogicalPlanBuilder::new_from_arc(Arc::clone(&subquery.subquery));
    if let Some(condition) = condition {
        builder = builder.filter(condition)?;
    }
    if !correlated {
        builder = builder.limit(0, Some(1))?;
    }
    let mut outer_ref_columns = subquery.outer_ref_columns.clone();
    for reference in references {
        if !outer_ref_columns.contains(&reference) {
            outer_ref_columns.push(reference);
        }
    }
    let subquery = Subquery { subquery: Arc::new(builder.build()?), outer_ref_columns, spans: subquery.spans.clone() };
    Ok(Expr::Exists(Exists { subquery, negated: false }))
}

/// The expression as a subquery sees it.
fn as_outer(value: &Expr, schema: &DFSchema) -> Result<Expr> {
    let outer = value.clone().transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    });
    outer.data()
}

fn outer_references(value: &Expr) -> Result<Vec<Expr>> {
    let mut found = vec![];
    value.apply(|expr| {
        if matches!(expr, Expr::OuterReferenceColumn(..)) {
            found.push(expr.clone());
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// `x IN (S)` where a correlated S has always one row: `x = (S)`. A join would have none where nothing is aggregated.
fn with_one_row(expr: &Expr) -> Option<Expr> {
    let Expr::InSubquery(InSubquery { expr, subquery, negated }) = expr else { return None };
    if subquery.outer_ref_columns.is_empty() || !is_one_row(&subquery.subquery) {
        return None;
    }
    let row = Expr::ScalarSubquery(subquery.clone());
    Some(if *negated { expr.as_ref().clone().not_eq(row) } else { expr.as_ref().clone().eq(row) })
}

/// An aggregate without groups, whatever is shown of it.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Sort(sort) => is_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

fn skips_rows(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => skips_rows(&projection.input)?,
        LogicalPlan::SubqueryAlias(alias) => skips_rows(&alias.input)?,
        LogicalPlan::Limit(limit) => !matches!(limit.get_skip_type()?, SkipType::Literal(0)),
        _ => false,
    })
}
