//! The analyzer rule: walks a plan, rewrites its expressions, and keeps names, columns and set operations consistent.

use super::casts::rounding_cast;
use super::expression_rewriter::ExpressionRewriter;
use super::numeric_common::{Member, cast_number, common_type};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    DmlStatement, Expr, ExprSchemable, Join, LogicalPlan, Projection, RecursiveQuery, Subquery, Union, Values, WriteOp,
    cast,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// PostgreSQL's types and operators for a plan as the SQL planner made it. Runs before DataFusion's `TypeCoercion`,
/// which finds nothing left to do in what this rule has touched.
///
/// Output columns keep their names; their types become PostgreSQL's, through subqueries, unions and recursion.
#[derive(Debug, Default)]
pub struct PostgresRule {}

impl PostgresRule {
    pub fn new() -> Self {
        Self {}
    }
}

impl AnalyzerRule for PostgresRule {
    fn name(&self) -> &str {
        "postgres_semantics"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, None)
    }
}

/// The columns that a subquery sees of the queries around it, innermost first.
pub struct Scope<'a> {
    schema: &'a DFSchema,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    pub fn type_of(&self, column: &Column) -> Option<DataType> {
        match self.schema.qualified_field_from_column(column) {
            Ok((_, field)) => Some(field.data_type().clone()),
            Err(_) => self.outer?.type_of(column),
        }
    }
}

fn rewrite(plan: LogicalPlan, outer: Option<&Scope>) -> Result<LogicalPlan> {
    let plan = rewrite_inputs(plan, outer)?;
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let scope = Scope { schema: &schema, outer };
    let plan = plan.map_subqueries(|subquery| Ok(Transformed::yes(rewrite(subquery, Some(&scope))?)))?.data;
    let plan = rewrite_expressions(plan, &scope)?;
    let plan = match plan {
        LogicalPlan::Join(join) => LogicalPlan::Join(unify_keys(join)?),
        LogicalPlan::Union(union) => LogicalPlan::Union(unify_inputs(union)?),
        LogicalPlan::RecursiveQuery(query) => LogicalPlan::RecursiveQuery(match_work_table(query)?),
        LogicalPlan::Dml(dml) => LogicalPlan::Dml(match_target(dml)?),
        other => other,
    };
    sign_counters(plan.recompute_schema()?)
}

fn rewrite_inputs(plan: LogicalPlan, outer: Option<&Scope>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Join(mut join) => {
            let left = rewrite(Arc::unwrap_or_clone(join.left), outer)?;
            // The right side of a LATERAL join refers to the left one.
            let scope = Scope { schema: left.schema(), outer };
            let right = rewrite(Arc::unwrap_or_clone(join.right), Some(&scope))?;
            (join.left, join.right) = (Arc::new(left), Arc::new(right));
            Ok(LogicalPlan::Join(join))
        }
        LogicalPlan::Subquery(subquery) => {
            let Subquery { subquery, outer_ref_columns, spans } = subquery;
            let subquery = Arc::new(rewrite(Arc::unwrap_or_clone(subquery), outer)?);
            let empty = DFSchema::empty();
            let mut rewriter = ExpressionRewriter { schema: &empty, outer };
            let outer_ref_columns = outer_ref_columns
                .into_iter()
                .map(|column| Ok(column.rewrite(&mut rewriter)?.data))
                .collect::<Result<_>>()?;
            Ok(LogicalPlan::Subquery(Subquery { subquery, outer_ref_columns, spans }))
        }
        other => Ok(other.map_children(|input| Ok(Transformed::yes(rewrite(input, outer)?)))?.data),
    }
}

fn rewrite_expressions(plan: LogicalPlan, scope: &Scope) -> Result<LogicalPlan> {
    // LIMIT counts in int8.
    if matches!(plan, LogicalPlan::Limit(_)) {
        return Ok(plan);
    }
    if let LogicalPlan::Values(values) = plan {
        return Ok(LogicalPlan::Values(rewrite_values(values, scope)?));
    }
    let names = NamePreserver::new(&plan);
    let mut rewriter = ExpressionRewriter { schema: scope.schema, outer: scope.outer };
    let mut rewrite_named = |expr: Expr| -> Result<Expr> {
        let name = names.save(&expr);
        Ok(name.restore(expr.rewrite(&mut rewriter)?.data))
    };
    let rewritten = plan.map_expressions(|expr| {
        let mut rewrite_all = |exprs: Vec<Expr>| exprs.into_iter().map(&mut rewrite_named).collect::<Result<Vec<_>>>();
        Ok(Transformed::yes(match expr {
            // Each expression of a grouping set is a column of the output.
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => {
                Expr::GroupingSet(GroupingSet::Rollup(rewrite_all(exprs)?))
            }
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(rewrite_all(exprs)?)),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                let sets = sets.into_iter().map(rewrite_all).collect::<Result<_>>()?;
                Expr::GroupingSet(GroupingSet::GroupingSets(sets))
            }
            other => rewrite_named(other)?,
        }))
    })?;
    Ok(rewritten.data)
}

/// VALUES has fixed its columns' types when the query was planned: what is rewritten is cast to them. A literal is what
/// it is.
fn rewrite_values(mut values: Values, scope: &Scope) -> Result<Values> {
    let mut rewriter = ExpressionRewriter { schema: scope.schema, outer: scope.outer };
    let types: Vec<DataType> = values.schema.fields().iter().map(|field| field.data_type().clone()).collect();
    for row in &mut values.values {
        for (expr, target) in row.iter_mut().zip(&types) {
            if matches!(expr, Expr::Literal(..)) {
                continue;
            }
            let rewritten = std::mem::take(expr).rewrite(&mut rewriter)?.data;
            let source = rewritten.get_type(scope.schema)?;
            *expr = if source == *target {
                rewritten
            } else {
                rounding_cast(&rewritten, &source, target).unwrap_or_else(|| cast(rewritten, target.clone()))
            };
        }
    }
    Ok(values)
}

/// Both sides of each key get one type.
fn unify_keys(mut join: Join) -> Result<Join> {
    let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
    for (left, right) in &mut join.on {
        let members = [Member::of_expr(left, left_schema)?, Member::of_expr(right, right_schema)?];
        if let Some(target) = common_type(&members) {
            *left = cast_number(left.clone(), &target, left_schema)?;
            *right = cast_number(right.clone(), &target, right_schema)?;
        }
    }
    Ok(join)
}

/// The inputs of a UNION get common types, and its schema follows.
fn unify_inputs(union: Union) -> Result<Union> {
    let width = union.schema.fields().len();
    if union.inputs.iter().any(|input| input.schema().fields().len() != width) {
        return Ok(union);
    }
    let common: Vec<Option<DataType>> = (0..width)
        .map(|column| {
            let types = union.inputs.iter().map(|input| input.schema().field(column).data_type());
            common_type(&types.map(Member::of_type).collect::<Vec<_>>())
        })
        .collect();
    let inputs =
        union.inputs.into_iter().map(|input| Ok(Arc::new(cast_columns(Arc::unwrap_or_clone(input), &common)?)));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let types = (0..width).map(|column| {
        let mut types = inputs.iter().map(|input| input.schema().field(column).data_type());
        let first = types.next()?;
        types.all(|other| other == first).then(|| first.clone())
    });
    let schema = with_types(&union.schema, types)?;
    Ok(Union { inputs, schema })
}

/// `schema` with other types where some are given.
fn with_types(schema: &DFSchemaRef, types: impl Iterator<Item = Option<DataType>>) -> Result<DFSchemaRef> {
    let fields = schema.iter().zip(types).map(|((qualifier, field), data_type)| {
        let data_type = data_type.unwrap_or_else(|| field.data_type().clone());
        (qualifier.cloned(), Arc::new(field.as_ref().clone().with_data_type(data_type)))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?;
    Ok(Arc::new(schema))
}

/// A projection of `plan` that casts the columns for which a type is given and differs; `plan` itself without any.
pub fn cast_columns(plan: LogicalPlan, types: &[Option<DataType>]) -> Result<LogicalPlan> {
    let columns: Vec<_> =
        plan.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    let target = |index: usize, field: &Field| {
        types.get(index).and_then(Option::as_ref).filter(|target| *target != field.data_type())
    };
    if columns.iter().enumerate().all(|(index, (_, field))| target(index, field).is_none()) {
        return Ok(plan);
    }
    let exprs = columns.iter().enumerate().map(|(index, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.clone(), field.name()));
        match target(index, field) {
            None => column,
            Some(target) => rounding_cast(&column, field.data_type(), target)
                .unwrap_or_else(|| cast(column, target.clone()))
                .alias_qualified(qualifier.clone(), field.name()),
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
}

/// A recursive query's work table has got its types when the query was planned: both terms keep to them.
fn match_work_table(mut query: RecursiveQuery) -> Result<RecursiveQuery> {
    let mut work_table: Option<Arc<Schema>> = None;
    query.recursive_term.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && scan.table_name.table() == query.name
        {
            work_table = Some(scan.source.schema());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some(schema) = work_table {
        let types: Vec<_> = schema.fields().iter().map(|field| Some(field.data_type().clone())).collect();
        query.static_term = Arc::new(cast_columns(Arc::unwrap_or_clone(query.static_term), &types)?);
        query.recursive_term = Arc::new(cast_columns(Arc::unwrap_or_clone(query.recursive_term), &types)?);
    }
    Ok(query)
}

/// The planner casts an INSERT's columns by the types that they had before this rule.
fn match_target(mut dml: DmlStatement) -> Result<DmlStatement> {
    if let WriteOp::Insert(_) = dml.op {
        let schema = dml.target.schema();
        if schema.fields().len() == dml.input.schema().fields().len() {
            let types: Vec<_> = schema.fields().iter().map(|field| Some(field.data_type().clone())).collect();
            dml.input = Arc::new(cast_columns(Arc::unwrap_or_clone(dml.input), &types)?);
        }
    }
    Ok(dml)
}

/// Counters that DataFusion has unsigned (`row_number()`, `rank()`, `approx_distinct()`) become int8.
fn sign_counters(plan: LogicalPlan) -> Result<LogicalPlan> {
    let passed_on = match &plan {
        LogicalPlan::Window(window) => window.input.schema().fields().len(),
        LogicalPlan::Aggregate(aggregate) => aggregate.schema.fields().len() - aggregate.aggr_expr.len(),
        _ => return Ok(plan),
    };
    let fields = plan.schema().fields().iter().enumerate();
    let types: Vec<_> = fields
        .map(|(index, field)| (index >= passed_on && *field.data_type() == DataType::UInt64).then_some(DataType::Int64))
        .collect();
    cast_columns(plan, &types)
}
