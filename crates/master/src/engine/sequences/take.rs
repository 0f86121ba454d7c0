//! Takes the calls of nextval out of a plan's expressions.

use super::function::not_here;
use super::node::{Call, NextValues};
use crate::engine::StatementNames;
use crate::error::SqlError;
use crate::sql::{NEXTVAL, not_a_name, relation_in_text};
use damson_cluster::Sequence;
use damson_motion::{NextValue, NextValuesExec};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, Projection, Values, lit};
use datafusion::physical_plan::ExecutionPlan;
use std::collections::HashMap;
use std::sync::Arc;

/// Puts a [`NextValues`] below each projection that calls nextval, and its columns in the calls' place: every call takes a value of
/// every row that it is evaluated of, and none of another. Branches of CASE, and what COALESCE does not come to, take none. A VALUES
/// that calls it becomes such a projection.
///
/// # Errors
/// 42P01, 42809 for names; 0A000 wherever else it is called.
pub(crate) fn take_next_values(plan: LogicalPlan, names: &StatementNames) -> Result<LogicalPlan> {
    if !calls_nextval_anywhere(&plan)? {
        return Ok(plan);
    }
    let mut columns = 0;
    let mut take = |node: LogicalPlan| {
        let node = if node_calls_nextval(&node)? {
            match node {
                LogicalPlan::Projection(projection) => of_projection(projection, names, &mut columns)?,
                LogicalPlan::Values(values) => of_values(values, names, &mut columns)?,
                other => return Err(external(not_here(place_of(&other)))),
            }
        } else {
            // Its inputs' columns may have become nullable.
            node.recompute_schema()?
        };
        Ok(Transformed::yes(node))
    };
    plan.transform_up(&mut take).data()
}

fn of_projection(projection: Projection, names: &StatementNames, columns: &mut usize) -> Result<LogicalPlan> {
    let mut taking = Taking { names, calls: vec![], columns: *columns };
    let value = |expr: Expr| {
        let name = expr.name_for_alias()?;
        taking.take(expr)?.alias_if_changed(name)
    };
    let exprs = projection.expr.into_iter().map(value).collect::<Result<Vec<_>>>()?;
    *columns = taking.columns;
    let node = NextValues::try_new(taking.calls, Arc::unwrap_or_clone(projection.input))?;
    let input = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
}

/// Columns of which some rows call nextval get a column of numbers beside them, that says which expression a row has.
fn of_values(values: Values, names: &StatementNames, columns: &mut usize) -> Result<LogicalPlan> {
    let Values { schema, values: mut rows } = values;
    let mut fields = schema.iter().map(|(table, field)| (table.cloned(), Arc::clone(field))).collect::<Vec<_>>();
    let mut projected = vec![];
    for (position, (table, field)) in schema.iter().enumerate() {
        let column = Expr::Column(Column::from((table, field)));
        let mut distinct: Vec<Expr> = vec![];
        let mut known: HashMap<Expr, usize> = HashMap::new();
        let mut numbers = Vec::with_capacity(rows.len());
        for row in &mut rows {
            if !expr_calls_nextval(&row[position])? {
                numbers.push(0);
                continue;
            }
            let null = Expr::Literal(ScalarValue::try_from(field.data_type())?, None);
            let expr = std::mem::replace(&mut row[position], null);
            let number = *known.entry(expr.clone()).or_insert_with(|| {
                distinct.push(expr);
                distinct.len()
            });
            numbers.push(number as i64);
        }
        if distinct.is_empty() {
            projected.push(column);
            continue;
        }
        let name = format!("pg_damson expression {position}");
        let number = Expr::Column(Column::new_unqualified(&name));
        let cases = distinct.into_iter().zip(1i64..);
        let cases = cases.map(|(expr, number)| (Box::new(lit(number)), Box::new(expr)));
        let case = Case::new(Some(Box::new(number)), cases.collect(), Some(Box::new(column)));
        projected.push(Expr::Case(case).alias_qualified(table.cloned(), field.name()));
        fields[position].1 = Arc::new(field.as_ref().clone().with_nullable(true));
        fields.push((None, Arc::new(Field::new(name, DataType::Int64, false))));
        rows.iter_mut().zip(numbers).for_each(|(row, number)| row.push(lit(number)));
    }
    let schema = DFSchema::new_with_metadata(fields, HashMap::new())?;
    let input = LogicalPlan::Values(Values { schema: Arc::new(schema), values: rows });
    of_projection(Projection::try_new(projected, Arc::new(input))?, names, columns)
}

/// Expressions over one input, whose calls are taken out.
pub(crate) struct Taking<'a> {
    names: &'a StatementNames,
    calls: Vec<Call>,
    /// Columns that the statement has for calls.
    columns: usize,
}

impl<'a> Taking<'a> {
    pub(crate) fn new(names: &'a StatementNames) -> Self {
        Taking { names, calls: vec![], columns: 0 }
    }

    /// The expression over the input and the columns of [`Taking::over`].
    ///
    /// # Errors
    /// 42P01, 42809 for names; 0A000 where it cannot be said which rows take a value.
    pub(crate) fn take(&mut self, expr: Expr) -> Result<Expr> {
        self.take_if(expr, None)
    }

    /// The input with the columns, if there are any.
    ///
    /// # Errors
    /// DataFusion's, of conditions.
    pub(crate) fn over(self, state: &SessionState, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if self.calls.is_empty() {
            return Ok(input);
        }
        let schema = DFSchema::try_from(input.schema())?;
        let value = |call: Call| {
            let condition =
                call.condition.map(|condition| state.create_physical_expr(condition, &schema)).transpose()?;
            Ok(NextValue { sequence: call.sequence, column: call.column, condition })
        };
        let values = self.calls.into_iter().map(value).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(NextValuesExec::new(values, input)))
    }

    /// `condition`: of the rows that come to the expression; None: all.
    fn take_if(&mut self, expr: Expr, condition: Option<&Expr>) -> Result<Expr> {
        if !expr_calls_nextval(&expr)? {
            return Ok(expr);
        }
        match expr {
            Expr::ScalarFunction(function) if function.name() == NEXTVAL => self.call(&function, condition),
            Expr::ScalarFunction(function) if function.name() == "coalesce" => self.coalesce(function, condition),
            Expr::Case(case) => self.case(case, condition),
            other => other.map_children(|child| Ok(Transformed::yes(self.take_if(child, condition)?))).data(),
        }
    }

    fn call(&mut self, function: &ScalarFunction, condition: Option<&Expr>) -> Result<Expr> {
        let sequence = self.sequence(function).map_err(external)?;
        self.columns += 1;
        let column = format!("pg_damson nextval {}", self.columns);
        self.calls.push(Call { sequence, column: column.clone(), condition: condition.cloned() });
        Ok(Expr::Column(Column::new_unqualified(column)))
    }

    fn sequence(&self, function: &ScalarFunction) -> Result<Sequence, SqlError> {
        let text = match function.args.as_slice() {
            [Expr::Literal(value, _)] => value.try_as_str().flatten(),
            _ => None,
        };
        let name = relation_in_text(text.ok_or_else(|| not_a_name(NEXTVAL))?)?;
        let def = crate::ddl::find_sequence(self.names.state(), &name, self.names.search_schema());
        // The position would be that of the name in its quotes.
        def.map(|def| def.sequence()).map_err(|error| SqlError { position: None, ..error })
    }

    /// A branch takes values of the rows that come to it. Which those are is told before the values are there.
    fn case(&mut self, case: Case, condition: Option<&Expr>) -> Result<Expr> {
        let decides = case.expr.iter().chain(case.when_then_expr.iter().map(|(when, _)| when));
        let decides: Vec<&Expr> = decides.map(AsRef::as_ref).collect();
        refuse_calls(&decides, "in a condition of CASE")?;
        let is_told = decides.iter().all(|expr| can_be_asked_twice(expr));
        let comes_to = |branch: Option<usize>| {
            let whens = case.when_then_expr.iter().enumerate();
            let whens = whens.map(|(i, (when, _))| (when.clone(), Box::new(lit(branch == Some(i)))));
            Expr::Case(Case::new(case.expr.clone(), whens.collect(), Some(Box::new(lit(branch.is_none())))))
        };
        let branch = |branch| if is_told { Some(within(condition, comes_to(branch))) } else { condition.cloned() };
        let mut branches = vec![];
        for (i, (when, then)) in case.when_then_expr.iter().enumerate() {
            let then = self.take_if(then.as_ref().clone(), branch(Some(i)).as_ref())?;
            branches.push((when.clone(), Box::new(then)));
        }
        let otherwise = match &case.else_expr {
            Some(otherwise) => Some(Box::new(self.take_if(otherwise.as_ref().clone(), branch(None).as_ref())?)),
            None => None,
        };
        Ok(Expr::Case(Case::new(case.expr.clone(), branches, otherwise)))
    }

    /// An argument takes values of the rows of which those before it are NULL.
    fn coalesce(&mut self, function: ScalarFunction, condition: Option<&Expr>) -> Result<Expr> {
        let ScalarFunction { func, args } = function;
        let mut taken = Vec::with_capacity(args.len());
        for (i, argument) in args.iter().enumerate() {
            let before = &args[..i];
            let is_told = before.iter().all(can_be_asked_twice);
            let whens = before.iter().map(|value| (Box::new(value.clone().is_not_null()), Box::new(lit(false))));
            let whens: Vec<_> = whens.collect();
            let argument = argument.clone();
            taken.push(if whens.is_empty() || !is_told {
                self.take_if(argument, condition)?
            } else {
                let comes_to = Expr::Case(Case::new(None, whens, Some(Box::new(lit(true)))));
                self.take_if(argument, Some(&within(condition, comes_to)))?
            });
        }
        Ok(Expr::ScalarFunction(ScalarFunction { func, args: taken }))
    }
}

/// `inner` of the rows of which `outer` is true, and not evaluated of the others.
fn within(outer: Option<&Expr>, inner: Expr) -> Expr {
    let Some(outer) = outer else { return inner };
    let when = (Box::new(outer.clone()), Box::new(inner));
    Expr::Case(Case::new(None, vec![when], Some(Box::new(lit(false)))))
}

/// Whether an expression gives the same below the projection that it is in. A correlated subquery is of that alone; where it decides, rows
/// take values that they may not need.
fn can_be_asked_twice(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)));
    !expr.is_volatile() && !expr.exists(is_subquery).unwrap_or(true)
}

fn refuse_calls(exprs: &[&Expr], place: &str) -> Result<()> {
    for expr in exprs {
        if expr_calls_nextval(expr)? {
            return Err(external(not_here(place)));
        }
    }
    Ok(())
}

fn expr_calls_nextval(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| match expr {
        Expr::ScalarFunction(function) => Ok(function.name() == NEXTVAL),
        Expr::ScalarSubquery(subquery) => calls_nextval_anywhere(&subquery.subquery),
        Expr::Exists(exists) => calls_nextval_anywhere(&exists.subquery.subquery),
        Expr::InSubquery(within) => calls_nextval_anywhere(&within.subquery.subquery),
        _ => Ok(false),
    })
}

fn node_calls_nextval(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr_calls_nextval(expr)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn calls_nextval_anywhere(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(node_calls_nextval)
}

/// Where a node's expressions stand in a statement.
fn place_of(node: &LogicalPlan) -> &'static str {
    match node {
        LogicalPlan::Filter(_) => "in WHERE or HAVING",
        LogicalPlan::Aggregate(_) => "in GROUP BY or an aggregate",
        LogicalPlan::Sort(_) => "in ORDER BY",
        LogicalPlan::Window(_) => "in a window function",
        LogicalPlan::Join(_) => "in a join's condition",
        LogicalPlan::Limit(_) => "in LIMIT or OFFSET",
        LogicalPlan::Distinct(_) => "in DISTINCT ON",
        _ => "here",
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests;
